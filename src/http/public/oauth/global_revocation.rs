//! Everything that a user has is taken back, at the word of an identity provider
//! (draft-parecki-oauth-global-token-revocation-05).

use std::sync::Arc;

use axum::body::Body as RequestBody;
use axum::extract::{FromRequest as _, Request as HttpRequest};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::Response;
use keywright_api::GlobalTokenRevocation;
use keywright_verifier::revocation::{Selector, SelectorKind};

use super::authentication::authenticate;
use crate::access::Role;
use crate::authority::Authority;
use crate::authority::authentication::Caller;
use crate::authority::issuer::Issuer;
use crate::authority::request::Request;
use crate::authority::revocations::RevocationDraft;
use crate::event_stream::subject_of;
use crate::http::authentication::admit;
use crate::http::body::Body;
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::no_content;
use crate::http::slots::RequestSlot;
use crate::oauth::Form;

/// What is written down as the reason.
const REASON: &str = "global token revocation";

/// Takes back all tokens and grants of a subject that were issued until now.
pub(super) async fn revoke(
    authority: &Arc<Authority>,
    issuer: &Arc<Issuer>,
    slot: Option<&RequestSlot>,
    parts: Parts,
    body: RequestBody,
) -> Result<Response, Problem> {
    let caller = revoker(authority, issuer, slot, &parts).await?;
    let request = HttpRequest::from_parts(parts, body);
    let Body(GlobalTokenRevocation { sub_id }) = Body::from_request(request, &()).await?;
    let subject = {
        let snapshot = issuer.snapshot();
        let url = snapshot.set().policy().url.as_str();
        subject_of(sub_id, |iss| iss == url)?
    };
    let selector = selector(&caller, &subject)?;
    let draft = RevocationDraft {
        selector,
        ban: None,
        reason: Some(REASON.to_owned()),
    };
    let request = Request::by(caller.actor());
    authority
        .take_tokens_back(issuer, vec![draft], request)
        .await?;
    Ok(no_content())
}

/// A client that takes back what tokens it may of this issuer. Its slot is its own from then on.
pub(super) async fn revoker(
    authority: &Authority,
    issuer: &Issuer,
    slot: Option<&RequestSlot>,
    parts: &Parts,
) -> Result<Caller, Problem> {
    let caller = caller(authority, issuer, parts).await?;
    if let Some(slot) = slot {
        slot.hand_over(caller.id())?;
    }
    if !Role::REVOKERS.iter().any(|role| caller.has(*role)) {
        return Err(Problem::role_missing(&Role::REVOKERS));
    }
    let limits = &caller.live.client.terms.limits;
    limits.check_issuer(issuer.name().as_str())?;
    Ok(caller)
}

/// The tokens of a subject, if this client may take them back.
pub(super) fn selector(caller: &Caller, subject: &str) -> Result<Selector, Problem> {
    let selector = Selector::new(SelectorKind::Subject, &[subject]);
    let selector = selector.map_err(|error| Problem::new(Code::InvalidSelector, error))?;
    if !caller.has(Role::Security) {
        let client = &caller.live.client;
        let limits = &client.terms.limits;
        limits.check_revocation(&client.id, &selector)?;
    }
    Ok(selector)
}

/// Who calls: by a bearer credential or a certificate as on the internal listener, or by Basic as at the
/// OAuth endpoints.
pub(super) async fn caller(
    authority: &Authority,
    issuer: &Issuer,
    parts: &Parts,
) -> Result<Caller, Problem> {
    let header = parts.headers.get(AUTHORIZATION);
    let scheme = header.and_then(|value| value.to_str().ok()?.split(' ').next());
    match scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("Basic")) {
        true => authenticate(authority, issuer, parts, &Form::default()).await,
        false => admit(authority, &parts.headers, &parts.extensions).await,
    }
}
