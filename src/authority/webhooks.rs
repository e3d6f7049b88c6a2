//! Webhooks: who is told of what. They are few, and read from the store when they are asked for.

mod delivery;
mod overdue;
mod rounds;
mod sender;

use std::time::Duration;

use keywright_api::WebhookEvent;
use zeroize::Zeroizing;

use super::audit::{self, Actor, Attribution, Subject, WebhookChange, log_event};
use super::issuer::MAX_ATTEMPTS;
use super::master_key::CommitSealing;
use super::{Authority, ChangeError};
use crate::store::seal::{MasterKey, SealedRow};
use crate::store::{
    Batch, CommitError, Content, Expectation, Kind, Query, Record, RecordKey, SealedChange,
    StoreError, Token, Write,
};
use crate::webhook::{Delivery, MOST_WEBHOOKS, Webhook, WebhookSecrets};

pub use delivery::WebhookDeliverer;
pub(super) use delivery::{
    CLAIM, MOST_AT_A_TIME, MOST_PAGES, PASSED_OVER_AT_A_TIME, READ_AT_A_TIME,
};
pub(super) use rounds::{DueDelivery, Round, pause_after, rounds};
pub(super) use sender::OutgoingMessage;
pub use sender::Sender;

/// The longest time in which two secrets sign.
pub const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 86_400);

/// A webhook as the store has it.
pub struct StoredWebhook {
    /// What it is.
    pub webhook: Webhook,
    token: Token,
    sealed: Vec<u8>,
}

/// A webhook with a new secret, which is shown once.
pub struct WebhookWithSecret {
    /// What it is.
    pub webhook: Webhook,
    /// Its secret.
    pub secret: Zeroizing<String>,
}

fn record_key(id: &str) -> RecordKey {
    RecordKey::unowned(Kind::Webhook, id)
}

impl StoredWebhook {
    fn read(record: Record) -> Result<Self, StoreError> {
        let webhook = Webhook::from_document(&record.key.id, &record.document);
        Ok(Self {
            webhook: webhook.map_err(|error| StoreError(Box::new(error)))?,
            token: record.token,
            sealed: record.sealed.unwrap_or_default(),
        })
    }

    /// The write that puts another webhook into the place of this one.
    fn replaced_by(&self, webhook: &Webhook, sealed: SealedChange) -> Write {
        let content = Content {
            sealed,
            ..Content::of(webhook.to_document())
        };
        Write::Replace(record_key(&webhook.id), self.token, content)
    }
}

impl Authority {
    /// All webhooks, in the order of their identifiers.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn webhooks(&self) -> Result<Vec<StoredWebhook>, StoreError> {
        let records = self.services.store.list(Query::all(Kind::Webhook)).await?;
        records.into_iter().map(StoredWebhook::read).collect()
    }

    /// The webhook with this identifier.
    ///
    /// # Errors
    /// [`ChangeError::UnknownWebhook`], or when the store does not answer.
    pub async fn webhook(&self, id: &str) -> Result<StoredWebhook, ChangeError> {
        let record = self.services.store.get(&record_key(id)).await?;
        let record = record.ok_or_else(|| {
            let shown = id.chars().take(64).collect();
            ChangeError::UnknownWebhook(shown)
        })?;
        Ok(StoredWebhook::read(record)?)
    }

    /// Creates a webhook, which is told of what happens from now on.
    ///
    /// # Errors
    /// [`ChangeError`]; there is none then.
    pub async fn create_webhook(
        &self,
        url: String,
        events: Vec<WebhookEvent>,
        actor: &Actor,
    ) -> Result<WebhookWithSecret, ChangeError> {
        let services = &self.services;
        let secrets = WebhookSecrets::first(services.entropy.bytes()?);
        for _ in 0..MAX_ATTEMPTS {
            let webhook = Webhook {
                id: services.entropy.name::<8>()?,
                url: url.clone(),
                events: events.clone(),
                created_at: services.lease.time(),
                previous_until: None,
                delivery: Delivery::after(services.store.log_head().await?.sequence),
            };
            let event = WebhookChange::WebhookCreated {
                webhook: webhook.id.clone(),
            };
            let mut batch = self.webhook_batch(&event, actor)?;
            let sealing = CommitSealing::now(services).await?;
            let sealed = self.sealed(&webhook.id, &secrets, sealing.key)?;
            batch.expectations.push(sealing.expectation);
            let content = Content {
                sealed: SealedChange::Set(sealed),
                ..Content::of(webhook.to_document())
            };
            batch
                .writes
                .push(Write::Create(record_key(&webhook.id), content));
            let most = Expectation::AtMost(Query::all(Kind::Webhook), MOST_WEBHOOKS - 1);
            batch.expectations.push(most);
            match self.commit_webhook(batch, &event, actor).await {
                Ok(()) => {
                    let secret = secrets.reveal();
                    return Ok(WebhookWithSecret { webhook, secret });
                }
                Err(CommitError::Conflict) if self.webhooks().await?.len() >= MOST_WEBHOOKS => {
                    return Err(ChangeError::TooManyWebhooks);
                }
                // Another master key seals from now on.
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended)
    }

    /// Deletes a webhook. What it was not told of yet it is never told of.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn delete_webhook(&self, id: &str, actor: &Actor) -> Result<(), ChangeError> {
        let event = WebhookChange::WebhookDeleted {
            webhook: id.to_owned(),
        };
        self.change_webhook(id, &event, actor, |stored, _| {
            Ok((Write::Delete(record_key(id), stored.token), ()))
        })
        .await
    }

    /// Gives a webhook a new secret. The one before signs beside it for a while.
    ///
    /// # Errors
    /// [`ChangeError`]; the secret is as it was then.
    pub async fn rotate_webhook_secret(
        &self,
        id: &str,
        overlap: Duration,
        actor: &Actor,
    ) -> Result<WebhookWithSecret, ChangeError> {
        let secret = Zeroizing::new(self.services.entropy.bytes()?);
        let event = WebhookChange::WebhookSecretRotated {
            webhook: id.to_owned(),
        };
        self.change_webhook(id, &event, actor, |stored, key| {
            let secrets = self.open_secrets(stored)?.followed_by(*secret);
            let webhook = Webhook {
                previous_until: Some(self.services.lease.time().after(overlap)),
                ..stored.webhook.clone()
            };
            let sealed = self.sealed(id, &secrets, key)?;
            let write = stored.replaced_by(&webhook, SealedChange::Set(sealed));
            let secret = secrets.reveal();
            Ok((write, WebhookWithSecret { webhook, secret }))
        })
        .await
    }

    /// Sends to a webhook again that is paused, or at once to one that fails.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn resume_webhook(&self, id: &str, actor: &Actor) -> Result<Webhook, ChangeError> {
        let event = WebhookChange::WebhookResumed {
            webhook: id.to_owned(),
        };
        self.change_webhook(id, &event, actor, |stored, _| {
            let webhook = stored.webhook.with(stored.webhook.delivery.resumed());
            Ok((stored.replaced_by(&webhook, SealedChange::Keep), webhook))
        })
        .await
    }

    /// Commits a change of a webhook, decided anew when a delivery has changed it in between. What is sealed
    /// is sealed with the master key that seals then.
    async fn change_webhook<T: Send>(
        &self,
        id: &str,
        event: &WebhookChange,
        actor: &Actor,
        decide: impl Fn(&StoredWebhook, &MasterKey) -> Result<(Write, T), ChangeError> + Send + Sync,
    ) -> Result<T, ChangeError> {
        for _ in 0..MAX_ATTEMPTS {
            let stored = self.webhook(id).await?;
            let mut batch = self.webhook_batch(event, actor)?;
            let sealing = CommitSealing::now(&self.services).await?;
            let (write, changed) = decide(&stored, sealing.key)?;
            batch.expectations.push(sealing.expectation);
            batch.writes.push(write);
            match self.commit_webhook(batch, event, actor).await {
                Ok(()) => return Ok(changed),
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended)
    }

    fn webhook_batch(&self, event: &WebhookChange, actor: &Actor) -> Result<Batch, ChangeError> {
        if !self.services.lease.holds() {
            return Err(ChangeError::SnapshotStale);
        }
        let attribution = Attribution::from(actor.clone());
        let mut batch = self.services.new_batch()?;
        let row = audit::row(event, self.now(), None, &attribution, None);
        batch.events.push(row);
        Ok(batch)
    }

    async fn commit_webhook(
        &self,
        batch: Batch,
        event: &WebhookChange,
        actor: &Actor,
    ) -> Result<(), CommitError> {
        self.services.commit(batch).await?;
        let attribution = Attribution::from(actor.clone());
        log_event("webhook changed", Subject::default(), &attribution, event);
        Ok(())
    }

    fn sealed(
        &self,
        id: &str,
        secrets: &WebhookSecrets,
        key: &MasterKey,
    ) -> Result<Vec<u8>, ChangeError> {
        let nonce = self.services.entropy.bytes()?;
        let sealed = key.seal_row(SealedRow::Webhook(id), secrets.as_bytes(), nonce);
        sealed.ok_or(ChangeError::Unsealable)
    }

    fn open_secrets(&self, stored: &StoredWebhook) -> Result<WebhookSecrets, ChangeError> {
        let (id, keys) = (&stored.webhook.id, &self.services.master_keys);
        let (_, bytes) = keys
            .open_row(SealedRow::Webhook(id), &stored.sealed)
            .map_err(ChangeError::Sealing)?;
        WebhookSecrets::of_bytes(&bytes).ok_or(ChangeError::Unsealable)
    }
}
