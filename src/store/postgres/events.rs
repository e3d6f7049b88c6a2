//! The audit log's rows and its head, behind which all commits queue.

use sqlx::postgres::PgConnection;

use super::refused;
use crate::lifecycle::IssuerName;
use crate::store::chain::{LogHead, StoredEvent};
use crate::store::sql::{failed, signed, unsigned};
use crate::store::{CommitError, EventRow, NumberedEvent, StoreError};

/// The channel on which a commit tells that it happened.
pub(super) const CHANNEL: &str = "keywright";

/// Locks the end of the log until the transaction ends, and says where it is. It comes first in a
/// commit: what is read afterwards is as the commit before has left it.
pub(super) async fn lock(connection: &mut PgConnection) -> Result<LogHead, CommitError> {
    // Everyone who commits waits here. The row is missing before the first commit, and where
    // somebody has deleted it.
    sqlx::query(
        "INSERT INTO audit_head (singleton, sequence, hash) VALUES (1, 0, $1) ON CONFLICT DO NOTHING",
    )
    .bind(LogHead::BEGINNING.hash.as_bytes().as_slice())
    .persistent(false)
    .execute(&mut *connection)
    .await
    .map_err(refused)?;
    let (sequence, hash): (i64, Vec<u8>) =
        sqlx::query_as("SELECT sequence, hash FROM audit_head WHERE singleton = 1 FOR UPDATE")
            .persistent(false)
            .fetch_one(&mut *connection)
            .await
            .map_err(refused)?;
    let last_event = last(connection).await?;
    Ok(LogHead::of_stored(sequence, &hash, last_event))
}

/// The number of the last event; 0 when there is none.
pub(super) async fn last(connection: &mut PgConnection) -> Result<i64, StoreError> {
    sqlx::query_scalar("SELECT coalesce(max(sequence), 0) FROM events")
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(failed)
}

/// Writes events after `end`, which [`lock`] has found, and tells everyone who listens.
pub(super) async fn append(
    connection: &mut PgConnection,
    mut end: LogHead,
    events: impl IntoIterator<Item = EventRow>,
) -> Result<(), CommitError> {
    let before = end;
    for event in events {
        let NumberedEvent {
            sequence,
            event,
            hash,
        } = end.append(event);
        sqlx::query(
            "INSERT INTO events (sequence, at, issuer, document, hash) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(signed(sequence)?)
        .bind(signed(event.at)?)
        .bind(event.issuer.as_ref().map(IssuerName::as_str))
        .bind(&event.document)
        .bind(hash.as_bytes().as_slice())
        .persistent(false)
        .execute(&mut *connection)
        .await
        .map_err(refused)?;
    }
    if end == before {
        return Ok(());
    }
    sqlx::query("UPDATE audit_head SET sequence = $1, hash = $2 WHERE singleton = 1")
        .bind(signed(end.sequence)?)
        .bind(end.hash.as_bytes().as_slice())
        .persistent(false)
        .execute(&mut *connection)
        .await
        .map_err(refused)?;
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(end.sequence.to_string())
        .persistent(false)
        .execute(connection)
        .await
        .map_err(refused)?;
    Ok(())
}

pub(super) async fn head(connection: &mut PgConnection) -> Result<Option<LogHead>, StoreError> {
    let stored: Option<(i64, Vec<u8>)> = sqlx::query_as("SELECT sequence, hash FROM audit_head")
        .persistent(false)
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    let head = stored.map(|(sequence, hash)| LogHead::of_stored(sequence, &hash, 0));
    Ok(head.filter(|head| *head != LogHead::BEGINNING))
}

type Columns = (i64, i64, Option<Vec<u8>>, Vec<u8>, Option<Vec<u8>>);

pub(super) async fn page(
    connection: &mut PgConnection,
    issuer: Option<&IssuerName>,
    after: u64,
    limit: u32,
) -> Result<Vec<NumberedEvent>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT sequence, at, convert_to(issuer, 'UTF8'), convert_to(document, 'UTF8'), hash \
         FROM events WHERE sequence > $1 AND ($2 IS NULL OR issuer = $2) \
         ORDER BY sequence LIMIT $3",
    )
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(issuer.map(IssuerName::as_str))
    .bind(i64::from(limit))
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    Ok(rows.into_iter().map(|row| as_stored(row).read()).collect())
}

/// Events with their columns as they are.
pub(super) async fn stored(
    connection: &mut PgConnection,
    after: i64,
    through: i64,
    limit: u32,
) -> Result<Vec<StoredEvent>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT sequence, at, convert_to(issuer, 'UTF8'), convert_to(document, 'UTF8'), hash \
         FROM events WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence LIMIT $3",
    )
    .bind(after)
    .bind(through)
    .bind(i64::from(limit))
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    Ok(rows.into_iter().map(as_stored).collect())
}

fn as_stored((sequence, at, issuer, document, hash): Columns) -> StoredEvent {
    StoredEvent {
        sequence,
        at,
        issuer,
        document,
        hash,
    }
}

/// The number of the last event, which issuers the events after `after` concern, and whether one
/// of them concerns none.
pub(super) async fn since(
    connection: &mut PgConnection,
    after: u64,
) -> Result<(u64, Vec<String>, bool), StoreError> {
    let head = last(connection).await?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let after = if after > head { 0 } else { after };
    if after == head {
        return Ok((unsigned(head)?, Vec::new(), false));
    }
    let concerned: Vec<Option<String>> = sqlx::query_scalar(
        "SELECT DISTINCT issuer FROM events WHERE sequence > $1 ORDER BY issuer",
    )
    .bind(after)
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    let access = concerned.contains(&None);
    Ok((
        unsigned(head)?,
        concerned.into_iter().flatten().collect(),
        access,
    ))
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
