//! When a set that was fetched may be used, and when to fetch the next one. Pure: time is passed in.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::fetch::{FetchResult, Tag};
use crate::JwkSet;
use crate::clock::ClockReading;
use crate::http::FetchError;

/// How long a set is fresh when its answer does not say.
const FRESH_BY_DEFAULT: Duration = Duration::from_secs(300);

/// The first and the longest wait after a failure; it doubles from one to the other. Of each, a random
/// half may be left out.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// The shortest wait between the end of a fetch and the next one, however old its answer is by then.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);

/// What the owner of a cache decides.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// The bounds for what an answer says about its freshness.
    pub(super) fresh: RangeInclusive<Duration>,
    /// How long a set is used after its freshness has passed, when no newer one can be had.
    pub(super) stale: Duration,
    /// How long after a fetch an unknown key causes no other.
    pub(super) cool_down: Duration,
}

/// What has been fetched, and how the last fetch went. A value: each fetch makes a new one.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    limits: Limits,
    cached: Option<CachedSet>,
    last: Option<LastFetch>,
}

#[derive(Clone, Debug)]
struct CachedSet {
    keys: Arc<JwkSet>,
    tag: Option<Tag>,
    asked_at: ClockReading,
    fresh_for: Duration,
}

#[derive(Clone, Debug)]
struct LastFetch {
    /// Its end, not its start: an issuer that takes long to answer is not asked again at once.
    ended_at: ClockReading,
    /// When the next one is due, counted from `ended_at`.
    next_after: Duration,
    failures: u32,
    error: Option<Arc<FetchError>>,
}

/// A set that may be used.
pub(super) struct Usable<'c> {
    pub(super) keys: &'c Arc<JwkSet>,
    pub(super) is_fresh: bool,
}

impl Cache {
    pub(super) const fn new(limits: Limits) -> Self {
        Self {
            limits,
            cached: None,
            last: None,
        }
    }

    /// The set, unless its time is over.
    pub(super) fn usable(&self, now: ClockReading) -> Option<Usable<'_>> {
        let cached = self.cached.as_ref()?;
        let age = now.since(cached.asked_at);
        let is_usable = age < cached.fresh_for.saturating_add(self.limits.stale);
        is_usable.then_some(Usable {
            keys: &cached.keys,
            is_fresh: age < cached.fresh_for,
        })
    }

    /// How long ago the set was asked for.
    pub(super) fn age(&self, now: ClockReading) -> Option<Duration> {
        self.cached
            .as_ref()
            .map(|cached| now.since(cached.asked_at))
    }

    pub(super) fn was_never_filled(&self) -> bool {
        self.cached.is_none()
    }

    /// What went wrong last, unless a fetch has succeeded since.
    pub(super) fn last_error(&self) -> Option<&Arc<FetchError>> {
        self.last.as_ref()?.error.as_ref()
    }

    /// What to send along, so that an unchanged set is not sent again.
    pub(super) fn tag(&self) -> Option<&Tag> {
        self.cached.as_ref()?.tag.as_ref()
    }

    /// How long to wait for the next fetch if no caller requests one.
    pub(super) fn next_fetch_in(&self, now: ClockReading) -> Duration {
        self.last.as_ref().map_or(Duration::ZERO, |last| {
            last.next_after.saturating_sub(now.since(last.ended_at))
        })
    }

    /// Whether a token that the set cannot verify is a reason to fetch now.
    ///
    /// After a failure only time is: an attacker who sends tokens must not decide how often a broken issuer is
    /// asked. In either case it is when the next fetch is due: the task that should have made it may
    /// have slept through it with the machine.
    pub(super) fn may_fetch(&self, now: ClockReading) -> bool {
        self.last.as_ref().is_none_or(|last| {
            let wait = match last.failures {
                0 => self.limits.cool_down.min(last.next_after),
                _ => last.next_after,
            };
            now.since(last.ended_at) >= wait
        })
    }

    /// Whether the next fetch is due.
    pub(super) fn is_due(&self, now: ClockReading) -> bool {
        self.next_fetch_in(now).is_zero()
    }

    /// The cache after an answer. `jitter`, from 0 to 1, spreads what many verifiers do.
    ///
    /// The set is as old as the question, because it may have left the issuer right after it.
    pub(super) fn after_fetch(
        &self,
        answer: FetchResult,
        asked_at: ClockReading,
        ended_at: ClockReading,
        jitter: f64,
    ) -> Self {
        let (shortest, longest) = (*self.limits.fresh.start(), *self.limits.fresh.end());
        let fresh_for = match (answer.fresh_for(), &answer, &self.cached) {
            (Some(said), ..) => said.clamp(shortest, longest),
            // RFC 9111 §4.3.4: what an answer leaves out stays as it was.
            (None, FetchResult::Unchanged { .. }, Some(cached)) => cached.fresh_for,
            (None, ..) => FRESH_BY_DEFAULT.clamp(shortest, longest),
        };
        let cached = match answer {
            FetchResult::Set { keys, tag, .. } => Some(CachedSet {
                keys: Arc::new(keys),
                tag,
                asked_at,
                fresh_for,
            }),
            FetchResult::Unchanged { .. } => self.cached.clone().map(|cached| CachedSet {
                asked_at,
                fresh_for,
                ..cached
            }),
        };
        // Between 70 and 90 % of the freshness: ahead of its end, with time for a retry.
        let refresh_at = fresh_for.mul_f64(0.7 + 0.2 * jitter);
        Self {
            limits: self.limits.clone(),
            cached,
            last: Some(LastFetch {
                ended_at,
                next_after: refresh_at
                    .saturating_sub(ended_at.since(asked_at))
                    .max(SHORTEST_PAUSE),
                failures: 0,
                error: None,
            }),
        }
    }

    /// The cache after a failure, which takes nothing from what it holds.
    pub(super) fn after_failure(
        &self,
        error: FetchError,
        ended_at: ClockReading,
        jitter: f64,
    ) -> Self {
        let failures = self
            .last
            .as_ref()
            .map_or(0, |last| last.failures)
            .saturating_add(1);
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let backoff = FIRST_BACKOFF.saturating_mul(doubled).min(LONGEST_BACKOFF);
        Self {
            limits: self.limits.clone(),
            cached: self.cached.clone(),
            last: Some(LastFetch {
                ended_at,
                next_after: backoff.mul_f64(0.5 + 0.5 * jitter),
                failures,
                error: Some(Arc::new(error)),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
