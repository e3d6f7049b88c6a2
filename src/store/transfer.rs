//! Everything that a store has, row by row, for a store of another kind and for a backup.
//!
//! A dump is one state that was there. What a commit changes is read in one transaction
//! ([`Rows`]); events are only ever added, so that those up to the last one of that transaction are
//! read afterwards, a page at a time: no transaction waits for whoever takes the dump, and no more
//! than a page of the log is in memory. Events are handed on as they are stored, with the hashes
//! that they carry, also where somebody has altered them: a copy keeps evidence.
//!
//! What replicas tell each other is no part of it: it ends with them.

use tokio::sync::mpsc;

use super::chain::StoredEvent;
use super::{ApprovalRow, ClientRow, IssuerRow, KeyRow, KeyStore, LastUse, StoreError, StoredSet};
use crate::lifecycle::IssuerName;

/// Every row but the events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Where the log ends, as it is stored; `None` when there is no log.
    pub head: Option<StoredHead>,
    /// The number of the last stored event; 0 when there is none.
    pub last_event: i64,
    /// Named values, in the order of their names.
    pub settings: Vec<(String, Vec<u8>)>,
    /// Every issuer with its keys, in the order of their names.
    pub sets: Vec<StoredSet>,
    /// Every client, in the order of their ids.
    pub clients: Vec<ClientRow>,
    /// Every approval, in the order of their ids.
    pub approvals: Vec<ApprovalRow>,
    /// Every last use, in the order of clients and credentials.
    pub last_uses: Vec<LastUse>,
}

/// The head's columns, as a database holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    /// The last event's number.
    pub sequence: i64,
    /// Its hash.
    pub hash: Vec<u8>,
}

/// One row of a dump. They come in the order of the variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Where the log ends. It comes first, if there is a log.
    Head(StoredHead),
    /// A named value.
    Setting(String, Vec<u8>),
    /// An issuer; its keys follow it.
    Issuer(IssuerRow),
    /// A key, after those that came before it.
    Key(IssuerName, KeyRow),
    /// A client.
    Client(ClientRow),
    /// An approval.
    Approval(ApprovalRow),
    /// When a credential was last used.
    LastUse(LastUse),
    /// An event.
    Event(StoredEvent),
    /// There is nothing more. A dump that ends without it was cut off.
    End,
}

/// Why a store was not filled. Nothing was written, unless the error says that this is not known.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// It has something already.
    #[error("the store is not empty: it has issuers, clients, settings or events")]
    NotEmpty,
    /// The entries ended before their end.
    #[error("what was to be written ended too early")]
    CutOff,
    /// The store failed, or does not take what it was given.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed while it committed: all of it was written or nothing.
    #[error("whether everything was written is not known: {0}")]
    Unknown(#[source] StoreError),
}

/// Why a dump ended early.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody takes it any more.
    #[error("nobody takes the dump any more")]
    Abandoned,
}

/// How many entries wait for whoever takes them.
const WAITING_ENTRIES: usize = 256;

/// How many events are asked of a store at a time.
const EVENTS_AT_A_TIME: u32 = 500;

/// The way from a dump to whoever takes it. A dump waits where nobody takes.
pub fn channel() -> (mpsc::Sender<Entry>, mpsc::Receiver<Entry>) {
    mpsc::channel(WAITING_ENTRIES)
}

/// Hands on everything that a store has.
///
/// # Errors
/// [`DumpError`]; [`Entry::End`] was not sent then.
pub async fn dump(store: &dyn KeyStore, sink: &mpsc::Sender<Entry>) -> Result<(), DumpError> {
    let rows = store.rows().await?;
    dump_rows(store, rows, sink).await
}

/// Hands on rows that were read, and the events up to the last one that they know of.
///
/// # Errors
/// [`DumpError`]; [`Entry::End`] was not sent then.
pub async fn dump_rows(
    store: &dyn KeyStore,
    rows: Rows,
    sink: &mpsc::Sender<Entry>,
) -> Result<(), DumpError> {
    let last_event = rows.last_event;
    for entry in rows.into_entries() {
        send(sink, entry).await?;
    }
    let mut after = i64::MIN;
    loop {
        let page = store
            .stored_events(after, last_event, EVENTS_AT_A_TIME)
            .await?;
        let Some(last) = page.last() else {
            break;
        };
        after = last.sequence;
        for event in page {
            send(sink, Entry::Event(event)).await?;
        }
    }
    send(sink, Entry::End).await
}

async fn send(sink: &mpsc::Sender<Entry>, entry: Entry) -> Result<(), DumpError> {
    sink.send(entry).await.map_err(|_| DumpError::Abandoned)
}

impl Rows {
    /// Whether there is nothing at all, events neither.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rows as the beginning of a dump.
    pub fn into_entries(self) -> impl Iterator<Item = Entry> {
        let settings = self.settings.into_iter();
        let clients = self.clients.into_iter().map(Entry::Client);
        let approvals = self.approvals.into_iter().map(Entry::Approval);
        let last_uses = self.last_uses.into_iter().map(Entry::LastUse);
        (self.head.into_iter().map(Entry::Head))
            .chain(settings.map(|(name, value)| Entry::Setting(name, value)))
            .chain(self.sets.into_iter().flat_map(set_entries))
            .chain(clients)
            .chain(approvals)
            .chain(last_uses)
    }
}

/// A set as entries: the issuer, then its keys.
pub fn set_entries(set: StoredSet) -> impl Iterator<Item = Entry> {
    let name = set.issuer.name.clone();
    let keys = set.keys.into_iter();
    std::iter::once(Entry::Issuer(set.issuer))
        .chain(keys.map(move |row| Entry::Key(name.clone(), row)))
}
