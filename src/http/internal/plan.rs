//! The coming life of an issuer's keys.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Named, Parameters, QueryNumber, Service};
use crate::authority::Authority;
use crate::authority::issuer::Issuer;
use crate::http::authentication::{HasRole, role};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::http::response::ok;
use crate::http::shown;
use crate::lifecycle::Policy;

/// How far to look ahead.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PlanQuery {
    /// Until when, in Unix seconds. Default: 90 days from now.
    until: Option<QueryNumber>,
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
    Body(policy): Body<api::Policy>,
) -> Result<Response, Problem> {
    let plan = move || {
        let policy = Policy::new(policy, &authority.timing())?;
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
        .map_or(now.after(DEFAULT_OUTLOOK), QueryNumber::instant);
    let warnings = policy.as_ref().map(Policy::warnings).unwrap_or_default();
    // A long look ahead takes a moment, and what waits is told as of now.
    let waiting = shown::waiting_rotations(&authority.waiting_rotations(issuer));
    let occurrences = authority.simulate(issuer, policy, until)?;
    Ok(ok(api::Plan {
        now: now.in_the_past(),
        until: until.ahead(),
        warnings,
        waiting,
        occurrences: occurrences.iter().map(shown::occurrence).collect(),
    }))
}
