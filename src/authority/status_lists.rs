//! The status lists of an issuer (Token Status List, draft 21): entries for the tokens that it signs, and
//! the lists that verifiers of others read.
//!
//! An entry costs no write. A process leases blocks of entries of the lists of an hour in one commit each,
//! by the token of the list's record, so that no two processes have the same. What a process has leased
//! and not used when it ends stays unused: those entries are no token's.
//!
//! Which entries are invalid is written nowhere either: it follows from what was taken back
//! ([`Revocations`](super::revocations::Revocations)), by the `jti`.

mod leasing;
mod publication;
mod secrets;
mod tracking;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Services;
use super::commit_queue::CommitQueue;
use super::lease::Lease;
use crate::engine::{Entropy, RandomnessUnavailable};
use crate::lifecycle::IssuerName;
use crate::revocation::status_list::{
    EntryOrder, JtiCipher, ListName, StatusEntry, StatusKeys, hour_of,
};
use crate::store::{Store, StoreError};

pub(super) use publication::IN_FORCE_WITHIN;
use publication::SERVED_AFTER;
pub use publication::{AGGREGATION_PATH, TTL, list_url};
pub use secrets::StatusSecrets;
pub(super) use secrets::load_secrets;
pub(crate) use secrets::record_key as secrets_record_key;

/// The status lists of one issuer.
pub struct StatusLists {
    issuer: IssuerName,
    store: Arc<dyn Store>,
    entropy: Entropy,
    lease: Arc<Lease>,
    /// What the lists are made with.
    keys: StatusKeys,
    /// What those were made with whose tokens are all invalid since a restore.
    earlier: Vec<StatusKeys>,
    /// What is leased, by the hour in which tokens expire.
    blocks: Mutex<BTreeMap<u64, Block>>,
    /// Held by the request that leases a block: all others wait for it.
    leasing: tokio::sync::Mutex<()>,
    /// Tokens that are to be written down before they are handed out.
    tracked: CommitQueue<tracking::TrackingRequest>,
    /// By address.
    signed: tokio::sync::Mutex<HashMap<String, publication::Signed>>,
    named: tokio::sync::Mutex<Option<publication::Named>>,
}

/// Leased entries of a list.
#[derive(Debug, Clone)]
struct Block {
    list: u32,
    address: Arc<str>,
    /// The places that are left, in the order in which entries are used.
    places: Range<u32>,
    order: EntryOrder,
    jti: JtiCipher,
}

/// What a token has that has a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenEntry {
    /// Its entry.
    pub entry: StatusEntry,
    /// The last part of the list's address.
    pub address: Arc<str>,
    /// Its `jti`.
    pub jti: String,
}

/// Why a token gets no status.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StatusUnavailable {
    /// This process may not write.
    #[error("this process has not heard from the store for too long to lease entries")]
    Stale,
    /// Other processes were faster each time.
    #[error("other processes lease entries of the same lists")]
    Contended,
    /// The store does not answer.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// There is no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
}

impl From<StoreError> for StatusUnavailable {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl StatusLists {
    pub(super) fn new(services: &Services, issuer: &IssuerName) -> Self {
        let (keys, earlier) = services.status_secrets.keys_of(issuer);
        let (store, lease) = (Arc::clone(&services.store), Arc::clone(&services.lease));
        Self::on(
            store,
            services.entropy.clone(),
            lease,
            issuer,
            (keys, earlier),
        )
    }

    /// The lists of an issuer on a store, with its keys and those of before.
    pub fn on(
        store: Arc<dyn Store>,
        entropy: Entropy,
        lease: Arc<Lease>,
        issuer: &IssuerName,
        (keys, earlier): (StatusKeys, Vec<StatusKeys>),
    ) -> Self {
        Self {
            issuer: issuer.clone(),
            store,
            entropy,
            lease,
            keys,
            earlier,
            blocks: Mutex::default(),
            leasing: tokio::sync::Mutex::default(),
            tracked: CommitQueue::default(),
            signed: tokio::sync::Mutex::default(),
            named: tokio::sync::Mutex::default(),
        }
    }

    /// What makes a `jti` readable.
    pub(super) fn keys(&self) -> &StatusKeys {
        &self.keys
    }

    fn blocks(&self) -> MutexGuard<'_, BTreeMap<u64, Block>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry for a token that expires at this Unix second, which no other token has.
    ///
    /// # Errors
    /// [`StatusUnavailable`].
    pub async fn take(
        &self,
        expires_at: u64,
        random: [u8; 4],
    ) -> Result<TakenEntry, StatusUnavailable> {
        let hour = hour_of(expires_at);
        loop {
            if let Some(taken) = self.take_leased(hour, random) {
                return Ok(taken);
            }
            let _leasing = self.leasing.lock().await;
            // The request before may have leased enough for this one, too.
            if let Some(taken) = self.take_leased(hour, random) {
                return Ok(taken);
            }
            let leased = self.lease_block(hour).await?;
            let block = self.block(leased.name, leased.last_block(), expires_at);
            let past = hour_of(self.lease.time().floor_seconds());
            let mut blocks = self.blocks();
            blocks.retain(|hour, _| *hour >= past);
            blocks.insert(hour, block);
        }
    }

    fn take_leased(&self, hour: u64, random: [u8; 4]) -> Option<TakenEntry> {
        let mut blocks = self.blocks();
        let block = blocks.get_mut(&hour)?;
        let index = block.order.entry_at(block.places.next()?)?;
        let list = block.list;
        let entry = StatusEntry { list, index };
        Some(TakenEntry {
            entry,
            address: Arc::clone(&block.address),
            jti: block.jti.seal(entry, random),
        })
    }

    fn block(&self, name: ListName, places: Range<u32>, expires_at: u64) -> Block {
        Block {
            list: name.list,
            address: self.keys.address_of(name).into(),
            places,
            order: self.keys.order_of(name.list),
            jti: self.keys.jti_cipher(expires_at),
        }
    }

    /// Forgets what was leased, because the store may have forgotten it.
    pub(super) fn forget_blocks(&self) {
        self.blocks().clear();
    }
}
