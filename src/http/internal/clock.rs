//! The clock, when it was wrong.

use axum::extract::State;
use axum::response::Response;
use keywright_verifier::json::FieldError;
use serde_json::{Value, json};

use super::{Service, optional_reason};
use crate::authority::ClockCorrection;
use crate::http::authentication::{HasRole, role};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::http::response::ok;

/// It concerns every issuer, so that a caller that is limited to some may not ask for it.
pub(super) async fn correct(
    State(authority): Service,
    caller: HasRole<role::Security>,
    Body(mut body): Body,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let reason = optional_reason(&mut body)?.ok_or(FieldError::Missing { field: "reason" })?;
    body.finish()?;
    let ClockCorrection { corrected, now } =
        authority.correct_clock(caller.actor(), reason).await?;
    let corrected: Vec<Value> = corrected.iter().map(|name| name.as_str().into()).collect();
    Ok(ok(
        json!({ "corrected": corrected, "now": now.floor_seconds() }),
    ))
}
