//! The embedded store: one SQLite file in the data folder.
//!
//! Write-ahead log, `synchronous = FULL` (a commit that was answered survives a power cut) and
//! `secure_delete` (an erased private half is overwritten in the file); the log is emptied after
//! each erasure, because it holds what was there before. One process at a time opens it; the lock on the data folder is taken by [`crate::data_folder`].

mod access;
mod events;
mod settings;
mod transfer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Connection as _, Sqlite, Transaction};
use tokio::sync::mpsc;

use super::chain::{LogHead, StoredEvent};
use super::shared::SharedStore;
use super::sql::{
    IssuerColumns, KeyColumns, expected, failed, migrator, names, sealed, signed, stored_set,
};
use super::transfer::{Entry, FillError, Rows};
use super::{
    AccessChange, ApprovalRow, ClientRow, Commit, CommitError, EventRow, IssuerRow, KeyChange,
    KeyStore, LastUse, NumberedEvent, SealedChange, StoreError, StoredSet,
};
use crate::lifecycle::IssuerName;

/// Key sets in one SQLite file.
pub struct SqliteStore {
    pool: SqlitePool,
}

/// Why the store does not begin.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {}: {source}", path.display())]
struct OpenError {
    path: PathBuf,
    source: Unopened,
}

#[derive(Debug, thiserror::Error)]
enum Unopened {
    #[error("it is a database of another program")]
    Foreign,
    #[error("its file system does not support a write-ahead log")]
    NoLog,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Migration(#[from] MigrateError),
}

/// What the header of our files carries (`PRAGMA application_id`): "kwrt" in ASCII.
const APPLICATION_ID: i64 = 0x6b77_7274;

const MIGRATIONS: [(&str, &str); 3] = [
    ("first", include_str!("migrations/sqlite/0001_first.sql")),
    ("access", include_str!("migrations/sqlite/0002_access.sql")),
    ("chain", include_str!("migrations/sqlite/0003_chain.sql")),
];

/// How long a connection waits for another one's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

impl SqliteStore {
    /// Opens the file at `path`, creates it when there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// When the file cannot be opened or written, or is no database of ours: then it is left as it
    /// was. The error names the file.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = open(path).await.map_err(|source| OpenError {
            path: path.to_owned(),
            source,
        });
        let pool = opened.map_err(failed)?;
        Ok(Self { pool })
    }

    /// Begins a transaction that writes. IMMEDIATE takes the write lock first: what is checked
    /// still holds when it is written.
    async fn begin(&self) -> Result<Transaction<'_, Sqlite>, StoreError> {
        self.pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed)
    }

    /// Folds the write-ahead log into the file and empties it: until then it holds the pages as
    /// they were before an erasure, for weeks where little is written.
    ///
    /// The commit stands whether or not this succeeds. A reader may be in the way, and then the
    /// next erasure, or the end of the process, does it.
    async fn forget_the_log(&self) {
        let outcome: Result<(i64, i64, i64), _> = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&self.pool)
            .await;
        match outcome {
            Ok((0, _, _)) => {}
            Ok(_) => tracing::debug!("the write-ahead log is in use and is emptied later"),
            Err(error) => tracing::warn!(%error, "the write-ahead log was not emptied"),
        }
    }
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn issuers(&self) -> Result<Vec<IssuerName>, StoreError> {
        let stored = sqlx::query_scalar("SELECT name FROM issuers ORDER BY name")
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        names(stored)
    }

    async fn load(&self, issuer: &IssuerName) -> Result<Option<StoredSet>, StoreError> {
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let row: Option<IssuerColumns> =
            sqlx::query_as("SELECT path, version, document FROM issuers WHERE name = ?1")
                .bind(issuer.as_str())
                .fetch_optional(&mut *transaction)
                .await
                .map_err(failed)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let keys = keys(&mut transaction, issuer).await?;
        stored_set(issuer, row, keys).map(Some)
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let mut transaction = self.begin().await?;
        write_issuer(&mut transaction, &commit.issuer, commit.expected_version).await?;
        if let Some(premise) = &commit.premise {
            settings::hold(&mut transaction, premise).await?;
        }
        for key in &commit.keys {
            write_key(&mut transaction, &commit.issuer.name, key).await?;
        }
        events::append(&mut transaction, commit.events).await?;
        transaction
            .commit()
            .await
            .map_err(|error| CommitError::Unknown(failed(error)))?;
        let erases = |key: &KeyChange| matches!(key.sealed, SealedChange::Erase);
        if commit.keys.iter().any(erases) {
            self.forget_the_log().await;
        }
        Ok(())
    }

    async fn clients(&self) -> Result<Vec<ClientRow>, StoreError> {
        access::clients(&self.pool).await
    }

    async fn approvals(&self) -> Result<Vec<ApprovalRow>, StoreError> {
        access::approvals(&self.pool).await
    }

    async fn commit_access(
        &self,
        change: AccessChange,
        event: EventRow,
    ) -> Result<(), CommitError> {
        let mut transaction = self.begin().await?;
        access::change(&mut transaction, &change).await?;
        events::append(&mut transaction, [event]).await?;
        transaction
            .commit()
            .await
            .map_err(|error| CommitError::Unknown(failed(error)))
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for last_use in uses {
            access::record_use(&mut transaction, last_use).await?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn last_uses(&self) -> Result<Vec<LastUse>, StoreError> {
        access::last_uses(&self.pool).await
    }

    async fn audit_head(&self) -> Result<Option<LogHead>, StoreError> {
        events::head(&self.pool).await
    }

    async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<NumberedEvent>, StoreError> {
        events::page(&self.pool, issuer, after, limit).await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        settings::value(&mut connection, name).await
    }

    async fn create_setting(&self, name: &str, value: &[u8]) -> Result<(), CommitError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        settings::create(&mut connection, name, value).await
    }

    async fn replace_setting(
        &self,
        name: &str,
        before: &[u8],
        after: &[u8],
        event: EventRow,
    ) -> Result<(), CommitError> {
        let mut transaction = self.begin().await?;
        settings::replace(&mut transaction, name, before, after).await?;
        events::append(&mut transaction, [event]).await?;
        transaction
            .commit()
            .await
            .map_err(|error| CommitError::Unknown(failed(error)))
    }

    async fn reseal(
        &self,
        issuer: &IssuerName,
        kid: &str,
        before: &[u8],
        after: &[u8],
    ) -> Result<(), CommitError> {
        let mut transaction = self.begin().await?;
        let written = sqlx::query(
            "UPDATE keys SET sealed = ?4 WHERE issuer = ?1 AND kid = ?2 AND sealed = ?3",
        )
        .bind(issuer.as_str())
        .bind(kid)
        .bind(before)
        .bind(after)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        expected(written.rows_affected())?;
        transaction
            .commit()
            .await
            .map_err(|error| CommitError::Unknown(failed(error)))?;
        self.forget_the_log().await;
        Ok(())
    }

    async fn rows(&self) -> Result<Rows, StoreError> {
        transfer::rows(&self.pool).await
    }

    async fn stored_events(
        &self,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        events::stored(&self.pool, after, through, limit).await
    }

    async fn fill(&self, entries: &mut mpsc::Receiver<Entry>) -> Result<(), FillError> {
        let mut transaction = self.begin().await?;
        transfer::fill(&mut transaction, entries).await?;
        let ended = transaction.commit().await;
        ended.map_err(|error| FillError::Unknown(failed(error)))
    }

    fn shared(&self) -> Option<&dyn SharedStore> {
        None
    }

    /// Closes the file, with the write-ahead log folded into it.
    async fn close(&self) {
        self.pool.close().await;
    }
}

async fn open(path: &Path) -> Result<SqlitePool, Unopened> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("secure_delete", "ON");
    let pool = SqlitePoolOptions::new()
        .max_connections(2)
        .acquire_timeout(BUSY_TIMEOUT)
        // A full disk makes SQLite end a transaction by itself. sqlx does not notice, and would
        // refuse every later commit on this connection: such a connection is given up.
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
        .connect_with(options)
        .await?;
    claim(&pool).await?;
    migrator(&MIGRATIONS).run(&pool).await?;
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    events::chain_the_unchained(&mut transaction).await?;
    transaction.commit().await?;
    Ok(pool)
}

/// Makes an empty file ours and refuses another program's, before anything is written to it.
async fn claim(pool: &SqlitePool) -> Result<(), Unopened> {
    let (application_id, entries): (i64, i64) = sqlx::query_as(
        "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id",
    )
    .fetch_one(pool)
    .await?;
    if (application_id, entries) == (0, 0) {
        let claim = format!("PRAGMA application_id = {APPLICATION_ID}");
        sqlx::query(AssertSqlSafe(claim)).execute(pool).await?;
    } else if application_id != APPLICATION_ID {
        return Err(Unopened::Foreign);
    }
    // The mode belongs to the file. SQLite answers with the mode that it is in, and stays in the
    // old one without an error where it cannot change it.
    let (mode,): (String,) = sqlx::query_as("PRAGMA journal_mode = WAL")
        .fetch_one(pool)
        .await?;
    if mode == "wal" {
        Ok(())
    } else {
        Err(Unopened::NoLog)
    }
}

/// An issuer's keys, in the order in which they came.
async fn keys(
    connection: &mut SqliteConnection,
    issuer: &IssuerName,
) -> Result<Vec<KeyColumns>, StoreError> {
    sqlx::query_as("SELECT kid, document, sealed FROM keys WHERE issuer = ?1 ORDER BY position")
        .bind(issuer.as_str())
        .fetch_all(connection)
        .await
        .map_err(failed)
}

async fn write_issuer(
    connection: &mut SqliteConnection,
    issuer: &IssuerRow,
    expected_version: u64,
) -> Result<(), CommitError> {
    let stored: Option<(i64,)> = sqlx::query_as("SELECT version FROM issuers WHERE name = ?1")
        .bind(issuer.name.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    let expected = signed(expected_version)?;
    if stored.map_or(0, |(version,)| version) != expected {
        return Err(CommitError::Conflict);
    }
    let (others,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM issuers WHERE path = ?1 AND name <> ?2")
            .bind(&issuer.path)
            .bind(issuer.name.as_str())
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
    if others > 0 {
        return Err(CommitError::PathTaken);
    }
    sqlx::query(
        "INSERT INTO issuers (name, path, version, document) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (name) DO UPDATE SET path = excluded.path, version = excluded.version, \
         document = excluded.document",
    )
    .bind(issuer.name.as_str())
    .bind(&issuer.path)
    .bind(signed(issuer.version)?)
    .bind(&issuer.document)
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    Ok(())
}

async fn write_key(
    connection: &mut SqliteConnection,
    issuer: &IssuerName,
    key: &KeyChange,
) -> Result<(), StoreError> {
    let (keep, sealed) = sealed(key);
    sqlx::query(
        "INSERT INTO keys (issuer, kid, document, sealed) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (issuer, kid) DO UPDATE SET document = excluded.document, \
         sealed = CASE WHEN ?5 THEN keys.sealed ELSE excluded.sealed END",
    )
    .bind(issuer.as_str())
    .bind(&key.kid)
    .bind(&key.document)
    .bind(sealed)
    .bind(keep)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // These belong to a connection and cannot be seen from another one.
    #[tokio::test]
    async fn every_connection_is_durable_and_overwrites_what_it_deletes() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = SqliteStore::open(&folder.path().join("keywright.db"))
            .await
            .unwrap();
        let (mut one, mut two) = (
            store.pool.acquire().await.unwrap(),
            store.pool.acquire().await.unwrap(),
        );
        for connection in [&mut one, &mut two] {
            for (pragma, expected) in [
                ("PRAGMA synchronous", 2),
                ("PRAGMA secure_delete", 1),
                ("PRAGMA foreign_keys", 1),
            ] {
                let (value,): (i64,) = sqlx::query_as(pragma)
                    .fetch_one(&mut **connection)
                    .await
                    .unwrap();
                assert_eq!(value, expected, "{pragma}");
            }
        }
    }
}
