//! A store whose next commit fails, or waits, when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use async_trait::async_trait;
use keywright::store::chain::LogHead;
use keywright::store::memory::MemoryStore;
use keywright::store::{Batch, CommitError, Store, StoreError, Writer};

use crate::gate::Gate;
use crate::wrapped_store::wrapped_store;

const RELIABLE: u8 = 0;
const LOSES_ITS_ANSWER: u8 = 1;
const REFUSES: u8 = 2;
const LOSES_ITS_BATCH: u8 = 3;
const COMES_LATE: u8 = 4;
const PANICS_BEFORE: u8 = 5;
const PANICS_AFTER: u8 = 6;

pub struct Unreliable {
    store: Arc<dyn Store>,
    /// What every commit passes with the right to write in its hands.
    pub gate: Gate,
    next: AtomicU8,
    /// Whether the next time that uses are noted is a panic.
    panics: AtomicBool,
    /// Whether the next question what became of a batch is not answered either.
    is_silent: AtomicBool,
}

impl Default for Unreliable {
    fn default() -> Self {
        Self::on(Arc::new(MemoryStore::default()))
    }
}

impl Unreliable {
    /// On what this store has.
    pub fn on(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            gate: Gate::default(),
            next: AtomicU8::new(RELIABLE),
            panics: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
        }
    }

    /// The next commit does not happen, and its caller is not told.
    pub fn lose_the_next_batch(&self) {
        self.next.store(LOSES_ITS_BATCH, Ordering::SeqCst);
    }

    /// The next commit comes too late.
    pub fn delay_the_next_commit(&self) {
        self.next.store(COMES_LATE, Ordering::SeqCst);
    }

    /// The next commit panics before anything has happened.
    pub fn panic_before_the_next_commit(&self) {
        self.next.store(PANICS_BEFORE, Ordering::SeqCst);
    }

    /// The next commit happens, and panics.
    pub fn panic_after_the_next_commit(&self) {
        self.next.store(PANICS_AFTER, Ordering::SeqCst);
    }

    /// The next question what became of a batch is not answered.
    pub fn be_silent(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }

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
        self.panics.store(true, Ordering::SeqCst);
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
        unreliable.gate.pass().await;
        match unreliable.next.swap(RELIABLE, Ordering::SeqCst) {
            LOSES_ITS_BATCH => Err(CommitError::Unknown(failure())),
            COMES_LATE => Err(CommitError::Late),
            PANICS_BEFORE => panic!("on purpose"),
            PANICS_AFTER => {
                writer.commit(batch).await?;
                panic!("on purpose")
            }
            REFUSES => Err(CommitError::Store(failure())),
            LOSES_ITS_ANSWER => {
                writer.commit(batch).await?;
                Err(CommitError::Unknown(failure()))
            }
            _ => writer.commit(batch).await,
        }
    }
}

wrapped_store!(Unreliable {
    async fn writer(&self) -> Result<Box<dyn Writer + '_>, StoreError> {
        Ok(Box::new(UnreliableWriter(self, self.store.writer().await?)))
    }

    async fn outcome(&self, batch: BatchId) -> Result<Option<LogHead>, StoreError> {
        if self.is_silent.swap(false, Ordering::SeqCst) {
            return Err(failure());
        }
        self.store.outcome(batch).await
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "on purpose");
        self.store.record_uses(uses).await
    }

    fn replicas(&self) -> Option<&dyn ReplicaStore> {
        None
    }
});
