//! A store in memory that fails when it is told to: in a commit of access, or by a panic.

use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use keywright::lifecycle::IssuerName;
use keywright::store::chain::{LogHead, StoredEvent};
use keywright::store::memory::MemoryStore;
use keywright::store::shared::SharedStore;
use keywright::store::transfer::{Entry, FillError, Rows};
use keywright::store::{
    AccessChange, ApprovalRow, ClientRow, Commit, CommitError, EventRow, KeyStore, LastUse,
    NumberedEvent, StoreError, StoredSet,
};
use tokio::sync::mpsc;

const RELIABLE: u8 = 0;
const LOSES_ITS_ANSWER: u8 = 1;
const REFUSES: u8 = 2;
const PANICS: u8 = 3;

#[derive(Default)]
pub struct Unreliable {
    store: MemoryStore,
    mood: AtomicU8,
}

impl Unreliable {
    /// The next commit happens, and nobody is told.
    pub fn lose_the_next_answer(&self) {
        self.mood.store(LOSES_ITS_ANSWER, Ordering::SeqCst);
    }

    /// The next time that uses of credentials are noted is a panic.
    pub fn panic_at_the_next_uses(&self) {
        self.mood.store(PANICS, Ordering::SeqCst);
    }

    /// The next commit does not happen.
    pub fn refuse_the_next_commit(&self) {
        self.mood.store(REFUSES, Ordering::SeqCst);
    }
}

fn failure() -> StoreError {
    StoreError("the disk is on fire".into())
}

#[async_trait]
impl KeyStore for Unreliable {
    async fn issuers(&self) -> Result<Vec<IssuerName>, StoreError> {
        self.store.issuers().await
    }

    async fn load(&self, issuer: &IssuerName) -> Result<Option<StoredSet>, StoreError> {
        self.store.load(issuer).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.store.commit(commit).await
    }

    async fn clients(&self) -> Result<Vec<ClientRow>, StoreError> {
        self.store.clients().await
    }

    async fn approvals(&self) -> Result<Vec<ApprovalRow>, StoreError> {
        self.store.approvals().await
    }

    async fn commit_access(
        &self,
        change: AccessChange,
        event: EventRow,
    ) -> Result<(), CommitError> {
        match self.mood.swap(RELIABLE, Ordering::SeqCst) {
            REFUSES => Err(CommitError::Store(failure())),
            LOSES_ITS_ANSWER => {
                self.store.commit_access(change, event).await?;
                Err(CommitError::Unknown(failure()))
            }
            _ => self.store.commit_access(change, event).await,
        }
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        let mood = self
            .mood
            .compare_exchange(PANICS, RELIABLE, Ordering::SeqCst, Ordering::SeqCst);
        assert!(mood.is_err(), "on purpose");
        self.store.record_uses(uses).await
    }

    async fn last_uses(&self) -> Result<Vec<LastUse>, StoreError> {
        self.store.last_uses().await
    }

    async fn audit_head(&self) -> Result<Option<LogHead>, StoreError> {
        self.store.audit_head().await
    }

    async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<NumberedEvent>, StoreError> {
        self.store.events(issuer, after, limit).await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.setting(name).await
    }

    async fn create_setting(&self, name: &str, value: &[u8]) -> Result<(), CommitError> {
        self.store.create_setting(name, value).await
    }

    async fn replace_setting(
        &self,
        name: &str,
        before: &[u8],
        after: &[u8],
        event: EventRow,
    ) -> Result<(), CommitError> {
        self.store.replace_setting(name, before, after, event).await
    }

    async fn reseal(
        &self,
        issuer: &IssuerName,
        kid: &str,
        before: &[u8],
        after: &[u8],
    ) -> Result<(), CommitError> {
        self.store.reseal(issuer, kid, before, after).await
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

    async fn fill(&self, entries: &mut mpsc::Receiver<Entry>) -> Result<(), FillError> {
        self.store.fill(entries).await
    }

    fn shared(&self) -> Option<&dyn SharedStore> {
        None
    }
}
