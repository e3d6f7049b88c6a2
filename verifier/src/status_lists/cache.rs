//! Lists that are held, and when they are fetched again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::error::StatusListError;
use super::{CLOCK_TOLERANCE, DEFAULT_TTL, LONGEST_TTL, LONGEST_WITHOUT_EXPIRY, SHORTEST_TTL};
use crate::status_list::{StatusList, StatusListToken};
use crate::{JwkSet, Kid, clock};

/// How long after a failure a list is not asked for again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A list whose signature has been verified.
pub(super) struct HeldList {
    pub(super) list: StatusList,
    kid: Kid,
    issued_at: Duration,
    expires_at: Duration,
    fetched_at: Instant,
    ttl: Duration,
}

impl HeldList {
    pub(super) fn new(token: StatusListToken, kid: Kid, fetched_at: Instant) -> Self {
        let issued_at = Duration::from_secs(token.issued_at);
        let latest = issued_at.saturating_add(LONGEST_WITHOUT_EXPIRY);
        let ttl = token.ttl_seconds.map_or(DEFAULT_TTL, Duration::from_secs);
        Self {
            list: token.list,
            kid,
            issued_at,
            // Whatever it says, none counts for longer (§11.5).
            expires_at: token
                .expires_at
                .map_or(latest, |expiry| Duration::from_secs(expiry).min(latest)),
            fetched_at,
            ttl: ttl.clamp(SHORTEST_TTL, LONGEST_TTL),
        }
    }

    /// Whether it has not expired.
    pub(super) fn counts_at(&self, now: SystemTime) -> bool {
        now.duration_since(UNIX_EPOCH)
            .is_ok_and(|now| now < self.expires_at)
    }

    /// Whether it comes from no time that is still ahead.
    pub(super) fn is_signed_by(&self, now: SystemTime) -> bool {
        now.duration_since(UNIX_EPOCH)
            .is_ok_and(|now| self.issued_at <= now.saturating_add(CLOCK_TOLERANCE))
    }

    pub(super) fn is_signed_by_one_of(&self, keys: &JwkSet) -> bool {
        keys.keys().iter().any(|key| *key.kid() == self.kid)
    }

    fn is_fresh(&self) -> bool {
        clock::monotonic().saturating_duration_since(self.fetched_at) < self.ttl
    }
}

/// The place of a list.
#[derive(Default)]
pub(super) struct Slot {
    /// Held by the one who fetches it.
    pub(super) fetching: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Arc<HeldList>>,
    failure: Option<(Instant, StatusListError)>,
    asked_at: Option<Instant>,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list, if it need not be fetched again: it is younger than its `ttl`, or could not be had a
    /// moment ago.
    pub(super) fn fresh(&self) -> Option<Arc<HeldList>> {
        let has_just_failed = self.failure().is_some();
        let held = self.any();
        held.filter(|held| has_just_failed || held.is_fresh())
    }

    /// Why the list could not be had a moment ago. It is not asked for again at once: all who wait would do
    /// so, one after the other.
    pub(super) fn failure(&self) -> Option<StatusListError> {
        let state = self.state();
        let (at, error) = state.failure.as_ref()?;
        let is_recent = clock::monotonic().saturating_duration_since(*at) < AFTER_FAILURE;
        is_recent.then(|| error.clone())
    }

    /// The list, however old.
    pub(super) fn any(&self) -> Option<Arc<HeldList>> {
        self.state().held.clone()
    }

    /// Puts a list into the place, unless the one there is of a later time.
    pub(super) fn put(&self, held: HeldList) -> Arc<HeldList> {
        let mut state = self.state();
        state.failure = None;
        let newer = state.held.as_ref();
        if let Some(newer) = newer.filter(|newer| newer.issued_at > held.issued_at) {
            return Arc::clone(newer);
        }
        let held = Arc::new(held);
        state.held = Some(Arc::clone(&held));
        held
    }

    pub(super) fn failed(&self, error: StatusListError) {
        self.state().failure = Some((clock::monotonic(), error));
    }
}

/// The lists that are held, by their addresses.
pub(super) struct Cache {
    most: usize,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            slots: Mutex::default(),
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, uri: &str) -> Option<Arc<Slot>> {
        let slot = self.slots().get(uri).cloned()?;
        slot.state().asked_at = Some(clock::monotonic());
        Some(slot)
    }

    pub(super) fn fresh(&self, uri: &str) -> Option<Arc<HeldList>> {
        self.find(uri)?.fresh()
    }

    pub(super) fn any(&self, uri: &str) -> Option<Arc<HeldList>> {
        self.find(uri)?.any()
    }

    /// The place of a list. Where there is none left, the one that was not asked for longest is freed.
    pub(super) fn slot(&self, uri: &str) -> Arc<Slot> {
        if let Some(slot) = self.find(uri) {
            return slot;
        }
        let mut slots = self.slots();
        if slots.len() >= self.most {
            let oldest = slots.iter().min_by_key(|(_, slot)| slot.state().asked_at);
            let oldest = oldest.map(|(uri, _)| uri.clone());
            oldest.and_then(|uri| slots.remove(&uri));
        }
        let slot = Arc::clone(slots.entry(uri.to_owned()).or_default());
        slot.state().asked_at = Some(clock::monotonic());
        slot
    }
}
