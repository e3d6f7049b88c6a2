//! Grants.

use axum::extract::{FromRequest as _, Request, State};
use axum::response::Response;
use keywright_api as api;
use schemars::JsonSchema;
use serde::Deserialize;

use super::page::PageLength;
use super::{Named, Parameters, Service, path_text};
use crate::access::Role;
use crate::authority::Authority;
use crate::authority::authentication::Caller;
use crate::authority::grants::{GrantDraft, IssuedGrant, StoredGrant};
use crate::authority::issuer::Issuer;
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
use crate::oauth::grant::{DEFAULT_ABSOLUTE, DEFAULT_IDLE, GrantHolder, LONGEST_ABSOLUTE, PUBLIC};
use crate::oauth::{GrantBinding, token_type};

path_text! {
    /// The grant that the path names, which need not exist.
    GrantId, "grant"
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
    let (opened, location, budget) = call.end(&summary, outcome)?;
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
    summary.note_claims(|name| body.claims.get(name));
    let algorithm = call.algorithm(issuer.snapshot().set().policy());
    summary.note_algorithm(algorithm);
    let draft = draft(body)?;
    let (authority, stopwatch) = (call.authority(), Stopwatch::start());
    let opened = authority.open_grant(&issuer, call.client(), draft).await;
    let (view, duration) = (issuer.snapshot(), stopwatch.elapsed());
    let issued = call.record_and_count(summary, &view, algorithm, duration, opened, |issued| {
        &issued.access
    })?;
    let IssuedGrant {
        grant,
        access,
        confirmation,
        refresh,
        ..
    } = issued;
    let location = format!("/v1/issuers/{}/grants/{}", issuer.name(), grant.id);
    let opened = api::OpenedGrant {
        grant: grant.id,
        expires_in: authority.seconds_until(access.expires_at),
        access_token: access.token,
        token_type: token_type(confirmation.as_ref()),
        refresh_token: refresh.reveal().to_string(),
    };
    Ok((opened, location, budget))
}

fn draft(body: api::GrantRequest) -> Result<GrantDraft, Problem> {
    let refresh = body.refresh.unwrap_or_default();
    let invalid = |detail: String| Problem::new(Code::InvalidRefresh, detail);
    let binding = match (refresh.bind, refresh.thumbprint) {
        (None, None) => None,
        (None, Some(_)) => {
            let detail = "thumbprint is that of a key or a certificate: send bind, too";
            return Err(invalid(detail.to_owned()));
        }
        (Some(by), None) => Some(GrantBinding::FirstProof(by)),
        (Some(by), Some(thumbprint)) => Some(GrantBinding::Bound {
            by,
            thumbprint: (thumbprint.parse())
                .map_err(|error| invalid(format!("thumbprint is not one: {error}")))?,
            since: 0,
        }),
    };
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
        binding,
    })
}

pub(super) async fn list(
    State(authority): Service,
    caller: HasRole<role::GrantReader>,
    Named(issuer): Named,
    Parameters(query): Parameters<GrantQuery>,
) -> Result<Response, Problem> {
    let length = PageLength::of(query.limit)?;
    check_subject(&caller.caller, query.subject.as_deref())?;
    let one_more = u32::try_from(length.and_one()).unwrap_or(u32::MAX);
    let found = authority.grants(&issuer, query.subject, query.after, one_more);
    let mut found = found.await?;
    let last = length.cut(&mut found);
    let next = last.map(|grant| grant.id.clone()).into();
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
    let stored = reachable(&authority, &caller.caller, &issuer, &id).await?;
    Ok(ok(shown::grant(&stored.grant, authority.now())))
}

pub(super) async fn change(
    State(authority): Service,
    caller: HasRole<role::Issuer>,
    Named(issuer): Named,
    GrantId(id): GrantId,
    Body(body): Body<api::GrantChange>,
) -> Result<Response, Problem> {
    let stored = reachable(&authority, &caller.caller, &issuer, &id).await?;
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
    let stored = reachable(&authority, &caller.caller, &issuer, &id).await?;
    authority.end_grant(&issuer, stored, caller.actor()).await?;
    Ok(no_content())
}

/// The grant with this identifier, of a subject that the caller could have a token signed for, or one
/// that it has opened itself.
async fn reachable(
    authority: &Authority,
    caller: &Caller,
    issuer: &Issuer,
    id: &str,
) -> Result<StoredGrant, Problem> {
    let stored = authority.grant(issuer, id).await?;
    if stored.grant.by != caller.id() {
        check_subject(caller, stored.grant.subject())?;
    }
    Ok(stored)
}

fn check_subject(caller: &Caller, subject: Option<&str>) -> Result<(), Problem> {
    if caller.has(Role::Security) {
        return Ok(());
    }
    let client = &caller.live.client;
    let limits = &client.terms.limits;
    Ok(limits.check_subject(&client.id, subject)?)
}
