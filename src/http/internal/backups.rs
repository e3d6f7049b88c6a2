//! The whole store in a sealed file, and the register.

use axum::extract::State;
use axum::response::Response;

use super::Service;
use crate::http::authentication::{HasRole, role};
use crate::http::openapi::backups::MEDIA_TYPE;
use crate::http::problem::Problem;
use crate::http::response::{streamed, written};

/// One page of the audit log is in memory at a time, and none is read before the one ahead of it is
/// sent.
pub(super) async fn take(
    State(authority): Service,
    caller: HasRole<role::Security>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let backup = authority.backup(caller.actor()).await?;
    Ok(streamed(MEDIA_TYPE, backup))
}

pub(super) async fn register(
    State(authority): Service,
    caller: HasRole<role::Auditor>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let rows = authority.register_rows().await?;
    let register = caller.compute(move || authority.register(&rows)).await?;
    Ok(written(register?))
}
