//! What a receiver was not told of yet, from the audit log and the records of revocations, and the tokens
//! that tell it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Authority;
use crate::authority::audit;
use crate::authority::issuer::Issuer;
use crate::authority::signing::{SignRefusal, sign_document, signer_for_others};
use crate::authority::webhooks::{MOST_PAGES, READ_AT_A_TIME};
use crate::event_stream::{
    EventStream, MOST_OUTSTANDING, PendingEvent, PendingEvents, SET_TYP, SecurityEvent,
    SecurityEventToken, token_identifier,
};
use crate::lifecycle::Timestamp;
use crate::revocation::Revocation;
use crate::store::{Kind, NumberedEvent, Query, StoreError};

impl Authority {
    /// What the receiver of a stream has not taken: a verification, and then the events of the log.
    pub(super) async fn pending_events(
        &self,
        issuer: &Issuer,
        stream: &EventStream,
    ) -> Result<PendingEvents, StoreError> {
        let verification = stream.verification.iter().map(|verification| PendingEvent {
            sequence: None,
            jti: verification.token_identifier(&stream.id),
            event: SecurityEvent::Verification {
                state: verification.state.clone(),
            },
        });
        let mut pending = PendingEvents {
            events: verification.collect(),
            looked_at: stream.delivery.through,
            has_more: false,
        };
        let mut outstanding = 0;
        for _ in 0..MOST_PAGES {
            let store = &self.services.store;
            let after = pending.looked_at;
            let read = store.events(Some(issuer.name()), after, READ_AT_A_TIME);
            let read = read.await?;
            let is_end = read.len() < usize::try_from(READ_AT_A_TIME).unwrap_or(usize::MAX);
            let opened: Vec<_> = read.iter().map(opened_revocation).collect();
            let ids: Vec<String> = opened.iter().flatten().cloned().collect();
            let revocations = self.revocations_with(issuer, ids).await?;
            for (numbered, opened) in read.iter().zip(&opened) {
                let revocation = opened.as_ref().and_then(|id| revocations.get(id));
                let event = revocation.and_then(|one| event_for(issuer, stream, numbered, one));
                if let Some(event) = event {
                    if outstanding == MOST_OUTSTANDING {
                        pending.has_more = true;
                        return Ok(pending);
                    }
                    outstanding += 1;
                    if !stream.acknowledged.contains(&numbered.sequence) {
                        pending.events.push(event);
                    }
                }
                pending.looked_at = numbered.sequence;
            }
            if is_end {
                return Ok(pending);
            }
        }
        pending.has_more = true;
        Ok(pending)
    }

    /// The revocations with these identifiers, as far as their records are there: one of which nothing
    /// follows any more has none, and its tokens have expired.
    async fn revocations_with(
        &self,
        issuer: &Issuer,
        ids: Vec<String>,
    ) -> Result<BTreeMap<String, Revocation>, StoreError> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let query = Query {
            ids: Some(ids),
            ..Query::owned(Kind::Revocation, issuer.name())
        };
        let records = self.services.store.list(query).await?;
        let read = records.into_iter().map(|record| {
            let revocation = Revocation::from_document(&record.key.id, &record.document);
            let revocation = revocation.map_err(|error| StoreError(Box::new(error)))?;
            Ok((record.key.id, revocation))
        });
        read.collect()
    }
}

/// What a stream tells of an event of the log, which has begun this revocation, if it tells of it.
fn event_for(
    issuer: &Issuer,
    stream: &EventStream,
    numbered: &NumberedEvent,
    revocation: &Revocation,
) -> Option<PendingEvent> {
    if !stream.wants_sessions() {
        return None;
    }
    let snapshot = issuer.snapshot();
    let url = snapshot.set().policy().url.as_str();
    let at = Timestamp::from_millis(numbered.event.at);
    Some(PendingEvent {
        sequence: Some(numbered.sequence),
        jti: token_identifier(&stream.id, &numbered.hash.to_string()),
        event: SecurityEvent::of(revocation, url, at)?,
    })
}

/// The revocation that an event of the log has begun.
fn opened_revocation(numbered: &NumberedEvent) -> Option<String> {
    let event = audit::shown(numbered);
    let is_revocation = event.get("event").and_then(Value::as_str) == Some("tokens-revoked");
    let id = event.get("revocation").and_then(Value::as_str);
    id.filter(|_| is_revocation).map(str::to_owned)
}

impl Issuer {
    /// Signs the token that tells the receiver of a stream of an event, with RS256 if there is a key for it:
    /// the CAEP interoperability profile knows no other algorithm.
    ///
    /// # Errors
    /// [`SignRefusal`].
    pub async fn sign_event(
        &self,
        stream: &EventStream,
        pending: &PendingEvent,
    ) -> Result<String, SignRefusal> {
        let view = self.leased_snapshot();
        let entry = signer_for_others(&view)?;
        let issuer = view.set().policy().url.as_str();
        let token = SecurityEventToken::new(issuer, stream, pending, view.issued_at());
        sign_document(&view, entry, SET_TYP, &token).await
    }
}
