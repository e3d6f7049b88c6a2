//! Until when a snapshot may sign and be served as fresh.
//!
//! One permit is shared by a snapshot and by every copy of it that decides anew what is published:
//! what ends it ends it for all. It has no end until a commit begins that may replace the set. It
//! is measured by the clock that no program sets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// What a snapshot may do, and until when.
#[derive(Debug)]
pub struct SigningPermit {
    /// In milliseconds of the monotonic clock.
    signs_until: AtomicU64,
    fresh_until: AtomicU64,
}

const NO_END: u64 = u64::MAX;

impl Default for SigningPermit {
    fn default() -> Self {
        Self {
            signs_until: AtomicU64::new(NO_END),
            fresh_until: AtomicU64::new(NO_END),
        }
    }
}

/// What a commit that may replace the set takes away from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// A key that signs will sign no more.
    Signer,
    /// Only what is published changes.
    Publication,
}

impl SigningPermit {
    /// A commit begins that may replace the set: unless it is taken back, the permit ends after
    /// `duration`.
    pub fn begin_switch_over(
        &self,
        replaces: Replaces,
        duration: Duration,
        clock: &Clock,
    ) -> SwitchOver<'_> {
        let mut end = clock.read();
        end.monotonic = end.monotonic.saturating_add(duration);
        let end = end.monotonic_millis();
        self.fresh_until.store(end, Ordering::Release);
        if replaces == Replaces::Signer {
            self.signs_until.store(end, Ordering::Release);
        }
        SwitchOver(self)
    }

    /// A key that signs has been revoked: nothing is signed any more, and what is being signed is
    /// not handed out.
    pub fn revoke(&self) {
        self.signs_until.store(0, Ordering::Release);
    }

    /// Whether a snapshot may sign now.
    pub fn allows_signing(&self, clock: &Clock) -> bool {
        is_within(&self.signs_until, clock)
    }

    /// Whether what a snapshot publishes is fresh now.
    pub fn allows_freshness(&self, clock: &Clock) -> bool {
        is_within(&self.fresh_until, clock)
    }
}

fn is_within(end: &AtomicU64, clock: &Clock) -> bool {
    match end.load(Ordering::Acquire) {
        NO_END => true,
        end => clock.read().monotonic_millis() < end,
    }
}

/// The time between the begin of a commit and its answer. Unless it is taken back the end stays,
/// also when no answer ever comes.
#[must_use = "what a commit has not replaced may go on"]
pub struct SwitchOver<'p>(&'p SigningPermit);

impl SwitchOver<'_> {
    /// The commit did not happen: the permit has no end again.
    pub fn take_back(self) {
        let Self(permit) = self;
        permit.fresh_until.store(NO_END, Ordering::Release);
        // A revocation is final.
        let _ = permit
            .signs_until
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |end| {
                (end > 0).then_some(NO_END)
            });
    }
}
