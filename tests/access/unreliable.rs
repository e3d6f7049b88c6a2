//! A store in memory whose next commit fails when it is told to.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use async_trait::async_trait;
use keywright::lifecycle::IssuerName;
use keywright::store::chain::{LogHead, StoredEvent};
use keywright::store::memory::MemoryStore;
use keywright::store::replicas::ReplicaStore;
use keywright::store::transfer::{Entry, FillError, Rows};
use keywright::store::{
    Batch, BatchId, CommitError, LastUse, NumberedEvent, Query, Record, Store, StoreError, Writer,
};
use tokio::sync::mpsc;

const RELIABLE: u8 = 0;
const LOSES_ITS_ANSWER: u8 = 1;
const REFUSES: u8 = 2;
const PANICS: u8 = 3;

#[derive(Default)]
pub struct Unreliable {
    store: MemoryStore,
    next: AtomicU8,
    /// Whether the next question what became of a batch is not answered either.
    is_silent: AtomicBool,
}

impl Unreliable {
    /// The next commit happens, and its caller is not told.
    pub fn lose_the_next_answer(&self) {
        self.next.store(LOSES_ITS_ANSWER, Ordering::SeqCst);
    }

    /// As before, and the first question what became of it is not answered either.
    pub fn lose_the_next_two_answers(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
        self.lose_the_next_answer();
    }

    /// The next time that uses of credentials are noted is a panic.
    pub fn panic_at_the_next_uses(&self) {
        self.next.store(PANICS, Ordering::SeqCst);
    }

    /// Whether this was to happen next; it happens once.
    fn is_next(&self, expected: u8) -> bool {
        let next = &self.next;
        next.compare_exchange(expected, RELIABLE, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The next commit does not happen.
    pub fn refuse_the_next_commit(&self) {
        self.next.store(REFUSES, Ordering::SeqCst);
    }
}

fn failure() -> StoreError {
    StoreError("the disk is on fire".into())
}

struct UnreliableWriter<'a>(&'a Unreliable, Box<dyn Writer + 'a>);

#[async_trait]
impl Writer for UnreliableWriter<'_> {
    async fn commit(self: Box<Self>, batch: Batch) -> Result<LogHead, CommitError> {
        let Self(unreliable, writer) = *self;
        if unreliable.is_next(REFUSES) {
            return Err(CommitError::Store(failure()));
        }
        if unreliable.is_next(LOSES_ITS_ANSWER) {
            writer.commit(batch).await?;
            return Err(CommitError::Unknown(failure()));
        }
        writer.commit(batch).await
    }
}

#[async_trait]
impl Store for Unreliable {
    async fn read(&self, queries: &[Query]) -> Result<Vec<Vec<Record>>, StoreError> {
        self.store.read(queries).await
    }

    async fn writer(&self) -> Result<Box<dyn Writer + '_>, StoreError> {
        Ok(Box::new(UnreliableWriter(self, self.store.writer().await?)))
    }

    async fn outcome(&self, batch: BatchId) -> Result<Option<LogHead>, StoreError> {
        if self.is_silent.swap(false, Ordering::SeqCst) {
            return Err(failure());
        }
        self.store.outcome(batch).await
    }

    async fn log_head(&self) -> Result<LogHead, StoreError> {
        self.store.log_head().await
    }

    async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<NumberedEvent>, StoreError> {
        self.store.events(issuer, after, limit).await
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        assert!(!self.is_next(PANICS), "on purpose");
        self.store.record_uses(uses).await
    }

    async fn last_uses(&self) -> Result<Vec<LastUse>, StoreError> {
        self.store.last_uses().await
    }

    async fn rows(&self) -> Result<Rows, StoreError> {
        self.store.rows().await
    }

    async fn stored_events(
        &self,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.stored_events(after, through, limit).await
    }

    async fn fill(&self, entries: mpsc::Receiver<Entry>) -> Result<(), FillError> {
        self.store.fill(entries).await
    }

    fn replicas(&self) -> Option<&dyn ReplicaStore> {
        None
    }
}
