//! Times as people read them.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime};

use crate::lifecycle::{Timestamp, parse_duration};

/// An instant in RFC 3339, UTC, such as `2026-01-31T03:00:00Z`.
pub(super) fn rfc3339(seconds: u64) -> String {
    Timestamp::from_seconds(seconds).to_string()
}

/// A time that a user writes: how long ago, a day, an instant in RFC 3339, or Unix seconds with up to
/// three decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InstantArgument {
    /// So long before now.
    Ago(Duration),
    /// Then.
    At(Timestamp),
}

/// A text that is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write 2h (ago), 2026-01-31 (UTC), 2026-01-31T03:00:00Z, or Unix seconds")]
pub(super) struct InvalidInstant;

impl InstantArgument {
    pub(super) fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(duration) => now.before(duration),
            Self::At(instant) => instant,
        }
    }
}

impl FromStr for InstantArgument {
    type Err = InvalidInstant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(duration) = parse_duration(text) {
            return Ok(Self::Ago(duration));
        }
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
        let instant = DateTime::parse_from_rfc3339(text).map(|instant| instant.timestamp_millis());
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(midnight);
        let millis = instant.or_else(|_| day()).ok();
        millis
            .and_then(|millis| u64::try_from(millis).ok())
            .or_else(|| unix_millis(text))
            .map(|millis| Self::At(Timestamp::from_millis(millis)))
            .ok_or(InvalidInstant)
    }
}

fn unix_millis(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || !(1..=3).contains(&decimals.len()) {
        return None;
    }
    let millis: u64 = format!("{decimals:0<3}").parse().ok()?;
    let seconds: u64 = whole.parse().ok()?;
    seconds.checked_mul(1000)?.checked_add(millis)
}

/// A length of time in its two largest units, such as `29d 23h`.
pub(super) fn length(seconds: u64) -> String {
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let parts: Vec<String> = units
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// Where an instant lies, seen from another: `in 5m`, `3h ago` or `now`.
pub(super) fn seen_from(now: u64, seconds: u64) -> String {
    match seconds.checked_sub(now) {
        Some(0) => "now".to_owned(),
        Some(ahead) => format!("in {}", length(ahead)),
        None => format!("{} ago", length(now.saturating_sub(seconds))),
    }
}

/// An instant and where it lies: `2026-01-31T03:00:00Z (in 5m)`.
pub(super) fn described(now: u64, seconds: u64) -> String {
    format!("{} ({})", rfc3339(seconds), seen_from(now, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_how_long_ago_a_day_an_instant_or_seconds() {
        let now = Timestamp::from_seconds(1_767_229_200);
        for (text, expected) in [
            ("1h", 1_767_225_600_000),
            ("2026-01-01", 1_767_225_600_000),
            ("2026-01-01T00:00:00Z", 1_767_225_600_000),
            ("2026-01-01T01:00:00.007+01:00", 1_767_225_600_007),
            ("1767225600", 1_767_225_600_000),
            ("1767225600.25", 1_767_225_600_250),
        ] {
            let instant: InstantArgument = text.parse().unwrap();
            assert_eq!(instant.resolve(now).millis(), expected, "{text}");
        }
        for text in [
            "",
            "now",
            "1.",
            ".1",
            "1.2345",
            "2026-13-01",
            "1969-01-01T00:00:00Z",
            "99999999999999999999",
            "1&at=2",
        ] {
            assert_eq!(
                text.parse::<InstantArgument>(),
                Err(InvalidInstant),
                "{text}"
            );
        }
    }

    #[test]
    fn lengths_show_their_two_largest_units() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (300, "5m"),
            (3905, "1h 5m"),
            (86_400, "1d"),
            (86_401, "1d"),
            (2_678_399, "30d 23h"),
        ] {
            assert_eq!(length(seconds), expected);
        }
    }

    #[test]
    fn instants_are_shown_in_utc_and_from_where_one_stands() {
        assert_eq!(rfc3339(1_767_225_600), "2026-01-01T00:00:00Z");
        assert_eq!(rfc3339(u64::MAX), format!("@{}", u64::MAX / 1000));
        assert_eq!(seen_from(100, 400), "in 5m");
        assert_eq!(seen_from(400, 100), "5m ago");
        assert_eq!(seen_from(400, 400), "now");
    }
}
