//! A dump into an empty file.

use sqlx::SqliteConnection;
use tokio::sync::mpsc;

use crate::store::chain::StoredEvent;
use crate::store::sql::{failed, into_store_error, records as shared, signed};
use crate::store::transfer::{Entry, FillError, StoredHead};
use crate::store::{LastUse, StoreError};

pub(super) async fn fill(
    connection: &mut SqliteConnection,
    mut entries: mpsc::Receiver<Entry>,
) -> Result<(), FillError> {
    let (occupied,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM records) OR EXISTS (SELECT 1 FROM events) \
         OR EXISTS (SELECT 1 FROM audit_head)",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if occupied {
        return Err(FillError::NotEmpty);
    }
    loop {
        match entries.recv().await.ok_or(FillError::CutOff)? {
            Entry::End => return Ok(()),
            Entry::Record(record) => shared::insert(connection, record)
                .await
                .map_err(into_store_error)?,
            entry => write(connection, entry).await?,
        }
    }
}

async fn write(connection: &mut SqliteConnection, entry: Entry) -> Result<(), StoreError> {
    let statement = match entry {
        Entry::Head(StoredHead { sequence, hash }) => {
            sqlx::query("INSERT INTO audit_head (only, sequence, hash) VALUES (1, ?1, ?2)")
                .bind(sequence)
                .bind(hash)
        }
        Entry::LastUse(LastUse {
            client,
            credential,
            at,
        }) => sqlx::query("INSERT INTO last_uses (client, credential, at) VALUES (?1, ?2, ?3)")
            .bind(client)
            .bind(credential)
            .bind(signed(at)?),
        // What is no text any more is kept as it is: it is evidence.
        Entry::Event(StoredEvent {
            sequence,
            at,
            issuer,
            document,
            hash,
        }) => sqlx::query(
            "INSERT INTO events (sequence, at, issuer, document, hash) \
             VALUES (?1, ?2, CAST(?3 AS TEXT), CAST(?4 AS TEXT), ?5)",
        )
        .bind(sequence)
        .bind(at)
        .bind(issuer)
        .bind(document)
        .bind(hash),
        Entry::Record(_) | Entry::End => return Ok(()),
    };
    statement.execute(connection).await.map_err(failed)?;
    Ok(())
}
