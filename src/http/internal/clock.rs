//! The clock, when it was wrong.

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;

use super::Service;
use crate::authority::ClockCorrection;
use crate::http::authentication::{HasRole, role};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::http::response::ok;

/// It concerns every issuer, so that a caller that is limited to some may not ask for it.
pub(super) async fn correct(
    State(authority): Service,
    caller: HasRole<role::Security>,
    Body(body): Body<api::CorrectClockRequest>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let correct = authority.correct_clock(caller.actor(), body.reason.into());
    let ClockCorrection { corrected, now } = correct.await?;
    Ok(ok(api::ClockCorrection {
        corrected,
        now: now.in_the_past(),
    }))
}
