//! A dump into an empty database.

use sqlx::postgres::PgConnection;

use super::commit_error;
use crate::store::chain::StoredEvent;
use crate::store::sql::{failed, records as shared, signed};
use crate::store::transfer::{Entry, FillError, StoredHead};
use crate::store::{CommitError, LastUse};

/// A fill goes on for as long as its rows come, and no longer than this without one.
const BETWEEN_ROWS: &str = "SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// Begins to fill, if there is nothing yet.
pub(super) async fn begin(connection: &mut PgConnection) -> Result<(), FillError> {
    sqlx::raw_sql(BETWEEN_ROWS)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    // A process that starts to use the database meanwhile waits, and finds it full.
    sqlx::raw_sql("LOCK TABLE records, events, audit_head IN EXCLUSIVE MODE")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let occupied: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM records) OR EXISTS (SELECT 1 FROM events)",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if occupied {
        Err(FillError::NotEmpty)
    } else {
        Ok(())
    }
}

pub(super) async fn write(connection: &mut PgConnection, entry: Entry) -> Result<(), CommitError> {
    let statement = match entry {
        Entry::Record(record) => return shared::insert(connection, record).await,
        Entry::Head(StoredHead { sequence, hash }) => {
            sqlx::query("UPDATE audit_head SET sequence = $1, hash = $2 WHERE singleton = 1")
                .bind(sequence)
                .bind(hash)
        }
        Entry::LastUse(LastUse {
            client,
            credential,
            at,
        }) => sqlx::query("INSERT INTO last_uses (client, credential, at) VALUES ($1, $2, $3)")
            .bind(client)
            .bind(credential)
            .bind(signed(at)?),
        Entry::Event(_) | Entry::End => return Ok(()),
    };
    statement
        .persistent(false)
        .execute(connection)
        .await
        .map_err(commit_error)?;
    Ok(())
}

/// Writes many events at once: each statement is a way to the database and back.
pub(super) async fn write_events(
    connection: &mut PgConnection,
    events: Vec<StoredEvent>,
) -> Result<(), CommitError> {
    let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for event in events {
        columns.0.push(event.sequence);
        columns.1.push(event.at);
        columns.2.push(event.issuer);
        columns.3.push(event.document);
        columns.4.push(event.hash);
    }
    sqlx::query(
        "INSERT INTO events (sequence, at, issuer, document, hash) \
         SELECT sequence, at, convert_from(issuer, 'UTF8'), convert_from(document, 'UTF8'), hash \
         FROM unnest($1, $2, $3, $4, $5) AS row (sequence, at, issuer, document, hash)",
    )
    .bind(columns.0)
    .bind(columns.1)
    .bind(columns.2)
    .bind(columns.3)
    .bind(columns.4)
    .persistent(false)
    .execute(connection)
    .await
    .map_err(commit_error)?;
    Ok(())
}
