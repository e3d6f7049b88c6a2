//! What is known of a copy, as the store has it.

use std::collections::BTreeMap;

use crate::authority::issuer::MAX_ATTEMPTS;
use crate::authority::{Authority, ChangeError};
use crate::lifecycle::{IssuerName, Timestamp};
use crate::push::PushedCopy;
use crate::store::{Content, Kind, Query, Record, RecordKey, StoreError, Token, Write};

/// The copy of an issuer's key set at a target, as the store has it.
#[derive(Clone)]
pub(super) struct StoredCopy {
    pub(super) copy: PushedCopy,
    /// `None` where the store has nothing of it yet.
    token: Option<Token>,
}

fn record_key(issuer: &IssuerName, target: &str) -> RecordKey {
    RecordKey::owned(Kind::PushedCopy, issuer, target)
}

impl StoredCopy {
    /// Reads a record. Where no other process uses the store, a claim is that of a process which has ended.
    fn read(record: &Record, has_shared_store: bool) -> Result<Self, StoreError> {
        let copy = PushedCopy::from_document(&record.key.id, &record.document);
        let mut copy = copy.map_err(|error| StoreError(Box::new(error)))?;
        if !has_shared_store {
            copy.claimed_until = Timestamp::default();
        }
        Ok(Self {
            copy,
            token: Some(record.token),
        })
    }

    /// A copy of which nothing is known.
    pub(super) fn unknown(place: String) -> Self {
        Self {
            copy: PushedCopy::new(place),
            token: None,
        }
    }
}

impl Authority {
    /// What is known of all copies.
    pub(super) async fn stored_copies(
        &self,
    ) -> Result<BTreeMap<(IssuerName, String), StoredCopy>, StoreError> {
        let records = self
            .services
            .store
            .list(Query::all(Kind::PushedCopy))
            .await?;
        let read = records.iter().filter_map(|record| {
            let issuer = record.key.owner.clone()?;
            let stored = StoredCopy::read(record, self.has_shared_store());
            Some(stored.map(|stored| ((issuer, record.key.id.clone()), stored)))
        });
        read.collect()
    }

    /// What is known of one copy; of one that the store does not have, that it is at `place`.
    pub(super) async fn stored_copy(
        &self,
        issuer: &IssuerName,
        target: &str,
        place: String,
    ) -> Result<StoredCopy, StoreError> {
        let record = self.services.store.get(&record_key(issuer, target)).await?;
        match record {
            Some(record) => StoredCopy::read(&record, self.has_shared_store()),
            None => Ok(StoredCopy::unknown(place)),
        }
    }

    /// Writes what is known of a copy in the place of another state of it. Whether it was still in that one.
    pub(super) async fn write_copy(
        &self,
        issuer: &IssuerName,
        target: &str,
        before: &StoredCopy,
        after: &PushedCopy,
    ) -> Result<bool, ChangeError> {
        let key = record_key(issuer, target);
        let content = Content::of(after.to_document());
        let mut batch = self.services.new_batch()?;
        batch.writes.push(match before.token {
            Some(token) => Write::Replace(key, token, content),
            None => Write::Create(key, content),
        });
        self.services.commit_if_unchanged(batch).await
    }

    /// Changes what is known of a copy, whatever was written meanwhile.
    pub(super) async fn change_copy(
        &self,
        issuer: &IssuerName,
        target: &str,
        place: &str,
        change: impl Fn(&PushedCopy) -> PushedCopy,
    ) -> Result<(), ChangeError> {
        for _ in 0..MAX_ATTEMPTS {
            let stored = self.stored_copy(issuer, target, place.to_owned()).await?;
            let after = change(&stored.copy);
            if after == stored.copy || self.write_copy(issuer, target, &stored, &after).await? {
                return Ok(());
            }
        }
        Err(ChangeError::Contended)
    }

    /// Forgets a copy that no policy names any more.
    pub(super) async fn forget_copy(
        &self,
        issuer: &IssuerName,
        target: &str,
        stored: &StoredCopy,
    ) -> Result<(), ChangeError> {
        let Some(token) = stored.token else {
            return Ok(());
        };
        let mut batch = self.services.new_batch()?;
        batch
            .writes
            .push(Write::Delete(record_key(issuer, target), token));
        self.services.commit_if_unchanged(batch).await.map(drop)
    }
}
