//! A whole store: everything from one state, and a dump into an empty file.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;
use tokio::sync::mpsc;

use super::records;
use crate::store::chain::StoredEvent;
use crate::store::record::{Kind, Query};
use crate::store::sql::{failed, into_store_error, records as shared, signed};
use crate::store::transfer::{Entry, FillError, Rows, StoredHead};
use crate::store::{LastUse, StoreError};

pub(super) async fn rows(pool: &SqlitePool) -> Result<Rows, StoreError> {
    let mut transaction = pool.begin().await.map_err(failed)?;
    let head: Option<(i64, Vec<u8>)> = sqlx::query_as("SELECT sequence, hash FROM audit_head")
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
    let last_event: i64 = sqlx::query_scalar("SELECT coalesce(max(sequence), 0) FROM events")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    let mut all = Vec::new();
    for kind in Kind::ALL {
        all.append(&mut shared::read(&mut *transaction, &Query::all(kind)).await?);
    }
    Ok(Rows {
        head: head.map(|(sequence, hash)| StoredHead { sequence, hash }),
        last_event,
        records: all,
        last_uses: records::last_uses(&mut *transaction).await?,
    })
}

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
