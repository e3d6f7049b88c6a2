//! Tokens that count once, used up by the service that takes them.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use keywright_api::ConsumedToken;

use crate::access::{LimitBroken, Role};
use crate::authority::Authority;
use crate::authority::authentication::Caller;
use crate::authority::issuer::Issuer;
use crate::authority::single_use::Consumed;
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::ok;
use crate::oauth::Form;
use crate::oauth::single_use::IdempotencyKey;

/// The header that tells one attempt from another.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Uses a token up for one of the caller's audiences.
pub(super) async fn consume(
    authority: &Arc<Authority>,
    issuer: &Arc<Issuer>,
    caller: &Caller,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Response, Problem> {
    let consumed = consumed(authority, issuer, caller, headers, form).await;
    authority.metrics().consumptions().count(match &consumed {
        Ok(consumed) if consumed.is_repeated => "repeated",
        Ok(_) => "consumed",
        Err(problem) => problem.code(),
    });
    let Consumed { jti, at, .. } = consumed?;
    Ok(ok(ConsumedToken {
        jti,
        consumed_at: at.floor_seconds().into(),
    }))
}

async fn consumed(
    authority: &Arc<Authority>,
    issuer: &Arc<Issuer>,
    caller: &Caller,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Consumed, Problem> {
    if !caller.has(Role::Consumer) {
        return Err(Problem::role_missing(&[Role::Consumer]));
    }
    let limits = &caller.live.client.terms.limits;
    limits.check_issuer(issuer.name().as_str())?;
    let key = idempotency_key(headers)?;
    let token = authority.issued_token(issuer, form.required("token")?)?;
    if !limits.has_audience(token.claims.get("aud")) {
        return Err(LimitBroken {
            claim: "aud".to_owned(),
            rule: "audiences",
            why: "the token is for none of them",
        }
        .into());
    }
    Ok(authority.consume(issuer, token, caller.id(), key).await?)
}

/// The one header that names the attempt.
fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let invalid = || {
        let detail = "the request needs one header Idempotency-Key, a new text for each token";
        Problem::new(Code::InvalidIdempotencyKey, detail)
    };
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(invalid());
    };
    let text = value.to_str().map_err(|_| invalid())?;
    IdempotencyKey::parse(text).map_err(|error| Problem::new(Code::InvalidIdempotencyKey, error))
}
