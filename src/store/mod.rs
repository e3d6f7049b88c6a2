//! Where everything rests that must survive a restart.
//!
//! A [`Store`] keeps [`Record`]s of every [`Kind`] and promises one thing: a [`Batch`] happens whole,
//! with the events that explain it, or not at all, and only on the records that it was decided on.
//! Whether those are still the same is told by their [`Token`]s. A record can be final: no later
//! batch writes it.
//!
//! [`Store::writer`] comes before the stamp of a change: a store of one process is locked from then
//! on. A batch for a shared store carries a deadline instead. If the answer to a commit is lost,
//! [`Store::outcome`] tells what became of it.
//!
//! A store does not look into documents. [`documents`] writes and reads those of key sets for every
//! store alike, and [`seal`] has encrypted the private halves before they come here. [`chain`] makes
//! the audit log one log: every store computes it in the transaction that writes an event. A store
//! that several processes share also implements [`ReplicaStore`]. The conformance suite in
//! `tests/store/` says when a store is done.

mod batch;
pub mod chain;
pub mod documents;
pub mod memory;
pub mod postgres;
mod record;
pub mod replicas;
pub mod seal;
mod set_tokens;
mod sql;
pub mod sqlite;
pub mod transfer;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::lifecycle::{IssuerName, Timestamp};
use crate::telemetry::Metrics;

pub use batch::{
    Batch, CommitError, Content, Expectation, SealedChange, Tokens, WhenDiskFull, Write,
};
use chain::{EventHash, LogHead, StoredEvent};
use postgres::{PostgresSettings, PostgresStore};
pub use record::{
    BatchId, Kind, Query, Record, RecordIndex, RecordKey, StoredSet, Token, key_sets,
};
use replicas::ReplicaStore;
pub use set_tokens::SetTokens;
use sqlite::SqliteStore;
use transfer::{Entry, FillError, Rows};

/// Which store, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// A file that one process has for itself.
    Sqlite(PathBuf),
    /// A database that any number of processes share.
    Postgres(Box<PostgresSettings>),
}

/// Opens a store, and makes it where there is none. `clock` judges deadlines where the store has no
/// clock of its own; what a task of the store does in the background is told to `metrics`.
///
/// # Errors
/// When it cannot be reached, or is not keywright's. The error names the place.
pub async fn open(
    location: &StoreLocation,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match location {
        StoreLocation::Sqlite(file) => Arc::new(SqliteStore::open(file, clock.clone()).await?),
        StoreLocation::Postgres(settings) => {
            let (clock, metrics) = (clock.clone(), Arc::clone(metrics));
            Arc::new(PostgresStore::open_supervised(settings, clock, metrics).await?)
        }
    })
}

/// An event as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// When it happened, in milliseconds since the Unix epoch.
    pub at: u64,
    /// The issuer that it concerns, if it concerns one.
    pub issuer: Option<IssuerName>,
    /// What happened and who did it.
    pub document: String,
}

/// An event as it is read: numbered from 1 in the order of the commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedEvent {
    /// Its number.
    pub sequence: u64,
    /// The event.
    pub event: EventRow,
    /// The stored hash of this event and of everything before it.
    pub hash: EventHash,
}

/// When a credential was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// The client's identifier.
    pub client: String,
    /// Which of its credentials.
    pub credential: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
}

/// How many records of an issuer count against a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCount {
    /// The issuer.
    pub owner: IssuerName,
    /// The client.
    pub client: String,
    /// How many.
    pub records: u64,
}

/// The store cannot be reached, or does not do what it is asked.
#[derive(Debug, thiserror::Error)]
#[error("the key store failed: {0}")]
pub struct StoreError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl StoreError {
    /// Whether the store's files are not the ones that were opened ([`Replaced`]).
    pub fn is_replaced(&self) -> bool {
        self.0.is::<Replaced>()
    }
}

/// A store's file was moved, deleted or replaced while the process had it open: what is committed
/// now would not be there after a restart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not the file that this process has opened: it was moved, deleted or replaced; put it \
     back, or restart the process on what is there now", path.display()
)]
pub struct Replaced {
    /// The path.
    pub path: PathBuf,
}

/// A place where records rest.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The records that each query asks for, all from one consistent state.
    async fn read(&self, queries: &[Query]) -> Result<Vec<Vec<Record>>, StoreError>;

    /// How many records of a kind that are kept for longer than until then count against each client, in
    /// the order of owners and clients.
    async fn count_by_client(
        &self,
        kind: Kind,
        kept_after: Timestamp,
    ) -> Result<Vec<ClientCount>, StoreError>;

    /// The right to write. A store that one process has for itself is locked from here on, so that
    /// no time passes between the stamp of a change and its commit; what several processes share is
    /// not, and a batch's deadline stands for the lock.
    async fn writer(&self) -> Result<Box<dyn Writer + '_>, StoreError>;

    /// What became of a batch with events whose answer was lost: where the log ended after it, or
    /// `None` if it never happened and never will. It waits for whatever is being committed.
    async fn outcome(&self, batch: BatchId) -> Result<Option<LogHead>, StoreError>;

    /// Where the log ends, as the last commit left it.
    async fn log_head(&self) -> Result<LogHead, StoreError>;

    /// At most `limit` events after the one numbered `after`, in order; of one issuer or of all.
    async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<NumberedEvent>, StoreError>;

    /// Notes uses of credentials. The latest use of each stays, in whatever order they are noted;
    /// what is said of clients that do not exist (any more) is dropped.
    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError>;

    /// The last use of every credential that was used, in the order of clients and credentials.
    async fn last_uses(&self) -> Result<Vec<LastUse>, StoreError>;

    /// Everything but the events and the kinds that are paged, from one consistent state.
    async fn rows(&self) -> Result<Rows, StoreError>;

    /// At most `limit` events as they are stored, after the one numbered `after` and up to the one
    /// numbered `through`, in order.
    async fn stored_events(
        &self,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// Writes a whole dump, all or nothing, into a store that has nothing yet. Later keys and
    /// events follow those of the dump.
    async fn fill(&self, entries: mpsc::Receiver<Entry>) -> Result<(), FillError>;

    /// Removes what erased bytes have left behind in the store's own files. It is called when a
    /// commit has taken effect, may find that a reader is in the way, and is then called again.
    async fn clear_erased(&self) {}

    /// What the store can do for several processes; `None` when one process alone may use it.
    fn replicas(&self) -> Option<&dyn ReplicaStore>;

    /// Whether the store answers, and is still the one that was opened. It is called once a second,
    /// and may also look after what the store keeps for itself.
    async fn check(&self) -> Result<(), StoreError> {
        self.log_head().await.map(drop)
    }

    /// Whether the disk space is there that is kept for changes that must not fail; `None` for a
    /// store that keeps none.
    fn has_reserve(&self) -> Option<bool> {
        None
    }

    /// Lets go of what the store holds open. Nothing may be asked of it afterwards.
    async fn close(&self) {}

    /// One record.
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        Ok(self.list(Query::one(key)).await?.pop())
    }

    /// The records that one query asks for.
    async fn list(&self, query: Query) -> Result<Vec<Record>, StoreError> {
        Ok(self.read(&[query]).await?.pop().unwrap_or_default())
    }

    /// The records of one issuer and of its keys; `None` when there is no such issuer.
    async fn key_set(&self, issuer: &IssuerName) -> Result<Option<StoredSet>, StoreError> {
        let queries = Query::key_sets(std::slice::from_ref(issuer));
        Ok(self.key_sets(&queries).await?.pop())
    }

    /// The records of every issuer and of its keys, in the order of the names.
    async fn all_key_sets(&self) -> Result<Vec<StoredSet>, StoreError> {
        self.key_sets(&[Query::all(Kind::Issuer), Query::all(Kind::Key)])
            .await
    }

    /// The key sets that two queries ask for: for the issuers, and for the keys.
    async fn key_sets(&self, queries: &[Query; 2]) -> Result<Vec<StoredSet>, StoreError> {
        let mut records = self.read(queries).await?.into_iter();
        let issuers = records.next().unwrap_or_default();
        Ok(key_sets(issuers, records.next().unwrap_or_default()))
    }
}

/// The right to write one batch.
#[async_trait]
pub trait Writer: Send {
    /// Writes it and its events, all or nothing, if what it expects holds. Answers where the log
    /// ends after it.
    async fn commit(self: Box<Self>, batch: Batch) -> Result<LogHead, CommitError>;
}

/// Writes a batch, and settles what became of it if the answer was lost: an error says that nothing
/// was written, unless it says that this is not known.
///
/// # Errors
/// [`CommitError`].
pub async fn commit_and_settle(
    store: &dyn Store,
    writer: Box<dyn Writer + '_>,
    batch: Batch,
) -> Result<LogHead, CommitError> {
    let (id, has_events) = (batch.id, !batch.events.is_empty());
    match writer.commit(batch).await {
        Err(CommitError::Unknown(error)) if has_events => match store.outcome(id).await {
            Ok(Some(head)) => Ok(head),
            Ok(None) => Err(CommitError::Store(error)),
            Err(_) => Err(CommitError::Unknown(error)),
        },
        answer => answer,
    }
}

/// Writes a batch that was decided on before, as [`commit_and_settle`].
///
/// # Errors
/// [`CommitError`].
pub async fn commit(store: &dyn Store, batch: Batch) -> Result<LogHead, CommitError> {
    commit_and_settle(store, store.writer().await?, batch).await
}
