//! Where key sets rest.
//!
//! A [`KeyStore`] keeps rows and promises one thing: a [`Commit`] happens whole or not at all, and
//! only on the version that it was computed from. It does not look into the documents that it
//! keeps; [`record`] writes and reads those for every store alike, and [`seal`] has closed the
//! private halves before they come here. [`chain`] says what makes the audit log one log, which
//! every store computes in the transaction that writes an event. What several processes share also
//! implements [`SharedStore`]. The conformance suite in `tests/store/` says when a store is done.

mod access;
pub mod chain;
pub mod memory;
pub mod postgres;
pub mod record;
pub mod seal;
pub mod shared;
mod sql;
pub mod sqlite;
pub mod transfer;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::lifecycle::{IssuerName, Timestamp};

pub use access::{
    AccessChange, ApprovalRow, ClientChange, ClientRow, ClientVersions, LastUse, versions,
};
use chain::{EventHash, LogHead, StoredEvent};
use postgres::{PostgresSettings, PostgresStore};
use shared::SharedStore;
use sqlite::SqliteStore;
use transfer::{Entry, FillError, Rows};

/// Which store, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file that one process has for itself.
    Sqlite(PathBuf),
    /// A database that any number of processes share.
    Postgres(PostgresSettings),
}

/// Opens a store, and makes it where there is none.
///
/// # Errors
/// When it cannot be reached, or is not keywright's. The error names the place.
pub async fn open(place: &Place) -> Result<Arc<dyn KeyStore>, StoreError> {
    Ok(match place {
        Place::Sqlite(file) => Arc::new(SqliteStore::open(file).await?),
        Place::Postgres(settings) => Arc::new(PostgresStore::open(settings).await?),
    })
}

/// One issuer's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerRow {
    /// The issuer's short name.
    pub name: IssuerName,
    /// The path of its URL; no two issuers share it.
    pub path: String,
    /// The version of its key set, from 1.
    pub version: u64,
    /// Everything else that concerns the set as a whole.
    pub document: String,
}

/// One key's row.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The key's name, unique within its issuer.
    pub kid: String,
    /// The public half and the state.
    pub document: String,
    /// The sealed private half, while there is one.
    pub sealed: Option<Vec<u8>>,
}

impl std::fmt::Debug for KeyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRow")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// A key's row as a commit changes it.
#[derive(Debug, Clone)]
pub struct KeyChange {
    /// The key's name.
    pub kid: String,
    /// The public half and the new state.
    pub document: String,
    /// What becomes of the private half.
    pub sealed: SealedChange,
}

/// What a commit does to a sealed private half.
#[derive(Clone)]
pub enum SealedChange {
    /// It stays as it is.
    Keep,
    /// It comes with a new key.
    Set(Vec<u8>),
    /// It is erased in this very commit.
    Erase,
}

impl std::fmt::Debug for SealedChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::Set(_) => "Set(…)",
            Self::Erase => "Erase",
        })
    }
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

/// One change of one key set, with the events that explain it.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The issuer's new row.
    pub issuer: IssuerRow,
    /// The version that the change was computed from; 0 when the issuer must not exist yet.
    pub expected_version: u64,
    /// The keys that are new or changed.
    pub keys: Vec<KeyChange>,
    /// What happened.
    pub events: Vec<EventRow>,
    /// When it is too late for the change, by the clock of a store that several processes share:
    /// what it says of the time is not true then. Other stores do not look at it.
    pub deadline: Timestamp,
    /// What the change rests on beside the set itself: otherwise it is a conflict.
    pub premise: Option<Premise>,
}

/// A setting that must still be what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Premise {
    /// Its name.
    pub setting: &'static str,
    /// Its value; `None` when it was not there.
    pub value: Option<Vec<u8>>,
}

/// A key set's rows, its keys in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSet {
    /// The issuer's row.
    pub issuer: IssuerRow,
    /// Its keys' rows.
    pub keys: Vec<KeyRow>,
}

/// The store cannot be reached, or does not do what it is asked.
#[derive(Debug, thiserror::Error)]
#[error("the key store failed: {0}")]
pub struct StoreError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The set, the client, the approval or the setting is not as the commit expects it. Load it
    /// again and decide anew.
    #[error("the stored version is not the expected one")]
    Conflict,
    /// The change comes too late: its deadline has passed. Decide anew.
    #[error("the change came too late")]
    Late,
    /// Another issuer is published under the same path.
    #[error("another issuer has the same path")]
    PathTaken,
    /// The store failed before anything was committed: nothing has changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed while it committed: all of it happened or nothing. Load the set to know.
    #[error("the outcome of the commit is not known: {0}")]
    Unknown(#[source] StoreError),
}

/// A place where key sets rest.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// The names of all issuers, in alphabetical order.
    async fn issuers(&self) -> Result<Vec<IssuerName>, StoreError>;

    /// One issuer's rows, from one consistent state; `None` when there is no such issuer.
    async fn load(&self, issuer: &IssuerName) -> Result<Option<StoredSet>, StoreError>;

    /// Writes a change and its events, all or nothing, if the version is the expected one and the
    /// premise holds.
    async fn commit(&self, commit: Commit) -> Result<(), CommitError>;

    /// All clients, in the order of their ids.
    async fn clients(&self) -> Result<Vec<ClientRow>, StoreError>;

    /// All approvals, in the order of their ids.
    async fn approvals(&self) -> Result<Vec<ApprovalRow>, StoreError>;

    /// Writes a change of who may call and its event, all or nothing. What the change says about
    /// the stored rows must hold; otherwise it is a conflict.
    async fn commit_access(&self, change: AccessChange, event: EventRow)
    -> Result<(), CommitError>;

    /// Notes uses of credentials. The latest use of each stays, in whatever order they are noted;
    /// what is said of clients that do not exist (any more) is dropped.
    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError>;

    /// The last use of every credential that was used, in the order of clients and credentials.
    async fn last_uses(&self) -> Result<Vec<LastUse>, StoreError>;

    /// Where the log ends, as the last commit left it; `None` before the first event.
    async fn audit_head(&self) -> Result<Option<LogHead>, StoreError>;

    /// At most `limit` events after the one numbered `after`, in order; of one issuer or of all.
    async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<NumberedEvent>, StoreError>;

    /// A named value that concerns the store as a whole.
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes a named value once. A value that is there already is a conflict.
    async fn create_setting(&self, name: &str, value: &[u8]) -> Result<(), CommitError>;

    /// Every row but the events, from one consistent state.
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
    async fn fill(&self, entries: &mut mpsc::Receiver<Entry>) -> Result<(), FillError>;

    /// Replaces a named value, with its event, all or nothing. Another value than `before`, or none,
    /// is a conflict.
    async fn replace_setting(
        &self,
        name: &str,
        before: &[u8],
        after: &[u8],
        event: EventRow,
    ) -> Result<(), CommitError>;

    /// Replaces a sealed private half by the same one sealed anew. What it was before is gone like
    /// one that is erased. Another half than `before`, or none, is a conflict.
    async fn reseal(
        &self,
        issuer: &IssuerName,
        kid: &str,
        before: &[u8],
        after: &[u8],
    ) -> Result<(), CommitError>;

    /// What the store can do for several processes; `None` when one process alone may use it.
    fn shared(&self) -> Option<&dyn SharedStore>;

    /// Lets go of what the store holds open. Nothing may be asked of it afterwards.
    async fn close(&self) {}
}
