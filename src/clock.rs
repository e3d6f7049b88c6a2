//! The only place that asks what time it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::sync::watch;

use crate::lifecycle::Timestamp;

/// A clock that a caller passes on: the machine's, or one that a test turns by hand.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    latest: Arc<AtomicU64>,
    jump: Arc<Jump>,
}

/// Whether the time of day has jumped ahead of the time that has passed.
struct Jump {
    /// How far the time of day was ahead of the monotonic clock when both were last believed, in
    /// milliseconds.
    ahead: AtomicI64,
    /// Since when the time of day has not been believed, in milliseconds of the monotonic clock.
    doubted_since: AtomicU64,
}

/// A time of day that has jumped ahead is believed when it has stayed there for so long: nothing is
/// stamped by one bad reading.
pub const DOUBT: Duration = Duration::from_secs(10);

/// How far ahead the time of day may be set and still be believed at once.
const BELIEVED_JUMP: Duration = Duration::from_secs(2);

const NOT_DOUBTED: u64 = u64::MAX;

impl Jump {
    fn since(reading: ClockReading) -> Arc<Self> {
        Arc::new(Self {
            ahead: AtomicI64::new(reading.ahead_millis()),
            doubted_since: AtomicU64::new(NOT_DOUBTED),
        })
    }

    /// Whether a reading is believed.
    fn believes(&self, reading: ClockReading) -> bool {
        let (ahead, now) = (reading.ahead_millis(), reading.monotonic_millis());
        let jump = ahead.saturating_sub(self.ahead.load(Ordering::Acquire));
        if jump <= i64::try_from(BELIEVED_JUMP.as_millis()).unwrap_or(i64::MAX) {
            self.ahead.store(ahead, Ordering::Release);
            self.doubted_since.store(NOT_DOUBTED, Ordering::Release);
            return true;
        }
        let since = self.doubted_since.fetch_min(now, Ordering::AcqRel).min(now);
        if Duration::from_millis(now.saturating_sub(since)) < DOUBT {
            return false;
        }
        tracing::warn!(jump_milliseconds = jump, "the clock was set ahead");
        self.ahead.store(ahead, Ordering::Release);
        self.doubted_since.store(NOT_DOUBTED, Ordering::Release);
        true
    }
}

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

/// A clock that is turned by hand.
struct Manual {
    wall: watch::Sender<Timestamp>,
    /// The time that has passed, in milliseconds.
    monotonic: AtomicU64,
}

/// What the two clocks of a machine show at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The time of day, which can be set.
    pub wall: Timestamp,
    /// The time since some beginning, which no program sets. It goes on while the process is frozen
    /// and while the machine is suspended.
    pub monotonic: Duration,
}

impl ClockReading {
    /// How far the time of day is ahead of the monotonic clock, in milliseconds.
    pub fn ahead_millis(self) -> i64 {
        let (wall, monotonic) = (self.wall.millis(), self.monotonic_millis());
        i64::try_from(i128::from(wall) - i128::from(monotonic)).unwrap_or_default()
    }

    /// The monotonic time in milliseconds.
    pub fn monotonic_millis(self) -> u64 {
        u64::try_from(self.monotonic.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The longest that a sleep trusts the machine's timer. Timers stand still while a machine is
/// suspended and know nothing of a clock that is set, so a longer sleep looks at the wall clock
/// in between; it reads one number and touches nothing else.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::new(Source::System)
    }

    fn new(source: Source) -> Self {
        let jump = Jump::since(source.read());
        Self {
            source,
            latest: Arc::default(),
            jump,
        }
    }

    /// A clock that stands at `start` until it is [set](Self::set).
    pub fn manual(start: Timestamp) -> Self {
        let (wall, _) = watch::channel(start);
        let monotonic = AtomicU64::new(0);
        Self::new(Source::Manual(Arc::new(Manual { wall, monotonic })))
    }

    /// Turns a manual clock, forwards or backwards; sleeping tasks look again. Forwards is time
    /// that passes. The machine's clock is not ours to set: there it does nothing.
    pub fn set(&self, now: Timestamp) {
        if let Source::Manual(manual) = &self.source {
            let passed = now.since(*manual.wall.borrow());
            let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
            manual.monotonic.fetch_add(passed, Ordering::SeqCst);
            manual.wall.send_replace(now);
        }
    }

    /// Sets a manual clock to another time of day, without any time passing.
    pub fn set_wall(&self, now: Timestamp) {
        if let Source::Manual(manual) = &self.source {
            manual.wall.send_replace(now);
        }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        let now = match &self.source {
            Source::System => system_now(),
            Source::Manual(manual) => *manual.wall.borrow(),
        };
        if self.latest.load(Ordering::Relaxed) < now.millis() && self.is_believed() {
            self.latest.fetch_max(now.millis(), Ordering::Relaxed);
        }
        now
    }

    /// Whether the time of day is believed: it has not just jumped ahead of the time that has
    /// passed.
    pub fn is_believed(&self) -> bool {
        self.jump.believes(self.read())
    }

    /// Counts an instant as one that was shown: by a process before this one.
    pub fn witness(&self, instant: Timestamp) {
        self.latest.fetch_max(instant.millis(), Ordering::Relaxed);
    }

    /// What both clocks show. It does not count as a time that was shown.
    pub fn read(&self) -> ClockReading {
        self.source.read()
    }

    /// Forgets that it ever showed a later time than this: for a clock that was wrong and that
    /// nothing was done by.
    pub fn forget_later_than(&self, instant: Timestamp) {
        self.latest.fetch_min(instant.millis(), Ordering::Relaxed);
    }

    /// The latest time that this clock ever showed: ahead of [`now`](Self::now) after it has been
    /// set back.
    pub fn latest(&self) -> Timestamp {
        Timestamp::from_millis(self.latest.load(Ordering::Relaxed))
    }

    /// Returns when the clock shows `wake` or later, also after a suspension or a jump.
    pub async fn sleep_until(&self, wake: Timestamp) {
        match &self.source {
            Source::System => {
                while self.now() < wake {
                    tokio::time::sleep(wake.since(self.now()).min(LONGEST_SLEEP)).await;
                }
            }
            Source::Manual(manual) => {
                let mut receiver = manual.wall.subscribe();
                // The sender lives as long as this borrow, so that waiting cannot fail.
                let _ = receiver.wait_for(|now| *now >= wake).await;
            }
        }
    }

    /// Returns when so much time has passed, whatever the time of day becomes meanwhile.
    pub async fn wait_for(&self, duration: Duration) {
        let until = self.read().monotonic.saturating_add(duration);
        match &self.source {
            Source::System => loop {
                let left = until.saturating_sub(self.read().monotonic);
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
            },
            Source::Manual(manual) => {
                let mut receiver = manual.wall.subscribe();
                // The sender lives as long as this borrow, so that waiting cannot fail.
                let passed = |_: &Timestamp| self.read().monotonic >= until;
                let _ = receiver.wait_for(passed).await;
            }
        }
    }

    /// Lets a little time pass. By a clock that is turned by hand none passes, and others get their
    /// turn.
    pub async fn sleep(&self, duration: Duration) {
        match &self.source {
            Source::System => tokio::time::sleep(duration).await,
            Source::Manual(_) => tokio::task::yield_now().await,
        }
    }
}

impl Source {
    fn read(&self) -> ClockReading {
        match self {
            Self::System => ClockReading {
                wall: system_now(),
                monotonic: system_steady(),
            },
            Self::Manual(manual) => ClockReading {
                wall: *manual.wall.borrow(),
                monotonic: Duration::from_millis(manual.monotonic.load(Ordering::SeqCst)),
            },
        }
    }
}

/// Measures how long something takes. It is not a time of day, and no decision depends on it.
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since it was started.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
fn system_now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// The time of day since 1970, as the machine has it: for what is shown and decides nothing.
pub(crate) fn time_of_day() -> Duration {
    duration(clock_gettime(ClockId::Realtime))
}

/// The processor time that this process has taken.
pub(crate) fn processor_time() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// Of a machine's clocks the one that no program sets and nothing stops.
#[cfg(target_os = "linux")]
const STEADY: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const STEADY: ClockId = ClockId::Monotonic;

fn system_steady() -> Duration {
    duration(clock_gettime(STEADY))
}

fn duration(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_clock_is_turned_past_its_time() {
        let clock = Clock::manual(Timestamp::from_seconds(100));
        let sleeper = clock.clone();
        let sleep =
            tokio::spawn(async move { sleeper.sleep_until(Timestamp::from_seconds(200)).await });
        clock.set(Timestamp::from_seconds(199));
        tokio::task::yield_now().await;
        assert!(!sleep.is_finished());
        clock.set(Timestamp::from_seconds(200));
        sleep.await.unwrap();
    }

    #[tokio::test]
    async fn a_wait_ends_when_its_time_has_passed_whatever_the_time_of_day_becomes() {
        let begin = Timestamp::from_seconds(10_000);
        let clock = Clock::manual(begin);
        let waiter = clock.clone();
        let wait = tokio::spawn(async move { waiter.wait_for(Duration::from_secs(2)).await });
        tokio::task::yield_now().await;
        let hour = Duration::from_secs(3600);
        for wall in [begin.after(hour), begin.before(hour)] {
            clock.set_wall(wall);
            tokio::task::yield_now().await;
            assert!(!wait.is_finished(), "{wall:?}");
        }
        clock.set(begin.before(hour).after(Duration::from_secs(2)));
        wait.await.unwrap();
    }

    #[test]
    fn the_latest_time_stays_when_the_clock_is_set_back() {
        let clock = Clock::manual(Timestamp::from_seconds(100));
        clock.now();
        clock.set(Timestamp::from_seconds(50));
        assert_eq!(clock.now(), Timestamp::from_seconds(50));
        assert_eq!(clock.latest(), Timestamp::from_seconds(100));
    }
}
