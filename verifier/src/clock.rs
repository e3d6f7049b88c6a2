//! The clocks, in the one file that reads them.

#![expect(
    clippy::disallowed_methods,
    reason = "the only caller of now() in this crate"
)]

#[cfg(any(feature = "remote", feature = "revocations"))]
use std::time::Duration;
use std::time::{Instant, SystemTime};

/// The wall clock.
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// A clock that no one sets.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// An instant by both clocks.
#[cfg(any(feature = "remote", feature = "revocations"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockReading {
    /// Since an instant that the reader chose. No one sets this clock, but it may stand still while a machine
    /// sleeps.
    pub(crate) monotonic: Duration,
    pub(crate) wall: SystemTime,
}

#[cfg(any(feature = "remote", feature = "revocations"))]
impl ClockReading {
    /// Both clocks now.
    pub(crate) fn now(since: Instant) -> Self {
        Self {
            monotonic: monotonic().saturating_duration_since(since),
            wall: wall(),
        }
    }

    /// The time since `earlier`, by the clock that says more: a set must not pass for younger than it
    /// is because a machine slept or its clock was set back.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let monotonic = self.monotonic.saturating_sub(earlier.monotonic);
        let wall = self.wall.duration_since(earlier.wall);
        wall.map_or(monotonic, |wall| wall.max(monotonic))
    }
}
