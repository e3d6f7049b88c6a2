//! The coming life of an issuer's keys.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::{Named, Parameters, Service};
use crate::authority::Authority;
use crate::authority::issuer::Issuer;
use crate::http::authentication::{HasRole, role};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::http::response::ok;
use crate::http::shown;
use crate::lifecycle::{Policy, Timestamp};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanQuery {
    until: Option<u64>,
}

/// How far a plan looks ahead when it is not said.
const DEFAULT_OUTLOOK: Duration = Duration::from_secs(90 * 86_400);

pub(super) async fn show(
    State(authority): Service,
    caller: HasRole<role::Reader>,
    Named(issuer): Named,
    Parameters(query): Parameters<PlanQuery>,
) -> Result<Response, Problem> {
    let plan = move || simulate(&authority, &issuer, None, &query);
    caller.compute(plan).await?
}

/// The same under another policy, which is not set.
pub(super) async fn preview(
    State(authority): Service,
    caller: HasRole<role::Reader>,
    Named(issuer): Named,
    Parameters(query): Parameters<PlanQuery>,
    Body(mut body): Body,
) -> Result<Response, Problem> {
    let plan = move || {
        let policy = Policy::take_from(&mut body, &authority.timing())?;
        body.finish()?;
        simulate(&authority, &issuer, Some(policy), &query)
    };
    caller.compute(plan).await?
}

fn simulate(
    authority: &Authority,
    issuer: &Issuer,
    policy: Option<Policy>,
    query: &PlanQuery,
) -> Result<Response, Problem> {
    let now = authority.now();
    let until = query
        .until
        .map_or(now.after(DEFAULT_OUTLOOK), Timestamp::from_seconds);
    let warnings = policy.as_ref().map(Policy::warnings).unwrap_or_default();
    let occurrences = authority.simulate(issuer, policy, until)?;
    Ok(ok(json!({
        "now": now.floor_seconds(),
        "until": until.ceil_seconds(),
        "occurrences": occurrences.iter().map(shown::occurrence).collect::<Vec<_>>(),
        "warnings": warnings,
    })))
}
