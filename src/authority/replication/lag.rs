//! How far other replicas have come, as their heartbeats tell.

use crate::lifecycle::{IssuerName, Timestamp};
use crate::store::replicas::ReplicaRecord;
use crate::store::{Store, StoreError};

/// By what time a replica had issued tokens at the latest when it last told what it has. `None` of
/// one that does not say so.
pub(in crate::authority) fn stated_time(replica: &ReplicaRecord) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Told {
        time: u64,
    }
    let told: Told = serde_json::from_str(&replica.heartbeat.document).ok()?;
    Some(Timestamp::from_millis(told.time))
}

/// Whether a live replica lags behind the last change of an issuer, and until when it counts as
/// live if nothing more is heard of it.
///
/// # Errors
/// When the store does not answer.
pub(in crate::authority) async fn lagging_replica(
    store: &dyn Store,
    issuer: &IssuerName,
) -> Result<Option<Timestamp>, StoreError> {
    let Some(shared) = store.replicas() else {
        return Ok(None);
    };
    let last_change = shared.last_change(issuer).await?;
    let roll = shared.replicas().await?;
    let lagging = |one: &&ReplicaRecord| !one.has(last_change);
    let seen = roll.live().filter(lagging).map(|one| one.seen_at).max();
    Ok(seen.map(|seen| seen.after(roll.max_staleness.unwrap_or_default())))
}
