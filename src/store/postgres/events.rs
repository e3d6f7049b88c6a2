//! The audit log's rows and its head, behind which all commits queue.

use sqlx::postgres::PgConnection;

use super::commit_error;
use crate::lifecycle::IssuerName;
use crate::store::chain::LogHead;
use crate::store::sql::{failed, signed, unsigned};
use crate::store::{BatchId, CommitError, EventRow, NumberedEvent, StoreError};

/// The channel on which a commit tells that it happened.
pub(super) const CHANNEL: &str = "keywright";

/// Locks the end of the log until the transaction ends, and says where it is. It comes first in a
/// commit: what is read afterwards is as the commit before has left it.
pub(super) async fn lock(connection: &mut PgConnection) -> Result<LogHead, CommitError> {
    // Every commit waits here. The row is missing where an operator has deleted it.
    let locked: Option<(i64, Vec<u8>, i64)> = sqlx::query_as(
        "SELECT sequence, hash, (SELECT coalesce(max(sequence), 0) FROM events) \
         FROM audit_head WHERE singleton = 1 FOR UPDATE",
    )
    .persistent(false)
    .fetch_optional(&mut *connection)
    .await
    .map_err(commit_error)?;
    if let Some((sequence, hash, last_event)) = locked {
        return Ok(LogHead::of_stored(sequence, &hash, last_event));
    }
    sqlx::query(
        "INSERT INTO audit_head (singleton, sequence, hash) VALUES (1, 0, $1) ON CONFLICT DO NOTHING",
    )
    .bind(LogHead::BEGINNING.hash.as_bytes().as_slice())
    .persistent(false)
    .execute(&mut *connection)
    .await
    .map_err(commit_error)?;
    Box::pin(lock(connection)).await
}

/// The statement that waits until nothing is being committed.
pub(super) const WAIT_FOR_COMMITS: &str = "SELECT 1 FROM audit_head FOR SHARE";

/// Writes events after `end`, which [`lock`] has found, and tells every listener. Answers where the
/// log ends then.
pub(super) async fn append(
    connection: &mut PgConnection,
    mut end: LogHead,
    events: Vec<EventRow>,
    batch: BatchId,
) -> Result<LogHead, CommitError> {
    if events.is_empty() {
        return Ok(end);
    }
    let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for event in events {
        let NumberedEvent {
            sequence,
            event,
            hash,
        } = end.append(event);
        columns.0.push(signed(sequence)?);
        columns.1.push(signed(event.at)?);
        columns
            .2
            .push(event.issuer.map(|name| name.as_str().to_owned()));
        columns.3.push(event.document);
        columns.4.push(hash.as_bytes().to_vec());
    }
    sqlx::query(
        "INSERT INTO events (sequence, at, issuer, document, hash, batch) \
         SELECT sequence, at, issuer, document, hash, $6 \
         FROM unnest($1, $2, $3, $4, $5) AS row (sequence, at, issuer, document, hash)",
    )
    .bind(columns.0)
    .bind(columns.1)
    .bind(columns.2)
    .bind(columns.3)
    .bind(columns.4)
    .bind(batch.0.as_slice())
    .persistent(false)
    .execute(&mut *connection)
    .await
    .map_err(commit_error)?;
    sqlx::query(
        "WITH head AS (UPDATE audit_head SET sequence = $1, hash = $2 WHERE singleton = 1) \
         SELECT pg_notify($3, $4)",
    )
    .bind(signed(end.sequence)?)
    .bind(end.hash.as_bytes().as_slice())
    .bind(CHANNEL)
    .bind(end.sequence.to_string())
    .persistent(false)
    .execute(connection)
    .await
    .map_err(commit_error)?;
    Ok(end)
}

/// Whether an event stands in the log.
pub(super) async fn has(connection: &mut PgConnection, event: LogHead) -> Result<bool, StoreError> {
    if event == LogHead::BEGINNING {
        return Ok(true);
    }
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM events WHERE sequence = $1 AND hash = $2)")
        .bind(signed(event.sequence)?)
        .bind(event.hash.as_bytes().as_slice())
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(failed)
}

/// Which issuers the events after `after` concern; `None` for an event that concerns none.
pub(super) async fn concerned(
    connection: &mut PgConnection,
    after: u64,
) -> Result<Vec<(Option<String>, bool)>, StoreError> {
    sqlx::query_as(
        "SELECT issuer, bool_or(document LIKE '%\"revocation\":%' \
         OR document LIKE '%\"revocations\":%') \
         FROM events WHERE sequence > $1 GROUP BY issuer ORDER BY issuer",
    )
    .bind(signed(after)?)
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(failed)
}

/// The number of the last event that concerns an issuer; 0 when there is none.
pub(super) async fn last_of(
    connection: &mut PgConnection,
    issuer: &IssuerName,
) -> Result<u64, StoreError> {
    let last =
        sqlx::query_scalar("SELECT coalesce(max(sequence), 0) FROM events WHERE issuer = $1")
            .bind(issuer.as_str())
            .persistent(false)
            .fetch_one(connection)
            .await
            .map_err(failed)?;
    unsigned(last)
}
