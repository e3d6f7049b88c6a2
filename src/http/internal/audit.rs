//! The audit log, a page at a time.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::{Parameters, Service};
use crate::authority::ChangeError;
use crate::http::authentication::{As, role};
use crate::http::code::Code;
use crate::http::response::{Problem, ok};
use crate::lifecycle::IssuerName;

/// The most events that one answer carries.
pub(in crate::http) const LARGEST_PAGE: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    issuer: Option<String>,
    after: Option<u64>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(authority): Service,
    _caller: As<role::Auditor>,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Response, Problem> {
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
    let events = authority
        .events(issuer.as_ref(), query.after.unwrap_or(0), limit)
        .await?;
    // A full page may be followed by another one.
    let full = events.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = events
        .last()
        .filter(|_| full)
        .and_then(|event| event.get("sequence"))
        .cloned();
    Ok(ok(json!({ "events": events, "next": next })))
}
