//! A whole store: its rows from one state, and the rows of a dump into an empty database.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;

use super::{access, events, refused};
use crate::lifecycle::IssuerName;
use crate::store::chain::{LogHead, StoredEvent};
use crate::store::sql::{IssuerColumns, KeyColumns, failed, signed, stored_set};
use crate::store::transfer::{Entry, FillError, Rows, StoredHead};
use crate::store::{
    ApprovalRow, ClientRow, CommitError, IssuerRow, KeyRow, LastUse, StoreError, StoredSet,
};

/// A fill goes on for as long as its rows come, and no longer than this without one.
const BETWEEN_ROWS: &str = "SET LOCAL idle_in_transaction_session_timeout = '60s'";

pub(super) async fn rows(connection: &mut PgConnection) -> Result<Rows, StoreError> {
    let head: Option<(i64, Vec<u8>)> = sqlx::query_as("SELECT sequence, hash FROM audit_head")
        .persistent(false)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    // The row is there before the first event, for commits to queue behind.
    let head = head
        .filter(|(sequence, hash)| LogHead::of_stored(*sequence, hash, 0) != LogHead::BEGINNING);
    let settings: Vec<(String, Vec<u8>)> =
        sqlx::query_as("SELECT name, value FROM settings WHERE name <> $1 ORDER BY name")
            .bind(super::replicas::MAX_STALENESS)
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
    Ok(Rows {
        head: head.map(|(sequence, hash)| StoredHead { sequence, hash }),
        last_event: events::last(connection).await?,
        settings,
        sets: sets(connection).await?,
        clients: access::clients(connection).await?,
        approvals: access::approvals(connection).await?,
        last_uses: access::last_uses(connection).await?,
    })
}

async fn sets(connection: &mut PgConnection) -> Result<Vec<StoredSet>, StoreError> {
    let issuers: Vec<(String, String, i64, String)> =
        sqlx::query_as("SELECT name, path, version, document FROM issuers ORDER BY name")
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
    let rows: Vec<(String, String, String, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT issuer, kid, document, sealed FROM keys ORDER BY position")
            .persistent(false)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    let mut keys = BTreeMap::<String, Vec<KeyColumns>>::new();
    for (issuer, kid, document, sealed) in rows {
        keys.entry(issuer)
            .or_default()
            .push((kid, document, sealed));
    }
    let set = |(name, path, version, document): (String, String, i64, String)| {
        let row: IssuerColumns = (path, version, document);
        let keys = keys.remove(&name).unwrap_or_default();
        stored_set(&IssuerName::parse(&name).map_err(failed)?, row, keys)
    };
    issuers.into_iter().map(set).collect()
}

/// Begins to fill, if there is nothing yet.
pub(super) async fn begin(connection: &mut PgConnection) -> Result<(), FillError> {
    sqlx::raw_sql(BETWEEN_ROWS)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    // Whoever starts to use the database meanwhile waits, and finds it full.
    sqlx::raw_sql("LOCK TABLE settings, issuers, clients, events, audit_head IN EXCLUSIVE MODE")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let occupied: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM issuers) OR EXISTS (SELECT 1 FROM clients) \
         OR EXISTS (SELECT 1 FROM approvals) OR EXISTS (SELECT 1 FROM events) \
         OR EXISTS (SELECT 1 FROM settings WHERE name <> $1)",
    )
    .bind(super::replicas::MAX_STALENESS)
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if occupied {
        return Err(FillError::NotEmpty);
    }
    sqlx::query("DELETE FROM audit_head")
        .persistent(false)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

pub(super) async fn write(connection: &mut PgConnection, entry: Entry) -> Result<(), CommitError> {
    let statement = match entry {
        Entry::Head(StoredHead { sequence, hash }) => {
            sqlx::query("INSERT INTO audit_head (singleton, sequence, hash) VALUES (1, $1, $2)")
                .bind(sequence)
                .bind(hash)
        }
        Entry::Setting(name, value) => {
            sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2)")
                .bind(name)
                .bind(value)
        }
        Entry::Issuer(IssuerRow {
            name,
            path,
            version,
            document,
        }) => sqlx::query(
            "INSERT INTO issuers (name, path, version, document) VALUES ($1, $2, $3, $4)",
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
            sqlx::query("INSERT INTO keys (issuer, kid, document, sealed) VALUES ($1, $2, $3, $4)")
                .bind(issuer.as_str().to_owned())
                .bind(kid)
                .bind(document)
                .bind(sealed)
        }
        Entry::Client(ClientRow {
            id,
            version,
            document,
        }) => sqlx::query("INSERT INTO clients (id, version, document) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(signed(version)?)
            .bind(document),
        Entry::Approval(ApprovalRow { id, document }) => {
            sqlx::query("INSERT INTO approvals (id, document) VALUES ($1, $2)")
                .bind(id)
                .bind(document)
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
        .map_err(refused)?;
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
    .map_err(refused)?;
    Ok(())
}
