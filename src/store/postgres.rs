//! The shared store: tables in a PostgreSQL database, for as many processes as there are.
//!
//! Commits queue behind the row that says where the audit log ends: their events are numbered in
//! the order in which they happen, without gaps, and a version that was checked still holds when it
//! is written. A commit is on the database's disk before it is answered. It also notifies whoever
//! listens.
//!
//! A database that hangs, or a network that has been cut, fails a call within twice the statement
//! time-out on this side too, and the connection is given up. How connections are used, so that a
//! pooler may stand in between, is said in `session`.

mod access;
mod events;
mod listener;
mod replicas;
mod schema;
mod session;
mod sets;
mod shared;
mod transfer;
mod url;

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::chain::{LogHead, StoredEvent};
use super::shared::SharedStore;
use super::sql::failed;
use super::transfer::{Entry, FillError, Rows};
use super::{
    AccessChange, ApprovalRow, ClientRow, Commit, CommitError, EventRow, KeyStore, LastUse,
    NumberedEvent, StoreError, StoredSet,
};
use crate::lifecycle::{IssuerName, Timestamp, format_duration};
use session::{Beginnings, Session};

pub use self::url::{DatabaseUrl, InvalidDatabaseUrl};

/// Key sets in a PostgreSQL database.
pub struct PostgresStore {
    pool: PgPool,
    beginnings: Beginnings,
    /// How long this side waits for the work of a transaction, and again for its commit.
    patience: Duration,
    /// What errors call the database.
    place: String,
    /// Counts what was heard of others.
    news: watch::Receiver<u64>,
    /// How much of it someone has waited for.
    known_news: AtomicU64,
    listener: JoinHandle<()>,
}

/// How to use a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Where it is.
    pub url: DatabaseUrl,
    /// Where changes of others are listened for: the database itself, where `url` leads to a pooler.
    pub listen_url: Option<DatabaseUrl>,
    /// Connections at a time. One more listens.
    pub max_connections: NonZeroU32,
    /// How long one statement may take, or wait for another transaction.
    pub statement_timeout: Duration,
}

/// The longest wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many events of a dump one statement writes.
const EVENTS_AT_A_TIME: usize = 500;

/// A failure, and the database that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {source}")]
struct Failure {
    place: String,
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
        let options = settings.url.options().map_err(failed)?;
        let place = url::place(&options);
        let locate = |error: StoreError| located(&place, error);
        prepare(&options).await.map_err(locate)?;
        let patience = settings.statement_timeout.saturating_mul(5) / 4;
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections.get())
            .acquire_timeout(ACQUIRE_TIMEOUT.min(patience))
            .connect_lazy_with(options.clone());
        let listened = match &settings.listen_url {
            Some(url) => url.options().map_err(failed)?,
            None => options,
        };
        let (sender, news) = watch::channel(0);
        let listener = listener::listen(listened.clone(), url::place(&listened), sender);
        Ok(Self {
            pool,
            beginnings: Beginnings::new(settings.statement_timeout),
            patience,
            place,
            news,
            known_news: AtomicU64::new(0),
            listener: tokio::spawn(listener),
        })
    }

    async fn reading(&self) -> Result<Session, StoreError> {
        Session::begin(&self.pool, &self.beginnings.read)
            .await
            .map_err(failed)
    }

    async fn writing(&self) -> Result<Session, CommitError> {
        Session::begin(&self.pool, &self.beginnings.write)
            .await
            .map_err(refused)
    }

    /// Reads, for as long as a call may take.
    async fn read<T: Send>(
        &self,
        work: impl Future<Output = Result<(Session, T), StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let whole = async {
            let (session, answer) = work.await?;
            session.end().await.map_err(failed)?;
            Ok(answer)
        };
        let outcome = self.in_time(whole).await.flatten();
        outcome.map_err(|error| located(&self.place, error))
    }

    /// Writes and commits, each for as long as a call may take.
    async fn write<T: Send>(
        &self,
        work: impl Future<Output = Result<(Session, T), CommitError>> + Send,
    ) -> Result<T, CommitError> {
        self.write_until(None, work).await
    }

    /// Writes and commits if the deadline has not passed by then. Until the commit begins a failure
    /// is one that changed nothing.
    async fn write_until<T: Send>(
        &self,
        deadline: Option<Timestamp>,
        work: impl Future<Output = Result<(Session, T), CommitError>> + Send,
    ) -> Result<T, CommitError> {
        let done = self.in_time(work).await.map_err(CommitError::Store);
        let written = match done.flatten() {
            Ok((session, answer)) => {
                let committed = self.in_time(session.commit(deadline)).await;
                let committed = committed.map_err(CommitError::Unknown).flatten();
                committed.map(|()| answer)
            }
            Err(error) => Err(error),
        };
        written.map_err(|error| match error {
            CommitError::Store(error) => CommitError::Store(located(&self.place, error)),
            CommitError::Unknown(error) => CommitError::Unknown(located(&self.place, error)),
            refusal => refusal,
        })
    }

    /// Writes a dump: each statement for as long as a call may take, and all of it for as long as
    /// it comes.
    async fn fill_with(&self, entries: &mut mpsc::Receiver<Entry>) -> Result<(), FillError> {
        let mut session = self.in_time(self.writing()).await?.map_err(plain)?;
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
                    self.in_time(write).await?.map_err(plain)?;
                }
            }
            if events.len() >= EVENTS_AT_A_TIME || is_end {
                let events = std::mem::take(&mut events);
                let write = transfer::write_events(session.connection(), events);
                self.in_time(write).await?.map_err(plain)?;
            }
            if is_end {
                break;
            }
        }
        let committed = self.in_time(session.commit(None)).await;
        committed
            .map_err(CommitError::Unknown)
            .flatten()
            .map_err(|error| FillError::Unknown(plain(error)))
    }

    /// Gives up what takes too long. Its session is dropped, and its connection with it.
    async fn in_time<T>(&self, work: impl Future<Output = T> + Send) -> Result<T, StoreError> {
        let outcome = timeout(self.patience, work).await;
        outcome.map_err(|_| failed(NoAnswer(self.patience)))
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Makes the tables ready, on a connection that is made once and tells why it cannot be.
async fn prepare(options: &PgConnectOptions) -> Result<(), StoreError> {
    let connect = timeout(ACQUIRE_TIMEOUT, options.connect()).await;
    let mut connection = connect
        .map_err(|_| failed(NoAnswer(ACQUIRE_TIMEOUT)))?
        .map_err(failed)?;
    let limit = schema::PATIENCE.saturating_mul(2);
    let prepared = timeout(limit, schema::prepare(&mut connection)).await;
    prepared
        .map_err(|_| failed(NoAnswer(limit)))?
        .map_err(failed)?;
    // Whether it can still say goodbye is of no concern.
    let _ = timeout(ACQUIRE_TIMEOUT, connection.close()).await;
    Ok(())
}

fn located(place: &str, error: StoreError) -> StoreError {
    StoreError(Box::new(Failure {
        place: place.to_owned(),
        source: error.0,
    }))
}

/// What a statement's failure means for the commit that it belongs to.
fn refused(error: sqlx::Error) -> CommitError {
    let told = error.as_database_error();
    match code(&error).as_deref() {
        // Not serialisable; a deadlock. Whoever came first has changed what this one decided on.
        Some("40001" | "40P01") => CommitError::Conflict,
        Some("23505") if told.and_then(|told| told.constraint()) == Some("issuers_path") => {
            CommitError::PathTaken
        }
        Some("23505") => CommitError::Conflict,
        _ => failed(error).into(),
    }
}

/// The code (SQLSTATE) of an error that the database has told.
fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

/// A failed write where nobody needs to know what has become of it.
fn plain(error: CommitError) -> StoreError {
    match error {
        CommitError::Store(error) | CommitError::Unknown(error) => error,
        refusal => failed(refusal),
    }
}

#[async_trait]
impl KeyStore for PostgresStore {
    async fn issuers(&self) -> Result<Vec<IssuerName>, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let issuers = sets::issuers(session.connection()).await?;
            Ok((session, issuers))
        })
        .await
    }

    async fn load(&self, issuer: &IssuerName) -> Result<Option<StoredSet>, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let set = sets::load(session.connection(), issuer).await?;
            Ok((session, set))
        })
        .await
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.write_until(Some(commit.deadline), async {
            let mut session = self.writing().await?;
            let connection = session.connection();
            let outcome = async {
                let end = events::lock(connection).await?;
                let Commit { issuer, keys, .. } = &commit;
                if let Some(premise) = &commit.premise {
                    access::hold(connection, premise).await?;
                }
                sets::write_issuer(connection, issuer, commit.expected_version).await?;
                for key in keys {
                    sets::write_key(connection, &issuer.name, key).await?;
                }
                events::append(connection, end, commit.events).await
            };
            let outcome = outcome.await;
            session.settle(outcome).await
        })
        .await
    }

    async fn clients(&self) -> Result<Vec<ClientRow>, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let clients = access::clients(session.connection()).await?;
            Ok((session, clients))
        })
        .await
    }

    async fn approvals(&self) -> Result<Vec<ApprovalRow>, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let approvals = access::approvals(session.connection()).await?;
            Ok((session, approvals))
        })
        .await
    }

    async fn commit_access(
        &self,
        change: AccessChange,
        event: EventRow,
    ) -> Result<(), CommitError> {
        self.write(async {
            let mut session = self.writing().await?;
            let connection = session.connection();
            let outcome = async {
                let end = events::lock(connection).await?;
                access::change(connection, &change).await?;
                events::append(connection, end, [event]).await
            };
            let outcome = outcome.await;
            session.settle(outcome).await
        })
        .await
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        self.write(async {
            let mut session = self.writing().await?;
            let outcome = access::record_uses(session.connection(), uses).await;
            session.settle(outcome).await
        })
        .await
        .map_err(plain)
    }

    async fn last_uses(&self) -> Result<Vec<LastUse>, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let uses = access::last_uses(session.connection()).await?;
            Ok((session, uses))
        })
        .await
    }

    async fn audit_head(&self) -> Result<Option<LogHead>, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let head = events::head(session.connection()).await?;
            Ok((session, head))
        })
        .await
    }

    async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<NumberedEvent>, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let page = events::page(session.connection(), issuer, after, limit).await?;
            Ok((session, page))
        })
        .await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let value = access::setting(session.connection(), name).await?;
            Ok((session, value))
        })
        .await
    }

    async fn create_setting(&self, name: &str, value: &[u8]) -> Result<(), CommitError> {
        self.write(async {
            let mut session = self.writing().await?;
            let outcome = access::create_setting(session.connection(), name, value).await;
            session.settle(outcome).await
        })
        .await
    }

    async fn replace_setting(
        &self,
        name: &str,
        before: &[u8],
        after: &[u8],
        event: EventRow,
    ) -> Result<(), CommitError> {
        self.write(async {
            let mut session = self.writing().await?;
            let connection = session.connection();
            let outcome = async {
                let end = events::lock(connection).await?;
                access::replace_setting(connection, name, before, after).await?;
                events::append(connection, end, [event]).await
            };
            let outcome = outcome.await;
            session.settle(outcome).await
        })
        .await
    }

    async fn reseal(
        &self,
        issuer: &IssuerName,
        kid: &str,
        before: &[u8],
        after: &[u8],
    ) -> Result<(), CommitError> {
        self.write(async {
            let mut session = self.writing().await?;
            let outcome = sets::reseal(session.connection(), issuer, kid, before, after).await;
            session.settle(outcome).await
        })
        .await
    }

    async fn rows(&self) -> Result<Rows, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let rows = transfer::rows(session.connection()).await?;
            Ok((session, rows))
        })
        .await
    }

    async fn stored_events(
        &self,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(async {
            let mut session = self.reading().await?;
            let events = events::stored(session.connection(), after, through, limit).await?;
            Ok((session, events))
        })
        .await
    }

    async fn fill(&self, entries: &mut mpsc::Receiver<Entry>) -> Result<(), FillError> {
        self.fill_with(entries).await.map_err(|error| match error {
            FillError::Store(error) => located(&self.place, error).into(),
            FillError::Unknown(error) => FillError::Unknown(located(&self.place, error)),
            refusal => refusal,
        })
    }

    fn shared(&self) -> Option<&dyn SharedStore> {
        Some(self)
    }

    async fn close(&self) {
        self.listener.abort();
        // A database that does not answer keeps nobody from ending.
        let _ = timeout(self.patience, self.pool.close()).await;
    }
}
