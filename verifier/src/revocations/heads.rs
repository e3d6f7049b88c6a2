//! What an issuer has said is revoked, and for how long that counts. Pure: time is passed in.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::ClockReading;
use crate::revocation::{Head, RevocationTable, TokenSelectors};
use crate::{Jwk, JwkSet, VerifyError};

/// How far ahead of this clock an issuer's may be, and how far the two may differ without a warning.
pub(super) const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// When a token is judged.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    /// Now, by both clocks.
    Now(ClockReading),
    /// At a time that the caller chose. Since a head was received, at least as much time has passed as
    /// the monotonic clock says.
    Given(ClockReading),
}

/// For how long a token or a head vouches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bound {
    /// As long as the head says.
    OfHead,
    /// So long, whatever the head says.
    Own(Duration),
    /// Without an end.
    Without,
}

/// The issuer's time, as far as this machine can tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct IssuerClock {
    read_at: ClockReading,
    /// How far the issuer's clock is ahead of this wall clock, as was seen at `read_at`.
    ahead: Duration,
}

impl IssuerClock {
    /// Believes the wall clock.
    pub(super) const fn starting(read_at: ClockReading) -> Self {
        Self {
            read_at,
            ahead: Duration::ZERO,
        }
    }

    /// After a head that was signed for a request of this verifier: it cannot be later than its `iat`
    /// at the issuer. It may well be, so that a wall clock which is ahead is left alone.
    pub(super) fn measured(read_at: ClockReading, issued_at: Duration) -> Self {
        Self {
            read_at,
            ahead: issued_at.saturating_sub(since_epoch(read_at.wall)),
        }
    }

    /// The time since 1970. By the clock that says more, so that neither a machine that slept nor a
    /// clock that was set back makes anything younger.
    pub(super) fn now(&self, moment: Moment) -> Duration {
        match moment {
            Moment::Now(reading) => since_epoch(self.read_at.wall)
                .saturating_add(self.ahead)
                .saturating_add(reading.since(self.read_at)),
            Moment::Given(reading) => since_epoch(reading.wall).saturating_add(self.ahead),
        }
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A head whose signature, claims and segments have been found good.
#[derive(Clone, Debug)]
pub(super) struct AcceptedHead {
    key: Jwk,
    issued_at: Duration,
    max_age: Duration,
    root: [u8; 32],
    record_count: u64,
    table: RevocationTable,
    received_at: ClockReading,
    age_at_receipt: Duration,
}

impl AcceptedHead {
    pub(super) fn new(
        head: &Head,
        key: Jwk,
        table: RevocationTable,
        received_at: ClockReading,
        clock: &IssuerClock,
    ) -> Self {
        let issued_at = Duration::from_millis(head.issued_at_milliseconds);
        Self {
            key,
            issued_at,
            max_age: Duration::from_secs(head.max_age_seconds),
            root: head.content.root(),
            record_count: head.content.record_count(),
            table,
            received_at,
            age_at_receipt: clock
                .now(Moment::Now(received_at))
                .saturating_sub(issued_at),
        }
    }

    /// `iat`, since 1970.
    pub(super) const fn issued_at(&self) -> Duration {
        self.issued_at
    }

    pub(super) const fn max_age(&self) -> Duration {
        self.max_age
    }

    pub(super) const fn root(&self) -> [u8; 32] {
        self.root
    }

    pub(super) const fn record_count(&self) -> u64 {
        self.record_count
    }

    pub(super) const fn table(&self) -> &RevocationTable {
        &self.table
    }

    /// How old it was when it came.
    pub(super) const fn age_at_receipt(&self) -> Duration {
        self.age_at_receipt
    }

    /// How long ago it was true.
    pub(super) fn age(&self, clock: &IssuerClock, moment: Moment) -> Duration {
        let by_issuer = clock.now(moment).saturating_sub(self.issued_at);
        let by_receipt = match moment {
            Moment::Now(reading) => self
                .age_at_receipt
                .saturating_add(reading.since(self.received_at)),
            Moment::Given(reading) => reading.monotonic.saturating_sub(self.received_at.monotonic),
        };
        by_issuer.max(by_receipt)
    }
}

/// The newest head of each key of the issuer: a key that leaves the issuer's set takes its head along,
/// and that of another key counts.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    clock: IssuerClock,
    held: Vec<Arc<AcceptedHead>>,
}

/// What a token says that revocations are about.
#[derive(Clone, Debug)]
pub(super) struct TokenFacts<'c> {
    pub(super) selectors: TokenSelectors<'c>,
    /// `iat`, since 1970.
    pub(super) issued_at: Option<Duration>,
}

impl Heads {
    pub(super) const fn none(now: ClockReading) -> Self {
        Self {
            clock: IssuerClock::starting(now),
            held: Vec::new(),
        }
    }

    pub(super) const fn clock(&self) -> &IssuerClock {
        &self.clock
    }

    /// The head with the greatest `iat` whose key is in the issuer's set now.
    pub(super) fn newest(&self, keys: &JwkSet) -> Option<&Arc<AcceptedHead>> {
        self.held
            .iter()
            .filter(|head| keys.keys().contains(&head.key))
            .max_by_key(|head| head.issued_at)
    }

    /// The heads once another one has come. One that is older than that of its key replaces nothing,
    /// and those whose keys have left the set are forgotten.
    pub(super) fn with(&self, head: AcceptedHead, clock: IssuerClock, keys: &JwkSet) -> Self {
        let mut held: Vec<_> = self
            .held
            .iter()
            .filter(|known| keys.keys().contains(&known.key))
            .cloned()
            .collect();
        match held.iter_mut().find(|known| known.key == head.key) {
            Some(known) if known.issued_at > head.issued_at => {}
            Some(known) => *known = Arc::new(head),
            None => held.push(Arc::new(head)),
        }
        Self { clock, held }
    }

    /// Whether a token is accepted: `vouched_at`, since 1970, up to when it is known that it was not
    /// taken back. `None` when that is not known, and `bound` does not ask for it.
    pub(super) fn judge(
        &self,
        token: &TokenFacts<'_>,
        keys: &JwkSet,
        bound: Bound,
        moment: Moment,
    ) -> Result<Option<Duration>, VerifyError> {
        let head = self.newest(keys);
        if let Some(head) = head {
            let seconds = token.issued_at.map(|issued_at| issued_at.as_secs());
            let of_head = head.issued_at.as_secs();
            if let Some(selector) = head.table.find(token.selectors.iter(), seconds, of_head) {
                return Err(VerifyError::Revoked { selector });
            }
        }
        let now = head.map_or_else(
            || self.clock.now(moment),
            |head| {
                let age = head.age(&self.clock, moment);
                head.issued_at.saturating_add(age)
            },
        );
        // The signer knew what was revoked, but not what will be.
        let issued_at = token.issued_at.map(|issued_at| issued_at.min(now));
        let vouched_at = issued_at.max(head.map(|head| head.issued_at));
        let longest = match bound {
            Bound::OfHead => head.map(|head| head.max_age),
            Bound::Own(longest) => Some(longest),
            Bound::Without => return Ok(vouched_at),
        };
        let is_vouched_for = vouched_at
            .zip(longest)
            .is_some_and(|(vouched_at, longest)| now.saturating_sub(vouched_at) <= longest);
        if is_vouched_for {
            Ok(vouched_at)
        } else {
            Err(VerifyError::RevocationsStale)
        }
    }
}

#[cfg(test)]
mod tests;
