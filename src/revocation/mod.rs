//! Tokens that are taken back: what a revocation is, what it means for a signature, and in which
//! parts the feed has all of an issuer's. Pure: time is a parameter.

mod document;
mod layout;
mod selector;
pub mod status_list;
mod verdict;

use std::time::Duration;

use keywright_verifier::revocation::{Record, Salt, Selector, SelectorKind};
use serde_json::Value;

use status_list::{StatusEntry, StatusKeys};

use crate::lifecycle::{Confirmation, KeySet, Policy, Timestamp, Timing};

pub use document::{BanDocument, InvalidSelector, selector_document, selector_of};
pub use layout::{Layout, LayoutRecord, height};
pub use selector::{ErasedSelector, RevokedSelector, tracked_by};
pub use verdict::SigningVerdict;

/// Tokens of one issuer that were taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its identifier.
    pub id: String,
    /// Which tokens.
    pub selector: RevokedSelector,
    /// What it does to those that verifiers see.
    pub state: State,
    /// Whether matching tokens are signed.
    pub ban: Option<Ban>,
    /// Why, in the words of who asked.
    pub reason: Option<String>,
    /// Who asked, as the audit log names it.
    pub by: Value,
    /// The client whose quota it counts against; empty where none asked.
    pub client: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When its record in the feed last changed.
    pub changed_at: Timestamp,
}

/// What a revocation does to matching tokens that verifiers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Every one is refused: some process may not know of it yet.
    Open,
    /// Those that were issued before are refused.
    Closed {
        /// In Unix seconds.
        issued_before: u64,
        /// From when on every token that is refused has expired anyway.
        expires_at: Timestamp,
    },
}

/// For how long matching tokens are not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ban {
    /// Until it is lifted.
    UntilLifted,
    /// Until then.
    Until(Timestamp),
}

impl Ban {
    /// Whether it is in force.
    pub fn holds(self, now: Timestamp) -> bool {
        match self {
            Self::UntilLifted => true,
            Self::Until(end) => now < end,
        }
    }
}

/// How much longer than it must a record stays in the feed, so that segments change once an hour and
/// not with each record that leaves.
const FEED_HOUR: u64 = 3600;

/// The seconds of a day, by which no two clocks differ.
const DAY: u64 = 86_400;

const A_MONTH: Duration = Duration::from_secs(31 * DAY);

/// The hour of an instant. Records leave the feed at the end of one.
pub fn feed_hour(instant: Timestamp) -> u64 {
    instant.floor_seconds() / FEED_HOUR
}

impl Revocation {
    /// The same, closed at `now`, which is no earlier than any time that a process which did not know
    /// of it may have issued a token by. A token that is issued from the next second but one on was
    /// signed by one that knew. `set` says how long such tokens may live.
    #[must_use]
    pub fn closed(self, set: &KeySet, now: Timestamp) -> Self {
        let issued_before = now.ceil_seconds().saturating_add(1);
        let expires_at = set.tokens_expire_by(Timestamp::from_seconds(issued_before));
        Self {
            state: State::Closed {
                issued_before,
                expires_at,
            },
            changed_at: now,
            ..self
        }
    }

    /// From when on it may be closed also where a process has not said that it knows of it: that one
    /// signs no more, or has asked the store since.
    pub fn closes_by(&self, timing: &Timing) -> Timestamp {
        match timing.max_staleness {
            Some(_) => self.created_at.after(timing.overlap()),
            None => self.created_at,
        }
    }

    /// The tokens that it refuses, as verifiers are told: those with an earlier `iat`; `None` for all.
    pub fn issued_before(&self) -> Option<u64> {
        match self.state {
            State::Open => None,
            State::Closed { issued_before, .. } => Some(issued_before),
        }
    }

    /// Whether the feed has it.
    pub fn is_in_feed(&self, now: Timestamp) -> bool {
        match self.state {
            State::Open => true,
            State::Closed { expires_at, .. } => {
                feed_hour(now) <= expires_at.ceil_seconds() / FEED_HOUR
            }
        }
    }

    /// Whether nothing follows from it any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        !self.is_in_feed(now) && !self.ban.is_some_and(|ban| ban.holds(now))
    }

    /// Whether it may take back grants: a `jti` is that of one token.
    pub fn may_match_grants(&self) -> bool {
        match &self.selector {
            RevokedSelector::Known(selector) => selector.kind() != SelectorKind::Jti,
            RevokedSelector::Erased(erased) => erased.kind != SelectorKind::Jti,
        }
    }

    /// The entry of the status list that the token has which it takes back, if it names one by a `jti` that
    /// says so. While it is open, those of tokens that live for longer than a month are not found.
    pub fn status_entry(&self, keys: &StatusKeys) -> Option<StatusEntry> {
        let jti = match &self.selector {
            RevokedSelector::Known(Selector::Jti(jti)) => jti.as_str(),
            RevokedSelector::Known(_) => return None,
            RevokedSelector::Erased(erased) => return erased.status,
        };
        let latest = match self.state {
            State::Open => self.created_at.after(A_MONTH),
            State::Closed { expires_at, .. } => expires_at,
        };
        let created_at = self.created_at.floor_seconds();
        keys.entry_of(jti, created_at.saturating_sub(DAY)..=latest.ceil_seconds())
    }

    /// What the feed says of it, and the kind of the selector. Where it is not known whose tokens
    /// it is about, it is about all: it takes none back otherwise.
    pub fn record(&self, salt: &Salt) -> (SelectorKind, Record) {
        let known = self.selector.digest(salt);
        let (kind, digest) =
            known.unwrap_or_else(|| (SelectorKind::Issuer, Selector::Issuer.digest(salt)));
        let record = Record {
            digest,
            issued_before: self.issued_before(),
        };
        (kind, record)
    }
}

/// Whether one person may not do it alone: it locks out everyone, or everyone of an audience.
pub fn needs_two_people(selector: &Selector, policy: &Policy) -> bool {
    let is_wide = matches!(selector, Selector::Issuer | Selector::Audience(_));
    is_wide && policy.confirmation != Confirmation::None
}

/// How often a verifier that follows the feed asks.
pub const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
