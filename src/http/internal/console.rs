//! The way into the console for those who have called the API.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use keywright_api as api;

use super::Service;
use crate::http::admission::ConsoleIsServed;
use crate::http::authentication::{HasRole, role};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::created;

pub(super) async fn create_link(
    State(authority): Service,
    caller: HasRole<role::Any>,
    console: Option<Extension<ConsoleIsServed>>,
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
