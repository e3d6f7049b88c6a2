//! The shared store: tables in a PostgreSQL database, for as many processes as there are.
//!
//! Commits with events queue behind the row that says where the audit log ends: their events are
//! numbered in the order in which they happen, without gaps, and what was checked still holds when
//! it is written. A commit is on the database's disk before it is answered. It also notifies every
//! listener. Replication has a connection of its own, so that no other caller keeps a replica from
//! renewing its lease.
//!
//! A database that hangs, or a network that has been cut, fails a call within twice the statement
//! time-out on this side too, and the connection is given up. How connections are used, so that a
//! pooler may stand in between, is said in `session`.

mod events;
mod hosts;
mod notifications;
mod records;
mod replicas;
mod schema;
mod session;
mod transfer;
mod url;

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::chain::{LogHead, StoredEvent};
use super::record::{BatchId, Kind, Query, Record};
use super::replicas::ReplicaStore;
use super::sql::{events as log, failed, into_store_error, records as shared};
use super::transfer::{Entry, FillError, Rows};
use super::{Batch, ClientCount, CommitError, LastUse, NumberedEvent, Store, StoreError, Writer};
use crate::clock::Clock;
use crate::lifecycle::{IssuerName, Timestamp, format_duration};
use crate::supervision::supervise;
use crate::telemetry::Metrics;
use hosts::{Hosts, Pool};
use session::{BeginStatements, Session};

pub use self::url::{DatabaseUrl, InvalidDatabaseUrl};

/// Records in a PostgreSQL database.
pub struct PostgresStore {
    pool: Pool,
    /// One connection, for the rounds of replication alone.
    replication: Pool,
    begin: BeginStatements,
    /// Whether the server tells which timeline it is on. One that does not is never seen to fail
    /// over.
    knows_timeline: bool,
    /// How long this side waits for the work of a transaction, and again for its commit.
    commit_timeout: Duration,
    /// What errors call the database.
    location: String,
    /// Counts what was heard of other processes.
    notifications: watch::Receiver<u64>,
    /// How much of it a caller has waited for.
    handled_notifications: AtomicU64,
    listener: JoinHandle<()>,
}

/// How to use a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Where it is.
    pub url: DatabaseUrl,
    /// Where changes of others are listened for: the database itself, where `url` leads to a pooler.
    pub listen_url: Option<DatabaseUrl>,
    /// Connections at a time. One more replicates, and one more listens.
    pub max_connections: NonZeroU32,
    /// How long one statement may take, or wait for another transaction.
    pub statement_timeout: Duration,
}

/// The longest wait for a connection, unless the URL has a `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The name of the task that listens, in the log, in the metrics and in the health report.
const LISTENER: &str = "store-notifications";

/// How many events of a dump one statement writes.
const EVENTS_AT_A_TIME: usize = 500;

/// A failure, and the database that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{location}: {source}")]
struct Failure {
    location: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

#[derive(Debug, thiserror::Error)]
#[error("it did not answer within {}", format_duration(*.0))]
struct NoAnswer(Duration);

impl PostgresStore {
    /// Connects to the database and brings its tables up to date, or creates them.
    ///
    /// # Errors
    /// When it cannot be reached, or its tables are another program's or a later version's: then
    /// they are left as they were. The error names host and database, and never the password.
    pub async fn open(settings: &PostgresSettings) -> Result<Self, StoreError> {
        Self::open_supervised(settings, Clock::system(), Arc::default()).await
    }

    /// The same. The task that listens for changes of others runs under supervision, by this clock
    /// and with these metrics.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_supervised(
        settings: &PostgresSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let hosts = Hosts::new(&settings.url, CONNECT_TIMEOUT).map_err(failed)?;
        let location = hosts.place();
        let locate = |error: StoreError| with_location(&location, error);
        let (knows_timeline, host) = prepare(&hosts).await.map_err(locate)?;
        let commit_timeout = settings.statement_timeout.saturating_mul(5) / 4;
        let acquire_timeout = hosts.connect_timeout().min(commit_timeout);
        let connections = |most| hosts.pool(host.clone(), most, acquire_timeout);
        let listened = match &settings.listen_url {
            Some(url) => Hosts::new(url, CONNECT_TIMEOUT).map_err(failed)?,
            None => hosts.clone(),
        };
        let (sender, notifications) = watch::channel(0);
        let listen = move || notifications::listen(listened.clone(), sender.clone());
        let listener = supervise(LISTENER, clock, metrics, listen);
        Ok(Self {
            pool: connections(settings.max_connections.get()),
            replication: connections(1),
            begin: BeginStatements::new(settings.statement_timeout),
            knows_timeline,
            commit_timeout,
            location,
            notifications,
            handled_notifications: AtomicU64::new(0),
            listener: tokio::spawn(listener),
        })
    }

    /// Reads one consistent state, for as long as a call may take.
    async fn read_with<T: Send>(
        &self,
        pool: &Pool,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.in_reach(async {
            let mut session = Session::begin(pool, &self.begin.read).await?;
            let answer = work(session.connection()).await?;
            session.end().await.map_err(failed)?;
            Ok(answer)
        })
        .await
    }

    /// Writes and commits, each for as long as a call may take, if `not_after` has not passed by
    /// then. Until the commit begins a failure is one that changed nothing.
    async fn write_with<T: Send>(
        &self,
        pool: &Pool,
        not_after: Option<Timestamp>,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        let work = async {
            let session = Session::begin(pool, &self.begin.write).await;
            let mut session = session.map_err(CommitError::Store)?;
            match work(session.connection()).await {
                Ok(answer) => Ok((session, answer)),
                Err(failure @ (CommitError::Store(_) | CommitError::Unknown(_))) => Err(failure),
                Err(refusal) => {
                    session.end().await.map_err(commit_error)?;
                    Err(refusal)
                }
            }
        };
        let worked = self.in_time(work).await.map_err(CommitError::Store);
        let written = match worked.flatten() {
            Ok((session, answer)) => {
                let committed = self.in_time(session.commit(not_after)).await;
                let committed = committed.map_err(CommitError::Unknown).flatten();
                committed.map(|()| answer)
            }
            Err(error) => Err(error),
        };
        written.map_err(|error| match error {
            CommitError::Store(error) => CommitError::Store(with_location(&self.location, error)),
            CommitError::Unknown(error) => {
                CommitError::Unknown(with_location(&self.location, error))
            }
            refusal => refusal,
        })
    }

    /// Waits until nothing is being committed, in one message to the database and back.
    async fn wait_for_commits(&self) -> Result<(), StoreError> {
        let statements = format!("{}; {}; COMMIT", self.begin.write, events::WAIT_FOR_COMMITS);
        let statements = sqlx::raw_sql(AssertSqlSafe(statements));
        let mut connection = self.replication.acquire().await.map_err(failed)?;
        let waited = connection.execute(statements).await;
        if waited.is_err() {
            connection.close_on_drop();
        }
        waited.map(drop).map_err(failed)
    }

    /// Writes a dump: each statement for as long as a call may take, and all of it for as long as
    /// it comes.
    async fn fill_with(&self, mut entries: mpsc::Receiver<Entry>) -> Result<(), FillError> {
        let session = Session::begin(&self.pool, &self.begin.write);
        let mut session = self.in_time(session).await??;
        let begun = self.in_time(transfer::begin(session.connection())).await?;
        if let Err(refusal) = begun {
            let _ = session.end().await;
            return Err(refusal);
        }
        let mut events = Vec::new();
        loop {
            let entry = entries.recv().await.ok_or(FillError::CutOff)?;
            let is_end = entry == Entry::End;
            match entry {
                Entry::Event(event) => events.push(event),
                entry => {
                    let write = transfer::write(session.connection(), entry);
                    self.in_time(write).await?.map_err(into_store_error)?;
                }
            }
            if events.len() >= EVENTS_AT_A_TIME || is_end {
                let events = std::mem::take(&mut events);
                let write = transfer::write_events(session.connection(), events);
                self.in_time(write).await?.map_err(into_store_error)?;
            }
            if is_end {
                break;
            }
        }
        let committed = self.in_time(session.commit(None)).await;
        committed
            .map_err(CommitError::Unknown)
            .flatten()
            .map_err(|error| FillError::Unknown(into_store_error(error)))
    }

    /// Gives up what takes too long, and says which database it was.
    async fn in_reach<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let outcome = self.in_time(work).await.flatten();
        outcome.map_err(|error| with_location(&self.location, error))
    }

    /// Gives up what takes too long. Its session is dropped, and its connection with it.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        let outcome = timeout(self.commit_timeout, work).await;
        outcome.map_err(|_| failed(NoAnswer(self.commit_timeout)))
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Makes the tables ready, on a connection that is made once and tells why it cannot be. Whether the
/// server tells which timeline it is on, and which host it is.
async fn prepare(hosts: &Hosts) -> Result<(bool, PgConnectOptions), StoreError> {
    let (mut connection, host) = hosts.connect().await.map_err(failed)?;
    let limit = schema::MIGRATION_TIMEOUT.saturating_mul(2);
    let prepared = timeout(limit, schema::prepare(&mut connection)).await;
    prepared
        .map_err(|_| failed(NoAnswer(limit)))?
        .map_err(failed)?;
    let timeline = "SELECT pg_walfile_name(pg_current_wal_lsn())";
    let told = timeout(CONNECT_TIMEOUT, connection.execute(timeline)).await;
    // Whether it can still say goodbye is of no concern.
    let _ = timeout(CONNECT_TIMEOUT, connection.close()).await;
    Ok((told.is_ok_and(|told| told.is_ok()), host))
}

fn with_location(location: &str, error: StoreError) -> StoreError {
    StoreError(Box::new(Failure {
        location: location.to_owned(),
        source: error.0,
    }))
}

/// What a statement's failure means for the commit that it belongs to.
fn commit_error(error: sqlx::Error) -> CommitError {
    let told = error.as_database_error();
    match code(&error).as_deref() {
        // Not serialisable; a deadlock. The other transaction has changed what this one decided on.
        Some("40001" | "40P01") => CommitError::Conflict,
        Some("23505") if told.and_then(|told| told.constraint()) == Some("records_unique_text") => {
            CommitError::NotUnique
        }
        Some("23505") => CommitError::Conflict,
        _ => failed(error).into(),
    }
}

/// The code (SQLSTATE) of an error that the database has told.
fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

#[async_trait]
impl Store for PostgresStore {
    async fn read(&self, queries: &[Query]) -> Result<Vec<Vec<Record>>, StoreError> {
        self.read_with(&self.pool, async |connection| {
            let mut answers = Vec::with_capacity(queries.len());
            for query in queries {
                answers.push(shared::read(connection, query).await?);
            }
            Ok(answers)
        })
        .await
    }

    async fn count_by_client(
        &self,
        kind: Kind,
        kept_after: Timestamp,
    ) -> Result<Vec<ClientCount>, StoreError> {
        self.read_with(&self.pool, async |connection| {
            shared::count_by_client(connection, kind, kept_after).await
        })
        .await
    }

    async fn writer(&self) -> Result<Box<dyn Writer + '_>, StoreError> {
        Ok(Box::new(self))
    }

    async fn outcome(&self, batch: BatchId) -> Result<Option<LogHead>, StoreError> {
        self.write_with(&self.pool, None, async |connection| {
            events::lock(connection).await?;
            Ok(log::of_batch(connection, batch).await?)
        })
        .await
        .map_err(into_store_error)
    }

    async fn log_head(&self) -> Result<LogHead, StoreError> {
        self.read_with(&self.pool, async |connection| log::head(connection).await)
            .await
    }

    async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<NumberedEvent>, StoreError> {
        self.read_with(&self.pool, async |connection| {
            log::page(connection, issuer, after, limit).await
        })
        .await
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        self.write_with(&self.pool, None, async |connection| {
            records::record_uses(connection, uses).await
        })
        .await
        .map_err(into_store_error)
    }

    async fn last_uses(&self) -> Result<Vec<LastUse>, StoreError> {
        self.read_with(&self.pool, async |connection| {
            log::last_uses(connection).await
        })
        .await
    }

    async fn rows(&self) -> Result<Rows, StoreError> {
        self.read_with(&self.pool, async |connection| log::rows(connection).await)
            .await
    }

    async fn stored_events(
        &self,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.read_with(&self.pool, async |connection| {
            log::stored(connection, after, through, limit).await
        })
        .await
    }

    async fn fill(&self, entries: mpsc::Receiver<Entry>) -> Result<(), FillError> {
        self.fill_with(entries).await.map_err(|error| match error {
            FillError::Store(error) => with_location(&self.location, error).into(),
            FillError::Unknown(error) => FillError::Unknown(with_location(&self.location, error)),
            refusal => refusal,
        })
    }

    fn replicas(&self) -> Option<&dyn ReplicaStore> {
        Some(self)
    }

    async fn close(&self) {
        self.listener.abort();
        // A database that does not answer keeps no process from ending.
        let closed = async {
            self.replication.close().await;
            self.pool.close().await;
        };
        let _ = timeout(self.commit_timeout, closed).await;
    }
}

#[async_trait]
impl Writer for &PostgresStore {
    async fn commit(self: Box<Self>, batch: Batch) -> Result<LogHead, CommitError> {
        let Batch {
            id,
            expectations,
            writes,
            events,
            not_after,
            when_disk_full: _,
        } = batch;
        self.write_with(&self.pool, not_after, async |connection| {
            // Without events there is no place in the log to queue for.
            let end = if events.is_empty() && expectations.is_empty() {
                None
            } else {
                Some(events::lock(connection).await?)
            };
            for expectation in &expectations {
                shared::expect(connection, expectation).await?;
            }
            shared::write_all(connection, &writes, id).await?;
            match end {
                Some(end) => events::append(connection, end, events, id).await,
                None => Ok(log::head(connection).await?),
            }
        })
        .await
    }
}
