//! The health report: whether this process can serve, and what is wrong with single issuers and
//! with tasks of the background.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::Service;
use crate::authority::{Authority, IssuerFault};
use crate::http::authentication::{HasRole, role};
use crate::http::problem::Problem;
use crate::http::response::ok;
use crate::lifecycle::{IssuerName, Timestamp};
use crate::telemetry::TaskHealth;

/// A caller that is limited to issuers learns of those alone, and of the process like every other.
pub(super) async fn show(
    State(authority): Service,
    caller: HasRole<role::Reader>,
) -> Result<Response, Problem> {
    let may_call = |issuer: &IssuerName| caller.may_call(Some(issuer.as_str())).is_ok();
    let mut shown = Map::new();
    let readiness = authority.readiness();
    shown.insert("ready".to_owned(), readiness.is_ok().into());
    if let Err(reason) = readiness {
        shown.insert("reason".to_owned(), reason.to_string().into());
    }
    shown.insert("store".to_owned(), store(&authority));
    if let Some(remaining) = authority.lease_remaining() {
        let lease = json!({ "remaining_seconds": remaining.as_secs() });
        shown.insert("lease".to_owned(), lease);
    }
    let faults = authority.issuer_faults().into_iter();
    let faults: Vec<_> = faults.filter(|(issuer, _)| may_call(issuer)).collect();
    let unusable = faults
        .iter()
        .filter(|(_, fault)| *fault == IssuerFault::Unusable);
    let usable = authority.issuers();
    let usable = usable.iter().filter(|issuer| may_call(issuer.name()));
    let issuer_count = usable.count() + unusable.count();
    shown.insert("issuer_count".to_owned(), issuer_count.into());
    let issuers = faults
        .iter()
        .map(|(issuer, fault)| show_fault(issuer, fault));
    shown.insert("issuers".to_owned(), issuers.collect());
    let lost = authority.metrics().log_lines_lost().get();
    shown.insert("log_lines_lost".to_owned(), lost.into());
    let tasks = authority.metrics().tasks().all();
    let tasks = tasks.iter().map(|(name, health)| show_task(name, health));
    shown.insert("tasks".to_owned(), tasks.collect());
    Ok(ok(shown))
}

/// Of a store that others use, too, the lease says what there is to know.
fn store(authority: &Authority) -> Value {
    if authority.has_shared_store() {
        return json!({ "shared": true });
    }
    let answered_at = authority.store_answered_at();
    let mut shown = json!({ "shared": false, "answers": answered_at.is_some() });
    if let (Some(at), Value::Object(members)) = (answered_at, &mut shown) {
        members.insert("answered_at".to_owned(), at.floor_seconds().into());
    }
    if let (Some(is_held), Value::Object(members)) = (authority.has_disk_reserve(), &mut shown) {
        members.insert("disk_reserve".to_owned(), is_held.into());
    }
    shown
}

fn show_fault(issuer: &IssuerName, fault: &IssuerFault) -> Value {
    let mut shown = Map::new();
    shown.insert("issuer".to_owned(), issuer.as_str().into());
    shown.insert("state".to_owned(), fault.state().into());
    if let Some(since) = fault.since() {
        shown.insert("since".to_owned(), since.floor_seconds().into());
    }
    shown.insert("detail".to_owned(), fault.to_string().into());
    Value::Object(shown)
}

fn show_task(name: &str, health: &TaskHealth) -> Value {
    let mut shown = Map::new();
    shown.insert("name".to_owned(), name.into());
    shown.insert("state".to_owned(), health.state.as_str().into());
    shown.insert("restarts".to_owned(), health.restarts.into());
    if let Some(at) = health.last_failure_at.map(Timestamp::floor_seconds) {
        shown.insert("last_failure_at".to_owned(), at.into());
    }
    Value::Object(shown)
}
