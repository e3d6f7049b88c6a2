//! The secrets of receivers under another master key: of webhooks, and of streams of security events.

use crate::authority::issuer::MAX_ATTEMPTS;
use crate::authority::{Authority, ChangeError, Services};
use crate::store::seal::{Fingerprint, MasterKey, SealedRow, UnsealError};
use crate::store::{CommitError, Kind, Query, Record, StoreError, Write};

/// The kinds of record that are receivers.
const RECEIVERS: [Kind; 2] = [Kind::Webhook, Kind::EventStream];

/// How the secrets of receivers have been sealed anew.
#[derive(Debug, Default)]
pub(super) struct ResealedReceivers {
    /// So many are sealed anew.
    pub(super) resealed: usize,
    /// So many need a master key that is not here.
    pub(super) left: usize,
    /// So many no key opens.
    pub(super) unopenable: usize,
}

impl Authority {
    /// Seals all secrets of receivers anew that another key has sealed. They are few.
    pub(super) async fn reseal_receivers(
        &self,
        key: &MasterKey,
    ) -> Result<ResealedReceivers, ChangeError> {
        let services = &self.services;
        for _ in 0..MAX_ATTEMPTS {
            let mut batch = services.new_batch()?;
            let mut done = ResealedReceivers::default();
            for kind in RECEIVERS {
                let not_yet = Query {
                    not_sealed_with: Some(key.head()),
                    ..Query::all(kind)
                };
                for record in services.store.list(not_yet).await? {
                    match opened(services, &record) {
                        Ok((_, secrets)) => {
                            let nonce = services.entropy.bytes()?;
                            let row = row_of(&record).ok_or(ChangeError::Unsealable)?;
                            let sealed = key.seal_row(row, &secrets, nonce);
                            let sealed = sealed.ok_or(ChangeError::Unsealable)?;
                            batch.writes.push(Write::reseal(record, sealed));
                        }
                        Err(UnsealError::MissingKey(_)) => done.left += 1,
                        Err(_) => done.unopenable += 1,
                    }
                }
            }
            done.resealed = batch.writes.len();
            if done.resealed == 0 {
                return Ok(done);
            }
            match services.commit(batch).await {
                Ok(_) => return Ok(done),
                // A delivery has changed one in between.
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended)
    }

    /// Tells of each receiver with secrets which key has sealed them.
    pub(super) async fn each_receiver(
        &self,
        mut look: impl FnMut(Result<Fingerprint, UnsealError>),
    ) -> Result<(), StoreError> {
        for record in with_secrets(&self.services).await? {
            look(opened(&self.services, &record).map(|(fingerprint, _)| fingerprint));
        }
        Ok(())
    }
}

/// A receiver that fetches its messages has no secret.
async fn with_secrets(services: &Services) -> Result<Vec<Record>, StoreError> {
    let mut receivers = Vec::new();
    for kind in RECEIVERS {
        receivers.extend(services.store.list(Query::all(kind)).await?);
    }
    receivers.retain(|record| record.sealed.is_some());
    Ok(receivers)
}

fn row_of(record: &Record) -> Option<SealedRow<'_>> {
    let id = record.key.id.as_str();
    match (record.key.kind, &record.key.owner) {
        (Kind::Webhook, None) => Some(SealedRow::Webhook(id)),
        (Kind::EventStream, Some(issuer)) => Some(SealedRow::EventStream(issuer, id)),
        _ => None,
    }
}

fn opened(
    services: &Services,
    record: &Record,
) -> Result<(Fingerprint, zeroize::Zeroizing<Vec<u8>>), UnsealError> {
    let row = row_of(record).ok_or(UnsealError::UnknownFormat)?;
    let sealed = record.sealed.as_deref().unwrap_or_default();
    services.master_keys.open_row(row, sealed)
}

/// Deletes the receivers whose secrets none of the master keys opens: nothing could be sent to them.
pub(super) async fn delete_lost_receivers(services: &Services) -> Result<(), ChangeError> {
    let mut batch = services.new_batch()?;
    for record in with_secrets(services).await? {
        if opened(services, &record).is_err() {
            batch.writes.push(Write::Delete(record.key, record.token));
        }
    }
    if !batch.writes.is_empty() {
        services.commit(batch).await?;
    }
    Ok(())
}
