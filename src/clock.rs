//! The only place that asks what time it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::lifecycle::Timestamp;

/// A clock that a caller passes on: the machine's, or one that a test turns by hand.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    latest: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
}

/// The longest that a sleep trusts the machine's timer. Timers stand still while a machine is
/// suspended and know nothing of a clock that is set, so a longer sleep looks at the wall clock
/// in between; it reads one number and touches nothing else.
const LONGEST_NAP: Duration = Duration::from_secs(20);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self {
            source: Source::System,
            latest: Arc::default(),
        }
    }

    /// A clock that stands at `start` until it is [set](Self::set).
    pub fn manual(start: Timestamp) -> Self {
        let (sender, _) = watch::channel(start);
        Self {
            source: Source::Manual(Arc::new(sender)),
            latest: Arc::default(),
        }
    }

    /// Turns a manual clock, forwards or backwards; whoever sleeps looks again. The machine's
    /// clock is not ours to set: there it does nothing.
    pub fn set(&self, now: Timestamp) {
        if let Source::Manual(sender) = &self.source {
            sender.send_replace(now);
        }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        let now = match &self.source {
            Source::System => system_now(),
            Source::Manual(sender) => *sender.borrow(),
        };
        if self.latest.load(Ordering::Relaxed) < now.millis() {
            self.latest.fetch_max(now.millis(), Ordering::Relaxed);
        }
        now
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
                    tokio::time::sleep(wake.since(self.now()).min(LONGEST_NAP)).await;
                }
            }
            Source::Manual(sender) => {
                let mut receiver = sender.subscribe();
                // The sender lives as long as this borrow, so that waiting cannot fail.
                let _ = receiver.wait_for(|now| *now >= wake).await;
            }
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

    #[test]
    fn the_latest_time_stays_when_the_clock_is_set_back() {
        let clock = Clock::manual(Timestamp::from_seconds(100));
        clock.now();
        clock.set(Timestamp::from_seconds(50));
        assert_eq!(clock.now(), Timestamp::from_seconds(50));
        assert_eq!(clock.latest(), Timestamp::from_seconds(100));
    }
}
