//! What is tidied up in the store each minute: revocations of which nothing follows any more, status
//! lists whose tokens have expired, grants and sessions that have ended, and used and tracked tokens that
//! have expired; what waits for a second person is counted, and who verifies no more is forgotten. It has a
//! task of its own, because it may take long.

use std::sync::Arc;
use std::time::Duration;

use super::{Authority, Services};
use crate::store::{CommitError, Kind, Query, StoreError, Write};

/// How often.
const INTERVAL: Duration = Duration::from_secs(60);

/// The most records of one batch that no caller waits for.
pub(super) const MOST_AT_A_TIME: u32 = 500;

/// The most pages of one round, so that a round does not last until the next.
const MOST_PAGES: u32 = 200;

/// What is kept until the time in its index and no longer. Revocations are not: grants have to end first.
const KEPT_FOR_A_TIME: [Kind; 5] = [
    Kind::StatusList,
    Kind::Grant,
    Kind::UsedToken,
    Kind::TrackedToken,
    Kind::Session,
];

/// Tidies up until it is dropped.
pub async fn run(authority: Arc<Authority>) {
    let clock = &authority.services.clock;
    loop {
        match authority.approvals().await {
            Ok(waiting) => authority.metrics().observe_approvals(waiting.len()),
            Err(error) => tracing::warn!(%error, "what waits for a second person was not counted"),
        }
        authority.forget_verifiers();
        let next = clock.now().after(INTERVAL);
        clock.sleep_until(next).await;
        if let Err(error) = authority.delete_past_revocations().await {
            tracing::warn!(%error, "past revocations stay in the store for now");
        }
        for kind in KEPT_FOR_A_TIME {
            if let Err(error) = delete_past(&authority.services, kind).await {
                let kind = kind.as_str();
                tracing::warn!(%error, kind, "past records stay in the store for now");
            }
        }
        authority.look_after_grants().await;
    }
}

/// Deletes the records of a kind that are kept no longer.
async fn delete_past(services: &Services, kind: Kind) -> Result<(), StoreError> {
    let past = Query {
        kept_until: Some(services.lease.time()),
        limit: Some(MOST_AT_A_TIME),
        ..Query::all(kind)
    };
    delete_all(services, &past).await
}

/// Deletes what a query finds, a page at a time.
pub(super) async fn delete_all(services: &Services, query: &Query) -> Result<(), StoreError> {
    let failed = |error| StoreError(Box::new(error));
    for _ in 0..MOST_PAGES {
        let records = services.store.list(query.clone()).await?;
        if records.is_empty() {
            return Ok(());
        }
        let randomness = |error| StoreError(Box::new(error));
        let mut batch = services.new_batch().map_err(randomness)?;
        let deletions = records.into_iter();
        batch
            .writes
            .extend(deletions.map(|record| Write::Delete(record.key, record.token)));
        match services.commit(batch).await {
            Ok(_) => {}
            // Another process deletes the same: it is left to do so.
            Err(CommitError::Conflict) => return Ok(()),
            Err(CommitError::Store(error) | CommitError::Unknown(error)) => return Err(error),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}
