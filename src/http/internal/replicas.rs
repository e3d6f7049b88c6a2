//! The processes that share the store.

use axum::extract::State;
use axum::response::Response;
use keywright_api as api;
use serde::Deserialize;

use super::Service;
use crate::http::authentication::{HasRole, role};
use crate::http::problem::Problem;
use crate::http::response::ok;
use crate::store::replicas::{ReplicaList, ReplicaRecord};

pub(super) async fn list(
    State(authority): Service,
    caller: HasRole<role::Reader>,
) -> Result<Response, Problem> {
    caller.may_call(None)?;
    let list = authority.replicas().await?;
    let replicas = list.iter().flat_map(|list| {
        let show = |replica| show(list, replica);
        list.replicas.iter().map(show)
    });
    let max_staleness = list.as_ref().and_then(|list| list.max_staleness);
    Ok(ok(api::Replicas {
        max_staleness: max_staleness.map(api::DurationText).into(),
        head: list.as_ref().map(|list| list.head.sequence).into(),
        replicas: replicas.collect(),
    }))
}

fn show(list: &ReplicaList, replica: &ReplicaRecord) -> api::Replica {
    let heartbeat = &replica.heartbeat;
    // It was written by another process, perhaps of another version: what it does not say is absent.
    let told: Told = serde_json::from_str(&heartbeat.document).unwrap_or_default();
    api::Replica {
        id: heartbeat.replica.clone(),
        host: told.host,
        version: told.version,
        started_at: told.started_at,
        master_keys: told.master_keys,
        seen_at: replica.seen_at.in_the_past(),
        live: list.is_live(replica),
        through: heartbeat.through.sequence,
    }
}

/// What a process tells of itself with its heartbeat.
#[derive(Default, Deserialize)]
struct Told {
    host: Option<String>,
    version: Option<String>,
    started_at: Option<api::UnixSeconds>,
    master_keys: Option<Vec<String>>,
}
