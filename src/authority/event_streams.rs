//! Streams of security events: which client has which. They are few, and read from the store when they are
//! asked for.

mod pending;
mod pushing;
mod stored;

use std::collections::BTreeSet;
use std::time::Duration;

use keywright_api::EventStreamStatusName;
use keywright_verifier::Algorithm;
use zeroize::Zeroizing;

use super::audit::{self, Actor, Attribution, EventStreamEvent, Subject, log_event};
use super::issuer::{Issuer, MAX_ATTEMPTS};
use super::master_key::CommitSealing;
use super::webhooks::PASSED_OVER_AT_A_TIME;
use super::{Authority, ChangeError, Services};
use crate::event_stream::{
    DeliveryMethod, EventStream, MOST_STREAMS, MOST_STREAMS_OF_A_CLIENT, PendingEvents,
    Verification,
};
use crate::lifecycle::IssuerName;
use crate::store::seal::SealedRow;
use crate::store::{Batch, Expectation, Kind, Query, SealedChange, StoreError, Write};
use crate::webhook::Delivery;

use stored::{content, of_client, record_key};

pub use pushing::EventStreamTransmitter;
pub use stored::StoredEventStream;

/// How often a stream is looked at whose receiver waits, beside each event of the log.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// What a receiver decides of its stream. It has no `Debug`: it may have a secret.
#[derive(Clone)]
pub struct EventStreamTerms {
    /// How it gets its tokens.
    pub method: DeliveryMethod,
    /// What becomes of the value of `Authorization` that they are pushed with.
    pub authorization: AuthorizationChange,
    /// What it wants; `None` for everything.
    pub events_requested: Option<Vec<String>>,
    /// What it calls the stream.
    pub description: Option<String>,
}

/// What becomes of the value of `Authorization` that tokens are pushed with.
#[derive(Clone)]
pub enum AuthorizationChange {
    /// It stays as it is.
    Keep,
    /// It is this from now on.
    Set(Zeroizing<String>),
    /// There is none.
    Erase,
}

/// The profile that many receivers are written for knows no other algorithm.
fn warn_without_rs256(issuer: &Issuer) {
    let snapshot = issuer.snapshot();
    if !snapshot
        .set()
        .policy()
        .algorithms
        .contains(&Algorithm::Rs256)
    {
        let issuer = issuer.name();
        tracing::warn!(
            %issuer,
            "security events are signed without RS256, which the CAEP interoperability profile wants"
        );
    }
}

impl Authority {
    async fn all_event_streams(&self) -> Result<Vec<StoredEventStream>, StoreError> {
        let all = Query::all(Kind::EventStream);
        let records = self.services.store.list(all).await?;
        let read = records.into_iter().map(StoredEventStream::read);
        read.filter_map(Result::transpose).collect()
    }

    /// The streams that a client has of an issuer, in the order of their identifiers.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn event_streams(
        &self,
        issuer: &Issuer,
        client: &str,
    ) -> Result<Vec<StoredEventStream>, StoreError> {
        let query = Query {
            owners: Some(vec![Some(issuer.name().clone())]),
            ..of_client(client)
        };
        let records = self.services.store.list(query).await?;
        let read = records.into_iter().map(StoredEventStream::read);
        read.filter_map(Result::transpose).collect()
    }

    /// The stream with this identifier, if it is one that the client has of the issuer.
    ///
    /// # Errors
    /// [`ChangeError::UnknownEventStream`], also for one of another client; or when the store does not answer.
    pub async fn event_stream(
        &self,
        issuer: &IssuerName,
        client: &str,
        id: &str,
    ) -> Result<StoredEventStream, ChangeError> {
        let record = self.services.store.get(&record_key(issuer, id)).await?;
        let stored = record.map(StoredEventStream::read).transpose()?.flatten();
        stored
            .filter(|stored| stored.stream.client == client)
            .ok_or_else(|| ChangeError::UnknownEventStream(id.chars().take(64).collect()))
    }

    /// Creates a stream, which has what happens from now on.
    ///
    /// # Errors
    /// [`ChangeError`]; there is none then.
    pub async fn create_event_stream(
        &self,
        issuer: &Issuer,
        client: &str,
        terms: EventStreamTerms,
        actor: &Actor,
    ) -> Result<EventStream, ChangeError> {
        let services = &self.services;
        for _ in 0..MAX_ATTEMPTS {
            let stream = EventStream {
                id: services.entropy.name::<8>()?,
                client: client.to_owned(),
                method: terms.method.clone(),
                events_requested: terms.events_requested.clone(),
                description: terms.description.clone(),
                created_at: services.lease.time(),
                status: EventStreamStatusName::Enabled,
                reason: None,
                delivery: Delivery::after(services.store.log_head().await?.sequence),
                acknowledged: BTreeSet::new(),
                verification: None,
            };
            let event = EventStreamEvent::EventStreamCreated {
                stream: stream.id.clone(),
            };
            let mut batch = self.event_stream_batch(issuer.name(), &event, actor)?;
            let key = record_key(issuer.name(), &stream.id);
            let row = SealedRow::EventStream(issuer.name(), &stream.id);
            let sealed = self.seal(&mut batch, row, &terms.authorization).await?;
            batch
                .writes
                .push(Write::Create(key, content(&stream, sealed)));
            batch.expectations.extend([
                Expectation::AtMost(of_client(client), MOST_STREAMS_OF_A_CLIENT - 1),
                Expectation::AtMost(Query::all(Kind::EventStream), MOST_STREAMS - 1),
            ]);
            let committed = self.commit_event_stream(issuer.name(), batch, &event, actor);
            if committed.await? {
                warn_without_rs256(issuer);
                return Ok(stream);
            }
            let all = self.all_event_streams().await?;
            let own = all.iter().filter(|one| one.stream.client == client).count();
            if own >= MOST_STREAMS_OF_A_CLIENT || all.len() >= MOST_STREAMS {
                return Err(ChangeError::TooManyEventStreams);
            }
        }
        Err(ChangeError::Contended)
    }

    /// Puts a stream under other terms, which are made of those that it has.
    ///
    /// # Errors
    /// [`ChangeError`]; the stream is as it was then.
    pub async fn change_event_stream(
        &self,
        issuer: &Issuer,
        client: &str,
        id: &str,
        terms: impl Fn(&EventStream) -> EventStreamTerms + Send + Sync,
        actor: &Actor,
    ) -> Result<EventStream, ChangeError> {
        let event = EventStreamEvent::EventStreamChanged {
            stream: id.to_owned(),
        };
        for _ in 0..MAX_ATTEMPTS {
            let stored = self.event_stream(issuer.name(), client, id).await?;
            let terms = terms(&stored.stream);
            let stream = EventStream {
                method: terms.method,
                events_requested: terms.events_requested,
                description: terms.description,
                // Another receiver has not failed yet.
                delivery: stored.stream.delivery.resumed(),
                ..stored.stream.clone()
            };
            let mut batch = self.event_stream_batch(issuer.name(), &event, actor)?;
            let row = SealedRow::EventStream(issuer.name(), id);
            let sealed = self.seal(&mut batch, row, &terms.authorization).await?;
            batch.writes.push(stored.replaced_by(&stream, sealed));
            let committed = self.commit_event_stream(issuer.name(), batch, &event, actor);
            // If not, a delivery has changed it in between, or another master key seals from now on.
            if committed.await? {
                return Ok(stream);
            }
        }
        Err(ChangeError::Contended)
    }

    /// Puts a stream under another status.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn set_event_stream_status(
        &self,
        issuer: &Issuer,
        client: &str,
        id: &str,
        status: (EventStreamStatusName, Option<String>),
        actor: &Actor,
    ) -> Result<EventStream, ChangeError> {
        let event = EventStreamEvent::EventStreamChanged {
            stream: id.to_owned(),
        };
        for _ in 0..MAX_ATTEMPTS {
            let stored = self.event_stream(issuer.name(), client, id).await?;
            let log_end = self.services.store.log_head().await?.sequence;
            let (status, reason) = status.clone();
            let stream = stored.stream.under(status, reason, log_end);
            let mut batch = self.event_stream_batch(issuer.name(), &event, actor)?;
            batch
                .writes
                .push(stored.replaced_by(&stream, SealedChange::Keep));
            let committed = self.commit_event_stream(issuer.name(), batch, &event, actor);
            if committed.await? {
                return Ok(stream);
            }
        }
        Err(ChangeError::Contended)
    }

    /// Deletes a stream. What its receiver was not told of yet it is never told of.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn delete_event_stream(
        &self,
        issuer: &Issuer,
        client: &str,
        id: &str,
        actor: &Actor,
    ) -> Result<(), ChangeError> {
        for _ in 0..MAX_ATTEMPTS {
            let stored = self.event_stream(issuer.name(), client, id).await?;
            if self.try_to_delete(&stored, actor).await? {
                return Ok(());
            }
        }
        Err(ChangeError::Contended)
    }

    /// Deletes a stream in this state of it. Whether it was still in that one.
    async fn try_to_delete(
        &self,
        stored: &StoredEventStream,
        actor: &Actor,
    ) -> Result<bool, ChangeError> {
        let event = EventStreamEvent::EventStreamDeleted {
            stream: stored.stream.id.clone(),
        };
        let mut batch = self.event_stream_batch(&stored.issuer, &event, actor)?;
        batch.writes.push(stored.deleted());
        let issuer = &stored.issuer;
        self.commit_event_stream(issuer, batch, &event, actor).await
    }

    /// Lets a stream have a verification, in the place of one that was not taken yet. A disabled stream has
    /// none.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn verify_event_stream(
        &self,
        issuer: &Issuer,
        client: &str,
        id: &str,
        state: Option<String>,
    ) -> Result<(), ChangeError> {
        for _ in 0..MAX_ATTEMPTS {
            let stored = self.event_stream(issuer.name(), client, id).await?;
            if stored.stream.status == EventStreamStatusName::Disabled {
                return Err(ChangeError::EventStreamDisabled);
            }
            let stream = EventStream {
                verification: Some(Verification {
                    id: self.services.entropy.name::<8>()?,
                    state: state.clone(),
                    requested_at: self.services.lease.time(),
                }),
                ..stored.stream.clone()
            };
            if self.write_event_stream(&stored, &stream, None).await? {
                self.verification_requested.notify_one();
                return Ok(());
            }
        }
        Err(ChangeError::Contended)
    }

    /// What the receiver of a stream has not taken, after it has taken the events of these tokens.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn take_events(
        &self,
        issuer: &Issuer,
        client: &str,
        id: &str,
        is_taken: impl Fn(&str) -> bool + Send + Sync,
    ) -> Result<(EventStream, PendingEvents), ChangeError> {
        for _ in 0..MAX_ATTEMPTS {
            let stored = self.event_stream(issuer.name(), client, id).await?;
            let before = &stored.stream;
            let mut pending = self.pending_events(issuer, before).await?;
            let after = before.taken(&pending, &is_taken);
            let outstanding = pending.events.len();
            pending.events.retain(|event| !is_taken(&event.jti));
            let passed_over = after
                .delivery
                .through
                .saturating_sub(before.delivery.through);
            let is_unchanged = pending.events.len() == outstanding;
            if is_unchanged && passed_over < PASSED_OVER_AT_A_TIME
                || self.write_event_stream(&stored, &after, None).await?
            {
                return Ok((after, pending));
            }
        }
        Err(ChangeError::Contended)
    }

    /// The same when there is something to tell, and at last when so much time has passed, or the process ends.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn awaited_events(
        &self,
        issuer: &Issuer,
        client: &str,
        id: &str,
        longest: Duration,
    ) -> Result<(EventStream, PendingEvents), ChangeError> {
        let Services { clock, lease, .. } = &self.services;
        let mut log_end = lease.follow_log();
        let until = clock.now().after(longest);
        loop {
            log_end.borrow_and_update();
            let (stream, pending) = self.take_events(issuer, client, id, |_| false).await?;
            let is_awaited =
                pending.events.is_empty() && stream.status == EventStreamStatusName::Enabled;
            let left = until.since(clock.now());
            if !is_awaited || left.is_zero() || self.is_draining() {
                return Ok((stream, pending));
            }
            // A verification, and a change of the stream, leave no event.
            tokio::select! {
                _ = log_end.changed() => {}
                () = clock.wait_for(left.min(LOOKED_AT_EVERY)) => {}
            }
        }
    }

    /// Writes a stream in the place of another state of it. Whether it was still in that one.
    async fn write_event_stream(
        &self,
        before: &StoredEventStream,
        after: &EventStream,
        event: Option<EventStreamEvent>,
    ) -> Result<bool, ChangeError> {
        let mut batch = self.services.new_batch()?;
        batch
            .writes
            .push(before.replaced_by(after, SealedChange::Keep));
        if let Some(event) = event {
            let attribution = Attribution::from(Actor::Scheduler);
            let issuer = Some(&before.issuer);
            let row = audit::row(&event, self.now(), issuer, &attribution, None);
            batch.events.push(row);
        }
        self.services.commit_if_unchanged(batch).await
    }

    fn event_stream_batch(
        &self,
        issuer: &IssuerName,
        event: &EventStreamEvent,
        actor: &Actor,
    ) -> Result<Batch, ChangeError> {
        if !self.services.lease.holds() {
            return Err(ChangeError::SnapshotStale);
        }
        let attribution = Attribution::from(actor.clone());
        let mut batch = self.services.new_batch()?;
        let row = audit::row(event, self.now(), Some(issuer), &attribution, None);
        batch.events.push(row);
        Ok(batch)
    }

    /// Writes a batch, and says so in the log. Whether what it expects was still so.
    async fn commit_event_stream(
        &self,
        issuer: &IssuerName,
        batch: Batch,
        event: &EventStreamEvent,
        actor: &Actor,
    ) -> Result<bool, ChangeError> {
        if !self.services.commit_if_unchanged(batch).await? {
            return Ok(false);
        }
        let subject = Subject {
            issuer: Some(issuer),
            version: None,
        };
        let attribution = Attribution::from(actor.clone());
        log_event("event stream changed", subject, &attribution, event);
        Ok(true)
    }

    /// What is written of the value of `Authorization`. What is sealed rests on the master key that seals.
    async fn seal(
        &self,
        batch: &mut Batch,
        row: SealedRow<'_>,
        change: &AuthorizationChange,
    ) -> Result<SealedChange, ChangeError> {
        match change {
            AuthorizationChange::Keep => Ok(SealedChange::Keep),
            AuthorizationChange::Erase => Ok(SealedChange::Erase),
            AuthorizationChange::Set(value) => {
                let sealing = CommitSealing::now(&self.services).await?;
                let nonce = self.services.entropy.bytes()?;
                let sealed = sealing.key.seal_row(row, value.as_bytes(), nonce);
                batch.expectations.push(sealing.expectation);
                Ok(SealedChange::Set(sealed.ok_or(ChangeError::Unsealable)?))
            }
        }
    }

    /// The value of `Authorization` that the tokens of a stream are pushed with.
    fn authorization_of(
        &self,
        stored: &StoredEventStream,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, ChangeError> {
        let Some(sealed) = &stored.sealed else {
            return Ok(None);
        };
        let row = SealedRow::EventStream(&stored.issuer, &stored.stream.id);
        let opened = self.services.master_keys.open_row(row, sealed);
        let (_, value) = opened.map_err(ChangeError::Sealing)?;
        Ok(Some(value))
    }
}
