//! Heartbeats, stamped with the database's clock, and the staleness that all agree on.

use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::{access, events, refused};
use crate::lifecycle::Timestamp;
use crate::store::shared::{Heartbeat, Replica, Roll};
use crate::store::sql::{failed, signed, unsigned};
use crate::store::{CommitError, StoreError};

/// The setting with the staleness that all agree on, in milliseconds.
pub(super) const MAX_STALENESS: &str = "max-staleness";

/// Writes a heartbeat, and forgets whom nobody has heard of for an hour. A row that somebody else
/// is about to forget, or that is beating after all, is left alone.
pub(super) async fn beat(
    connection: &mut PgConnection,
    heartbeat: &Heartbeat,
) -> Result<(), CommitError> {
    sqlx::query(
        "INSERT INTO replicas (replica, through, document, seen_at) \
         VALUES ($1, $2, $3, clock_timestamp()) \
         ON CONFLICT (replica) DO UPDATE SET through = excluded.through, \
         document = excluded.document, seen_at = excluded.seen_at",
    )
    .bind(&heartbeat.replica)
    .bind(signed(heartbeat.through)?)
    .bind(&heartbeat.document)
    .persistent(false)
    .execute(&mut *connection)
    .await
    .map_err(refused)?;
    sqlx::query(
        "DELETE FROM replicas WHERE replica IN (SELECT replica FROM replicas \
         WHERE seen_at < clock_timestamp() - interval '1 hour' FOR UPDATE SKIP LOCKED)",
    )
    .persistent(false)
    .execute(connection)
    .await
    .map_err(refused)?;
    Ok(())
}

pub(super) async fn roll(connection: &mut PgConnection) -> Result<Roll, StoreError> {
    let agreed = access::setting(&mut *connection, MAX_STALENESS).await?;
    let rows: Vec<(String, i64, String, i64)> = sqlx::query_as(
        "SELECT replica, through, document, floor(extract(epoch FROM seen_at) * 1000)::bigint \
         FROM replicas ORDER BY replica",
    )
    .persistent(false)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let replica = |(replica, through, document, seen_at)| {
        Ok(Replica {
            heartbeat: Heartbeat {
                replica,
                through: unsigned(through)?,
                document,
            },
            seen_at: Timestamp::from_millis(unsigned(seen_at)?),
        })
    };
    let head = events::last(&mut *connection).await?;
    let now =
        sqlx::query_scalar("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
            .persistent(false)
            .fetch_one(connection)
            .await
            .map_err(failed)?;
    Ok(Roll {
        now: Timestamp::from_millis(unsigned(now)?),
        head: unsigned(head)?,
        max_staleness: agreed.as_deref().map(read).transpose()?,
        replicas: rows.into_iter().map(replica).collect::<Result<_, _>>()?,
    })
}

pub(super) async fn leave(connection: &mut PgConnection, replica: &str) -> Result<(), CommitError> {
    sqlx::query("DELETE FROM replicas WHERE replica = $1")
        .bind(replica)
        .persistent(false)
        .execute(connection)
        .await
        .map_err(refused)?;
    Ok(())
}

pub(super) async fn agree(
    connection: &mut PgConnection,
    before: Option<Duration>,
    after: Duration,
) -> Result<(), CommitError> {
    let after = write(after);
    match before.map(write) {
        None => access::create_setting(connection, MAX_STALENESS, &after).await,
        Some(before) => access::replace_setting(connection, MAX_STALENESS, &before, &after).await,
    }
}

fn write(staleness: Duration) -> Vec<u8> {
    staleness.as_millis().to_string().into_bytes()
}

fn read(stored: &[u8]) -> Result<Duration, StoreError> {
    let text = std::str::from_utf8(stored).map_err(failed)?;
    Ok(Duration::from_millis(text.parse().map_err(failed)?))
}
