//! When keys rotate: at an interval, or by crontab in a time zone.
//!
//! A crontab line is read as cron(8) reads it: five fields, Sunday is 0 and 7, and when both the
//! day of the month and the day of the week are restricted, either may match. The `cron` crate
//! numbers days from 1 and wants both to match, so the line is translated: the days of the week
//! are spelled out, and a line that restricts both days becomes two schedules.
//!
//! The crate computes on the wall clock; the time zone is applied here. A wall-clock time that
//! daylight saving skips fires at the first instant after the gap; one that comes twice fires the
//! first time only.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::time::Timestamp;

/// The rule that says when the next rotation is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// So long after the active key began to sign.
    Every(Duration),
    /// At the next time that a crontab line names.
    Cron(Crontab),
}

/// A five-field crontab line in a time zone.
#[derive(Clone)]
pub struct Crontab {
    line: String,
    zone: Tz,
    alternatives: Vec<cron::Schedule>,
}

/// Why a schedule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// Not five fields, or a field that crontab does not know.
    #[error(
        "\"{0}\" is not a crontab line of five fields (minute hour day-of-month month day-of-week)"
    )]
    Line(String),
    /// The IANA time zone database has no such zone.
    #[error("there is no time zone \"{0}\" in the IANA database")]
    Zone(String),
    /// No date satisfies the line, such as 30 February.
    #[error("the crontab line \"{0}\" never fires")]
    NeverFires(String),
}

/// How many consecutive firings are looked at to find the shortest and the longest gap.
const SAMPLED_FIRINGS: usize = 1500;

impl Schedule {
    /// Reads a crontab line and the name of a time zone.
    ///
    /// # Errors
    /// [`InvalidSchedule`] says what is wrong with which of the two.
    pub fn cron(line: &str, zone: &str) -> Result<Self, InvalidSchedule> {
        Ok(Self::Cron(Crontab::parse(line, zone)?))
    }

    /// When the rotation after `instant` is due.
    ///
    /// A crontab line that never fires again (the crate ends in the year 2100) is due at the end
    /// of time.
    pub fn due_after(&self, instant: Timestamp) -> Timestamp {
        match self {
            Self::Every(interval) => instant.after(*interval),
            Self::Cron(crontab) => crontab
                .next(instant)
                .unwrap_or(Timestamp::from_millis(u64::MAX)),
        }
    }

    /// The shortest and the longest time between two rotations.
    ///
    /// For a crontab line both are found among its next 1,500 firings from a fixed date, which
    /// for every line but the rarest covers years with all their daylight-saving changes.
    pub fn gaps(&self) -> (Duration, Duration) {
        match self {
            Self::Every(interval) => (*interval, *interval),
            Self::Cron(crontab) => crontab.gaps(),
        }
    }
}

impl Crontab {
    fn parse(line: &str, zone: &str) -> Result<Self, InvalidSchedule> {
        let invalid = || InvalidSchedule::Line(line.chars().take(64).collect());
        let zone = Tz::from_str(zone)
            .map_err(|_| InvalidSchedule::Zone(zone.chars().take(64).collect()))?;
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(invalid());
        };
        if line.contains('?') {
            return Err(invalid());
        }
        let weekdays = spell_weekdays(weekday).ok_or_else(invalid)?;
        // cron(8) looks at the first character only: "*/2" counts as unrestricted, too.
        let either_day = !day.starts_with('*') && !weekday.starts_with('*');
        let expressions = if either_day {
            vec![
                format!("0 {minute} {hour} {day} {month} *"),
                format!("0 {minute} {hour} * {month} {weekdays}"),
            ]
        } else {
            vec![format!("0 {minute} {hour} {day} {month} {weekdays}")]
        };
        let alternatives = expressions
            .iter()
            .map(|expression| cron::Schedule::from_str(expression).map_err(|_| invalid()))
            .collect::<Result<Vec<_>, _>>()?;
        let crontab = Self {
            line: fields.join(" "),
            zone,
            alternatives,
        };
        match crontab.next(SAMPLE_START) {
            Some(_) => Ok(crontab),
            None => Err(InvalidSchedule::NeverFires(crontab.line)),
        }
    }

    /// The line, with single spaces.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The zone's IANA name.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    fn next(&self, instant: Timestamp) -> Option<Timestamp> {
        let utc = DateTime::<Utc>::from_timestamp_millis(i64::try_from(instant.millis()).ok()?)?;
        let mut wall = utc.with_timezone(&self.zone).naive_local();
        // A wall-clock time may resolve to an instant that has passed (its first occurrence, in
        // the hour that comes twice); the next candidate is then looked at.
        loop {
            wall = self.next_on_the_wall(wall)?;
            let resolved = self.resolve(wall)?;
            if resolved > instant {
                return Some(resolved);
            }
        }
    }

    fn next_on_the_wall(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        self.alternatives
            .iter()
            .filter_map(|schedule| schedule.after(&wall.and_utc()).next())
            .min()
            .map(|next| next.naive_utc())
    }

    fn resolve(&self, wall: NaiveDateTime) -> Option<Timestamp> {
        let local = self.zone.from_local_datetime(&wall).earliest();
        let instant = match local {
            Some(instant) => instant.timestamp_millis(),
            None => self.end_of_gap(wall)?,
        };
        u64::try_from(instant).ok().map(Timestamp::from_millis)
    }

    /// The first instant after the gap that `wall` falls into. Zones change on whole minutes.
    fn end_of_gap(&self, wall: NaiveDateTime) -> Option<i64> {
        (1..=24 * 60).find_map(|minutes| {
            let later = wall.checked_add_signed(TimeDelta::minutes(minutes))?;
            self.zone
                .from_local_datetime(&later)
                .earliest()
                .map(|found| found.timestamp_millis())
        })
    }

    fn gaps(&self) -> (Duration, Duration) {
        let mut shortest = Duration::MAX;
        let mut longest = Duration::ZERO;
        let mut previous = None;
        let mut instant = SAMPLE_START;
        for _ in 0..SAMPLED_FIRINGS {
            let Some(next) = self.next(instant) else {
                break;
            };
            if let Some(previous) = previous {
                let gap = next.since(previous);
                shortest = shortest.min(gap);
                longest = longest.max(gap);
            }
            previous = Some(next);
            instant = next;
        }
        if longest.is_zero() {
            (Duration::MAX, Duration::MAX)
        } else {
            (shortest, longest)
        }
    }
}

/// 1 January 2025: gaps are sampled from here, so that one line always has the same gaps.
const SAMPLE_START: Timestamp = Timestamp::from_seconds(1_735_689_600);

impl PartialEq for Crontab {
    fn eq(&self, other: &Self) -> bool {
        self.line == other.line && self.zone == other.zone
    }
}

impl Eq for Crontab {}

impl fmt::Debug for Crontab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.line, self.zone)
    }
}

/// Rewrites a day-of-week field from crontab's numbers (0 and 7 are Sunday) to the crate's (1 is
/// Sunday), as a list without ranges, because a range such as `5-7` wraps around in the other.
fn spell_weekdays(field: &str) -> Option<String> {
    if field == "*" {
        return Some("*".to_owned());
    }
    let mut days = BTreeSet::new();
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, step.parse::<usize>().ok().filter(|step| *step > 0)?),
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (weekday_number(first)?, weekday_number(last)?),
            None if range == "*" => (0, 6),
            None if item.contains('/') => (weekday_number(range)?, 6),
            None => (weekday_number(range)?, weekday_number(range)?),
        };
        if first > last {
            return None;
        }
        days.extend((first..=last).step_by(step).map(|day| day % 7 + 1));
    }
    Some(
        days.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(","),
    )
}

fn weekday_number(text: &str) -> Option<u32> {
    let names = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    match names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text))
    {
        Some(index) => u32::try_from(index).ok(),
        None => text.parse().ok().filter(|number| *number <= 7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next `count` firings after `start`, as wall-clock text with the offset from UTC.
    fn firings(line: &str, zone: &str, start: &str, count: usize) -> Vec<String> {
        let Schedule::Cron(crontab) = Schedule::cron(line, zone).unwrap() else {
            unreachable!()
        };
        let mut instant = Timestamp::from_millis(
            DateTime::parse_from_rfc3339(start)
                .unwrap()
                .timestamp_millis() as u64,
        );
        let mut all = Vec::new();
        for _ in 0..count {
            instant = crontab.next(instant).unwrap();
            let utc = DateTime::<Utc>::from_timestamp_millis(instant.millis() as i64).unwrap();
            all.push(
                utc.with_timezone(&crontab.zone)
                    .format("%a %Y-%m-%dT%H:%M%:z")
                    .to_string(),
            );
        }
        all
    }

    #[test]
    fn sunday_is_zero_and_seven_as_in_crontab() {
        for field in ["0", "7", "sun", "SUN", "7-7"] {
            let line = format!("0 3 * * {field}");
            assert_eq!(
                firings(&line, "UTC", "2026-01-01T00:00:00Z", 1),
                ["Sun 2026-01-04T03:00+00:00"],
                "{field}"
            );
        }
        assert_eq!(
            firings("0 3 * * 5-7", "UTC", "2026-01-01T00:00:00Z", 3),
            [
                "Fri 2026-01-02T03:00+00:00",
                "Sat 2026-01-03T03:00+00:00",
                "Sun 2026-01-04T03:00+00:00"
            ]
        );
    }

    #[test]
    fn weekdays_have_ranges_and_steps() {
        // The first Sunday of 2026 is 4 January.
        let days = |field: &str, count| -> Vec<String> {
            let line = format!("0 3 * * {field}");
            let fired = firings(&line, "UTC", "2026-01-04T00:00:00Z", count);
            fired.iter().map(|text| text[..3].to_owned()).collect()
        };
        assert_eq!(days("*/2", 5), ["Sun", "Tue", "Thu", "Sat", "Sun"]);
        assert_eq!(days("mon-fri/2", 4), ["Mon", "Wed", "Fri", "Mon"]);
        assert_eq!(days("4/2", 3), ["Thu", "Sat", "Thu"]);
        assert_eq!(days("1,3", 3), ["Mon", "Wed", "Mon"]);
        for field in ["*/0", "5-1", "8", "1/x", ""] {
            let line = format!("0 3 * * {field}");
            assert!(Schedule::cron(&line, "UTC").is_err(), "{field}");
        }
    }

    #[test]
    fn either_day_matches_when_both_days_are_restricted() {
        assert_eq!(
            firings("0 0 13 * 5", "UTC", "2026-01-03T00:00:00Z", 3),
            [
                "Fri 2026-01-09T00:00+00:00",
                "Tue 2026-01-13T00:00+00:00",
                "Fri 2026-01-16T00:00+00:00"
            ]
        );
    }

    #[test]
    fn a_time_that_daylight_saving_skips_fires_right_after_the_gap() {
        // Berlin, 29 March 2026: 02:00 is followed by 03:00.
        assert_eq!(
            firings("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
            ["Sun 2026-03-29T03:00+02:00", "Mon 2026-03-30T02:30+02:00"]
        );
    }

    #[test]
    fn a_day_that_a_zone_skips_fires_right_after_it() {
        // Samoa crossed the date line at the end of 29 December 2011.
        assert_eq!(
            firings("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3),
            [
                "Thu 2011-12-29T12:00-10:00",
                "Sat 2011-12-31T00:00+14:00",
                "Sat 2011-12-31T12:00+14:00"
            ]
        );
    }

    #[test]
    fn a_time_that_comes_twice_fires_once() {
        // Berlin, 25 October 2026: 03:00 is followed by 02:00.
        assert_eq!(
            firings("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["Sun 2026-10-25T02:30+02:00", "Mon 2026-10-26T02:30+01:00"]
        );
        // Asked between the two occurrences, the second does not fire.
        assert_eq!(
            firings("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", 1),
            ["Mon 2026-10-26T02:30+01:00"]
        );
    }

    #[test]
    fn schedules_differ_by_their_line_and_by_their_zone() {
        let berlin = |line| Schedule::cron(line, "Europe/Berlin").unwrap();
        let first = berlin("0 3 1 * *");
        assert_eq!(first, berlin("0  3 1 * *"));
        assert_ne!(first, berlin("0 4 1 * *"));
        assert_ne!(first, Schedule::cron("0 3 1 * *", "UTC").unwrap());
        assert!(format!("{first:?}").contains("\"0 3 1 * *\" in Europe/Berlin"));
    }

    #[test]
    fn the_shortest_gap_sees_daylight_saving() {
        let (shortest, longest) = Schedule::cron("0 12 * * *", "Europe/Berlin")
            .unwrap()
            .gaps();
        assert_eq!(
            (shortest.as_secs(), longest.as_secs()),
            (23 * 3600, 25 * 3600)
        );
    }

    #[test]
    fn the_shortest_gap_sees_neighbours_that_meet_once_a_year() {
        let (shortest, _) = Schedule::cron("0 3,4 1 1 *", "UTC").unwrap().gaps();
        assert_eq!(shortest.as_secs(), 3600);
    }

    #[test]
    fn lines_that_never_fire_and_unknown_zones_are_refused() {
        assert!(matches!(
            Schedule::cron("0 0 30 2 *", "UTC"),
            Err(InvalidSchedule::NeverFires(_))
        ));
        assert!(matches!(
            Schedule::cron("0 0 * * *", "Europe/Berln"),
            Err(InvalidSchedule::Zone(_))
        ));
        for line in [
            "",
            "* * * *",
            "0 0 0 * * *",
            "60 * * * *",
            "0 0 * * 8",
            "0 0 ? * *",
            "a b c d e",
            "0 0 * * 5-2",
        ] {
            assert!(
                matches!(Schedule::cron(line, "UTC"), Err(InvalidSchedule::Line(_))),
                "{line}"
            );
        }
    }

    #[test]
    fn a_leap_day_is_found() {
        assert_eq!(
            firings("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1),
            ["Tue 2028-02-29T00:00+00:00"]
        );
    }
}
