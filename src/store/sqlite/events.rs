//! The audit log's rows and its head.

use sqlx::SqliteConnection;

use crate::lifecycle::IssuerName;
use crate::store::chain::LogHead;
use crate::store::sql::events::{EventColumns, as_stored, end};
use crate::store::sql::failed;
use crate::store::{BatchId, EventRow, NumberedEvent, StoreError};

/// Writes events and the head that they lead to, within the transaction of what they explain.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    events: Vec<EventRow>,
    batch: BatchId,
) -> Result<LogHead, StoreError> {
    let mut end = end(connection).await?;
    if events.is_empty() {
        return Ok(end);
    }
    for event in events {
        let NumberedEvent {
            sequence,
            event,
            hash,
        } = end.append(event);
        sqlx::query(
            "INSERT INTO events (sequence, at, issuer, document, hash, batch) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(i64::try_from(sequence).map_err(failed)?)
        .bind(i64::try_from(event.at).map_err(failed)?)
        .bind(event.issuer.as_ref().map(IssuerName::as_str))
        .bind(&event.document)
        .bind(hash.as_bytes().as_slice())
        .bind(batch.0.as_slice())
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    }
    write_head(connection, end).await?;
    Ok(end)
}

/// The stored hash of an event; `None` when it is not there.
pub(super) async fn hash_of(
    connection: &mut SqliteConnection,
    sequence: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let stored: Option<Option<Vec<u8>>> =
        sqlx::query_scalar("SELECT hash FROM events WHERE sequence = ?1")
            .bind(i64::try_from(sequence).map_err(failed)?)
            .fetch_optional(connection)
            .await
            .map_err(failed)?;
    Ok(stored.flatten())
}

async fn write_head(connection: &mut SqliteConnection, head: LogHead) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit_head (only, sequence, hash) VALUES (1, ?1, ?2) \
         ON CONFLICT (only) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash",
    )
    .bind(i64::try_from(head.sequence).map_err(failed)?)
    .bind(head.hash.as_bytes().as_slice())
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

/// How many events of an older database are in memory at a time while they are chained.
const CHAINED_AT_A_TIME: i64 = 1000;

/// Chains the events of a database in which nothing is chained yet: no head, and no event with a
/// hash. A single event without one was altered, and stays as it is.
pub(super) async fn hash_old_events(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let (chained,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM audit_head) \
         OR EXISTS (SELECT 1 FROM events WHERE hash IS NOT NULL)",
    )
    .fetch_one(&mut *connection)
    .await?;
    if chained {
        return Ok(());
    }
    let mut head = LogHead::BEGINNING;
    loop {
        let rows: Vec<EventColumns> = sqlx::query_as(
            "SELECT sequence, at, issuer, document, hash FROM events WHERE sequence > ?1 \
             ORDER BY sequence LIMIT ?2",
        )
        .bind(i64::try_from(head.sequence).unwrap_or(i64::MAX))
        .bind(CHAINED_AT_A_TIME)
        .fetch_all(&mut *connection)
        .await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let sequence = row.0;
            // A number that is left out was left out before; the log goes on to say so.
            head.sequence = u64::try_from(sequence).unwrap_or(0).saturating_sub(1);
            let chained = head.append(as_stored(row).read().event);
            sqlx::query("UPDATE events SET hash = ?2 WHERE sequence = ?1")
                .bind(sequence)
                .bind(chained.hash.as_bytes().as_slice())
                .execute(&mut *connection)
                .await?;
        }
    }
    if head.sequence > 0 {
        write_head(connection, head)
            .await
            .map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
    }
    Ok(())
}
