//! A crontab line in a time zone: when it fires, and how far apart.
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

use chrono::{
    DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;
use cron::TimeUnitSpec as _;

use super::schedule::InvalidSchedule;
use super::time::{Timestamp, format_duration};

/// A five-field crontab line in a time zone.
#[derive(Clone)]
pub struct Crontab {
    line: String,
    zone: Tz,
    /// As it was written: it has left the time zone database where it is not the zone's name.
    zone_name: String,
    /// Empty for a stored line that does not read any more.
    alternatives: Vec<cron::Schedule>,
}

/// How often keys rotate whose stored crontab line does not read any more: as by default.
const FALLBACK_INTERVAL: Duration = Duration::from_secs(30 * 86_400);

impl Crontab {
    pub(super) fn parse(line: &str, zone: &str) -> Result<Self, InvalidSchedule> {
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
            zone_name: zone.name().to_owned(),
            alternatives,
        };
        match crontab.next(START) {
            Some(_) => Ok(crontab),
            None => Err(InvalidSchedule::NeverFires(crontab.line)),
        }
    }

    /// Reads a stored line, as [`Schedule::cron_from_record`](super::Schedule::cron_from_record).
    pub(super) fn from_record(line: &str, zone: &str) -> Self {
        let read = match Self::parse(line, zone) {
            Err(InvalidSchedule::Zone(_)) => Self::parse(line, "UTC"),
            read => read,
        };
        let unread = |_| Self {
            line: line.to_owned(),
            zone: Tz::UTC,
            zone_name: String::new(),
            alternatives: Vec::new(),
        };
        Self {
            zone_name: zone.to_owned(),
            ..read.unwrap_or_else(unread)
        }
    }

    pub(super) fn warning(&self) -> Option<String> {
        let Self {
            line, zone_name, ..
        } = self;
        if self.alternatives.is_empty() {
            let interval = format_duration(FALLBACK_INTERVAL);
            return Some(format!(
                "the crontab line \"{line}\" in {zone_name} does not read any more: keys rotate \
                 every {interval}"
            ));
        }
        (self.zone.name() != zone_name).then(|| {
            format!(
                "there is no time zone \"{zone_name}\" in the IANA database any more: the crontab \
                 line goes by UTC"
            )
        })
    }

    /// The line, with single spaces.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The zone's IANA name.
    pub fn zone(&self) -> &str {
        &self.zone_name
    }

    pub(super) fn next(&self, instant: Timestamp) -> Option<Timestamp> {
        if self.alternatives.is_empty() {
            return Some(instant.after(FALLBACK_INTERVAL));
        }
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

    /// Looks at the first and the last firing of each day. Between them lie the gaps of the wall
    /// clock, except where they are farther apart, or less far, than on the wall: there, clocks are
    /// turned, and every firing of the day is looked at.
    pub(super) fn gaps(&self) -> (Duration, Duration) {
        let times = self.times_of_day();
        let mut gaps = Gaps::default();
        let mut is_wall_known = false;
        let days = FIRST_DAY.iter_days().take_while(|day| day.year() < 2100);
        for day in days.filter(|day| self.fires_on(*day)) {
            let resolve = |time: &NaiveTime| self.resolve(day.and_time(*time));
            let ends = times.first().zip(times.last());
            let turned = ends.is_some_and(|(first, last)| {
                let on_the_wall = last
                    .signed_duration_since(*first)
                    .to_std()
                    .unwrap_or_default();
                resolve(first)
                    .zip(resolve(last))
                    .map(|(from, to)| to.since(from))
                    != Some(on_the_wall)
            });
            if turned || !is_wall_known {
                times
                    .iter()
                    .filter_map(resolve)
                    .for_each(|at| gaps.fired(at));
                is_wall_known |= !turned;
            } else {
                times
                    .first()
                    .and_then(resolve)
                    .into_iter()
                    .for_each(|at| gaps.fired(at));
                gaps.previous = times.last().and_then(resolve);
            }
        }
        match gaps.longest {
            Duration::ZERO if self.alternatives.is_empty() => {
                (FALLBACK_INTERVAL, FALLBACK_INTERVAL)
            }
            Duration::ZERO => (Duration::MAX, Duration::MAX),
            longest => (gaps.shortest, longest),
        }
    }

    /// The times of the wall clock, on every day alike.
    fn times_of_day(&self) -> Vec<NaiveTime> {
        let Some(schedule) = self.alternatives.first() else {
            return Vec::new();
        };
        let minutes = |hour| {
            let minutes = schedule.minutes().iter();
            minutes.filter_map(move |minute| NaiveTime::from_hms_opt(hour, minute, 0))
        };
        schedule.hours().iter().flat_map(minutes).collect()
    }

    fn fires_on(&self, day: NaiveDate) -> bool {
        self.alternatives.iter().any(|schedule| {
            schedule.months().includes(day.month())
                && schedule.days_of_month().includes(day.day())
                && (schedule.days_of_week()).includes(day.weekday().number_from_sunday())
        })
    }
}

/// The shortest and the longest time between firings that come in order.
struct Gaps {
    previous: Option<Timestamp>,
    shortest: Duration,
    longest: Duration,
}

impl Default for Gaps {
    fn default() -> Self {
        Self {
            previous: None,
            shortest: Duration::MAX,
            longest: Duration::ZERO,
        }
    }
}

impl Gaps {
    fn fired(&mut self, at: Timestamp) {
        // Times that daylight saving skips all fire at its end, which is one firing.
        if let Some(gap) = self.previous.map(|previous| at.since(previous))
            && !gap.is_zero()
        {
            self.shortest = self.shortest.min(gap);
            self.longest = self.longest.max(gap);
        }
        self.previous = Some(at);
    }
}

/// 1 January 2025: gaps are looked for from here, so that one line always has the same gaps.
const FIRST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(2025, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};

/// A line that does not fire after this instant, which is that day's beginning, never does.
pub(super) const START: Timestamp = Timestamp::from_seconds(1_735_689_600);

impl PartialEq for Crontab {
    fn eq(&self, other: &Self) -> bool {
        self.line == other.line && self.zone_name == other.zone_name
    }
}

impl Eq for Crontab {}

impl fmt::Debug for Crontab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.line, self.zone_name)
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
    use super::super::schedule::Schedule;
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
    fn a_leap_day_is_found() {
        assert_eq!(
            firings("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1),
            ["Tue 2028-02-29T00:00+00:00"]
        );
    }
}
