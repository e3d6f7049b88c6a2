//! How long a set stays in use after a change, and by which time a change goes.

use std::time::Duration;

use super::key_set::KeySet;
use super::time::Timestamp;

/// How long the old key may go on signing after the commit that retires it began: the time for
/// that commit and for the swap of the snapshot in memory. Signing past it is refused, and every
/// retired key stays published for it in addition (the caching arithmetic's *R*).
pub const SWITCH_OVER: Duration = Duration::from_secs(2);

/// How far a replica's time of day may be from the store's. One that is farther off does not sign:
/// it would stamp tokens with times that others do not share.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// How long the processes of one store need to take a change over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a commit and the swap after it may take.
    pub switch_over: Duration,
    /// How long a process may go on without having asked the store; `None` where one process alone
    /// uses it and has nothing to miss.
    pub max_staleness: Option<Duration>,
    /// How far the clocks of two machines may be from the store's.
    pub clock_tolerance: Duration,
}

impl Timing {
    /// For a store that one process uses alone.
    pub const fn single() -> Self {
        Self {
            switch_over: SWITCH_OVER,
            max_staleness: None,
            clock_tolerance: CLOCK_TOLERANCE,
        }
    }

    /// For a store that several processes use.
    pub const fn shared(max_staleness: Duration) -> Self {
        Self {
            max_staleness: Some(max_staleness),
            ..Self::single()
        }
    }

    /// How long after its stamp a change may not be known to every process: one may sign with the
    /// set that is replaced, and serve it as fresh, for so long. In a shared store the commit has
    /// its deadline, then others go on for a staleness, and the clock that reads the end of it may
    /// be ahead of the store's.
    pub fn overlap(&self) -> Duration {
        self.max_staleness.map_or(self.switch_over, |staleness| {
            self.switch_over + staleness + self.clock_tolerance * 2
        })
    }

    /// By when, on the store's clock, a change that is stamped `stamp` must be committed, or never.
    pub fn commit_deadline(&self, stamp: Timestamp) -> Timestamp {
        stamp.after(self.switch_over + self.clock_tolerance)
    }

    /// Until when a process may sign with, and serve as fresh, the set that a commit stamped
    /// `stamp` may replace, by its own clock.
    pub fn old_set_until(&self, stamp: Timestamp) -> Timestamp {
        stamp.after(self.switch_over + self.max_staleness.unwrap_or_default())
    }
}

/// The time of a change: what the clock shows decides what may begin, the stamp what has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeTime {
    /// What the clock shows.
    pub reading: Timestamp,
    /// The latest instant at which this process has signed or served, also when its clock has been
    /// set back since.
    pub witnessed: Timestamp,
    /// How long the set that is replaced stays in use.
    pub timing: Timing,
}

impl ChangeTime {
    /// What the states of a change of `set` are stamped with: no earlier than anything that was
    /// seen, so that a clock that is set back shortens neither a lead nor a retention.
    pub fn stamp(&self, set: &KeySet) -> Timestamp {
        self.reading.max(self.witnessed).max(set.latest)
    }
}

impl From<Timestamp> for ChangeTime {
    /// The time of a change that one process alone knows of, whose clock has never been set back.
    fn from(now: Timestamp) -> Self {
        Self {
            reading: now,
            witnessed: now,
            timing: Timing::single(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_process_overlaps_its_switch_over_alone() {
        let (timing, stamp) = (Timing::single(), Timestamp::from_seconds(100));
        assert_eq!(timing.overlap(), SECOND * 2);
        assert_eq!(timing.old_set_until(stamp), Timestamp::from_seconds(102));
        assert_eq!(timing.commit_deadline(stamp), Timestamp::from_seconds(104));
    }

    // replication.md: S for the switch-over, R for the staleness, C for each of two clocks.
    #[test]
    fn several_processes_overlap_until_the_last_has_stopped_by_the_earliest_clock() {
        let timing = Timing::shared(SECOND * 30);
        let stamp = Timestamp::from_seconds(100);
        assert_eq!(timing.overlap(), SECOND * (2 + 30 + 4));
        assert_eq!(timing.old_set_until(stamp), Timestamp::from_seconds(132));
        assert_eq!(timing.commit_deadline(stamp), Timestamp::from_seconds(104));
        // What is committed last has been used for the last time when the overlap ends.
        let last = timing.commit_deadline(stamp).after(SECOND * 30);
        let read = last.after(timing.clock_tolerance);
        assert_eq!(read, stamp.after(timing.overlap()));
    }
}
