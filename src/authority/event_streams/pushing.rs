//! Tokens on their way to receivers (RFC 8935): at least once, one at a time, in the order of the log.
//!
//! As with webhooks, a stream is moved on only after an answer, so that a process that is killed loses
//! nothing, and of several processes on a store the one sends that has written its claim into the record.

use std::sync::Arc;

use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use keywright_api::EventStreamStatusName;

use super::{Authority, StoredEventStream};
use crate::access::Role;
use crate::authority::ChangeError;
use crate::authority::audit::{Actor, EventStreamEvent};
use crate::authority::issuer::{Issuer, MAX_ATTEMPTS};
use crate::authority::webhooks::{
    CLAIM, DueDelivery, MOST_AT_A_TIME, OutgoingMessage, PASSED_OVER_AT_A_TIME, Round, Sender,
    pause_after, rounds,
};
use crate::event_stream::{
    DeliveryMethod, EventStream, PendingEvent, SecurityEvent, token_identifier,
};
use crate::lifecycle::Timestamp;
use crate::store::{Kind, RecordKey};
use crate::telemetry::traces::{RootSpan, SpanKind, TRACEPARENT};
use crate::webhook::{DeliveryState, Rejection};

/// Why a receiver may refuse a token (RFC 8935 §2.4).
const ERRORS: &[&str] = &[
    "invalid_request",
    "invalid_key",
    "invalid_issuer",
    "invalid_audience",
    "authentication_failed",
    "access_denied",
];

/// Pushes the tokens of all streams.
pub struct EventStreamTransmitter {
    authority: Arc<Authority>,
    sender: Sender,
}

impl EventStreamTransmitter {
    /// Pushes those of this authority's store.
    pub fn new(authority: Arc<Authority>, sender: Sender) -> Self {
        Self { authority, sender }
    }

    /// Pushes until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let authority = &self.authority;
        let round = || Arc::clone(&self).round();
        let wanted = &authority.verification_requested;
        rounds(&authority.services, wanted, "event streams", round).await;
    }

    /// Finds what is due, to each receiver beside the others.
    async fn round(self: Arc<Self>) -> Result<Round, ChangeError> {
        let authority = &self.authority;
        let now = authority.services.lease.time();
        let streams = authority.all_event_streams().await?;
        authority.health.observe_event_streams(&streams);
        let pause = pause_after(streams.iter().map(|stored| &stored.stream.delivery));
        let mut due = Vec::new();
        if !authority.services.lease.holds() {
            return Ok(Round { pause, due });
        }
        for stored in streams {
            if self.delete_if_abandoned(&stored).await? {
                continue;
            }
            let Ok(issuer) = authority.issuer(stored.issuer.as_str()) else {
                continue;
            };
            if stored.stream.pushes_to(now).is_some() && self.may_receive(&stored) {
                due.push(DueDelivery {
                    receiver: stored.stream.id.clone(),
                    delivery: Box::pin(Arc::clone(&self).deliver(issuer, stored)),
                });
            }
        }
        Ok(Round { pause, due })
    }

    /// Whether the client of a stream may still have it.
    fn may_receive(&self, stored: &StoredEventStream) -> bool {
        let client = self.authority.client(&stored.stream.client);
        client.is_ok_and(|live| {
            let limits = &live.client.terms.limits;
            live.client.has(Role::Receiver) && limits.check_issuer(stored.issuer.as_str()).is_ok()
        })
    }

    /// Deletes a stream whose issuer or client was. Whether it did.
    async fn delete_if_abandoned(&self, stored: &StoredEventStream) -> Result<bool, ChangeError> {
        let authority = &self.authority;
        let issuer = authority.issuer(stored.issuer.as_str());
        let is_deleted = issuer.is_ok_and(|issuer| issuer.snapshot().set().deleted_at().is_some());
        if !is_deleted {
            if authority.client(&stored.stream.client).is_ok() {
                return Ok(false);
            }
            // Another process may have just created it.
            let client = RecordKey::unowned(Kind::Client, &*stored.stream.client);
            if authority.services.store.get(&client).await?.is_some() {
                return Ok(false);
            }
        }
        authority.try_to_delete(stored, &Actor::Scheduler).await
    }

    /// Pushes what one receiver is to be told of, until it does not accept a token.
    async fn deliver(
        self: Arc<Self>,
        issuer: Arc<Issuer>,
        found: StoredEventStream,
    ) -> Result<(), ChangeError> {
        let (authority, issuer) = (&self.authority, &*issuer);
        let (client, id) = (&found.stream.client, &found.stream.id);
        // A delivery before this one may have changed it since it was found.
        let mut stored = match authority.event_stream(&found.issuer, client, id).await {
            Err(ChangeError::UnknownEventStream(_)) => return Ok(()),
            stored => stored?,
        };
        for _ in 0..MOST_AT_A_TIME {
            let pending = authority.pending_events(issuer, &stored.stream).await?;
            let Some(first) = pending.events.first() else {
                let through = stored.stream.delivery.through;
                if pending.looked_at.saturating_sub(through) >= PASSED_OVER_AT_A_TIME {
                    let further = stored.stream.taken(&pending, |_| false);
                    authority
                        .write_event_stream(&stored, &further, None)
                        .await?;
                }
                return Ok(());
            };
            let lease = &authority.services.lease;
            let Some(url) = stored.stream.pushes_to(lease.time()) else {
                return Ok(());
            };
            let token = match issuer.sign_event(&stored.stream, first).await {
                Ok(token) => token,
                Err(error) => {
                    let stream = &stored.stream.id;
                    tracing::warn!(stream, %error, "a security event token was not signed");
                    return Ok(());
                }
            };
            let until = lease.time().after(CLAIM);
            let claimed = stored.stream.with(stored.stream.delivery.claimed(until));
            if authority.has_shared_store()
                && !authority
                    .write_event_stream(&stored, &claimed, None)
                    .await?
            {
                // Another process sends, or the receiver has changed it.
                return Ok(());
            }
            let outcome = self.send(&stored, url, token).await?;
            let told = |stream: &EventStream, now: Timestamp| match &outcome {
                Ok(()) => stream.taken(&pending, |jti| *jti == first.jti),
                Err(rejection) => stream.with(stream.delivery.rejected(rejection, now)),
            };
            match self.conclude(&stored, told).await? {
                Some(next) if outcome.is_ok() => stored = next,
                Some(next) if outcome != Err(Rejection::Gone) => {
                    return self.tell_of_pause(issuer, &next).await;
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Tells the receiver of a stream that has just been paused (SSF 1.0 §8.1.5), once: one that refuses a token
    /// for good may still take this one.
    async fn tell_of_pause(
        &self,
        issuer: &Issuer,
        stored: &StoredEventStream,
    ) -> Result<(), ChangeError> {
        let stream = &stored.stream;
        let (DeliveryState::Paused { since, reason }, DeliveryMethod::Push(url)) =
            (&stream.delivery.state, &stream.method)
        else {
            return Ok(());
        };
        let update = PendingEvent {
            sequence: None,
            jti: token_identifier(&stream.id, &format!("paused/{}", since.millis())),
            event: SecurityEvent::StreamUpdated {
                status: EventStreamStatusName::Paused,
                reason: reason.clone(),
            },
        };
        match issuer.sign_event(stream, &update).await {
            Ok(token) => self.send(stored, url, token).await.map(drop),
            Err(error) => {
                let stream = &stream.id;
                tracing::warn!(stream, %error, "a receiver is not told that its stream is paused");
                Ok(())
            }
        }
    }

    async fn send(
        &self,
        stored: &StoredEventStream,
        url: &str,
        token: String,
    ) -> Result<Result<(), Rejection>, ChangeError> {
        let authority = &self.authority;
        let mut headers = vec![(ACCEPT, HeaderValue::from_static("application/json"))];
        if let Some(value) = authority.authorization_of(stored)? {
            let mut value = HeaderValue::from_bytes(&value).map_err(|_| ChangeError::Unsealable)?;
            value.set_sensitive(true);
            headers.push((AUTHORIZATION, value));
        }
        let mut span = authority.tracer().begin("POST", SpanKind::Client);
        if let Some(span) = &mut span {
            span.add("http.request.method", "POST");
        }
        let traceparent = span.as_ref().and_then(RootSpan::traceparent);
        headers.extend(traceparent.map(|value| (TRACEPARENT, value)));
        let message = OutgoingMessage {
            content_type: "application/secevent+jwt",
            headers,
            body: token,
            errors: ERRORS,
        };
        let sent = self.sender.send(url, message).await;
        if let Some(span) = span {
            span.end(sent.as_ref().map(drop).map_err(|_| "rejected"));
        }
        authority.metrics().event_streams().count(match &sent {
            Ok(()) => "accepted",
            Err(_) => "rejected",
        });
        Ok(sent)
    }

    /// Writes down what came of a token, over what the receiver may have changed meanwhile. `None` when the
    /// stream is gone.
    async fn conclude(
        &self,
        sent: &StoredEventStream,
        told: impl Fn(&EventStream, Timestamp) -> EventStream,
    ) -> Result<Option<StoredEventStream>, ChangeError> {
        let authority = &self.authority;
        let (client, id) = (&sent.stream.client, &sent.stream.id);
        for _ in 0..MAX_ATTEMPTS {
            let stored = match authority.event_stream(&sent.issuer, client, id).await {
                Err(ChangeError::UnknownEventStream(_)) => return Ok(None),
                stored => stored?,
            };
            let after = told(&stored.stream, authority.services.lease.time());
            let paused = matches!(after.delivery.state, DeliveryState::Paused { .. });
            let event = paused.then(|| EventStreamEvent::EventStreamPaused { stream: id.clone() });
            if authority.write_event_stream(&stored, &after, event).await? {
                let next = authority.event_stream(&sent.issuer, client, id).await;
                return next.map(Some);
            }
        }
        Err(ChangeError::Contended)
    }
}
