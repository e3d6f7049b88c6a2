//! What happened to a key set: one event for each transition, written with it.

use keywright_api::Share;
use keywright_verifier::{Algorithm, Kid};
use serde::Serialize;
use serde_json::Value;

/// One thing that happened. Serialised as `{"event": "key-activated", …}`; instants are in Unix
/// seconds. No event carries private material or a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "snake_case"
)]
pub enum Event {
    /// An issuer exists from here on.
    IssuerCreated {
        /// Its first policy.
        policy: Value,
        /// Whether it continues another system's set.
        takes_over: bool,
    },
    /// An issuer's rules changed.
    PolicyChanged {
        /// The rules until now.
        before: Value,
        /// The rules from now on.
        after: Value,
    },
    /// An issuer has ended, with all its keys.
    IssuerDeleted {},
    /// The clock was ahead, and what it had made too late was put back.
    ClockCorrected {
        /// How far the set's time was ahead of the clock.
        by_seconds: u64,
    },
    /// A key entered the published set, pending.
    KeyPublished {
        /// The key.
        kid: Kid,
        /// Its algorithm.
        algorithm: Algorithm,
        /// Whether another system made it.
        imported: bool,
        /// When it may sign; absent while it is not known that every copy of the set has it.
        #[serde(skip_serializing_if = "Option::is_none")]
        ready_at: Option<u64>,
    },
    /// Every copy of the set has a pending key.
    KeyConfirmed {
        /// The key.
        kid: Kid,
        /// Its algorithm.
        algorithm: Algorithm,
        /// When it may sign.
        ready_at: u64,
    },
    /// It is not known any more that every copy of the set has a pending key.
    KeyUnconfirmed {
        /// The key.
        kid: Kid,
        /// Its algorithm.
        algorithm: Algorithm,
    },
    /// A rotation no longer waits for the verifiers that lack its successor.
    AdoptionMissed {
        /// The successor.
        kid: Kid,
        /// Its algorithm.
        algorithm: Algorithm,
        /// The share of the verifiers that should have held it.
        share: Share,
        /// How many held it.
        holders: u64,
        /// How many were known.
        verifiers: u64,
        /// Replicas that had not counted for long enough to tell.
        uncounted_replicas: u64,
    },
    /// A key began to sign a share of the tokens, beside the active key.
    KeyCanaryStarted {
        /// The key.
        kid: Kid,
        /// Its algorithm.
        algorithm: Algorithm,
        /// Its share of the tokens.
        share: Share,
        /// When it becomes active, unless it is stopped before.
        until: u64,
    },
    /// A canary was taken back: it signs no more, and the active key signs all tokens again.
    KeyCanaryStopped {
        /// The key.
        kid: Kid,
        /// Its algorithm.
        algorithm: Algorithm,
    },
    /// A key began to sign.
    KeyActivated {
        /// The key.
        kid: Kid,
        /// Its algorithm.
        algorithm: Algorithm,
        /// Whether another system made it.
        imported: bool,
        /// Whether it began before verifiers could be sure to know it.
        forced: bool,
    },
    /// A key stopped signing and goes on verifying, or came in as a key that only verifies.
    KeyRetired {
        /// The key.
        kid: Kid,
        /// Its algorithm.
        algorithm: Algorithm,
        /// Whether another system made it.
        imported: bool,
        /// Until when it is published.
        published_until: u64,
    },
    /// A key left the published set at the end of its life.
    KeyRemoved {
        /// The key.
        kid: Kid,
        /// Its algorithm.
        algorithm: Algorithm,
    },
    /// A key left the published set because no verifier may trust it any more.
    KeyRevoked {
        /// The key.
        kid: Kid,
        /// Its algorithm.
        algorithm: Algorithm,
        /// The state that it was in.
        from: &'static str,
        /// When the last token that it may have signed would have expired.
        tokens_until: u64,
    },
}

impl Event {
    /// The key that the event is about, if it is about one.
    pub fn kid(&self) -> Option<&Kid> {
        match self {
            Self::IssuerCreated { .. }
            | Self::PolicyChanged { .. }
            | Self::IssuerDeleted {}
            | Self::ClockCorrected { .. } => None,
            Self::KeyPublished { kid, .. }
            | Self::AdoptionMissed { kid, .. }
            | Self::KeyCanaryStarted { kid, .. }
            | Self::KeyCanaryStopped { kid, .. }
            | Self::KeyConfirmed { kid, .. }
            | Self::KeyUnconfirmed { kid, .. }
            | Self::KeyActivated { kid, .. }
            | Self::KeyRetired { kid, .. }
            | Self::KeyRemoved { kid, .. }
            | Self::KeyRevoked { kid, .. } => Some(kid),
        }
    }
}
