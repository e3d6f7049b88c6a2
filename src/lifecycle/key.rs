//! One signing key and the states it passes through.
//!
//! Each state carries the data that is legal in it and no other, so that "when was this pending
//! key retired" is not a question that the code can ask.

use std::time::Duration;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use keywright_api::KeyState;
use keywright_verifier::{Algorithm, Jwk, Kid};

use super::policy::Policy;
use super::time::Timestamp;

/// The public half of one key pair, with its place in life.
///
/// The private half is not here: it rests sealed in the store, under the same `kid`, while the
/// key is pending or active. A clone shares the record until one of the two changes, and is equal
/// without a look into it: a set keeps the records of its dead keys for good, and each change
/// clones the set and looks for what is other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(Arc<KeyRecord>);

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    pub(super) jwk: Jwk,
    pub(super) origin: KeyOrigin,
    pub(super) created_at: Timestamp,
    pub(super) published_at: Timestamp,
    pub(super) state: State,
}

/// Where a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOrigin {
    /// Made here.
    Generated,
    /// Brought in from another system.
    Imported,
}

/// The states of a key: `pending → active → retired → removed`, under a policy that says so with `canary` after
/// `pending`, and `revoked` from each but the last. A canary that is stopped retires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Published, not signing yet.
    Pending(Pending),
    /// Signs a share of the tokens, beside the active key.
    Canary(Canary),
    /// Signs.
    Active(Active),
    /// Published, verifies only.
    Retired(Retired),
    /// Not published; only its record stays.
    Removed(Removed),
    /// Distrusted: not published, never signs again.
    Revoked(Revoked),
}

/// What a pending key knows about the world's knowledge of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Who may still hold a set without this key.
    pub visibility: Visibility,
    /// Whether the copies have it that are pushed elsewhere.
    pub copies: Copies,
}

/// Whether every copy of the set has a key: those to which the policy has the set pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// No copy is known that lacks it: the policy names none, or the first of every copy has it.
    NoneWithout,
    /// A copy may lack it, and verifiers read the copy. Until all have it, it cannot become ready.
    Unconfirmed {
        /// From when on this has not been known.
        since: Timestamp,
    },
    /// Every copy has it.
    Confirmed {
        /// From when on whoever reads a copy finds it there.
        since: Timestamp,
        /// Until when what was read without it is fresh, with its stale windows and the clock skew
        /// counted in.
        missing_until: Timestamp,
    },
}

/// Until when a verifier may hold, as fresh, a set that lacks a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// The key stands in the first set that was ever served: no verifier holds a set without it.
    SinceFirstSet,
    /// Sets without it were served, and the last of them is fresh until this instant, with its
    /// stale windows and the clock skew counted in.
    MissingUntil(Timestamp),
}

/// What is kept while a key signs a share of the tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// When it began to sign.
    pub started_at: Timestamp,
    /// What the clock showed then: its time counts from here.
    pub counted_from: Timestamp,
    /// The longest lifetime that any token signed since then may have been given.
    pub longest_ttl: Duration,
    /// The widest clock skew that any policy has allowed for since then.
    pub widest_skew: Duration,
}

/// What is kept while a key signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// When it began to sign: as a canary, if it was one.
    pub activated_at: Timestamp,
    /// What the clock showed when it became active: the schedule counts from here. The stamp may be later, when the
    /// clock was ahead before, and the rotation would be as late.
    pub scheduled_from: Timestamp,
    /// The longest lifetime that any token signed since then may have been given.
    pub longest_ttl: Duration,
    /// The widest clock skew that any policy has allowed for since then.
    pub widest_skew: Duration,
}

/// What is kept while a key only verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// When it began to sign; `None` when it never signed here.
    pub activated_at: Option<Timestamp>,
    /// When it stopped.
    pub retired_at: Timestamp,
    /// When the last token that it may have signed expires.
    pub tokens_until: Timestamp,
    /// Until when it is published.
    pub published_until: Timestamp,
}

/// The record of a key that has lived its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// When it began to sign; `None` when it never signed here.
    pub activated_at: Option<Timestamp>,
    /// When it stopped.
    pub retired_at: Timestamp,
    /// When it was removed.
    pub removed_at: Timestamp,
    /// When it left the published set, which is when its time was over: the removal may come
    /// later. `None` in records of before this was kept.
    pub published_until: Option<Timestamp>,
}

/// The record of a key that no verifier may trust any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// When it began to sign; `None` when it never signed here.
    pub activated_at: Option<Timestamp>,
    /// When it stopped; `None` when the revocation stopped it.
    pub retired_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Timestamp,
    /// When it would have left the published set, or had left it; `None` unless it was retired,
    /// and in records of before this was kept.
    pub published_until: Option<Timestamp>,
    /// Why, in the words of the caller that revoked it.
    pub reason: String,
}

impl State {
    /// The state without its data.
    pub fn kind(&self) -> KeyState {
        match self {
            Self::Pending(_) => KeyState::Pending,
            Self::Canary(_) => KeyState::Canary,
            Self::Active(_) => KeyState::Active,
            Self::Retired(_) => KeyState::Retired,
            Self::Removed(_) => KeyState::Removed,
            Self::Revoked(_) => KeyState::Revoked,
        }
    }

    /// The state's one word, as every interface spells it.
    pub fn name(&self) -> &'static str {
        self.kind().as_str()
    }
}

impl Deref for Key {
    type Target = KeyRecord;

    fn deref(&self) -> &KeyRecord {
        &self.0
    }
}

impl DerefMut for Key {
    fn deref_mut(&mut self) -> &mut KeyRecord {
        Arc::make_mut(&mut self.0)
    }
}

impl Key {
    /// Puts a stored key together again. What its set allows is checked by
    /// [`KeySet::restore`](super::KeySet::restore).
    pub fn restore(
        jwk: Jwk,
        origin: KeyOrigin,
        created_at: Timestamp,
        published_at: Timestamp,
        state: State,
    ) -> Self {
        Self(Arc::new(KeyRecord {
            jwk,
            origin,
            created_at,
            published_at,
            state,
        }))
    }

    /// The key's name in token headers and in the published set.
    pub fn kid(&self) -> &Kid {
        self.jwk.kid()
    }

    /// The one algorithm that it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.jwk.algorithm()
    }

    /// The public half, as it is published.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Where it came from.
    pub fn origin(&self) -> KeyOrigin {
        self.origin
    }

    /// When it entered the set.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When the set that first had it was committed.
    pub fn published_at(&self) -> Timestamp {
        self.published_at
    }

    /// Its place in life.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// When it began to sign, if it ever did.
    pub fn activated_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Pending(_) => None,
            State::Canary(canary) => Some(canary.started_at),
            State::Active(active) => Some(active.activated_at),
            State::Retired(retired) => retired.activated_at,
            State::Removed(removed) => removed.activated_at,
            State::Revoked(revoked) => revoked.activated_at,
        }
    }

    /// Whether its private half must exist: only while it signs or will sign.
    pub fn holds_private_half(&self) -> bool {
        matches!(
            self.state,
            State::Pending(_) | State::Canary(_) | State::Active(_)
        )
    }

    /// Whether it signs: all tokens, or a share of them.
    pub fn signs(&self) -> bool {
        matches!(self.state, State::Canary(_) | State::Active(_))
    }

    /// Whether it is neither revoked nor at the end of its life.
    pub(super) fn is_trusted(&self) -> bool {
        !matches!(self.state, State::Removed(_) | State::Revoked(_))
    }

    /// Whether a set that is served at `now` contains it.
    ///
    /// Decided when it is read: a retired key whose time is over is out of the set even when the
    /// commit that removes it has not succeeded yet.
    pub fn is_published(&self, now: Timestamp) -> bool {
        match &self.state {
            State::Pending(_) | State::Canary(_) | State::Active(_) => true,
            State::Retired(retired) => now < retired.published_until,
            State::Removed(_) | State::Revoked(_) => false,
        }
    }

    /// When this key may sign by itself; `None` unless it is pending.
    ///
    /// The later of two instants: its lead has passed, and every set that was served without it
    /// has gone stale. A key of the first set is known to everyone who knows anything. The same counts
    /// for copies from when on all have it; until then it is the end of time.
    pub fn ready_at(&self, policy: &Policy) -> Option<Timestamp> {
        let State::Pending(pending) = &self.state else {
            return None;
        };
        let served = match pending.visibility {
            Visibility::SinceFirstSet => self.published_at,
            Visibility::MissingUntil(until) => until.max(self.published_at.after(policy.lead)),
        };
        Some(match pending.copies {
            Copies::NoneWithout => served,
            Copies::Unconfirmed { .. } => Timestamp::END,
            Copies::Confirmed {
                since,
                missing_until,
            } => served.max(missing_until).max(since.after(policy.lead)),
        })
    }

    /// From when on it has not been known that every copy has this key; `None` where it is known,
    /// there is no copy, or the key is not pending.
    pub fn unconfirmed_since(&self) -> Option<Timestamp> {
        match &self.state {
            State::Pending(Pending {
                copies: Copies::Unconfirmed { since },
                ..
            }) => Some(*since),
            _ => None,
        }
    }
}
