//! How a file becomes a store: claimed, brought up to date, and held open.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection as _};

use super::files::OpenFiles;
use super::reserve::Reserve;
use super::{BUSY_TIMEOUT, LogEnds, SqliteStore, events, log};
use crate::clock::Clock;
use crate::store::chain::LogHead;
use crate::store::sql::migrator;
use crate::store::{Store as _, StoreError};

/// Why the store does not begin.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {}: {source}", path.display())]
pub(super) struct OpenError {
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
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
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

const MIGRATIONS: [(&str, &str); 5] = [
    ("first", include_str!("../migrations/sqlite/0001_first.sql")),
    (
        "access",
        include_str!("../migrations/sqlite/0002_access.sql"),
    ),
    ("chain", include_str!("../migrations/sqlite/0003_chain.sql")),
    (
        "records",
        include_str!("../migrations/sqlite/0004_records.sql"),
    ),
    ("index", include_str!("../migrations/sqlite/0005_index.sql")),
];

/// How many connections read.
const READERS: u32 = 4;

/// Opens the file. The error names it.
pub(super) async fn open(path: &Path, clock: Clock) -> Result<SqliteStore, OpenError> {
    let opened = open_file(path, clock).await;
    opened.map_err(|source| OpenError {
        path: path.to_owned(),
        source,
    })
}

async fn open_file(path: &Path, clock: Clock) -> Result<SqliteStore, OpenFailure> {
    let reserve = Reserve::beside(path);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("secure_delete", "ON");
    let connections = |most| {
        SqlitePoolOptions::new()
            .max_connections(most)
            .acquire_timeout(BUSY_TIMEOUT)
            // The last connection that closes deletes the write-ahead log, which must stay the one
            // that was opened.
            .idle_timeout(None)
            .max_lifetime(None)
            // A full disk makes SQLite end a transaction by itself. sqlx does not notice, and would
            // refuse every later commit on this connection: such a connection is given up.
            .before_acquire(|connection, _| {
                let usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(usable) })
            })
    };
    let creating = options.clone().create_if_missing(true);
    let writers = connections(1).connect_with(creating).await?;
    writers.set_connect_options(options.clone());
    claim(&writers).await?;
    let migrator = migrator(&MIGRATIONS);
    migrator.run(&writers).await?;
    let mut transaction = writers.begin_with("BEGIN IMMEDIATE").await?;
    events::hash_old_events(&mut transaction).await?;
    transaction.commit().await?;
    let unwaiting = options.clone().busy_timeout(Duration::ZERO);
    let maintenance = connections(1).connect_with(unwaiting).await?;
    let last = log::head(&mut *writers.acquire().await?).await?;
    // From here on the files are there, and stay open.
    let files = OpenFiles::of(path)?;
    let store = SqliteStore {
        readers: connections(READERS).connect_lazy_with(options.clone()),
        writers,
        maintenance,
        options,
        files,
        log_ends: Mutex::new(LogEnds {
            last,
            in_the_file: LogHead::BEGINNING,
        }),
        reserve: Arc::new(reserve),
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
