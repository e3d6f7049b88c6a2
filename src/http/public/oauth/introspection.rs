//! Whether a token is valid (RFC 7662), signed if the service asks for that (RFC 9701).

use std::num::NonZeroU32;

use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use keywright_api::{AccessTokenType, IntrospectedToken, Introspection};
use keywright_verifier::SINGLE_USE_CLAIM;
use serde_json::json;

use crate::access::{Limits, Role};
use crate::authority::Authority;
use crate::authority::authentication::Caller;
use crate::authority::grants::GrantError;
use crate::authority::issued_token::IssuedToken;
use crate::authority::issuer::Issuer;
use crate::http::problem::Problem;
use crate::http::response::ok;
use crate::oauth::{Form, RefreshToken};

/// The media type of a signed answer.
const SIGNED: &str = "application/token-introspection+jwt";

/// The claims that a service is told of a token, if it has them.
const CLAIMS: [&str; 12] = [
    "iss",
    "sub",
    "aud",
    "client_id",
    "scope",
    "iat",
    "nbf",
    "exp",
    "jti",
    "act",
    "cnf",
    SINGLE_USE_CLAIM,
];

/// Answers from memory: one verification, and look-ups of what was taken back. Only of a refresh token, and of
/// a token that counts once, the store is asked.
pub(super) async fn answer(
    authority: &Authority,
    issuer: &Issuer,
    caller: &Caller,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Response, Problem> {
    if !caller.has(Role::Introspector) {
        return Err(Problem::role_missing(&[Role::Introspector]));
    }
    let limits = &caller.live.client.terms.limits;
    limits.check_issuer(issuer.name().as_str())?;
    let token = form.required("token")?;
    let token = match RefreshToken::has_form(token) {
        true => refresh_token(authority, issuer, limits, token).await?,
        false => {
            let token = authority.issued_token(issuer, token).ok();
            let token = token.filter(|token| {
                limits.has_audience(token.claims.get("aud")) && authority.is_active(issuer, token)
            });
            match token {
                Some(token)
                    if token.is_single_use() && authority.is_used_up(issuer, &token).await? =>
                {
                    None
                }
                token => token.map(shown),
            }
        }
    };
    let introspection = Introspection {
        active: token.is_some(),
        token,
    };
    if !accepts_signed(headers) {
        return Ok(ok(introspection));
    }
    // It costs a signature, as a token does.
    let taken = caller.live.take_signatures(NonZeroU32::MIN);
    taken.map_err(|(spent, budget)| Problem::rate_limited(spent, budget))?;
    let signed = issuer.sign_introspection(caller.id(), &introspection);
    let mut response = Response::new(Body::from(signed.await?));
    let media_type = HeaderValue::from_static(SIGNED);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(response)
}

/// What is told of a refresh token that would be answered with a new one. This asks the store.
async fn refresh_token(
    authority: &Authority,
    issuer: &Issuer,
    limits: &Limits,
    token: &str,
) -> Result<Option<IntrospectedToken>, Problem> {
    let presented = match authority.presented_grant(issuer, token).await {
        Err(GrantError::NeverIssued) => return Ok(None),
        presented => presented?,
    };
    let grant = &presented.stored.grant;
    let may_know = limits.has_audience(grant.claims.get("aud"));
    if !may_know || !authority.is_renewable(issuer, &presented) {
        return Ok(None);
    }
    let mut claims = grant.revocable_claims();
    let snapshot = issuer.snapshot();
    let url = snapshot.set().policy().url.as_str();
    claims.insert("iss".to_owned(), url.into());
    claims.insert(
        "iat".to_owned(),
        grant.line.rotated_at.floor_seconds().into(),
    );
    claims.insert("exp".to_owned(), grant.expires_at().floor_seconds().into());
    if let Some(confirmation) = grant.confirmation() {
        claims.insert("cnf".to_owned(), json!(confirmation));
    }
    claims.retain(|name, _| CLAIMS.contains(&name.as_str()));
    Ok(Some(IntrospectedToken {
        token_type: None,
        claims,
    }))
}

fn shown(token: IssuedToken) -> IntrospectedToken {
    let mut claims = token.claims;
    claims.retain(|name, _| CLAIMS.contains(&name.as_str()));
    let is_bound_to_key = (claims.get("cnf")).is_some_and(|cnf| cnf.get("jkt").is_some());
    IntrospectedToken {
        token_type: Some(match is_bound_to_key {
            true => AccessTokenType::Dpop,
            false => AccessTokenType::Bearer,
        }),
        claims,
    }
}

/// Whether `Accept` names the media type of signed answers.
fn accepts_signed(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    let mut ranges = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges.any(|range| {
        let essence = range.split(';').next().unwrap_or(range);
        essence.trim().eq_ignore_ascii_case(SIGNED)
    })
}
