//! The processes that share the store.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::Service;
use crate::http::authentication::{HasRole, role};
use crate::http::problem::Problem;
use crate::http::response::ok;
use crate::lifecycle::format_duration;
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
    Ok(ok(json!({
        "max_staleness": max_staleness.map(format_duration),
        "head": list.as_ref().map(|list| list.head.sequence),
        "replicas": replicas.collect::<Vec<_>>(),
    })))
}

fn show(list: &ReplicaList, replica: &ReplicaRecord) -> Value {
    let heartbeat = &replica.heartbeat;
    // It was written by another process, perhaps of another version: what it does not say is absent.
    let told: Map<String, Value> = serde_json::from_str(&heartbeat.document).unwrap_or_default();
    let mut shown = Map::new();
    shown.insert("id".to_owned(), heartbeat.replica.as_str().into());
    shown.extend(told.into_iter().filter(|(name, _)| {
        matches!(
            name.as_str(),
            "host" | "version" | "started_at" | "master_keys"
        )
    }));
    let seen_at = replica.seen_at.floor_seconds();
    shown.insert("seen_at".to_owned(), seen_at.into());
    shown.insert("live".to_owned(), list.is_live(replica).into());
    shown.insert("through".to_owned(), heartbeat.through.sequence.into());
    Value::Object(shown)
}
