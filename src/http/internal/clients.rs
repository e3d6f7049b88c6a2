//! Clients: who may call.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use keywright_verifier::json::FieldError;
use serde_json::{Value, json};

use super::{Service, path_parameter};
use crate::authority::Authority;
use crate::authority::clients::Role;
use crate::http::authentication::{As, role};
use crate::http::body::Body;
use crate::http::code::Code;
use crate::http::response::{Problem, created_at, no_content, ok};
use crate::http::shown;

/// The client that the path names, which need not exist.
pub(super) struct ClientId(String);

impl FromRequestParts<Arc<Authority>> for ClientId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Authority>) -> Result<Self, Problem> {
        path_parameter(parts, "id").await.map(Self)
    }
}

pub(super) async fn list(
    State(authority): Service,
    _caller: As<role::Admin>,
) -> Result<Response, Problem> {
    let clients: Vec<Value> = authority
        .clients()
        .all()
        .iter()
        .map(|client| Value::Object(shown::client(client)))
        .collect();
    Ok(ok(json!({ "clients": clients })))
}

pub(super) async fn create(
    State(authority): Service,
    caller: As<role::Admin>,
    Body(mut body): Body,
) -> Result<Response, Problem> {
    let name = body.string("name")?;
    let legal = |character: char| character.is_ascii_graphic() || character == ' ';
    if !(1..=64).contains(&name.len()) || !name.chars().all(legal) {
        let detail = "a client's name has 1 to 64 printable ASCII characters";
        return Err(Problem::new(Code::InvalidClientName, detail));
    }
    let roles = body
        .optional_strings("roles")?
        .ok_or(FieldError::Missing { field: "roles" })?;
    body.finish()?;
    let roles = roles
        .iter()
        .map(|name| Role::parse(name).ok_or_else(|| unknown_role(name)))
        .collect::<Result<BTreeSet<Role>, Problem>>()?;
    if roles.is_empty() {
        let detail = "roles must name at least one of issuer, security, auditor, admin";
        return Err(Problem::new(Code::InvalidRoles, detail));
    }
    let (client, credential) = authority.create_client(name, roles, caller.actor()).await?;
    let mut shown = shown::client(&client);
    shown.insert("credential".to_owned(), credential.reveal().into());
    Ok(created_at(
        &format!("/v1/clients/{}", client.id),
        Value::Object(shown),
    ))
}

pub(super) async fn remove(
    State(authority): Service,
    caller: As<role::Admin>,
    ClientId(id): ClientId,
) -> Result<Response, Problem> {
    authority.delete_client(&id, caller.actor()).await?;
    Ok(no_content())
}

fn unknown_role(name: &str) -> Problem {
    let shown: String = name.escape_default().take(64).collect();
    let detail = format!("\"{shown}\" is not one of the roles issuer, security, auditor, admin");
    Problem::new(Code::InvalidRoles, detail)
}
