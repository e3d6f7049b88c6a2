//! The keys of grants under another master key. There may be a million of them: they are read a page at a
//! time, and only those that another key has sealed.

use super::rotation::{RESEALED_AT_A_TIME, RotationReport};
use crate::authority::issuer::MAX_ATTEMPTS;
use crate::authority::{Authority, ChangeError, Services};
use crate::lifecycle::IssuerName;
use crate::store::seal::{Fingerprint, MasterKey, SealedRow, UnsealError};
use crate::store::{CommitError, Kind, Query, Record, StoreError, Write};

/// How many records are read at a time.
const PAGE: u32 = 500;

impl Authority {
    /// Seals the keys of an issuer's grants anew, as many as this call has left.
    pub(super) async fn reseal_grants(
        &self,
        issuer: &IssuerName,
        key: &MasterKey,
        rotation: &mut RotationReport,
    ) -> Result<(), ChangeError> {
        let store = &self.services.store;
        let mut after = None;
        let mut attempts = 0;
        loop {
            let query = Query {
                not_sealed_with: Some(key.head()),
                ..Query::page(Kind::Grant, issuer, after.clone(), PAGE)
            };
            let records = store.list(query).await?;
            let Some(last) = records.last().map(|record| record.key.id.clone()) else {
                return Ok(());
            };
            if rotation.resealed >= RESEALED_AT_A_TIME {
                rotation.left += records.len();
                return Ok(());
            }
            let mut batch = self.services.new_batch()?;
            let (mut left, mut unopenable) = (0, 0);
            for record in records {
                match self.resealed_grant(issuer, record, key)? {
                    Ok(write) => batch.writes.push(write),
                    Err(UnsealError::MissingKey(_)) => left += 1,
                    Err(_) => unopenable += 1,
                }
            }
            let resealed = batch.writes.len();
            if resealed > 0 {
                match self.services.commit(batch).await {
                    Ok(_) => {}
                    // Some were renewed in between.
                    Err(CommitError::Conflict) if attempts < MAX_ATTEMPTS => {
                        attempts += 1;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            rotation.resealed += resealed;
            rotation.left += left;
            rotation.unopenable += unopenable;
            (after, attempts) = (Some(last), 0);
        }
    }

    /// What writes a grant whose key is sealed anew.
    fn resealed_grant(
        &self,
        issuer: &IssuerName,
        record: Record,
        key: &MasterKey,
    ) -> Result<Result<Write, UnsealError>, ChangeError> {
        let row = SealedRow::Grant(issuer, &record.key.id);
        let before = record.sealed.as_deref().unwrap_or_default();
        let (_, text) = match self.services.master_keys.open_row(row, before) {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error)),
        };
        let after = key.seal_row(row, &text, self.services.entropy.bytes()?);
        let after = after.ok_or(ChangeError::Unsealable)?;
        Ok(Ok(Write::reseal(record, after)))
    }

    /// Tells of each grant which key has sealed its key.
    pub(super) async fn each_grant(
        &self,
        issuer: &IssuerName,
        mut look: impl FnMut(Result<Fingerprint, UnsealError>),
    ) -> Result<(), StoreError> {
        let services = &self.services;
        let mut after = None;
        loop {
            let query = Query::page(Kind::Grant, issuer, after, PAGE);
            let records = services.store.list(query).await?;
            let Some(last) = records.last() else {
                return Ok(());
            };
            after = Some(last.key.id.clone());
            for record in &records {
                let sealed = record.sealed.as_deref().unwrap_or_default();
                let opened = services
                    .master_keys
                    .open_row(SealedRow::Grant(issuer, &record.key.id), sealed);
                look(opened.map(|(fingerprint, _)| fingerprint));
            }
        }
    }
}

/// Deletes the grants of an issuer whose keys none of the master keys opens: nothing could renew them.
pub(super) async fn delete_lost_grants(
    services: &Services,
    issuer: &IssuerName,
) -> Result<(), ChangeError> {
    let mut after = None;
    loop {
        let query = Query::page(Kind::Grant, issuer, after, PAGE);
        let records = services.store.list(query).await?;
        let Some(last) = records.last().map(|record| record.key.id.clone()) else {
            return Ok(());
        };
        let mut batch = services.new_batch()?;
        let is_lost = |record: &Record| {
            let sealed = record.sealed.as_deref().unwrap_or_default();
            let opened = services
                .master_keys
                .open_row(SealedRow::Grant(issuer, &record.key.id), sealed);
            opened.is_err()
        };
        let lost = records.into_iter().filter(is_lost);
        batch
            .writes
            .extend(lost.map(|record| Write::Delete(record.key, record.token)));
        if !batch.writes.is_empty() {
            services.commit(batch).await?;
        }
        after = Some(last);
    }
}
