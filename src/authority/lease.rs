//! The right to sign and to be believed: for how long a snapshot holds after it was confirmed.
//!
//! Where several processes use one store, any of them may change a set. A process that has not
//! asked the store for a while does not know of a revocation; so it signs only for
//! `max_staleness` after the moment at which it began to ask and found itself up to date. The time
//! is taken from the clock that no program sets and that goes on while the process is frozen. Where
//! one process alone uses the store there is nothing to miss, and the lease has no end.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, ClockReading};
use crate::lifecycle::{CLOCK_TOLERANCE, ChangeTime, Timestamp, Timing};
use crate::store::Store;
use crate::store::chain::LogHead;

/// A lease on everything that a process has in memory.
pub struct Lease {
    clock: Clock,
    terms: Option<Terms>,
    /// How far the log is known to reach.
    log_end: watch::Sender<LogEnd>,
}

/// How far the store's log is known to reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogEnd {
    /// The number of the latest event that was committed here or found.
    pub sequence: u64,
    /// How often the log was found to have lost events that were known.
    pub losses: u64,
}

struct Terms {
    max_staleness: Duration,
    /// Where the log ended after each commit of this process, and in each state that it has loaded,
    /// since a round of replication looked: the store may lose them.
    positions: Mutex<Vec<LogHead>>,
    /// How many rounds of replication have begun.
    rounds: AtomicU64,
    /// Until when it lasts, in milliseconds of the steady clock.
    until: AtomicU64,
    /// How far the store's time of day was ahead of the steady clock when it was last asked, in
    /// milliseconds.
    ahead: AtomicI64,
    /// The latest time that a token was issued by, in milliseconds.
    issued: AtomicU64,
}

impl Terms {
    fn lock_positions(&self) -> MutexGuard<'_, Vec<LogHead>> {
        self.positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far steady clocks may drift from the store's while a lease lasts. What was asked when the store
/// last said its time is behind it otherwise, never ahead.
const STEADY_CLOCK_DRIFT: Duration = Duration::from_millis(100);

/// Until when what was in memory at one moment may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term(u64);

/// A replica's time of day is not the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock shows {ours} and the store's {theirs}, asked and answered within \
     {took:?}: they must be within {CLOCK_TOLERANCE:?} of each other"
)]
pub struct ClockDiffers {
    ours: Timestamp,
    theirs: Timestamp,
    took: Duration,
}

impl Lease {
    /// For a process on this store.
    pub fn on(store: &dyn Store, clock: Clock, max_staleness: Duration) -> Self {
        match store.replicas() {
            Some(_) => Self::limited(clock, max_staleness),
            None => Self::unlimited(clock),
        }
    }

    /// For a process that has its store for itself.
    fn unlimited(clock: Clock) -> Self {
        Self {
            clock,
            terms: None,
            log_end: watch::Sender::default(),
        }
    }

    /// For one of several processes. It has to be [renewed](Self::renew) first.
    fn limited(clock: Clock, max_staleness: Duration) -> Self {
        let terms = Terms {
            max_staleness,
            positions: Mutex::default(),
            rounds: AtomicU64::new(0),
            until: AtomicU64::new(0),
            ahead: AtomicI64::new(0),
            issued: AtomicU64::new(0),
        };
        Self {
            clock,
            terms: Some(terms),
            log_end: watch::Sender::default(),
        }
    }

    /// How long after it was confirmed a snapshot may be used; `None` without a limit.
    pub fn max_staleness(&self) -> Option<Duration> {
        self.terms.as_ref().map(|terms| terms.max_staleness)
    }

    /// Whether what is in memory may be signed with and served as fresh, now.
    pub fn holds(&self) -> bool {
        self.is_within(self.term())
    }

    /// The term that is running. A request that looks at the clock again later checks this term,
    /// and not against one that has been granted since for what is in memory since.
    pub fn term(&self) -> Term {
        let until = |terms: &Terms| terms.until.load(Ordering::Acquire);
        Term(self.terms.as_ref().map_or(u64::MAX, until))
    }

    /// Whether a term is still running, and the time of day is the store's, as far as the steady
    /// clock can tell.
    pub fn is_within(&self, Term(until): Term) -> bool {
        let Some(terms) = &self.terms else {
            return true;
        };
        let reading = self.clock.read();
        let jump = reading
            .ahead_millis()
            .abs_diff(terms.ahead.load(Ordering::Acquire));
        reading.monotonic_millis() < until && Duration::from_millis(jump) <= CLOCK_TOLERANCE
    }

    /// For how long it holds from now on, whatever the time of day; `None` without a limit.
    pub fn remaining(&self) -> Option<Duration> {
        let terms = self.terms.as_ref()?;
        let until = Duration::from_millis(terms.until.load(Ordering::Acquire));
        Some(until.saturating_sub(self.clock.read().monotonic))
    }

    /// Holds the time of day against the store's clock, which showed `theirs` between `sent` and
    /// now.
    ///
    /// # Errors
    /// [`ClockDiffers`]. The lease must not be renewed then, and ends when it ends.
    pub fn check_clock(&self, sent: ClockReading, theirs: Timestamp) -> Result<(), ClockDiffers> {
        let Some(terms) = &self.terms else {
            return Ok(());
        };
        let received = self.clock.read();
        let off = |ours: Timestamp| ours.since(theirs).max(theirs.since(ours));
        if off(sent.wall).max(off(received.wall)) > CLOCK_TOLERANCE {
            return Err(ClockDiffers {
                ours: received.wall,
                theirs,
                took: received.monotonic.saturating_sub(sent.monotonic),
            });
        }
        self.clock
            .forget_later_than(received.wall.after(CLOCK_TOLERANCE));
        let theirs = ClockReading {
            wall: theirs,
            ..received
        };
        terms.ahead.store(theirs.ahead_millis(), Ordering::Release);
        Ok(())
    }

    /// Renews it: everything that the store had when `asked` was read is in memory, and the time of
    /// day was found right since.
    pub fn renew(&self, asked: ClockReading) {
        if let Some(terms) = &self.terms {
            let mut until = asked;
            until.monotonic = asked.monotonic.saturating_add(terms.max_staleness);
            let until = until.monotonic_millis();
            terms.until.fetch_max(until, Ordering::AcqRel);
        }
    }

    /// A round of replication begins: the events that it looks for, because memory rests on them.
    pub fn begin_round(&self) -> Vec<LogHead> {
        if let Some(terms) = &self.terms {
            terms.rounds.fetch_add(1, Ordering::AcqRel);
        }
        let terms = self.terms.as_ref();
        terms.map_or(Vec::new(), |terms| terms.lock_positions().clone())
    }

    /// How many rounds have begun. An answer of the store that comes after a round has begun which
    /// was not there when it was asked may be that of a store that has been replaced since.
    pub fn rounds(&self) -> u64 {
        let terms = self.terms.as_ref();
        terms.map_or(0, |terms| terms.rounds.load(Ordering::Acquire))
    }

    /// What is in memory rests on the store's log up to this event.
    pub fn rests_on(&self, event: LogHead) {
        self.log_reaches(event);
        if let Some(terms) = &self.terms {
            terms.lock_positions().push(event);
        }
    }

    /// The store's log reaches this event.
    pub fn log_reaches(&self, event: LogHead) {
        self.log_end.send_if_modified(|end| {
            let is_further = event.sequence > end.sequence;
            end.sequence = end.sequence.max(event.sequence);
            is_further
        });
    }

    /// The store's log has lost events, and ends with this one.
    pub fn log_has_lost_events(&self, event: LogHead) {
        self.log_end.send_modify(|end| {
            end.sequence = event.sequence;
            end.losses += 1;
        });
    }

    /// How far the store's log is known to reach, and whenever that changes.
    pub fn follow_log(&self) -> watch::Receiver<LogEnd> {
        self.log_end.subscribe()
    }

    /// Wakes all who follow the log, although nothing was added to it.
    pub fn wake_followers(&self) {
        self.log_end.send_modify(|_| {});
    }

    /// These were looked for.
    pub fn forget_positions(&self, looked_for: &[LogHead]) {
        if let Some(terms) = &self.terms {
            terms
                .lock_positions()
                .retain(|event| !looked_for.contains(event));
        }
    }

    /// Ends it: what is in memory is not what the store has. It holds again once it is renewed.
    pub fn end(&self) {
        if let Some(terms) = &self.terms {
            terms.until.store(0, Ordering::Release);
        }
    }

    /// The clock that it is held against.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How long the processes of this store need to take a change over.
    pub fn timing(&self) -> Timing {
        self.max_staleness()
            .map_or(Timing::single(), Timing::shared)
    }

    /// The moment of a change that is decided now.
    pub fn change_time(&self) -> ChangeTime {
        ChangeTime {
            reading: self.clock.now(),
            witnessed: self.clock.latest(),
            timing: self.timing(),
        }
    }

    /// The time by which a token is issued: among several processes the store's, and never earlier
    /// than one that was issued by before, so that what a process says of its time to the others
    /// holds of every token that it has signed until then.
    pub fn issue_time(&self) -> Timestamp {
        let Some(terms) = &self.terms else {
            return self.clock.now();
        };
        let now = self.time();
        let latest = terms.issued.fetch_max(now.millis(), Ordering::AcqRel);
        now.max(Timestamp::from_millis(latest))
    }

    /// The time of which memory has everything that was committed before: when the store was asked
    /// for the term that is running, by the store's clock. Where one process alone uses the store it
    /// is now; `None` while there is no lease.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        let Some(terms) = &self.terms else {
            return Some(self.time());
        };
        let term = self.term();
        if !self.is_within(term) {
            return None;
        }
        let Term(until) = term;
        let asked = until
            .saturating_sub(u64::try_from(terms.max_staleness.as_millis()).unwrap_or(u64::MAX));
        let ahead = terms.ahead.load(Ordering::Acquire);
        let asked = Timestamp::from_millis(asked.saturating_add_signed(ahead));
        Some(asked.before(STEADY_CLOCK_DRIFT))
    }

    /// The time that decides what is published: never one that was set back, and among several
    /// processes the store's, carried on by the steady clock.
    pub fn time(&self) -> Timestamp {
        let Some(terms) = &self.terms else {
            return self.clock.now().max(self.clock.latest());
        };
        let ahead = terms.ahead.load(Ordering::Acquire);
        let monotonic = self.clock.read().monotonic_millis();
        Timestamp::from_millis(monotonic.saturating_add_signed(ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    /// Holds the clock against the store's, and renews if it agrees.
    fn confirm(lease: &Lease, asked: ClockReading, theirs: Timestamp) -> Result<(), ClockDiffers> {
        lease.check_clock(lease.clock.read(), theirs)?;
        lease.renew(asked);
        Ok(())
    }

    fn confirmed() -> (Clock, Lease) {
        let clock = Clock::manual(START);
        let lease = Lease::limited(clock.clone(), SECOND * 30);
        confirm(&lease, clock.read(), START).unwrap();
        (clock, lease)
    }

    #[test]
    fn it_does_not_hold_before_it_is_confirmed() {
        let lease = Lease::limited(Clock::manual(START), SECOND * 30);
        assert!(!lease.holds());
    }

    #[test]
    fn it_ends_a_staleness_after_the_question_and_not_after_the_answer() {
        let clock = Clock::manual(START);
        let lease = Lease::limited(clock.clone(), SECOND * 30);
        let asked = clock.read();
        clock.set(START.after(SECOND * 10));
        confirm(&lease, asked, START.after(SECOND * 10)).unwrap();
        clock.set(START.after(SECOND * 30).before(Duration::from_millis(1)));
        assert!(lease.holds());
        clock.set(START.after(SECOND * 30));
        assert!(!lease.holds());
    }

    #[test]
    fn a_clock_that_jumps_ends_it_at_once_and_lets_it_go_on_when_it_is_right_again() {
        for jump in [START.after(SECOND * 3), START.before(SECOND * 3)] {
            let (clock, lease) = confirmed();
            clock.set_wall(jump);
            assert!(!lease.holds(), "{jump:?}");
            assert_eq!(lease.time(), START, "{jump:?}");
            clock.set_wall(START);
            assert!(lease.holds(), "{jump:?}");
        }
    }

    /// A request may be frozen between its first look and its last, and the lease renewed on waking
    /// before the request goes on.
    #[test]
    fn a_term_is_not_lengthened_by_the_next_one() {
        let (clock, lease) = confirmed();
        let term = lease.term();
        clock.set(START.after(SECOND * 40));
        let now = START.after(SECOND * 40);
        confirm(&lease, clock.read(), now).unwrap();
        assert!(lease.holds());
        assert!(!lease.is_within(term));
    }

    #[test]
    fn setting_the_clock_back_does_not_lengthen_it() {
        let (clock, lease) = confirmed();
        clock.set(START.after(SECOND * 29));
        clock.set_wall(START.after(SECOND * 28));
        assert!(lease.holds());
        clock.set(START.after(SECOND * 29));
        assert!(!lease.holds());
    }

    #[test]
    fn a_clock_that_is_not_the_stores_does_not_renew_it() {
        for off in [START.after(SECOND * 3), START.before(SECOND * 3)] {
            let clock = Clock::manual(START);
            let lease = Lease::limited(clock.clone(), SECOND * 30);
            assert!(confirm(&lease, clock.read(), off).is_err());
            assert!(!lease.holds(), "{off:?}");
        }
    }

    #[test]
    fn an_answer_that_takes_longer_than_the_tolerance_says_nothing_about_the_clock() {
        let clock = Clock::manual(START);
        let lease = Lease::limited(clock.clone(), SECOND * 30);
        let sent = clock.read();
        clock.set(START.after(SECOND * 4));
        assert!(lease.check_clock(sent, START.after(SECOND)).is_err());
    }

    #[test]
    fn an_earlier_confirmation_does_not_shorten_it() {
        let (clock, lease) = confirmed();
        let early = clock.read();
        clock.set(START.after(SECOND * 10));
        let now = START.after(SECOND * 10);
        confirm(&lease, clock.read(), now).unwrap();
        confirm(&lease, early, now).unwrap();
        assert_eq!(lease.remaining(), Some(SECOND * 30));
    }

    #[test]
    fn without_a_limit_it_always_holds_and_a_change_overlaps_the_switch_over_alone() {
        let clock = Clock::manual(START);
        let lease = Lease::unlimited(clock.clone());
        clock.set(START.after(SECOND * 1_000_000));
        lease.clock().now();
        clock.set_wall(START);
        assert!(lease.holds());
        let time = lease.change_time();
        assert_eq!(time.reading, START);
        assert_eq!(time.witnessed, START.after(SECOND * 1_000_000));
        assert_eq!(time.timing, Timing::single());
        assert_eq!(lease.time(), START.after(SECOND * 1_000_000));
    }

    #[test]
    fn with_a_limit_a_change_overlaps_all_that_others_may_still_do() {
        let (_, lease) = confirmed();
        assert_eq!(lease.timing(), Timing::shared(SECOND * 30));
    }
}
