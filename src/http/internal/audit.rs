//! The audit log: a page at a time, whole, and where it ends.

use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use keywright_verifier::Kid;
use serde::Deserialize;
use serde_json::json;

use super::{Parameters, Service, unknown_issuer};
use crate::authority::audit::{Filter, KEY_EVENTS, OTHER_EVENTS, Page};
use crate::authority::authentication::Caller;
use crate::authority::{Authority, ChangeError};
use crate::http::authentication::{HasRole, role};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{lines, ok};
use crate::lifecycle::{IssuerName, Timestamp};
use crate::spelling::nearest;

/// The most events that one answer carries.
pub(in crate::http) const LARGEST_PAGE: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    issuer: Option<String>,
    since: Option<u64>,
    until: Option<u64>,
    client: Option<String>,
    event: Option<String>,
    kid: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(authority): Service,
    caller: HasRole<role::Auditor>,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Response, Problem> {
    caller.may_call(query.issuer.as_deref())?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        let detail = format!("limit must lie between 1 and {LARGEST_PAGE}, not {limit}");
        return Err(Problem::new(Code::InvalidQuery, detail));
    }
    let issuer = match &query.issuer {
        Some(name) => Some(named_issuer(&authority, &caller.caller, name)?),
        None => None,
    };
    if let Some(event) = &query.event {
        let known = || KEY_EVENTS.into_iter().chain(OTHER_EVENTS);
        if !known().any(|known| known == event) {
            return Err(Problem::unknown_event(event, nearest(event, known())));
        }
    }
    let no_key = |error| Problem::new(Code::InvalidQuery, format!("kid: {error}"));
    let kid = query.kid.as_deref().map(Kid::parse).transpose();
    let kid = kid.map_err(no_key)?;
    let filter = Filter {
        issuer,
        since: query.since.map(Timestamp::from_seconds),
        until: query.until.map(Timestamp::from_seconds),
        client: query.client,
        event: query.event,
        kid: kid.map(|kid| kid.as_str().to_owned()),
        approval: None,
    };
    let after = query.after.unwrap_or(0);
    let Page { events, next } = authority.events(&filter, after, limit).await?;
    let page = move || ok(json!({ "events": events, "next": next }));
    caller.compute(page).await
}

/// An issuer that the log may know, although it is out of service.
fn named_issuer(authority: &Authority, caller: &Caller, name: &str) -> Result<IssuerName, Problem> {
    match authority.issuer(name) {
        Ok(issuer) => Ok(issuer.name().clone()),
        Err(ChangeError::UnusableIssuer(name)) => Ok(name),
        Err(ChangeError::UnknownIssuer(name)) => Err(unknown_issuer(authority, caller, &name)),
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    after: Option<u64>,
}

/// One page of the log is in memory at a time, and none is read before the one ahead of it is sent.
pub(super) async fn export(
    State(authority): Service,
    caller: HasRole<role::Auditor>,
    Parameters(query): Parameters<ExportQuery>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let beginning = (authority, query.after.unwrap_or(0));
    Ok(lines(stream::try_unfold(
        beginning,
        async |(authority, after)| {
            let page = authority.exported_after(after).await?;
            Ok(page.map(|(lines, last)| (lines, (authority, last))))
        },
    )))
}

pub(super) async fn head(
    State(authority): Service,
    caller: HasRole<role::Auditor>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let head = authority.audit_head().await?;
    Ok(ok(
        json!({ "sequence": head.sequence, "hash": head.hash.to_string() }),
    ))
}
