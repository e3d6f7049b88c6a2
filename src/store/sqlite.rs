//! The embedded store: one SQLite file in the data folder.
//!
//! Write-ahead log, `synchronous = FULL` (a commit that was answered survives a power cut) and
//! `secure_delete` (erased bytes are overwritten in the file). One connection writes, and those who
//! want it queue; others read. The write-ahead log holds what was there before an erasure until it
//! is emptied, which never makes a commit or its caller wait. One process at a time opens the file;
//! the lock on the data folder is taken by [`crate::data_folder`].

mod events;
mod records;
mod transfer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection as _, Sqlite, Transaction};
use tokio::sync::mpsc;

use super::chain::{LogHead, StoredEvent};
use super::record::{BatchId, Query, Record};
use super::replicas::ReplicaStore;
use super::sql::{events as log, failed, migrator, records as shared};
use super::transfer::{Entry, FillError, Rows};
use super::{
    Batch, CommitError, Content, LastUse, NumberedEvent, SealedChange, Store, StoreError, Write,
    Writer,
};
use crate::clock::Clock;
use crate::lifecycle::IssuerName;

/// Records in one SQLite file.
pub struct SqliteStore {
    readers: SqlitePool,
    /// One connection, for which commits queue.
    writers: SqlitePool,
    /// One connection, which waits for no other.
    maintenance: SqlitePool,
    clock: Clock,
    /// Whether the write-ahead log holds bytes that were erased.
    holds_erased: AtomicBool,
}

/// Why the store does not begin.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {}: {source}", path.display())]
struct OpenError {
    path: PathBuf,
    source: OpenFailure,
}

#[derive(Debug, thiserror::Error)]
enum OpenFailure {
    #[error("it is a database of another program")]
    Foreign,
    #[error("its file system does not support a write-ahead log")]
    NoLog,
    #[error(
        "a later version of keywright has changed its tables (migration {0}): run that version or \
         a newer one"
    )]
    Later(i64),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Migration(MigrateError),
}

impl From<MigrateError> for OpenFailure {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::Later(version),
            other => Self::Migration(other),
        }
    }
}

/// What the header of our files carries (`PRAGMA application_id`): "kwrt" in ASCII.
const APPLICATION_ID: i64 = 0x6b77_7274;

const MIGRATIONS: [(&str, &str); 4] = [
    ("first", include_str!("migrations/sqlite/0001_first.sql")),
    ("access", include_str!("migrations/sqlite/0002_access.sql")),
    ("chain", include_str!("migrations/sqlite/0003_chain.sql")),
    (
        "records",
        include_str!("migrations/sqlite/0004_records.sql"),
    ),
];

/// How long a connection waits for another process's transaction, and a commit for those before it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the write-ahead log is tried to be emptied, and with which pause.
const CLEAR_ATTEMPTS: usize = 50;
const CLEAR_PAUSE: Duration = Duration::from_millis(20);

/// How many connections read.
const READERS: u32 = 4;

impl SqliteStore {
    /// Opens the file at `path`, creates it when there is none, and brings its tables up to date.
    /// `clock` judges the deadlines of batches.
    ///
    /// # Errors
    /// When the file cannot be opened or written, or is no database of ours: then it is left as it
    /// was. The error names the file.
    pub async fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        let opened = open(path, clock).await.map_err(|source| OpenError {
            path: path.to_owned(),
            source,
        });
        opened.map_err(failed)
    }

    /// Begins to read from one state.
    async fn reader(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.readers.begin().await.map_err(failed)
    }

    /// Begins a transaction that writes. IMMEDIATE takes the write lock first: what is checked
    /// still holds when it is written.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        let begun = self.writers.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(failed)
    }
}

/// The write lock on the file.
struct SqliteWriter<'a> {
    store: &'a SqliteStore,
    transaction: Transaction<'static, Sqlite>,
}

#[async_trait]
impl Writer for SqliteWriter<'_> {
    async fn commit(self: Box<Self>, batch: Batch) -> Result<LogHead, CommitError> {
        let Self {
            store,
            mut transaction,
        } = *self;
        for expectation in &batch.expectations {
            shared::expect(&mut *transaction, expectation).await?;
        }
        for write in &batch.writes {
            shared::write(&mut *transaction, write, batch.id).await?;
        }
        let head = events::append(&mut transaction, batch.events, batch.id).await?;
        let is_late = |deadline| store.clock.now() > deadline;
        if batch.not_after.is_some_and(is_late) {
            return Err(CommitError::Late);
        }
        if batch.writes.iter().any(erases) {
            store.holds_erased.store(true, Ordering::Release);
        }
        let committed = transaction.commit().await;
        committed.map_err(|error| CommitError::Unknown(failed(error)))?;
        Ok(head)
    }
}

/// Whether sealed bytes are gone, or others, after a write.
fn erases(write: &Write) -> bool {
    match write {
        Write::Create(..) => false,
        Write::Replace(_, _, Content { sealed, .. }) => *sealed != SealedChange::Keep,
        Write::Delete(..) => true,
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn read(&self, queries: &[Query]) -> Result<Vec<Vec<Record>>, StoreError> {
        let mut transaction = self.reader().await?;
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            answers.push(shared::read(&mut *transaction, query).await?);
        }
        Ok(answers)
    }

    async fn writer(&self) -> Result<Box<dyn Writer + '_>, StoreError> {
        Ok(Box::new(SqliteWriter {
            store: self,
            transaction: self.begin().await?,
        }))
    }

    async fn outcome(&self, batch: BatchId) -> Result<Option<LogHead>, StoreError> {
        log::of_batch(&mut *self.begin().await?, batch).await
    }

    async fn log_head(&self) -> Result<LogHead, StoreError> {
        log::head(&mut *self.reader().await?).await
    }

    async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<NumberedEvent>, StoreError> {
        log::page(&mut *self.reader().await?, issuer, after, limit).await
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for last_use in uses {
            records::record_use(&mut transaction, last_use).await?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn last_uses(&self) -> Result<Vec<LastUse>, StoreError> {
        log::last_uses(&mut *self.reader().await?).await
    }

    async fn rows(&self) -> Result<Rows, StoreError> {
        log::rows(&mut *self.reader().await?).await
    }

    async fn stored_events(
        &self,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        log::stored(&mut *self.reader().await?, after, through, limit).await
    }

    async fn fill(&self, entries: mpsc::Receiver<Entry>) -> Result<(), FillError> {
        let mut transaction = self.begin().await?;
        transfer::fill(&mut transaction, entries).await?;
        let ended = transaction.commit().await;
        ended.map_err(|error| FillError::Unknown(failed(error)))
    }

    /// Folds the write-ahead log into the file and empties it, if it holds erased bytes. A reader
    /// may be in the way: waiting for it would keep writers waiting, so that it is tried again and
    /// again for a while instead.
    async fn clear_erased(&self) {
        if !self.holds_erased.swap(false, Ordering::AcqRel) {
            return;
        }
        for _ in 0..CLEAR_ATTEMPTS {
            let emptied: Result<(i64, i64, i64), _> =
                sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
                    .fetch_one(&self.maintenance)
                    .await;
            match emptied {
                Ok((0, _, _)) => return,
                Ok(_) => self.clock.sleep(CLEAR_PAUSE).await,
                Err(error) => {
                    tracing::warn!(%error, "the write-ahead log was not emptied");
                    break;
                }
            }
        }
        self.holds_erased.store(true, Ordering::Release);
    }

    fn replicas(&self) -> Option<&dyn ReplicaStore> {
        None
    }

    /// Closes the file, with the write-ahead log folded into it.
    async fn close(&self) {
        self.maintenance.close().await;
        self.readers.close().await;
        self.writers.close().await;
    }
}

async fn open(path: &Path, clock: Clock) -> Result<SqliteStore, OpenFailure> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("secure_delete", "ON");
    let connections = |most| {
        SqlitePoolOptions::new()
            .max_connections(most)
            .acquire_timeout(BUSY_TIMEOUT)
            // A full disk makes SQLite end a transaction by itself. sqlx does not notice, and would
            // refuse every later commit on this connection: such a connection is given up.
            .before_acquire(|connection, _| {
                let usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(usable) })
            })
    };
    let writers = connections(1).connect_with(options.clone()).await?;
    claim(&writers).await?;
    let migrator = migrator(&MIGRATIONS);
    migrator.run(&writers).await?;
    let mut transaction = writers.begin_with("BEGIN IMMEDIATE").await?;
    events::hash_old_events(&mut transaction).await?;
    transaction.commit().await?;
    let unwaiting = options.clone().busy_timeout(Duration::ZERO);
    let store = SqliteStore {
        readers: connections(READERS).connect_lazy_with(options),
        writers,
        maintenance: connections(1).connect_lazy_with(unwaiting),
        clock,
        // What a migration has dropped may be in the log, and what a crash has left there.
        holds_erased: AtomicBool::new(true),
    };
    store.clear_erased().await;
    Ok(store)
}

/// Makes an empty file ours and refuses another program's, before anything is written to it.
async fn claim(pool: &SqlitePool) -> Result<(), OpenFailure> {
    let (application_id, entries): (i64, i64) = sqlx::query_as(
        "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id",
    )
    .fetch_one(pool)
    .await?;
    if (application_id, entries) == (0, 0) {
        let claim = format!("PRAGMA application_id = {APPLICATION_ID}");
        sqlx::query(AssertSqlSafe(claim)).execute(pool).await?;
    } else if application_id != APPLICATION_ID {
        return Err(OpenFailure::Foreign);
    }
    // The mode belongs to the file. SQLite answers with the mode that it is in, and stays in the
    // old one without an error where it cannot change it.
    let (mode,): (String,) = sqlx::query_as("PRAGMA journal_mode = WAL")
        .fetch_one(pool)
        .await?;
    if mode == "wal" {
        Ok(())
    } else {
        Err(OpenFailure::NoLog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // These belong to a connection and cannot be seen from another one.
    #[tokio::test]
    async fn every_connection_is_durable_and_overwrites_what_it_deletes() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("keywright.db");
        let store = SqliteStore::open(&file, Clock::system()).await.unwrap();
        for pool in [&store.readers, &store.writers, &store.maintenance] {
            let mut connection = pool.acquire().await.unwrap();
            for (pragma, expected) in [
                ("PRAGMA synchronous", 2),
                ("PRAGMA secure_delete", 1),
                ("PRAGMA foreign_keys", 1),
            ] {
                let (value,): (i64,) = sqlx::query_as(pragma)
                    .fetch_one(&mut *connection)
                    .await
                    .unwrap();
                assert_eq!(value, expected, "{pragma}");
            }
        }
    }
}
