//! Everything that a user has is taken back, at the word of an identity provider
//! (draft-parecki-oauth-global-token-revocation-05).

use std::sync::Arc;

use axum::body::Body as RequestBody;
use axum::extract::{FromRequest as _, Request as HttpRequest};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::Response;
use keywright_api::{GlobalTokenRevocation, SubjectIdentifier};
use keywright_verifier::revocation::{Selector, SelectorKind};

use super::authentication::authenticate;
use crate::access::Role;
use crate::authority::Authority;
use crate::authority::authentication::Caller;
use crate::authority::issuer::Issuer;
use crate::authority::request::Request;
use crate::authority::revocations::RevocationDraft;
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
    let caller = caller(authority, issuer, &parts).await?;
    if let Some(slot) = slot {
        slot.hand_over(caller.id())?;
    }
    if !Role::REVOKERS.iter().any(|role| caller.has(*role)) {
        return Err(Problem::role_missing(&Role::REVOKERS));
    }
    let client = &caller.live.client;
    let limits = &client.terms.limits;
    limits.check_issuer(issuer.name().as_str())?;
    let request = HttpRequest::from_parts(parts, body);
    let Body(GlobalTokenRevocation { sub_id }) = Body::from_request(request, &()).await?;
    let subject = {
        let snapshot = issuer.snapshot();
        subject_of(sub_id, snapshot.set().policy().url.as_str())?
    };
    let selector = Selector::new(SelectorKind::Subject, &[&subject]);
    let selector = selector.map_err(|error| Problem::new(Code::InvalidSelector, error))?;
    if !caller.has(Role::Security) {
        limits.check_revocation(&client.id, &selector)?;
    }
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

/// The `sub` of the tokens of a subject (RFC 9493 §3.2).
fn subject_of(named: SubjectIdentifier, issuer: &str) -> Result<String, Problem> {
    let unsupported = |detail: &str| Problem::new(Code::UnsupportedSubject, detail);
    let SubjectIdentifier {
        format,
        iss,
        sub,
        id,
    } = named;
    match (format.as_str(), iss, sub, id) {
        ("iss_sub", Some(iss), Some(sub), _) if iss == issuer => Ok(sub),
        ("iss_sub", Some(_), Some(_), _) => {
            Err(unsupported("sub_id names a subject of another issuer"))
        }
        ("opaque", _, _, Some(id)) => Ok(id),
        ("iss_sub", ..) => Err(unsupported(
            "a sub_id of the format iss_sub has iss and sub",
        )),
        ("opaque", ..) => Err(unsupported("a sub_id of the format opaque has id")),
        _ => Err(unsupported(
            "sub_id has the format iss_sub or opaque: tokens name a subject by their sub alone",
        )),
    }
}
