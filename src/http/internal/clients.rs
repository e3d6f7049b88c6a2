//! Clients: who may call, and what they may have signed.
//!
//! An admin whose issuers are limited may not call here: it could make itself a client without
//! that limit.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;

use super::if_match::IfMatch;
use super::{Service, path_text};
use crate::access::Terms;
use crate::authority::Issued;
use crate::authority::clients::ClientState;
use crate::http::authentication::{HasRole, role};
use crate::http::body::{Body, OptionalBody};
use crate::http::problem::Problem;
use crate::http::response::{created_at, no_content, ok, tagged};
use crate::http::shown;

/// How long the credential before a new one stays valid when it is not said.
const DEFAULT_OVERLAP: Duration = Duration::from_secs(24 * 3600);

path_text! {
    /// The client that the path names, which need not exist.
    ClientId, "id"
}

path_text! {
    /// The credential that the path names, which need not exist.
    CredentialId, "credential"
}

pub(super) async fn list(
    State(authority): Service,
    caller: HasRole<role::Admin>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let list = move || {
        let clients = authority.clients().all();
        ok(api::Clients {
            clients: clients.iter().map(|live| shown::client(live)).collect(),
        })
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
    Body(body): Body<api::ClientRequest>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let (document, credential) = body.into_parts();
    let terms = terms(&caller, document).await?;
    let lifetime = match credential.map(Option::from) {
        None => Some(None),
        Some(None) => None,
        Some(Some(api::CredentialLifetime { expires_in })) => Some(expires_in),
    };
    let mut client = authority.draft_client(terms)?;
    let issued = match lifetime {
        Some(lifetime) => {
            let lifetime = lifetime.map(|api::PositiveDuration(lifetime)| lifetime);
            Some(authority.draft_credential(&client.id, lifetime)?)
        }
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

/// The terms of a document. A schema takes its time to compile.
async fn terms(caller: &HasRole<role::Admin>, document: api::Terms) -> Result<Terms, Problem> {
    Ok(caller.compute(move || Terms::new(document)).await??)
}

/// Replaces the terms as a whole. Credentials stay.
pub(super) async fn set(
    State(authority): Service,
    caller: HasRole<role::Admin>,
    ClientId(id): ClientId,
    IfMatch(precondition): IfMatch,
    Body(document): Body<api::Terms>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let terms = terms(&caller, document).await?;
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
    OptionalBody(body): OptionalBody<api::CredentialRequest>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let lifetime = body
        .expires_in
        .map(|api::PositiveDuration(lifetime)| lifetime);
    let overlap = body.overlap.map(|api::DurationText(overlap)| overlap);
    let overlap = overlap.unwrap_or(DEFAULT_OVERLAP);
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
    tagged(ok(shown::client(live)), live.token)
}

/// The client, and its new credential this once.
fn with_credential(live: &ClientState, issued: Option<&Issued>) -> Response {
    let shown = api::CreatedClient {
        client: shown::client(live),
        credential: issued.map(|issued| issued.credential.reveal().to_owned()),
    };
    created_at(&format!("/v1/clients/{}", live.client.id), shown)
}
