//! Grants.

use std::sync::Arc;

use axum::extract::{FromRequest as _, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use keywright_api as api;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Named, Parameters, Service, path_parameter};
use crate::access::Role;
use crate::authority::Authority;
use crate::authority::authentication::Caller;
use crate::authority::grants::GrantDraft;
use crate::authority::throttle::Budget;
use crate::clock::Stopwatch;
use crate::http::authentication::{HasRole, role};
use crate::http::body::Body;
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{created_at, no_content, ok, with_budget};
use crate::http::shown;
use crate::http::signing_call::{RequestSummary, SigningCall};
use crate::lifecycle::format_duration;
use crate::oauth::grant::{
    DEFAULT_ABSOLUTE, DEFAULT_IDLE, Grant, GrantHolder, LONGEST_ABSOLUTE, PUBLIC,
};

/// The grant that the path names, which need not exist.
pub(super) struct GrantId(String);

impl FromRequestParts<Arc<Authority>> for GrantId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Authority>) -> Result<Self, Problem> {
        path_parameter(parts, "grant").await.map(Self)
    }
}

/// Which grants to read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct GrantQuery {
    /// Only those of this subject.
    subject: Option<String>,
    /// Only those with a larger identifier.
    after: Option<String>,
    /// At most so many. Default: 100.
    #[schemars(range(min = 1, max = api::LARGEST_PAGE))]
    limit: Option<usize>,
}

pub(super) async fn open(mut call: SigningCall, request: Request) -> Result<Response, Problem> {
    let mut summary = call.summary();
    let outcome = open_one(&call, &mut summary, request).await;
    if let Err(problem) = &outcome {
        call.record_refusal(&summary, problem);
    }
    call.mark_answered();
    let (opened, location, budget) = outcome?;
    Ok(with_budget(created_at(&location, opened), budget))
}

async fn open_one(
    call: &SigningCall,
    summary: &mut RequestSummary,
    request: Request,
) -> Result<(api::OpenedGrant, String, Option<Budget>), Problem> {
    let issuer = call.issuer()?;
    // Before the body is read, as for one token.
    let budget = call.take(std::num::NonZeroU32::MIN)?;
    let Body(body) = Body::<api::GrantRequest>::from_request(request, &()).await?;
    summary.note_claims(&body.claims.clone().into());
    let algorithm = call.algorithm(issuer.snapshot().set().policy());
    summary.note_algorithm(algorithm);
    let draft = draft(body)?;
    let (authority, stopwatch) = (call.authority(), Stopwatch::start());
    let opened = authority.open_grant(&issuer, call.client(), draft).await;
    let (opened, access) = match opened {
        Ok(opened) => (Some((opened.grant, opened.refresh)), Ok(opened.access)),
        Err(error) => (None, Err(Problem::from(error))),
    };
    let view = issuer.snapshot();
    let access = call.record_and_count(summary, &view, algorithm, stopwatch.elapsed(), access)?;
    let (grant, refresh) = opened.ok_or_else(Problem::internal)?;
    let location = format!("/v1/issuers/{}/grants/{}", issuer.name(), grant.id);
    let opened = api::OpenedGrant {
        grant: grant.id,
        expires_in: authority.seconds_until(access.expires_at),
        access_token: access.token,
        token_type: api::AccessTokenType::Bearer,
        refresh_token: refresh.reveal().to_string(),
    };
    Ok((opened, location, budget))
}

fn draft(body: api::GrantRequest) -> Result<GrantDraft, Problem> {
    let refresh = body.refresh.unwrap_or_default();
    let invalid = |detail: String| Problem::new(Code::InvalidRefresh, detail);
    if refresh.bind.is_some() {
        let detail =
            "bind is not supported yet: refresh tokens cannot be bound to a key or a certificate";
        return Err(invalid(detail.to_owned()));
    }
    let absolute = refresh.absolute.map_or(DEFAULT_ABSOLUTE, |given| given.0);
    let idle = refresh
        .idle
        .map_or(DEFAULT_IDLE.min(absolute), |given| given.0);
    if absolute > LONGEST_ABSOLUTE {
        return Err(invalid(format!(
            "absolute is {}, but at most {}",
            format_duration(absolute),
            format_duration(LONGEST_ABSOLUTE)
        )));
    }
    if idle > absolute {
        return Err(invalid(format!(
            "idle is {}, but absolute is {}: a grant cannot be unused for longer than it lasts",
            format_duration(idle),
            format_duration(absolute)
        )));
    }
    Ok(GrantDraft {
        claims: body.claims,
        holder: match body.client.as_str() {
            PUBLIC => GrantHolder::Public,
            _ => GrantHolder::Client(body.client),
        },
        expires_in: body.expires_in,
        idle,
        absolute,
    })
}

pub(super) async fn list(
    State(authority): Service,
    caller: HasRole<role::GrantReader>,
    Named(issuer): Named,
    Parameters(query): Parameters<GrantQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(100);
    if !(1..=api::LARGEST_PAGE).contains(&limit) {
        let most = api::LARGEST_PAGE;
        let detail = format!("limit must lie between 1 and {most}, not {limit}");
        return Err(Problem::new(Code::InvalidQuery, detail));
    }
    check_subject(&caller.caller, query.subject.as_deref())?;
    let one_more = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let found = authority.grants(&issuer, query.subject, query.after, one_more);
    let mut found = found.await?;
    let is_full = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| is_full);
    let next = next.map(|grant| grant.id.clone()).into();
    let now = authority.now();
    Ok(ok(api::Grants {
        grants: found.iter().map(|grant| shown::grant(grant, now)).collect(),
        next,
    }))
}

pub(super) async fn show(
    State(authority): Service,
    caller: HasRole<role::GrantReader>,
    Named(issuer): Named,
    GrantId(id): GrantId,
) -> Result<Response, Problem> {
    let stored = authority.grant(&issuer, &id).await?;
    check_grant(&caller.caller, &stored.grant)?;
    Ok(ok(shown::grant(&stored.grant, authority.now())))
}

pub(super) async fn change(
    State(authority): Service,
    caller: HasRole<role::Issuer>,
    Named(issuer): Named,
    GrantId(id): GrantId,
    Body(body): Body<api::GrantChange>,
) -> Result<Response, Problem> {
    let stored = authority.grant(&issuer, &id).await?;
    check_grant(&caller.caller, &stored.grant)?;
    let client = &caller.caller.live.client;
    let changed = authority.change_grant(&issuer, client, stored, body.claims, body.expires_in);
    Ok(ok(shown::grant(&changed.await?, authority.now())))
}

pub(super) async fn end(
    State(authority): Service,
    caller: HasRole<role::GrantReader>,
    Named(issuer): Named,
    GrantId(id): GrantId,
) -> Result<Response, Problem> {
    let stored = authority.grant(&issuer, &id).await?;
    check_grant(&caller.caller, &stored.grant)?;
    authority.end_grant(&issuer, stored, caller.actor()).await?;
    Ok(no_content())
}

/// Refuses the grant of a subject that the caller could have no token signed for, unless it has opened
/// the grant itself.
fn check_grant(caller: &Caller, grant: &Grant) -> Result<(), Problem> {
    match grant.by == caller.id() {
        true => Ok(()),
        false => check_subject(caller, grant.subject()),
    }
}

fn check_subject(caller: &Caller, subject: Option<&str>) -> Result<(), Problem> {
    if caller.has(Role::Security) {
        return Ok(());
    }
    let client = &caller.live.client;
    let limits = &client.terms.limits;
    Ok(limits.check_subject(&client.id, subject)?)
}
