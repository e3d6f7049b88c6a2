//! Tokens that their own clients take back (RFC 7009).

use std::sync::Arc;

use axum::http::request::Parts;
use axum::response::Response;
use keywright_verifier::revocation::{Selector, SelectorKind};

use super::refresh;
use crate::access::Role;
use crate::authority::Authority;
use crate::authority::authentication::Caller;
use crate::authority::issuer::Issuer;
use crate::authority::request::Request;
use crate::authority::revocations::RevocationDraft;
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::empty;
use crate::oauth::Form;

/// Ends the grant of a refresh token, whichever of its tokens it is, and takes its access tokens back
/// (RFC 7009 §2.1).
pub(super) async fn end_grant(
    authority: &Arc<Authority>,
    issuer: &Issuer,
    caller: Option<&Caller>,
    parts: &Parts,
    form: &Form,
    token: &str,
) -> Result<Response, Problem> {
    let presented = refresh::presented(authority, issuer, caller, parts, form, token).await;
    let presented = match presented {
        Err(problem) if problem.kind() == Code::InvalidRefreshToken => return Ok(empty()),
        presented => presented?,
    };
    let actor = refresh::actor(caller, parts);
    authority.end_grant(issuer, presented.stored, actor).await?;
    Ok(empty())
}

/// Takes a token back. A token that is not valid is answered like one that was: its client wants it to
/// be of no use, and it is (RFC 7009 §2.2).
pub(super) async fn revoke(
    authority: &Arc<Authority>,
    issuer: &Arc<Issuer>,
    caller: &Caller,
    form: &Form,
) -> Result<Response, Problem> {
    let limits = &caller.live.client.terms.limits;
    limits.check_issuer(issuer.name().as_str())?;
    let Ok(token) = authority.issued_token(issuer, form.required("token")?) else {
        return Ok(empty());
    };
    let is_own = token.text("client_id") == Some(caller.id());
    if !is_own && !Role::REVOKERS.iter().any(|role| caller.has(*role)) {
        let detail = "the token was issued to another client";
        return Err(Problem::new(Code::ForeignToken, detail));
    }
    let jti = token.jti()?;
    if !authority.is_active(issuer, &token) {
        return Ok(empty());
    }
    let selector = Selector::new(SelectorKind::Jti, &[jti]);
    let draft = RevocationDraft {
        selector: selector.map_err(|error| Problem::new(Code::InvalidToken, error))?,
        ban: None,
        reason: None,
    };
    let request = Request::by(caller.actor());
    authority
        .take_tokens_back(issuer, vec![draft], request)
        .await?;
    Ok(empty())
}
