//! The embedded store: one SQLite file in the data folder.
//!
//! Write-ahead log, `synchronous = FULL` (a commit that was answered survives a power cut) and
//! `secure_delete` (erased bytes are overwritten in the file). One connection writes, and those who
//! want it queue; others read. The write-ahead log holds what was there before an erasure until it
//! is emptied, which never makes a commit or its caller wait. One process at a time opens the file;
//! the lock on the data folder is taken by [`crate::data_folder`].
//!
//! A commit is answered when it is in the files that the path names (`sqlite/files.rs`), and a change that
//! must not fail is committed on a full disk, too (`sqlite/reserve.rs`).

mod events;
mod files;
mod open;
mod records;
mod reserve;
mod transfer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{ConnectOptions as _, Connection as _, Sqlite, Transaction};
use tokio::sync::mpsc;

use super::chain::{LogHead, StoredEvent};
use super::record::{BatchId, Kind, Query, Record};
use super::replicas::ReplicaStore;
use super::sql::{events as log, failed, records as shared};
use super::transfer::{Entry, FillError, Rows};
use super::{
    Batch, ClientCount, CommitError, Content, LastUse, NumberedEvent, SealedChange, Store,
    StoreError, WhenDiskFull, Write, Writer,
};
use crate::clock::Clock;
use crate::lifecycle::{IssuerName, Timestamp};
use files::{FileLook, OpenFiles, OwnWrite};
use reserve::Reserve;

/// Records in one SQLite file.
pub struct SqliteStore {
    readers: SqlitePool,
    /// One connection, for which commits queue.
    writers: SqlitePool,
    /// One connection, which waits for no other.
    maintenance: SqlitePool,
    /// How a connection is opened.
    options: SqliteConnectOptions,
    files: OpenFiles,
    log_ends: Mutex<LogEnds>,
    reserve: Arc<Reserve>,
    clock: Clock,
    /// Whether the write-ahead log holds bytes that were erased.
    holds_erased: AtomicBool,
}

/// Where the audit log ended.
#[derive(Clone, Copy)]
struct LogEnds {
    /// After the last commit of this process.
    last: LogHead,
    /// When the write-ahead log was last emptied into the database file.
    in_the_file: LogHead,
}

/// How long a connection waits for another process's transaction, and a commit for those before it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the write-ahead log is tried to be emptied, and with which pause.
const CLEAR_ATTEMPTS: usize = 50;
const CLEAR_PAUSE: Duration = Duration::from_millis(20);

impl SqliteStore {
    /// Opens the file at `path`, creates it when there is none, and brings its tables up to date.
    /// `clock` judges the deadlines of batches.
    ///
    /// # Errors
    /// When the file cannot be opened or written, or is no database of ours: then it is left as it
    /// was. The error names the file.
    pub async fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        open::open(path, clock).await.map_err(failed)
    }

    /// Begins to read from one state of the files that were opened.
    async fn reader(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.look()?;
        self.readers.begin().await.map_err(failed)
    }

    /// Begins a transaction that writes. IMMEDIATE takes the write lock first: what is checked
    /// still holds when it is written.
    async fn begin(&self) -> Result<WriteTransaction<'_>, StoreError> {
        self.require_own_files().await?;
        let begun = self.writers.begin_with("BEGIN IMMEDIATE").await;
        Ok(WriteTransaction {
            transaction: begun.map_err(failed)?,
            _write: self.files.begin_write(),
        })
    }

    /// Refuses files that are not the ones that were opened.
    fn look(&self) -> Result<FileLook, StoreError> {
        // Closing has removed some, and a caller is told then that the store is closed.
        if self.readers.is_closed() {
            return Ok(FileLook::Unchanged);
        }
        self.files.look().map_err(failed)
    }

    /// Refuses files that are not the ones that were opened. If another process has written to the
    /// database file itself, it must still have what this process has written: an older copy over
    /// it has not.
    async fn require_own_files(&self) -> Result<(), StoreError> {
        let FileLook::Written(stamp) = self.look()? else {
            return Ok(());
        };
        let LogEnds { last, in_the_file } = *self.log_ends();
        let without_log = self.options.clone().immutable(true);
        for (options, event) in [(&without_log, in_the_file), (&self.options, last)] {
            // A connection that has nothing of the file in memory.
            let mut connection = options.connect().await.map_err(failed)?;
            let stored = events::hash_of(&mut connection, event.sequence).await?;
            connection.close().await.map_err(failed)?;
            if event.sequence > 0 && stored.as_deref() != Some(event.hash.as_bytes()) {
                return Err(failed(self.files.replaced()));
            }
        }
        self.files.accept(stamp);
        Ok(())
    }

    fn log_ends(&self) -> MutexGuard<'_, LogEnds> {
        let ends = self.log_ends.lock();
        ends.unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what may fail while there is no space for more than what must not.
    fn require_space(&self, when_disk_full: WhenDiskFull) -> Result<(), StoreError> {
        match when_disk_full {
            WhenDiskFull::Fail if !self.reserve.leaves_space() => Err(failed(DiskFull)),
            _ => Ok(()),
        }
    }

    async fn write(
        &self,
        write: WriteTransaction<'_>,
        batch: &Batch,
    ) -> Result<LogHead, CommitError> {
        let WriteTransaction {
            mut transaction,
            _write,
        } = write;
        for expectation in &batch.expectations {
            shared::expect(&mut *transaction, expectation).await?;
        }
        shared::write_all(&mut *transaction, &batch.writes, batch.id).await?;
        let head = events::append(&mut transaction, batch.events.clone(), batch.id).await?;
        let is_late = |deadline| self.clock.now() > deadline;
        if batch.not_after.is_some_and(is_late) {
            return Err(CommitError::Late);
        }
        if batch.writes.iter().any(erases) {
            self.holds_erased.store(true, Ordering::Release);
        }
        let committed = transaction.commit().await;
        committed.map_err(|error| CommitError::Unknown(failed(error)))?;
        self.log_ends().last = head;
        // What was written to files that have gone is not there after a restart.
        match self.files.look() {
            Ok(_) => Ok(head),
            Err(replaced) => Err(CommitError::Unknown(failed(replaced))),
        }
    }
}

/// There is no space for a change that may fail.
#[derive(Debug, thiserror::Error)]
#[error("the disk is full, and its reserve is kept for changes that must not fail")]
struct DiskFull;

/// Whether SQLite found no space. It has rolled the transaction back then.
fn is_disk_full(error: &CommitError) -> bool {
    // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE.
    const CODES: [&str; 2] = ["13", "4874"];
    let (CommitError::Store(StoreError(source)) | CommitError::Unknown(StoreError(source))) = error
    else {
        return false;
    };
    let told = source.downcast_ref::<sqlx::Error>();
    let told = told.and_then(sqlx::Error::as_database_error);
    let code = told.and_then(|told| told.code());
    code.is_some_and(|code| CODES.contains(&&*code))
}

/// A transaction that writes.
struct WriteTransaction<'a> {
    transaction: Transaction<'static, Sqlite>,
    /// Dropped last, when all is written.
    _write: OwnWrite<'a>,
}

/// The write lock on the file.
struct SqliteWriter<'a> {
    store: &'a SqliteStore,
    write: WriteTransaction<'a>,
}

#[async_trait]
impl Writer for SqliteWriter<'_> {
    async fn commit(self: Box<Self>, batch: Batch) -> Result<LogHead, CommitError> {
        let Self { store, write } = *self;
        store.require_space(batch.when_disk_full)?;
        let written = store.write(write, &batch).await;
        let may_use_reserve = batch.when_disk_full == WhenDiskFull::UseReserve;
        match &written {
            Err(error) if may_use_reserve && is_disk_full(error) && store.reserve.give_up() => {}
            _ => return written,
        }
        let mut write = store.begin().await?;
        if let Some(head) = log::of_batch(&mut *write.transaction, batch.id).await? {
            return Ok(head);
        }
        store.write(write, &batch).await
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

    async fn count_by_client(
        &self,
        kind: Kind,
        kept_after: Timestamp,
    ) -> Result<Vec<ClientCount>, StoreError> {
        shared::count_by_client(&mut *self.reader().await?, kind, kept_after).await
    }

    async fn writer(&self) -> Result<Box<dyn Writer + '_>, StoreError> {
        Ok(Box::new(SqliteWriter {
            store: self,
            write: self.begin().await?,
        }))
    }

    async fn outcome(&self, batch: BatchId) -> Result<Option<LogHead>, StoreError> {
        log::of_batch(&mut *self.begin().await?.transaction, batch).await
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
        self.require_space(WhenDiskFull::Fail)?;
        let mut write = self.begin().await?;
        for last_use in uses {
            records::record_use(&mut write.transaction, last_use).await?;
        }
        write.transaction.commit().await.map_err(failed)
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
        let mut write = self.begin().await?;
        transfer::fill(&mut write.transaction, entries).await?;
        let ended = write.transaction.commit().await;
        ended.map_err(|error| FillError::Unknown(failed(error)))
    }

    /// Folds the write-ahead log into the file and empties it, if it holds erased bytes. A reader
    /// may be in the way: waiting for it would keep writers waiting, so that it is tried again and
    /// again for a while instead.
    async fn clear_erased(&self) {
        if self.require_own_files().await.is_err()
            || !self.holds_erased.swap(false, Ordering::AcqRel)
        {
            return;
        }
        let _write = self.files.begin_write();
        let committed = self.log_ends().last;
        for _ in 0..CLEAR_ATTEMPTS {
            let emptied: Result<(i64, i64, i64), _> =
                sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
                    .fetch_one(&self.maintenance)
                    .await;
            match emptied {
                Ok((0, _, _)) => {
                    self.log_ends().in_the_file = committed;
                    return;
                }
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

    /// Makes the reserve, too, if there is space for it.
    async fn check(&self) -> Result<(), StoreError> {
        self.require_own_files().await?;
        self.log_head().await?;
        let reserve = Arc::clone(&self.reserve);
        if !reserve.is_held() {
            let made = tokio::task::spawn_blocking(move || reserve.make()).await;
            made.map_err(failed)?;
        }
        Ok(())
    }

    fn has_reserve(&self) -> Option<bool> {
        Some(self.reserve.is_held())
    }

    /// Closes the file, with the write-ahead log folded into it.
    async fn close(&self) {
        self.readers.close().await;
        self.maintenance.close().await;
        self.writers.close().await;
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
