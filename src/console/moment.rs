//! Times, as pages say them: when, in UTC, and how long from now.

use chrono::{DateTime, Datelike as _, Utc};
use maud::{Markup, html};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What stands for a time that no calendar has.
const BEYOND: &str = "beyond all calendars";

fn calendar(at: u64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(i64::try_from(at).ok()?, 0)
}

/// How exactly a time is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exact {
    Minute,
    Second,
}

fn words(at: u64, now: u64, exact: Exact) -> String {
    let (Some(at), Some(now)) = (calendar(at), calendar(now)) else {
        return BEYOND.to_owned();
    };
    let day = match () {
        () if at.date_naive() == now.date_naive() => "",
        () if at.year() == now.year() => "%-d %b ",
        () => "%-d %b %Y ",
    };
    let time = match exact {
        Exact::Minute => "%H:%M",
        Exact::Second => "%H:%M:%S",
    };
    at.format(&format!("{day}{time}")).to_string()
}

fn element(at: u64, text: &str) -> Markup {
    let machine = calendar(at).map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    html! { time datetime=[machine] { (text) } }
}

/// When, to the minute; without the day if that is today.
pub(super) fn at(at: u64, now: u64) -> Markup {
    element(at, &words(at, now, Exact::Minute))
}

/// When, to the second.
pub(super) fn exactly(at: u64, now: u64) -> Markup {
    element(at, &words(at, now, Exact::Second))
}

/// When, with the day and the year.
pub(super) fn in_full(at: u64) -> Markup {
    let text = calendar(at).map(|at| at.format("%-d %b %Y %H:%M:%S").to_string());
    element(at, text.as_deref().unwrap_or(BEYOND))
}

/// The day, for the axis of a chart.
pub(super) fn day(at: u64) -> String {
    calendar(at).map_or_else(|| BEYOND.to_owned(), |at| at.format("%-d %b").to_string())
}

/// The hour, for the axis of a chart.
pub(super) fn hour(at: u64) -> String {
    calendar(at).map_or_else(|| BEYOND.to_owned(), |at| at.format("%H:%M").to_string())
}

/// The first instants of the months between two times.
pub(super) fn months(from: u64, until: u64) -> Vec<u64> {
    let Some(first) = calendar(from) else {
        return Vec::new();
    };
    let (mut year, mut month) = (first.year(), first.month());
    let mut months = Vec::new();
    while months.len() < 64 {
        (year, month) = match month {
            12 => (year + 1, 1),
            month => (year, month + 1),
        };
        let begin = chrono::NaiveDate::from_ymd_opt(year, month, 1);
        let begin = begin.and_then(|day| day.and_hms_opt(0, 0, 0));
        let begin = begin.and_then(|begin| u64::try_from(begin.and_utc().timestamp()).ok());
        match begin.filter(|begin| *begin < until) {
            Some(begin) => months.push(begin),
            None => break,
        }
    }
    months
}

/// What a field for a day and a time has: `2026-11-29T08:00`, in UTC.
pub(super) fn parse(text: &str) -> Option<u64> {
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
    let mut read = forms.iter();
    let moment = read.find_map(|form| chrono::NaiveDateTime::parse_from_str(text, form).ok())?;
    u64::try_from(moment.and_utc().timestamp()).ok()
}

/// What a field for a day has: `2026-11-29`, as its first second in UTC.
pub(super) fn parse_day(text: &str) -> Option<u64> {
    parse(&format!("{text}T00:00"))
}

/// A length of time, by its two largest units: `8 d 10 h`.
pub(super) fn length(seconds: u64) -> String {
    let units = [
        (seconds / DAY, "d"),
        (seconds % DAY / HOUR, "h"),
        (seconds % HOUR / MINUTE, "min"),
        (seconds % MINUTE, "s"),
    ];
    let mut shown = units.iter().skip_while(|(count, _)| *count == 0);
    let Some((count, unit)) = shown.next() else {
        return "0 s".to_owned();
    };
    let largest = format!("{count} {unit}");
    match shown.next() {
        Some((count, unit)) if *count > 0 => format!("{largest} {count} {unit}"),
        _ => largest,
    }
}

/// How long from now: `in 8 d 10 h`, `3 min ago`, `now`.
pub(super) fn from_now(at: u64, now: u64) -> String {
    match () {
        () if at > now => format!("in {}", length(at - now)),
        () if at < now => format!("{} ago", length(now - at)),
        () => "now".to_owned(),
    }
}

/// When, and how long from now.
pub(super) fn both(moment: u64, now: u64) -> Markup {
    html! { (at(moment, now)) ", " (from_now(moment, now)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 28 November 2026, 16:40:12.
    const NOW: u64 = 1_795_884_012;

    #[test]
    fn a_time_says_no_more_than_is_needed() {
        let text = |moment| at(moment, NOW).into_string();
        assert_eq!(
            text(NOW),
            "<time datetime=\"2026-11-28T16:40:12Z\">16:40</time>"
        );
        assert!(text(NOW - DAY).contains(">27 Nov 16:40<"));
        assert!(text(NOW + 40 * DAY).contains(">7 Jan 2027 16:40<"));
        assert!(text(u64::MAX).contains(BEYOND));
        assert!(exactly(NOW, NOW).into_string().contains(">16:40:12<"));
        assert!(in_full(NOW).into_string().contains("28 Nov 2026 16:40:12"));
    }

    #[test]
    fn a_length_has_two_units_at_most() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (3600, "1 h"),
            (3660, "1 h 1 min"),
            (8 * DAY + 10 * HOUR + 59, "8 d 10 h"),
            (2 * DAY + 5, "2 d"),
        ] {
            assert_eq!(length(seconds), expected);
        }
        assert_eq!(from_now(NOW, NOW), "now");
        assert_eq!(from_now(NOW + 5, NOW), "in 5 s");
        assert_eq!(from_now(NOW - 60, NOW), "1 min ago");
    }

    #[test]
    fn months_begin_on_their_first_day() {
        let months = months(NOW, NOW + 70 * DAY);
        let days: Vec<String> = months.iter().map(|month| day(*month)).collect();
        assert_eq!(days, ["1 Dec", "1 Jan", "1 Feb"]);
    }
}
