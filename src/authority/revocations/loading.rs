//! Revocations from the store into memory: all at the start, and those that other processes change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use keywright_verifier::revocation::Salt;
use ring::hmac;

use super::book::Book;
use super::closing::named_in;
use super::{Entry, Revocations};
use crate::authority::issuer::Issuer;
use crate::authority::{Authority, Services};
use crate::lifecycle::{IssuerName, Timestamp};
use crate::revocation::{Revocation, RevokedSelector};
use crate::store::chain::LogHead;
use crate::store::{
    CommitError, Content, Kind, Query, Record, RecordKey, StoreError, WhenDiskFull, Write,
};

/// A secret of the whole store: what the feed's salts are made of, and the hashes by which the audit
/// log names what was taken back. All processes of a store have the same.
#[derive(Default)]
pub struct RevocationSecret(OnceLock<hmac::Key>);

impl fmt::Debug for RevocationSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RevocationSecret(…)")
    }
}

impl RevocationSecret {
    fn of_bytes(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes).into())
    }

    fn derive(&self, purpose: &str, text: &[u8]) -> [u8; 32] {
        let mut derived = [0; 32];
        if let Some(key) = self.0.get() {
            let mut context = hmac::Context::with_key(key);
            context.update(purpose.as_bytes());
            context.update(&[0]);
            context.update(text);
            let tag = context.sign();
            derived
                .iter_mut()
                .zip(tag.as_ref())
                .for_each(|(to, from)| *to = *from);
        }
        derived
    }

    /// The salt of an issuer's feed.
    pub(in crate::authority) fn salt(&self, issuer: &IssuerName) -> Salt {
        Salt::new(self.derive("salt", issuer.as_str().as_bytes()))
    }

    /// The secret of the nonces of DPoP proofs.
    pub(in crate::authority) fn nonce_secret(&self) -> [u8; 32] {
        self.derive("dpop-nonce", &[])
    }

    /// What stands for a selector in the audit log, which is never erased: 32 hexadecimal digits.
    pub(in crate::authority) fn selector_hash(&self, selector: &RevokedSelector) -> String {
        let selector = match selector {
            RevokedSelector::Known(selector) => selector,
            RevokedSelector::Erased(erased) => return erased.event_hash.clone(),
        };
        let digest = selector.digest(&Salt::new(self.derive("event", &[])));
        let bytes = digest.as_bytes().iter();
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

fn secret_key() -> RecordKey {
    RecordKey::unowned(Kind::Setting, "revocation-secret")
}

/// The secret of this store, which is made where there is none.
///
/// # Errors
/// When the store does not answer, or the operating system gives no randomness.
pub(in crate::authority) async fn load_secret(
    services: &Services,
) -> Result<RevocationSecret, StoreError> {
    loop {
        let record = services.store.get(&secret_key()).await?;
        if let Some(secret) = record.and_then(|record| record.sealed) {
            return Ok(RevocationSecret::of_bytes(&secret));
        }
        let randomness = |error| StoreError(Box::new(error));
        let secret = services.entropy.bytes::<32>().map_err(randomness)?;
        let mut batch = services.new_batch().map_err(randomness)?;
        batch.when_disk_full = WhenDiskFull::UseReserve;
        let content = Content::sealed(secret.to_vec());
        batch.writes.push(Write::Create(secret_key(), content));
        match services.commit(batch).await {
            // Another process may have been faster: the one that stands counts.
            Ok(_) | Err(CommitError::Conflict) => {}
            Err(CommitError::Store(error) | CommitError::Unknown(error)) => return Err(error),
            Err(error) => return Err(StoreError(Box::new(error))),
        }
    }
}

impl Revocations {
    /// Takes over all that the store has.
    pub(in crate::authority) fn load(
        &self,
        services: &Services,
        records: &[Record],
        known_through: u64,
    ) {
        let now = services.lease.time();
        self.edit(|book| {
            book.ids().iter().for_each(|id| book.remove(id));
            take_over(book, records, known_through, now);
        });
    }

    /// Takes over what the store has of some.
    fn load_some(
        &self,
        services: &Services,
        ids: &[String],
        records: &[Record],
        known_through: u64,
    ) {
        let now = services.lease.time();
        self.edit(|book| {
            ids.iter().for_each(|id| book.remove(id));
            take_over(book, records, known_through, now);
        });
    }
}

/// Takes over what records say. While one does not read, nothing is signed for its issuer, and no head
/// says what is revoked: it may be a ban of any subject.
fn take_over(book: &mut Book, records: &[Record], known_through: u64, now: Timestamp) {
    for record in records {
        match Revocation::from_document(&record.key.id, &record.document) {
            Ok(revocation) => {
                let entry = Entry {
                    revocation: Arc::new(revocation),
                    token: record.token,
                    known_through,
                };
                book.put(entry, now);
            }
            Err(error) => {
                tracing::error!(%error, "a revocation does not read: nothing is signed for its issuer");
                book.put_unreadable(record.key.id.clone());
            }
        }
    }
}

impl Services {
    /// Records, and an event that comes after all of which they tell.
    pub(in crate::authority) async fn read_revocations(
        &self,
        query: Query,
    ) -> Result<(Vec<Record>, u64), StoreError> {
        let records = self.store.list(query).await?;
        Ok((records, self.store.log_head().await?.sequence))
    }
}

/// Records by the issuer that owns them.
pub(in crate::authority) fn by_issuer(records: Vec<Record>) -> BTreeMap<IssuerName, Vec<Record>> {
    let mut owned: BTreeMap<IssuerName, Vec<Record>> = BTreeMap::new();
    for record in records {
        if let Some(owner) = record.key.owner.clone() {
            owned.entry(owner).or_default().push(record);
        }
    }
    owned
}

/// The most events that are read at a time.
const EVENTS_AT_A_TIME: u32 = 1000;

impl Authority {
    /// Takes over what the log says of revocations after one event and up to another, before the
    /// others are told that this process has it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(in crate::authority) async fn take_over_revocations(
        &self,
        LogHead {
            sequence: after, ..
        }: LogHead,
        LogHead {
            sequence: through, ..
        }: LogHead,
        is_continued: bool,
    ) -> Result<(), StoreError> {
        if !is_continued {
            for issuer in self.issuers() {
                issuer.status_lists().forget_blocks();
                self.load_all_revocations(&issuer).await?;
            }
            return Ok(());
        }
        let store = &self.services.store;
        let mut named: BTreeMap<IssuerName, BTreeSet<String>> = BTreeMap::new();
        let mut position = after;
        while position < through {
            let events = store.events(None, position, EVENTS_AT_A_TIME).await?;
            let Some(last) = events.last() else {
                break;
            };
            position = last.sequence;
            for event in &events {
                if let Some(issuer) = &event.event.issuer {
                    let ids = named_in(&event.event.document);
                    if !ids.is_empty() {
                        named.entry(issuer.clone()).or_default().extend(ids);
                    }
                }
            }
        }
        for (name, ids) in named {
            let ids: Vec<String> = ids.into_iter().collect();
            if let Ok(issuer) = self.directory.find(name.as_str()) {
                self.reload_revocations(&issuer, &ids).await?;
            }
        }
        Ok(())
    }

    /// Takes over all that the store has of an issuer.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(in crate::authority) async fn load_all_revocations(
        &self,
        issuer: &Issuer,
    ) -> Result<(), StoreError> {
        let query = Query::owned(Kind::Revocation, issuer.name());
        let (records, known_through) = self.services.read_revocations(query).await?;
        issuer
            .revocations()
            .load(&self.services, &records, known_through);
        Ok(())
    }

    /// Takes over what the store has of some, because memory differs.
    pub(super) async fn reload_revocations(
        &self,
        issuer: &Issuer,
        ids: &[String],
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let query = Query {
            ids: Some(ids.to_vec()),
            ..Query::owned(Kind::Revocation, issuer.name())
        };
        let (records, known_through) = self.services.read_revocations(query).await?;
        let book = issuer.revocations();
        book.load_some(&self.services, ids, &records, known_through);
        Ok(())
    }
}
