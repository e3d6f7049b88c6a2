//! Streams of security events to other systems, after the Shared Signals Framework 1.0: what a stream is,
//! which revocations are the end of sessions (CAEP 1.0), and what a security event token (RFC 8417) says of
//! them. And what the tokens of other systems mean here. Pure: time and randomness are parameters.
//!
//! As for webhooks, the audit log is what is sent from: an event is in it because the revocation that it
//! tells of was committed, in one transaction. A stream keeps the number of the event up to which its
//! receiver has taken everything. An identifier of a token derives from its stream and its event, so that it
//! is the same each time that the event is sent.

mod document;
mod endpoint;
mod event;
mod metadata;
mod received;
mod subject;
mod token;

use std::collections::BTreeSet;

use keywright_api::EventStreamStatusName;

use crate::lifecycle::Timestamp;
use crate::webhook::Delivery;

pub use endpoint::{EventStreamEndpoint, SSF_CONFIGURATION};
pub use event::{SESSION_REVOKED, STREAM_UPDATED, SecurityEvent, VERIFICATION};
pub use metadata::configuration;
pub use received::{
    ACCOUNT_DISABLED, ACCOUNT_ENABLED, AccountChange, InvalidEvent, REMEMBERED_FOR, ReceivedEvent,
};
pub use subject::{UnsupportedSubject, subject_of, subject_of_event};
pub use token::{SET_TYP, SecurityEventToken, token_identifier};

/// The most streams of one client.
pub const MOST_STREAMS_OF_A_CLIENT: usize = 5;

/// The most streams of a store.
pub const MOST_STREAMS: usize = 100;

/// The most events that a receiver may have been sent without having taken the first of them.
pub const MOST_OUTSTANDING: usize = 100;

/// A stream of security events from one issuer to one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventStream {
    /// Its identifier.
    pub id: String,
    /// The client whose it is, and the audience of its tokens.
    pub client: String,
    /// How its receiver gets them.
    pub method: DeliveryMethod,
    /// What the receiver has asked for; `None` for everything that there is.
    pub events_requested: Option<Vec<String>>,
    /// What the receiver calls it.
    pub description: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether it is on.
    pub status: EventStreamStatusName,
    /// Why, in the receiver's words.
    pub reason: Option<String>,
    /// How far its receiver was told.
    pub delivery: Delivery,
    /// The numbers of later events that the receiver has taken already.
    pub acknowledged: BTreeSet<u64>,
    /// A verification that was asked for and not taken yet.
    pub verification: Option<Verification>,
}

/// How a receiver gets its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryMethod {
    /// They are sent to this URL (RFC 8935).
    Push(String),
    /// It fetches them (RFC 8936).
    Poll,
}

impl DeliveryMethod {
    /// The URN of push.
    pub const PUSH: &str = "urn:ietf:rfc:8935";
    /// The URN of poll.
    pub const POLL: &str = "urn:ietf:rfc:8936";
}

/// An event that a receiver has asked for to see whether it gets events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// What tells it from every other of the stream.
    pub id: String,
    /// What the receiver wants to find in it.
    pub state: Option<String>,
    /// When it was asked for.
    pub requested_at: Timestamp,
}

impl Verification {
    /// The `jti` of its token, for the receiver of the stream with this identifier.
    pub fn token_identifier(&self, stream: &str) -> String {
        token_identifier(stream, &format!("verification/{}", self.id))
    }
}

/// An event that a receiver has not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingEvent {
    /// Its number in the audit log; `None` for a verification.
    pub sequence: Option<u64>,
    /// The identifier of its token.
    pub jti: String,
    /// What it says.
    pub event: SecurityEvent,
}

/// The events after the position of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingEvents {
    /// Those that the receiver has not taken, at most [`MOST_OUTSTANDING`].
    pub events: Vec<PendingEvent>,
    /// The number of the last event of the log that was looked at.
    pub looked_at: u64,
    /// Whether there may be more.
    pub has_more: bool,
}

impl EventStream {
    /// Whether the receiver wants to be told of sessions that have ended.
    pub fn wants_sessions(&self) -> bool {
        let requested = self.events_requested.as_ref();
        requested.is_none_or(|requested| requested.iter().any(|event| event == SESSION_REVOKED))
    }

    /// It, after a delivery or an attempt.
    #[must_use]
    pub fn with(&self, delivery: Delivery) -> Self {
        Self {
            delivery,
            ..self.clone()
        }
    }

    /// Whether a process may push to it now, and where.
    pub fn pushes_to(&self, now: Timestamp) -> Option<&str> {
        let is_due = self.status == EventStreamStatusName::Enabled && self.delivery.is_due(now);
        match &self.method {
            DeliveryMethod::Push(url) if is_due => Some(url),
            DeliveryMethod::Push(_) | DeliveryMethod::Poll => None,
        }
    }

    /// It, when the receiver has taken the events of these tokens. Its position moves on to the first event
    /// that was not taken.
    #[must_use]
    pub fn taken(&self, pending: &PendingEvents, is_taken: impl Fn(&str) -> bool) -> Self {
        let (taken, left): (Vec<_>, Vec<_>) =
            pending.events.iter().partition(|one| is_taken(&one.jti));
        let through = match left.iter().find_map(|one| one.sequence) {
            Some(first) => first.saturating_sub(1),
            None => pending.looked_at,
        };
        let through = through.max(self.delivery.through);
        let mut acknowledged = self.acknowledged.clone();
        acknowledged.extend(taken.iter().filter_map(|one| one.sequence));
        acknowledged.retain(|sequence| *sequence > through);
        let verification = self.verification.clone();
        Self {
            delivery: self.delivery.delivered(through),
            acknowledged,
            verification: verification.filter(|one| !is_taken(&one.token_identifier(&self.id))),
            ..self.clone()
        }
    }

    /// It under another status. `log_end` is the number of the last event of the audit log: what happened
    /// while a stream was disabled its receiver is not told of.
    #[must_use]
    pub fn under(
        &self,
        status: EventStreamStatusName,
        reason: Option<String>,
        log_end: u64,
    ) -> Self {
        use EventStreamStatusName::{Disabled, Enabled, Paused};
        let mut changed = Self {
            status,
            reason,
            ..self.clone()
        };
        if self.status == Disabled || status == Disabled {
            changed.delivery = Delivery::after(log_end);
            changed.acknowledged.clear();
            changed.verification = None;
        }
        match status {
            Enabled => changed.with(changed.delivery.resumed()),
            Paused | Disabled => changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::Rejection;

    pub(super) const AT: Timestamp = Timestamp::from_seconds(1_800_000_000);

    pub(super) fn stream() -> EventStream {
        EventStream {
            id: "0123456789abcdef".to_owned(),
            client: "fedcba9876543210".to_owned(),
            method: DeliveryMethod::Poll,
            events_requested: None,
            description: None,
            created_at: AT,
            status: EventStreamStatusName::Enabled,
            reason: None,
            delivery: Delivery::after(7),
            acknowledged: BTreeSet::new(),
            verification: None,
        }
    }

    fn pending(sequences: &[u64], looked_at: u64) -> PendingEvents {
        let event = |sequence: &u64| PendingEvent {
            sequence: Some(*sequence),
            jti: sequence.to_string(),
            event: SecurityEvent::Verification { state: None },
        };
        PendingEvents {
            events: sequences.iter().map(event).collect(),
            looked_at,
            has_more: false,
        }
    }

    #[test]
    fn a_position_moves_on_to_the_first_event_that_was_not_taken() {
        let outstanding = pending(&[9, 11, 15], 20);
        let one = stream().taken(&outstanding, |jti| jti == "11");
        assert_eq!(one.delivery.through, 8);
        assert_eq!(one.acknowledged, BTreeSet::from([11]));
        let two = one.taken(&pending(&[9, 15], 20), |jti| jti == "9");
        assert_eq!(two.delivery.through, 14);
        assert!(two.acknowledged.is_empty());
        let all = two.taken(&pending(&[15], 20), |jti| jti == "15");
        assert_eq!(all.delivery.through, 20);
        assert_eq!(all.taken(&pending(&[], 3), |_| true).delivery.through, 20);
    }

    #[test]
    fn a_verification_is_asked_for_until_it_was_taken() {
        let asked = EventStream {
            verification: Some(Verification {
                id: "v".to_owned(),
                state: None,
                requested_at: AT,
            }),
            ..stream()
        };
        let jti = asked.verification.as_ref().unwrap();
        let jti = jti.token_identifier(&asked.id);
        let mut outstanding = pending(&[9], 9);
        let first = outstanding.events.first_mut().unwrap();
        (first.sequence, first.jti) = (None, jti.clone());
        let lost = asked.taken(&outstanding, |_| false);
        assert!(lost.verification.is_some());
        let taken = lost.taken(&outstanding, |one| one == jti);
        assert_eq!(taken.verification, None);
        assert_eq!(taken.delivery.through, 9);
        // One that was asked for meanwhile is another.
        let mut again = lost.clone();
        again.verification.as_mut().unwrap().id = "w".to_owned();
        let again = again.taken(&outstanding, |one| one == jti);
        assert!(again.verification.is_some());
    }

    #[test]
    fn a_paused_stream_keeps_its_position_and_a_disabled_one_loses_it() {
        use EventStreamStatusName::{Disabled, Enabled, Paused};
        let pushed = EventStream {
            method: DeliveryMethod::Push("https://a.example".to_owned()),
            ..stream()
        };
        assert!(pushed.pushes_to(AT).is_some());
        let paused = pushed.under(Paused, None, 30);
        assert_eq!(paused.pushes_to(AT), None);
        assert_eq!(paused.under(Enabled, None, 40).delivery.through, 7);
        let disabled = paused.under(Disabled, None, 50);
        let enabled = disabled.under(Enabled, None, 60);
        assert_eq!(enabled.delivery.through, 60);
        let gone = pushed.with(pushed.delivery.rejected(&Rejection::Gone, AT));
        assert_eq!(gone.pushes_to(AT), None);
        assert!(gone.under(Enabled, None, 70).pushes_to(AT).is_some());
    }

    #[test]
    fn what_was_not_asked_for_is_not_wanted() {
        let asks = |events: &[&str]| EventStream {
            events_requested: Some(events.iter().map(ToString::to_string).collect()),
            ..stream()
        };
        assert!(stream().wants_sessions());
        assert!(asks(&["https://a.example/x", SESSION_REVOKED]).wants_sessions());
        assert!(!asks(&[]).wants_sessions());
    }
}
