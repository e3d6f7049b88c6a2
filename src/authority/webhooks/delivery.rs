//! Messages on their way: at least once, one at a time, in the order of the log.
//!
//! A webhook's record has the number of the event up to which everything was accepted. It is moved on only
//! after an answer, so that a process that is killed loses nothing. Of several processes the one sends that
//! has written its claim into the record; a claim ends by itself. A process that has its store for itself
//! needs none, and goes on at once where one before it was killed.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use tokio::sync::Notify;

use super::rounds::{DueDelivery, Round, pause_after, rounds};
use super::sender::{OutgoingMessage, Sender};
use super::{Authority, StoredWebhook};
use crate::authority::ChangeError;
use crate::authority::audit::{self, Actor, Attribution, WebhookChange};
use crate::authority::issuer::MAX_ATTEMPTS;
use crate::lifecycle::Timestamp;
use crate::store::SealedChange;
use crate::telemetry::traces::{RootSpan, SpanKind, TRACEPARENT};
use crate::webhook::{DeliveryState, Message, Rejection, Webhook, event_of};

/// How long a process has a delivery to itself: longer than a receiver may take.
pub(in crate::authority) const CLAIM: Duration = Duration::from_secs(20);

/// How many events are read at a time, and how many pages of them in one go.
pub(in crate::authority) const READ_AT_A_TIME: u32 = 500;
pub(in crate::authority) const MOST_PAGES: usize = 20;

/// How many events that are none of a receiver's may pass before its record says so.
pub(in crate::authority) const PASSED_OVER_AT_A_TIME: u64 = 1000;

/// The most messages of one receiver in one go.
pub(in crate::authority) const MOST_AT_A_TIME: usize = 100;

/// Delivers the messages of all webhooks.
pub struct WebhookDeliverer {
    authority: Arc<Authority>,
    sender: Sender,
}

impl WebhookDeliverer {
    /// Delivers those of this authority's store.
    pub fn new(authority: Arc<Authority>, sender: Sender) -> Self {
        Self { authority, sender }
    }

    /// Delivers until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let round = || Arc::clone(&self).round();
        rounds(&self.authority.services, &Notify::new(), "webhooks", round).await;
    }

    /// Finds what is due, to each webhook beside the others.
    async fn round(self: Arc<Self>) -> Result<Round, ChangeError> {
        let authority = &self.authority;
        let now = authority.services.lease.time();
        let webhooks = authority.webhooks().await?;
        authority.health.observe_webhooks(&webhooks);
        let pause = pause_after(webhooks.iter().map(|stored| &stored.webhook.delivery));
        let may_deliver = authority.services.lease.holds();
        let due = webhooks.into_iter().map(|stored| stored.webhook);
        let due = due.filter(|webhook| may_deliver && webhook.delivery.is_due(now));
        let due = due.map(|webhook| DueDelivery {
            receiver: webhook.id.clone(),
            delivery: Box::pin(Arc::clone(&self).deliver(webhook.id)),
        });
        Ok(Round {
            pause,
            due: due.collect(),
        })
    }

    /// Delivers what one webhook is to be told of, until it does not accept a message.
    async fn deliver(self: Arc<Self>, id: String) -> Result<(), ChangeError> {
        // A delivery before this one may have changed it since it was looked at.
        let mut stored = match self.authority.webhook(&id).await {
            Err(ChangeError::UnknownWebhook(_)) => return Ok(()),
            stored => stored?,
        };
        for _ in 0..MOST_AT_A_TIME {
            let now = self.authority.services.lease.time();
            if !stored.webhook.delivery.is_due(now) {
                return Ok(());
            }
            let (looked_at, message) = self.next_message(&stored.webhook).await?;
            let Some(message) = message else {
                let passed_over = looked_at.saturating_sub(stored.webhook.delivery.through);
                if passed_over >= PASSED_OVER_AT_A_TIME {
                    let further = stored.webhook.delivery.delivered(looked_at);
                    let further = stored.webhook.with(further);
                    self.write(&stored, &further, None).await?;
                }
                return Ok(());
            };
            let until = self.authority.services.lease.time().after(CLAIM);
            let claimed = stored.webhook.with(stored.webhook.delivery.claimed(until));
            if self.authority.has_shared_store() && !self.write(&stored, &claimed, None).await? {
                // Another process sends, or a person has changed it.
                return Ok(());
            }
            let outcome = self.send(&stored, message).await?;
            let told = |webhook: &Webhook, now: Timestamp| match &outcome {
                Ok(()) => webhook.with(webhook.delivery.delivered(looked_at)),
                Err(rejection) => webhook.with(webhook.delivery.rejected(rejection, now)),
            };
            match self.conclude(&stored.webhook.id, told).await? {
                Some(next) if outcome.is_ok() => stored = next,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The next message for a webhook, and the number of the last event that was looked at.
    async fn next_message(&self, webhook: &Webhook) -> Result<(u64, Option<Message>), ChangeError> {
        let store = &self.authority.services.store;
        let mut after = webhook.delivery.through;
        for _ in 0..MOST_PAGES {
            let read = store.events(None, after, READ_AT_A_TIME).await?;
            let is_end = read.len() < usize::try_from(READ_AT_A_TIME).unwrap_or(usize::MAX);
            for numbered in read {
                after = numbered.sequence;
                let event = audit::shown(&numbered);
                let kind = event_of(&event).filter(|kind| webhook.events.contains(kind));
                if let Some(kind) = kind {
                    let at = Timestamp::from_millis(numbered.event.at);
                    let at = Timestamp::from_seconds(at.floor_seconds()).to_string();
                    return Ok((after, Some(Message::of(kind, &event, &at))));
                }
            }
            if is_end {
                break;
            }
        }
        Ok((after, None))
    }

    async fn send(
        &self,
        stored: &StoredWebhook,
        message: Message,
    ) -> Result<Result<(), Rejection>, ChangeError> {
        let webhook = &stored.webhook;
        let secrets = self.authority.open_secrets(stored)?;
        let now = self.authority.now();
        let at = now.floor_seconds();
        let with_previous = webhook.previous_until.is_some_and(|until| now < until);
        let Message { id, body } = message;
        let signature = secrets.sign(&id, at, body.as_bytes(), with_previous);
        drop(secrets);
        let of_webhooks = [
            ("webhook-id", id),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", signature),
        ];
        let headers = of_webhooks.into_iter().filter_map(|(name, value)| {
            let value = HeaderValue::try_from(value).ok()?;
            Some((HeaderName::from_static(name), value))
        });
        let mut span = self.authority.tracer().begin("POST", SpanKind::Client);
        if let Some(span) = &mut span {
            span.add("http.request.method", "POST");
        }
        let traceparent = span.as_ref().and_then(RootSpan::traceparent);
        let traceparent = traceparent.map(|value| (TRACEPARENT, value));
        let signed = OutgoingMessage {
            content_type: "application/json",
            headers: headers.chain(traceparent).collect(),
            body,
            errors: &[],
        };
        let sent = self.sender.send(&webhook.url, signed).await;
        if let Some(span) = span {
            span.end(sent.as_ref().map(drop).map_err(|_| "rejected"));
        }
        self.authority.metrics().webhooks().count(match &sent {
            Ok(()) => "accepted",
            Err(_) => "rejected",
        });
        Ok(sent)
    }

    /// Writes down what came of a message, over what a person may have changed meanwhile. `None` when the
    /// webhook is gone.
    async fn conclude(
        &self,
        id: &str,
        told: impl Fn(&Webhook, Timestamp) -> Webhook,
    ) -> Result<Option<StoredWebhook>, ChangeError> {
        let authority = &self.authority;
        for _ in 0..MAX_ATTEMPTS {
            let stored = match authority.webhook(id).await {
                Err(ChangeError::UnknownWebhook(_)) => return Ok(None),
                stored => stored?,
            };
            let after = told(&stored.webhook, authority.services.lease.time());
            let paused = matches!(after.delivery.state, DeliveryState::Paused { .. });
            let event = paused.then(|| WebhookChange::WebhookPaused {
                webhook: id.to_owned(),
            });
            if self.write(&stored, &after, event).await? {
                return Ok(Some(authority.webhook(id).await?));
            }
        }
        Err(ChangeError::Contended)
    }

    /// Writes a webhook in the place of another state of it. Whether it was still in that one.
    async fn write(
        &self,
        before: &StoredWebhook,
        after: &Webhook,
        event: Option<WebhookChange>,
    ) -> Result<bool, ChangeError> {
        let services = &self.authority.services;
        let mut batch = services.new_batch()?;
        batch
            .writes
            .push(before.replaced_by(after, SealedChange::Keep));
        if let Some(event) = event {
            let attribution = Attribution::from(Actor::Scheduler);
            let row = audit::row(&event, self.authority.now(), None, &attribution, None);
            batch.events.push(row);
        }
        services.commit_if_unchanged(batch).await
    }
}
