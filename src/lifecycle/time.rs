//! Instants and lengths of time, as the lifecycle counts them.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use keywright_api::UnixSeconds;
pub use keywright_api::{InvalidDuration, format_duration, parse_duration};

/// An instant: milliseconds since the Unix epoch, UTC, leap seconds not counted.
///
/// The interfaces speak whole seconds. An instant that lies in the past is shown rounded down
/// ([`floor_seconds`](Self::floor_seconds)), a deadline rounded up
/// ([`ceil_seconds`](Self::ceil_seconds)), so that a caller who waits until then has waited long
/// enough.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The end of time: later than any deadline.
    pub const END: Self = Self(u64::MAX);

    /// The instant `milliseconds` after the Unix epoch.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// The instant `seconds` after the Unix epoch.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn floor_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Whole seconds since the Unix epoch, rounded up.
    pub const fn ceil_seconds(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// The instant as the API shows what has happened.
    pub const fn in_the_past(self) -> UnixSeconds {
        UnixSeconds(self.floor_seconds())
    }

    /// The instant as the API shows what is to come.
    pub const fn ahead(self) -> UnixSeconds {
        UnixSeconds(self.ceil_seconds())
    }

    /// This instant, or the next full second: what is shown of a deadline.
    #[must_use]
    pub const fn rounded_up(self) -> Self {
        Self::from_seconds(self.ceil_seconds())
    }

    /// This instant plus `duration`; the far end of time instead of an overflow.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(duration)))
    }

    /// This instant minus `duration`; the epoch instead of an underflow.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(duration)))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The instant for people, in RFC 3339, UTC, rounded down to the second: `2026-01-31T03:00:00Z`. An
/// instant that no calendar has is `@` and its Unix seconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.floor_seconds();
        let instant = i64::try_from(seconds).ok();
        match instant.and_then(|seconds| DateTime::from_timestamp(seconds, 0)) {
            Some(instant) => f.write_str(&instant.to_rfc3339_opts(SecondsFormat::Secs, true)),
            None => write!(f, "@{seconds}"),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

fn millis_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_shown_rounded_up_and_the_past_rounded_down() {
        let instant = Timestamp::from_millis(10_001);
        assert_eq!((instant.floor_seconds(), instant.ceil_seconds()), (10, 11));
        assert_eq!(Timestamp::from_seconds(10).ceil_seconds(), 10);
    }
}
