//! Clients: who may call, and what they may have signed.
//!
//! An admin whose issuers are limited may not call here: it could make itself a client without
//! that limit.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use keywright_verifier::json::Object;
use serde_json::{Value, json};

use super::if_match::IfMatch;
use super::{Service, path_parameter};
use crate::access::Terms;
use crate::authority::Authority;
use crate::authority::clients::ClientState;
use crate::http::authentication::{HasRole, role};
use crate::http::body::{Body, OptionalBody};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{created_at, no_content, ok, tagged};
use crate::http::shown;
use crate::lifecycle::parse_duration;

/// How long the credential before a new one stays valid when it is not said.
const DEFAULT_OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// The client that the path names, which need not exist.
pub(super) struct ClientId(String);

impl FromRequestParts<Arc<Authority>> for ClientId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Authority>) -> Result<Self, Problem> {
        path_parameter(parts, "id").await.map(Self)
    }
}

/// The credential that the path names, which need not exist.
pub(super) struct CredentialId(String);

impl FromRequestParts<Arc<Authority>> for CredentialId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Authority>) -> Result<Self, Problem> {
        path_parameter(parts, "credential").await.map(Self)
    }
}

pub(super) async fn list(
    State(authority): Service,
    caller: HasRole<role::Admin>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let list = move || {
        let clients = authority.clients().all();
        let shown = clients
            .iter()
            .map(|live| Value::Object(shown::client(live)));
        ok(json!({ "clients": shown.collect::<Vec<Value>>() }))
    };
    caller.compute(list).await
}

pub(super) async fn show(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    ClientId(id): ClientId,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    Ok(answer(&*authority.client(&id)?))
}

/// Without `credential` there is one without an end, with `null` there is none.
pub(super) async fn create(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    Body(body): Body,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let (terms, mut body) = terms(&caller, body).await?;
    let lifetime = match body.take("credential") {
        None => Some(None),
        Some(Value::Null) => None,
        Some(document) => {
            let mut credential = Object::new(document, "credential")?;
            let lifetime = duration(&mut credential, "expires_in")?;
            credential.finish()?;
            Some(lifetime)
        }
    };
    body.finish()?;
    let mut client = authority.draft_client(terms)?;
    let issued = match lifetime {
        Some(lifetime) => Some(authority.draft_credential(&client.id, lifetime)?),
        None => None,
    };
    client
        .credentials
        .extend(issued.as_ref().map(|issued| issued.record.clone()));
    let id = client.id.clone();
    authority.admit_client(client, caller.actor()).await?;
    let live = authority.client(&id)?;
    Ok(with_credential(&live, issued.as_ref()))
}

/// Reads a client's terms, and returns what else the body has. A schema takes its time to compile.
async fn terms(
    caller: &HasRole<role::Admin>,
    mut body: Object,
) -> Result<(Terms, Object), Problem> {
    let read = move || Terms::take_from(&mut body).map(|terms| (terms, body));
    Ok(caller.compute(read).await??)
}

/// Replaces the terms as a whole. Credentials stay.
pub(super) async fn set(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    ClientId(id): ClientId,
    IfMatch(precondition): IfMatch,
    Body(body): Body,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let (terms, body) = terms(&caller, body).await?;
    body.finish()?;
    let live = authority
        .set_terms_if(precondition, &id, terms, caller.actor())
        .await?;
    Ok(answer(&live))
}

pub(super) async fn remove(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    ClientId(id): ClientId,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    authority.delete_client(&id, caller.actor()).await?;
    Ok(no_content())
}

pub(super) async fn rotate_credential(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    ClientId(id): ClientId,
    OptionalBody(mut body): OptionalBody,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let lifetime = duration(&mut body, "expires_in")?;
    let overlap = match body.optional_string("overlap")? {
        Some(text) => parse_duration(&text).map_err(|error| invalid_duration("overlap", error))?,
        None => DEFAULT_OVERLAP,
    };
    body.finish()?;
    let (issued, live) = authority
        .rotate_credential(&id, lifetime, overlap, caller.actor())
        .await?;
    Ok(with_credential(&live, Some(&issued)))
}

pub(super) async fn revoke_credential(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    ClientId(id): ClientId,
    CredentialId(credential): CredentialId,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    authority
        .revoke_credential(&id, &credential, caller.actor())
        .await?;
    Ok(no_content())
}

/// The client with its entity tag, which stands for its terms and its credentials, not for when they
/// were last used.
fn answer(live: &ClientState) -> Response {
    tagged(ok(Value::Object(shown::client(live))), live.token)
}

/// The client, and its new credential this once.
fn with_credential(live: &ClientState, issued: Option<&crate::authority::Issued>) -> Response {
    let mut shown = shown::client(live);
    if let Some(issued) = issued {
        shown.insert("credential".to_owned(), issued.credential.reveal().into());
    }
    let location = format!("/v1/clients/{}", live.client.id);
    created_at(&location, Value::Object(shown))
}

fn duration(body: &mut Object, field: &'static str) -> Result<Option<Duration>, Problem> {
    let Some(text) = body.optional_string(field)? else {
        return Ok(None);
    };
    let duration = parse_duration(&text).map_err(|error| invalid_duration(field, error))?;
    if duration.is_zero() {
        let detail = format!("{field}: a duration of at least 1s");
        return Err(Problem::new(Code::InvalidDuration, detail));
    }
    Ok(Some(duration))
}

fn invalid_duration(field: &'static str, error: crate::lifecycle::InvalidDuration) -> Problem {
    Problem::new(Code::InvalidDuration, format!("{field}: {error}"))
}
