//! The audit log: a page at a time, whole, and where it ends.

use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use keywright_verifier::Kid;
use serde::Deserialize;
use serde_json::json;

use super::{Parameters, Service};
use crate::authority::ChangeError;
use crate::authority::audit::{Filter, Page};
use crate::http::authentication::{HasRole, role};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{lines, ok};
use crate::lifecycle::{IssuerName, Timestamp};

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
        Some(name) => {
            let unknown = |_| ChangeError::UnknownIssuer(name.chars().take(63).collect());
            Some(IssuerName::parse(name).map_err(unknown)?)
        }
        None => None,
    };
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
