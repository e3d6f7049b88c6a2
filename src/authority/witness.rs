//! The latest time that was signed or served by, kept across restarts.
//!
//! No stamp is earlier than it, so that a clock that was set back while nothing ran shortens neither
//! a lead nor a retention. It is written down every minute and at the end of a process.

use std::sync::Arc;

use super::audit::Actor;
use super::request::Request;
use super::scheduler::ACCESS_UPKEEP_INTERVAL;
use super::{Authority, ChangeError, Services, run_to_completion};
use crate::lifecycle::{Command, Event, IssuerName, Timestamp};
use crate::store::{Content, Kind, Record, RecordKey, StoreError, Write};

/// What was put back because the clock had been ahead.
pub struct ClockCorrection {
    /// The issuers that have changed.
    pub corrected: Vec<IssuerName>,
    /// What the clock shows now, which they were put back to.
    pub now: Timestamp,
}

fn record_key() -> RecordKey {
    RecordKey::unowned(Kind::Setting, "clock-witness")
}

/// What a record says; `None` when this program could not have written it.
fn read(record: &Record) -> Option<Timestamp> {
    let text = std::str::from_utf8(record.sealed.as_deref()?).ok()?;
    text.parse().ok().map(Timestamp::from_millis)
}

/// Lets the clock know what a process before this one has witnessed. One that was killed has not
/// written down its last moments, which count where the clock has been set back.
pub(super) async fn load(services: &Services) -> Result<(), StoreError> {
    let record = services.store.get(&record_key()).await?;
    if let Some(instant) = record.as_ref().and_then(read)
        && services.clock.now() < instant
    {
        let latest = instant.after(ACCESS_UPKEEP_INTERVAL);
        services.clock.witness(latest);
    }
    Ok(())
}

impl Authority {
    /// Writes down the latest time that was signed or served by, unless the store has a later one.
    ///
    /// # Errors
    /// [`ChangeError`]; what a crash loses then is more than a minute of it.
    pub async fn store_witness(&self) -> Result<(), ChangeError> {
        let latest = self.now().max(self.services.clock.latest());
        let record = self.services.store.get(&record_key()).await?;
        if record.as_ref().and_then(read) >= Some(latest) {
            return Ok(());
        }
        self.write_witness(record, latest).await
    }

    async fn write_witness(
        &self,
        record: Option<Record>,
        instant: Timestamp,
    ) -> Result<(), ChangeError> {
        let content = Content::sealed(instant.millis().to_string().into_bytes());
        let mut batch = self.services.new_batch()?;
        batch.writes.push(match record {
            Some(record) => Write::Replace(record.key, record.token, content),
            None => Write::Create(record_key(), content),
        });
        self.services.commit(batch).await?;
        Ok(())
    }

    /// Takes an operator's word that the clock was ahead and is right now: everything that its
    /// readings made too late is put back to what they would make now. Answers the issuers that
    /// have changed.
    ///
    /// # Errors
    /// [`ChangeError`]; issuers that were put back before stay so.
    pub async fn correct_clock(
        self: &Arc<Self>,
        actor: Actor,
        reason: String,
    ) -> Result<ClockCorrection, ChangeError> {
        let authority = Arc::clone(self);
        run_to_completion(async move { authority.put_back(&actor, &reason).await }).await
    }

    async fn put_back(
        self: &Arc<Self>,
        actor: &Actor,
        reason: &str,
    ) -> Result<ClockCorrection, ChangeError> {
        // A clock that is not believed is not taken for one that is right now.
        self.services.require_believed_time()?;
        let (clock, now) = (&self.services.clock, self.now());
        let record = self.services.store.get(&record_key()).await?;
        let latest = clock.latest();
        clock.forget_later_than(now);
        if let Err(error) = self.write_witness(record, now).await {
            clock.witness(latest);
            return Err(error);
        }
        let mut corrected = Vec::new();
        for issuer in self.issuers() {
            let request = Request::with_reason(actor.clone(), Some(reason.to_owned()));
            let change = self.change(&issuer, request.asks(Command::CorrectClock));
            let is_corrected = |event: &Event| matches!(event, Event::ClockCorrected { .. });
            // What was due anyway may have been committed in its place.
            if let Some(committed) = change.await?
                && committed.change.events.iter().any(is_corrected)
            {
                corrected.push(issuer.name().clone());
            }
        }
        let by = actor.client().unwrap_or_default();
        tracing::warn!(
            actor_id = by,
            issuers = corrected.len(),
            "the clock was corrected"
        );
        Ok(ClockCorrection { corrected, now })
    }
}
