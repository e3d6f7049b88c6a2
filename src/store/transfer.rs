//! Everything that a store has, for a store of another kind and for a backup.
//!
//! A dump is one state that was there. What a commit changes is read in one transaction
//! ([`Rows`]); events are only ever added, so that those up to the last one of that transaction are
//! read afterwards, a page at a time: no transaction waits for the reader of the dump, and no more
//! than a page of the log is in memory. Events are handed on as they are stored, with the hashes
//! that they carry, also where they have been altered: a copy keeps evidence.
//!
//! Kinds of which there are too many to be in memory ([`Kind::is_paged`]) are read a page at a time, too,
//! after the rest: such a record may have changed since.
//!
//! What replicas tell each other is no part of it: it ends with them.

use tokio::sync::mpsc;

use super::chain::{LogHead, StoredEvent};
use super::record::{Kind, Query, Record};
use super::{LastUse, Store, StoreError};
use crate::lifecycle::IssuerName;

/// Everything but the events and the kinds that are paged ([`Kind::is_paged`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Where the log ends, as it is stored; `None` when there is no log.
    pub head: Option<StoredHead>,
    /// The number of the last stored event; 0 when there is none.
    pub last_event: i64,
    /// Every record, in the order of [`Kind::ALL`], and within a kind as a query answers.
    pub records: Vec<Record>,
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
    /// A record.
    Record(Record),
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
    /// Its reader has gone.
    #[error("the reader of the dump has gone")]
    Abandoned,
}

/// How many entries wait for the reader.
const WAITING_ENTRIES: usize = 256;

/// How many events are asked of a store at a time.
const EVENTS_AT_A_TIME: u32 = 500;

/// How many records of a kind that is paged are asked of a store at a time.
const RECORDS_AT_A_TIME: u32 = 500;

/// The way from a dump to its reader. A dump waits where the reader is slow.
pub fn channel() -> (mpsc::Sender<Entry>, mpsc::Receiver<Entry>) {
    mpsc::channel(WAITING_ENTRIES)
}

/// Hands on everything that a store has.
///
/// # Errors
/// [`DumpError`]; [`Entry::End`] was not sent then.
pub async fn dump(store: &dyn Store, sink: &mpsc::Sender<Entry>) -> Result<(), DumpError> {
    let rows = store.rows().await?;
    dump_rows(store, rows, sink, |_| true).await
}

/// Hands on what a backup has of a store ([`Kind::is_in_backup`]): rows that were read, and the events up to
/// the last one that they know of.
///
/// # Errors
/// [`DumpError`]; [`Entry::End`] was not sent then.
pub async fn dump_for_backup(
    store: &dyn Store,
    rows: Rows,
    sink: &mpsc::Sender<Entry>,
) -> Result<(), DumpError> {
    dump_rows(store, rows, sink, Kind::is_in_backup).await
}

async fn dump_rows(
    store: &dyn Store,
    rows: Rows,
    sink: &mpsc::Sender<Entry>,
    takes: fn(Kind) -> bool,
) -> Result<(), DumpError> {
    let last_event = rows.last_event;
    let issuers = rows.of(Kind::Issuer).map(|issuer| issuer.key.id.clone());
    let issuers: Vec<String> = issuers.collect();
    let Rows {
        head,
        records,
        last_uses,
        ..
    } = rows;
    let read = head.into_iter().map(Entry::Head);
    for entry in read.chain(records.into_iter().map(Entry::Record)) {
        send(sink, entry).await?;
    }
    for issuer in issuers {
        dump_pages(store, &issuer, sink, takes).await?;
    }
    for last_use in last_uses {
        send(sink, Entry::LastUse(last_use)).await?;
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

/// Hands on what an issuer has of the kinds that are paged, as it is now. Nothing else says anything of
/// such a record, so that it may be newer than the rest.
async fn dump_pages(
    store: &dyn Store,
    issuer: &str,
    sink: &mpsc::Sender<Entry>,
    takes: fn(Kind) -> bool,
) -> Result<(), DumpError> {
    let Ok(issuer) = IssuerName::parse(issuer) else {
        return Ok(());
    };
    let paged = Kind::ALL.into_iter().filter(|kind| kind.is_paged());
    for kind in paged.filter(|kind| takes(*kind)) {
        let mut after = None;
        loop {
            let query = Query::page(kind, &issuer, after, RECORDS_AT_A_TIME);
            let page = store.list(query).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(last.key.id.clone());
            for record in page {
                send(sink, Entry::Record(record)).await?;
            }
        }
    }
    Ok(())
}

async fn send(sink: &mpsc::Sender<Entry>, entry: Entry) -> Result<(), DumpError> {
    sink.send(entry).await.map_err(|_| DumpError::Abandoned)
}

impl Rows {
    /// Whether there is nothing at all, events neither.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Where the log ends.
    pub fn log_head(&self) -> LogHead {
        self.head.as_ref().map_or(LogHead::BEGINNING, |head| {
            LogHead::of_stored(head.sequence, &head.hash, 0)
        })
    }

    /// The records of one kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Record> {
        let records = self.records.iter();
        records.filter(move |record| record.key.kind == kind)
    }
}
