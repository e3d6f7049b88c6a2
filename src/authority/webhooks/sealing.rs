//! The secrets of webhooks under another master key.

use super::{StoredWebhook, record_key};
use crate::authority::issuer::MAX_ATTEMPTS;
use crate::authority::{Authority, ChangeError, Services};
use crate::store::seal::{Fingerprint, MasterKey, SealedRow, UnsealError};
use crate::store::{CommitError, Kind, Query, Record, StoreError, Write};

/// How the secrets of webhooks have been sealed anew.
#[derive(Debug, Default)]
pub(in crate::authority) struct ResealedWebhooks {
    /// So many are sealed anew.
    pub(in crate::authority) resealed: usize,
    /// So many need a master key that is not here.
    pub(in crate::authority) left: usize,
    /// So many no key opens.
    pub(in crate::authority) unopenable: usize,
}

impl Authority {
    /// Seals all secrets of webhooks anew that another key has sealed. They are few.
    pub(in crate::authority) async fn reseal_webhooks(
        &self,
        key: &MasterKey,
    ) -> Result<ResealedWebhooks, ChangeError> {
        let services = &self.services;
        for _ in 0..MAX_ATTEMPTS {
            let mut batch = services.new_batch()?;
            let mut done = ResealedWebhooks::default();
            let not_yet = Query {
                not_sealed_with: Some(key.head()),
                ..Query::all(Kind::Webhook)
            };
            for record in services.store.list(not_yet).await? {
                match opened(services, &record) {
                    Ok((_, secrets)) => {
                        let nonce = services.entropy.bytes()?;
                        let row = SealedRow::Webhook(&record.key.id);
                        let sealed = key.seal_row(row, &secrets, nonce);
                        let sealed = sealed.ok_or(ChangeError::Unsealable)?;
                        batch.writes.push(Write::reseal(record, sealed));
                    }
                    Err(UnsealError::MissingKey(_)) => done.left += 1,
                    Err(_) => done.unopenable += 1,
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

    /// Tells of each webhook which key has sealed its secrets.
    pub(in crate::authority) async fn each_webhook(
        &self,
        mut look: impl FnMut(Result<Fingerprint, UnsealError>),
    ) -> Result<(), StoreError> {
        for record in self.services.store.list(Query::all(Kind::Webhook)).await? {
            look(opened(&self.services, &record).map(|(fingerprint, _)| fingerprint));
        }
        Ok(())
    }
}

fn opened(
    services: &Services,
    record: &Record,
) -> Result<(Fingerprint, zeroize::Zeroizing<Vec<u8>>), UnsealError> {
    let sealed = record.sealed.as_deref().unwrap_or_default();
    let row = SealedRow::Webhook(&record.key.id);
    services.master_keys.open_row(row, sealed)
}

/// Deletes the webhooks whose secrets none of the master keys opens: nothing could be signed for them.
pub(in crate::authority) async fn delete_lost_webhooks(
    services: &Services,
) -> Result<(), ChangeError> {
    let mut batch = services.new_batch()?;
    for record in services.store.list(Query::all(Kind::Webhook)).await? {
        if opened(services, &record).is_err() {
            let stored = StoredWebhook::read(record)?;
            let key = record_key(&stored.webhook.id);
            batch.writes.push(Write::Delete(key, stored.token));
        }
    }
    if !batch.writes.is_empty() {
        services.commit(batch).await?;
    }
    Ok(())
}
