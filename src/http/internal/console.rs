//! The way into the console for those who have called the API.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use keywright_api as api;
use serde::Deserialize;

use super::Service;
use crate::http::admission::ConsoleIsServed;
use crate::http::authentication::{HasRole, role};
use crate::http::body::OptionalBody;
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::created;

/// Nothing can be said yet.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoMembers {}

pub(super) async fn create_link(
    State(authority): Service,
    caller: HasRole<role::Any>,
    console: Option<Extension<ConsoleIsServed>>,
    OptionalBody(NoMembers {}): OptionalBody<NoMembers>,
) -> Result<Response, Problem> {
    if console.is_none() {
        let detail = "the console is not served here: see console.enabled";
        return Err(Problem::new(Code::NotFound, detail));
    }
    let begun = authority.create_sign_in_link(&caller.caller).await?;
    Ok(created(api::ConsoleLink {
        path: format!("/console/enter?link={}", *begun.secret),
        expires_at: begun.session.ends_at.ahead(),
    }))
}
