//! The audit log: a page at a time, whole, and where it ends.

use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use keywright_api as api;
use keywright_api::LARGEST_PAGE;
use keywright_verifier::Kid;
use schemars::JsonSchema;
use serde::Deserialize;

use super::page::PageLength;
use super::{Parameters, QueryNumber, Service, unknown_issuer};
use crate::authority::audit::{Filter, Page};
use crate::authority::authentication::Caller;
use crate::authority::{Authority, ChangeError};
use crate::http::authentication::{HasRole, role};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::{lines, ok};
use crate::lifecycle::IssuerName;
use crate::spelling::nearest;

/// Which events to read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AuditQuery {
    /// Only this issuer's events.
    #[schemars(with = "Option<IssuerName>")]
    issuer: Option<String>,
    /// Only events then or later, in Unix seconds.
    since: Option<QueryNumber>,
    /// Only events before then, in Unix seconds.
    until: Option<QueryNumber>,
    /// Only what the client with this identifier did.
    client: Option<String>,
    /// Only events of this kind.
    #[schemars(with = "Option<api::EventKind>")]
    event: Option<String>,
    /// Only events of this key.
    #[schemars(with = "Option<Kid>")]
    kid: Option<String>,
    /// Only events with a larger sequence number. Default: 0.
    after: Option<QueryNumber>,
    /// At most so many. Default: 100.
    #[schemars(range(min = 1, max = LARGEST_PAGE))]
    limit: Option<usize>,
}

pub(super) async fn list(
    State(authority): Service,
    caller: HasRole<role::Auditor>,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Response, Problem> {
    let length = PageLength::of(query.limit)?;
    let filter = filter_of(&authority, &caller, &query)?;
    let after = query.after.map_or(0, |QueryNumber(after)| after);
    let Page { events, next } = authority.events(&filter, after, length.get()).await?;
    let next = next.into();
    let page = move || ok(api::AuditPage { events, next });
    caller.compute(page).await
}

impl AuditQuery {
    /// All events of an issuer, by a client, of a kind, of a key; those that are named.
    pub(super) fn of_events(
        issuer: Option<String>,
        client: Option<String>,
        event: Option<String>,
        kid: Option<String>,
    ) -> Self {
        Self {
            issuer,
            since: None,
            until: None,
            client,
            event,
            kid,
            after: None,
            limit: None,
        }
    }
}

/// Which events a query asks for, if the caller may read them.
pub(super) fn filter_of(
    authority: &Authority,
    caller: &HasRole<role::Auditor>,
    query: &AuditQuery,
) -> Result<Filter, Problem> {
    caller.may_call(query.issuer.as_deref())?;
    let issuer = match &query.issuer {
        Some(name) => Some(named_issuer(authority, &caller.caller, name)?),
        None => None,
    };
    if let Some(event) = &query.event {
        let known = api::EventKind::words();
        if !known.contains(event) {
            let nearest = nearest(event, known.iter().map(String::as_str));
            return Err(Problem::unknown_event(event, nearest));
        }
    }
    let no_key = |error| Problem::new(Code::InvalidQuery, format!("kid: {error}"));
    let kid = query.kid.as_deref().map(Kid::parse).transpose();
    let kid = kid.map_err(no_key)?;
    Ok(Filter {
        issuer,
        since: query.since.map(QueryNumber::instant),
        until: query.until.map(QueryNumber::instant),
        client: query.client.clone(),
        event: query.event.clone(),
        kid: kid.map(|kid| kid.as_str().to_owned()),
        approval: None,
    })
}

/// An issuer that the log may know, although it is out of service.
fn named_issuer(authority: &Authority, caller: &Caller, name: &str) -> Result<IssuerName, Problem> {
    match authority.issuer(name) {
        Ok(issuer) => Ok(issuer.name().clone()),
        Err(ChangeError::UnusableIssuer(name)) => Ok(name),
        Err(ChangeError::UnknownIssuer(name)) => {
            let limits = &caller.live.client.terms.limits;
            Err(unknown_issuer(authority, limits, &name))
        }
        Err(error) => Err(error.into()),
    }
}

/// Where to begin.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ExportQuery {
    /// Only events with a larger sequence number. Default: 0.
    after: Option<QueryNumber>,
}

/// One page of the log is in memory at a time, and none is read before the one ahead of it is sent.
pub(super) async fn export(
    State(authority): Service,
    caller: HasRole<role::Auditor>,
    Parameters(query): Parameters<ExportQuery>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let after = query.after.map_or(0, |QueryNumber(after)| after);
    let beginning = (authority, after);
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
    Ok(ok(api::AuditHead {
        sequence: head.sequence,
        hash: head.hash.to_string(),
    }))
}
