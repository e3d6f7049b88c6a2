//! What a key set was at an earlier instant, told from the records of its keys.
//!
//! A key's record keeps every instant at which it changed, also after the key was removed or
//! revoked, so that the past needs no copy of its own. Its instants are those that changes are
//! stamped with. After the clock has been set back, what happens until it has caught up is stamped
//! with the latest instant that the set had witnessed, and the set of that one instant is the last
//! of them. A canary is told as active from when on it signed, as its record says it later.

use keywright_api::KeyState;

use super::key::{Key, State};
use super::key_set::KeySet;
use super::time::Timestamp;

/// A key as it was.
#[derive(Debug, Clone, Copy)]
pub struct PastKey<'a> {
    /// The key, with its record as it is now.
    pub key: &'a Key,
    /// The state that it was in.
    pub state: KeyState,
    /// Whether the set that was served then contained it.
    pub was_published: bool,
}

impl KeySet {
    /// Every key that was in the set at `instant`, in the order in which they came; `None` when
    /// the issuer did not exist yet. Nothing can be told of the time that lies ahead.
    pub fn keys_at(&self, instant: Timestamp) -> Option<Vec<PastKey<'_>>> {
        if instant < self.created_at {
            return None;
        }
        let keys = self.keys.iter().filter_map(|key| {
            Some(PastKey {
                key,
                state: key.state_at(instant)?,
                was_published: key.was_published(instant),
            })
        });
        Some(keys.collect())
    }
}

impl Key {
    /// The state that it was in; `None` before it came.
    fn state_at(&self, instant: Timestamp) -> Option<KeyState> {
        if instant < self.published_at {
            return None;
        }
        let has_come = |time: Option<Timestamp>| time.is_some_and(|time| time <= instant);
        let (retired_at, end) = match &self.state {
            State::Pending(_) | State::Canary(_) | State::Active(_) => (None, None),
            State::Retired(retired) => (Some(retired.retired_at), None),
            State::Removed(removed) => (Some(removed.retired_at), Some(removed.removed_at)),
            State::Revoked(revoked) => (revoked.retired_at, Some(revoked.revoked_at)),
        };
        Some(if has_come(end) {
            self.state.kind()
        } else if has_come(retired_at) {
            KeyState::Retired
        } else if has_come(self.activated_at()) {
            KeyState::Active
        } else {
            KeyState::Pending
        })
    }

    /// Whether a set that was served at `instant` contained it: from its publication on, until the
    /// first of whatever ended that. A policy that prolongs a publication does so while it lasts,
    /// so that the end which was kept last is the one that was lived up to.
    fn was_published(&self, instant: Timestamp) -> bool {
        let ends = match &self.state {
            State::Pending(_) | State::Canary(_) | State::Active(_) => [None, None],
            State::Retired(retired) => [Some(retired.published_until), None],
            State::Removed(removed) => [Some(removed.removed_at), removed.published_until],
            State::Revoked(revoked) => [Some(revoked.revoked_at), revoked.published_until],
        };
        self.published_at <= instant && ends.into_iter().flatten().all(|end| instant < end)
    }
}
