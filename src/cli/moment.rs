//! Times as people read them.

use crate::lifecycle::Timestamp;

/// An instant in RFC 3339, UTC, such as `2026-01-31T03:00:00Z`.
pub(super) fn rfc3339(seconds: u64) -> String {
    Timestamp::from_seconds(seconds).to_string()
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
