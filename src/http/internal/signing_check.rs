//! Whether a client would get a token: the judgment of a signature, without one.
//!
//! Nothing is signed, stored, logged as issued or taken from the client's rate. What it does not ask is
//! whether the client could prove who it is, and whether its rate would allow another token now.

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;
use schemars::JsonSchema;
use serde::Deserialize;

use super::clients::ClientId;
use super::tokens::read_request;
use super::{Parameters, Service};
use crate::access::Client;
use crate::authority::Authority;
use crate::authority::signing::{self, JudgedToken, SignRequest};
use crate::http::authentication::{HasRole, Required, role};
use crate::http::body::ObjectBody;
use crate::http::problem::Problem;
use crate::http::response::ok;
use crate::http::signing_call::signing_issuer;

/// Whose token it would be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SigningCheckQuery {
    /// The issuer that would sign. Default: `default`.
    issuer: Option<String>,
}

/// The issuer that is meant when none is named.
const DEFAULT_ISSUER: &str = "default";

pub(super) async fn check(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    ClientId(id): ClientId,
    Parameters(query): Parameters<SigningCheckQuery>,
    body: ObjectBody,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let live = authority.client(&id)?;
    let issuer = query.issuer.as_deref().unwrap_or(DEFAULT_ISSUER);
    let mut object = body.read()?;
    let request = read_request(&mut object, |_| ())?;
    object.finish()?;
    let outcome = judge(&authority, &live.client, issuer, request).await;
    Ok(ok(match outcome {
        Ok(JudgedToken { header, claims }) => api::SigningCheck {
            signed: true,
            header: Some(header),
            claims: Some(claims),
            problem: None,
        },
        Err(problem) => api::SigningCheck {
            signed: false,
            header: None,
            claims: None,
            problem: Some(Box::new(problem.document())),
        },
    }))
}

/// Judges a request of the client as the signing route does.
async fn judge(
    authority: &Authority,
    client: &Client,
    issuer: &str,
    request: SignRequest<'_>,
) -> Result<JudgedToken, Problem> {
    let roles = role::Issuer::ROLES;
    if !roles.iter().any(|role| client.has(*role)) {
        return Err(Problem::role_missing(roles));
    }
    let issuer = signing_issuer(authority, client, issuer)?;
    let view = issuer.settled_snapshot(&request.claims).await;
    Ok(signing::judge(&view, client, request).await?)
}
