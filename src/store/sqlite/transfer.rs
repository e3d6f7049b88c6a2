//! A whole store: its rows from one state, and the rows of a dump into an empty file.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;
use tokio::sync::mpsc;

use super::{access, keys};
use crate::lifecycle::IssuerName;
use crate::store::chain::StoredEvent;
use crate::store::sql::{failed, signed, stored_set};
use crate::store::transfer::{Entry, FillError, Rows, StoredHead};
use crate::store::{ApprovalRow, ClientRow, IssuerRow, KeyRow, LastUse, StoreError, StoredSet};

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
    let settings: Vec<(String, Vec<u8>)> =
        sqlx::query_as("SELECT name, value FROM settings ORDER BY name")
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
    Ok(Rows {
        head: head.map(|(sequence, hash)| StoredHead { sequence, hash }),
        last_event,
        settings,
        sets: sets(&mut transaction).await?,
        clients: access::clients(&mut *transaction).await?,
        approvals: access::approvals(&mut *transaction).await?,
        last_uses: access::last_uses(&mut *transaction).await?,
    })
}

async fn sets(connection: &mut SqliteConnection) -> Result<Vec<StoredSet>, StoreError> {
    let issuers: Vec<(String, String, i64, String)> =
        sqlx::query_as("SELECT name, path, version, document FROM issuers ORDER BY name")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
    let mut sets = Vec::with_capacity(issuers.len());
    for (name, path, version, document) in issuers {
        let name = IssuerName::parse(&name).map_err(failed)?;
        let keys = keys(connection, &name).await?;
        sets.push(stored_set(&name, (path, version, document), keys)?);
    }
    Ok(sets)
}

pub(super) async fn fill(
    connection: &mut SqliteConnection,
    entries: &mut mpsc::Receiver<Entry>,
) -> Result<(), FillError> {
    let (occupied,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM issuers) OR EXISTS (SELECT 1 FROM clients) \
         OR EXISTS (SELECT 1 FROM approvals) OR EXISTS (SELECT 1 FROM settings) \
         OR EXISTS (SELECT 1 FROM events) OR EXISTS (SELECT 1 FROM audit_head)",
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
        Entry::Setting(name, value) => {
            sqlx::query("INSERT INTO settings (name, value) VALUES (?1, ?2)")
                .bind(name)
                .bind(value)
        }
        Entry::Issuer(IssuerRow {
            name,
            path,
            version,
            document,
        }) => sqlx::query(
            "INSERT INTO issuers (name, path, version, document) VALUES (?1, ?2, ?3, ?4)",
        )
        .bind(name.as_str().to_owned())
        .bind(path)
        .bind(signed(version)?)
        .bind(document),
        Entry::Key(
            issuer,
            KeyRow {
                kid,
                document,
                sealed,
            },
        ) => {
            sqlx::query("INSERT INTO keys (issuer, kid, document, sealed) VALUES (?1, ?2, ?3, ?4)")
                .bind(issuer.as_str().to_owned())
                .bind(kid)
                .bind(document)
                .bind(sealed)
        }
        Entry::Client(ClientRow {
            id,
            version,
            document,
        }) => sqlx::query("INSERT INTO clients (id, version, document) VALUES (?1, ?2, ?3)")
            .bind(id)
            .bind(signed(version)?)
            .bind(document),
        Entry::Approval(ApprovalRow { id, document }) => {
            sqlx::query("INSERT INTO approvals (id, document) VALUES (?1, ?2)")
                .bind(id)
                .bind(document)
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
        Entry::End => return Ok(()),
    };
    statement.execute(connection).await.map_err(failed)?;
    Ok(())
}
