//! The health report: whether this process can serve, and what is wrong with single issuers and
//! with tasks of the background.

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;

use super::Service;
use crate::authority::push::PUSHED_WITHIN;
use crate::authority::{Authority, IssuerFault};
use crate::http::authentication::{HasRole, role};
use crate::http::problem::Problem;
use crate::http::response::ok;
use crate::http::shown;
use crate::lifecycle::{IssuerName, Timestamp};
use crate::telemetry::TaskHealth;
use crate::webhook::DeliveryState;

/// A caller that is limited to issuers learns of those alone, and of the process like every other.
pub(super) async fn show(
    State(authority): Service,
    caller: HasRole<role::Reader>,
) -> Result<Response, Problem> {
    let may_call = |issuer: &IssuerName| caller.may_call(Some(issuer.as_str())).is_ok();
    let faults = authority.issuer_faults().into_iter();
    let faults: Vec<_> = faults.filter(|(issuer, _)| may_call(issuer)).collect();
    let unusable = faults
        .iter()
        .filter(|(_, fault)| *fault == IssuerFault::Unusable);
    let usable = authority.issuers();
    let usable = usable.iter().filter(|issuer| may_call(issuer.name()));
    let issuer_count = usable.count() + unusable.count();
    let readiness = authority.readiness();
    let lease = authority.lease_remaining();
    let tasks = authority.metrics().tasks().all();
    Ok(ok(api::HealthReport {
        ready: readiness.is_ok(),
        reason: readiness.err().map(|reason| reason.to_string()),
        store: store(&authority),
        lease: lease.map(|remaining| api::LeaseHealth {
            remaining_seconds: remaining.as_secs(),
        }),
        issuer_count: issuer_count as u64,
        issuers: faults.into_iter().map(show_fault).collect(),
        webhooks: show_webhooks(&authority, &caller),
        event_streams: show_event_streams(&authority, &caller),
        copies: show_copies(&authority, &caller),
        log_lines_lost: authority.metrics().log_lines_lost().get(),
        tasks: tasks.into_iter().map(show_task).collect(),
    }))
}

/// Of a store that others use, too, the lease says what there is to know.
fn store(authority: &Authority) -> api::StoreHealth {
    let is_shared = authority.has_shared_store();
    let answered_at = authority.store_answered_at();
    let of_its_own = |value: bool| (!is_shared).then_some(value);
    api::StoreHealth {
        shared: is_shared,
        answers: of_its_own(answered_at.is_some()),
        answered_at: answered_at
            .filter(|_| !is_shared)
            .map(Timestamp::in_the_past),
        disk_reserve: authority.has_disk_reserve().filter(|_| !is_shared),
    }
}

/// Webhooks are of all issuers: a caller that is limited to some learns nothing of them.
fn show_webhooks(authority: &Authority, caller: &HasRole<role::Reader>) -> Vec<api::WebhookHealth> {
    if caller.may_call(None).is_err() {
        return Vec::new();
    }
    let failing = authority.failing_webhooks();
    let shown = failing.iter().map(shown::webhook);
    let shown = shown.filter_map(|webhook| {
        let api::Nullable::Value(since) = webhook.failing_since else {
            return None;
        };
        Some(api::WebhookHealth {
            webhook: webhook.id,
            state: webhook.state,
            since,
            reason: webhook.reason.unwrap_or_default(),
        })
    });
    shown.collect()
}

/// Streams are of single issuers: a caller learns of those that it may call.
fn show_event_streams(
    authority: &Authority,
    caller: &HasRole<role::Reader>,
) -> Vec<api::EventStreamHealth> {
    let failing = authority.failing_event_streams().into_iter();
    let shown = failing.filter(|(issuer, _)| caller.may_call(Some(issuer.as_str())).is_ok());
    let shown = shown.filter_map(|(issuer, stream)| {
        let (state, since, reason) = match stream.delivery.state {
            DeliveryState::Accepting => return None,
            DeliveryState::Failing(failing) => {
                (api::WebhookState::Failing, failing.since, failing.reason)
            }
            DeliveryState::Paused { since, reason } => (api::WebhookState::Paused, since, reason),
        };
        Some(api::EventStreamHealth {
            stream: stream.id,
            issuer,
            client: stream.client,
            state,
            since: since.in_the_past(),
            reason,
        })
    });
    shown.collect()
}

/// Copies are of single issuers, too. One that is behind for a moment is about to be pushed.
fn show_copies(authority: &Authority, caller: &HasRole<role::Reader>) -> Vec<api::CopyHealth> {
    let now = authority.now();
    let behind = authority.copies().into_iter().filter_map(|copy| {
        let since = copy.behind_since?;
        let reason = match copy.reason {
            None if since.after(PUSHED_WITHIN) > now => return None,
            reason => reason.unwrap_or_else(|| "it was not pushed yet".to_owned()),
        };
        Some(api::CopyHealth {
            issuer: copy.issuer,
            target: copy.target,
            since: since.in_the_past(),
            reason,
        })
    });
    behind
        .filter(|copy| caller.may_call(Some(copy.issuer.as_str())).is_ok())
        .collect()
}

fn show_fault((issuer, fault): (IssuerName, IssuerFault)) -> api::IssuerHealth {
    api::IssuerHealth {
        issuer,
        state: fault.kind(),
        since: fault.since().map(Timestamp::in_the_past),
        detail: fault.to_string(),
    }
}

fn show_task((name, health): (&str, TaskHealth)) -> api::TaskHealth {
    api::TaskHealth {
        name: name.to_owned(),
        state: health.state,
        restarts: health.restarts,
        last_failure_at: health.last_failure_at.map(Timestamp::in_the_past),
    }
}
