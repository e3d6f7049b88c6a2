//! When keys rotate: at an interval, or by crontab in a time zone.

use std::time::Duration;

use super::crontab::Crontab;
use super::time::Timestamp;

/// The rule that says when the next rotation is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// So long after the active key began to sign.
    Every(Duration),
    /// At the next time that a crontab line names.
    Cron(Crontab),
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

impl Schedule {
    /// Reads a crontab line and the name of a time zone.
    ///
    /// # Errors
    /// [`InvalidSchedule`] says what is wrong with which of the two.
    pub fn cron(line: &str, zone: &str) -> Result<Self, InvalidSchedule> {
        Ok(Self::Cron(Crontab::parse(line, zone)?))
    }

    /// Reads what was stored: a line that does not read any more rotates every 30 days, one in a
    /// zone that has left the database goes by UTC. [`warning`](Self::warning) says so.
    pub fn cron_from_record(line: &str, zone: &str) -> Self {
        Self::Cron(Crontab::from_record(line, zone))
    }

    /// What of a stored schedule is not kept to, as a sentence.
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::Every(_) => None,
            Self::Cron(crontab) => crontab.warning(),
        }
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
    /// For a crontab line both are found in all the years until 2100, where the crate ends: every
    /// constellation of weekdays and leap years, and every change of the zone's clocks.
    pub fn gaps(&self) -> (Duration, Duration) {
        match self {
            Self::Every(interval) => (*interval, *interval),
            Self::Cron(crontab) => crontab.gaps(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::crontab::START;
    use super::*;

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
    fn gaps_see_every_change_of_the_clocks() {
        for (line, zone, shortest, longest) in [
            ("30 * * * *", "Europe/Berlin", 30, 120),
            ("* * * * *", "Europe/Berlin", 1, 61),
            ("0 * * * *", "Australia/Lord_Howe", 30, 90),
            ("0 12 * * 1", "Europe/Berlin", 7 * 1440 - 60, 7 * 1440 + 60),
            ("30 2 1 * *", "Europe/Berlin", 28 * 1440, 31 * 1440 + 60),
            ("0 0 29 2 *", "UTC", 1461 * 1440, 1461 * 1440),
            // Both days must match, because of the star.
            (
                "0 0 29 2 */7",
                "UTC",
                28 * 365 * 1440 + 7 * 1440,
                28 * 365 * 1440 + 7 * 1440,
            ),
        ] {
            let gaps = Schedule::cron(line, zone).unwrap().gaps();
            let minutes = (gaps.0.as_secs() / 60, gaps.1.as_secs() / 60);
            assert_eq!(minutes, (shortest, longest), "{line} in {zone}");
        }
    }

    #[test]
    fn gaps_are_those_of_one_firing_after_another() {
        for (line, zone) in [
            ("15 */7 * * *", "Europe/Berlin"),
            ("0,30 0-4 * * 0,6", "America/New_York"),
            ("59 23 28-31 * *", "America/Santiago"),
            ("30 0 * 3,4,9,10 *", "Africa/Casablanca"),
            ("0 1,3 13 * 5", "Asia/Beirut"),
        ] {
            let schedule = Schedule::cron(line, zone).unwrap();
            let mut at = schedule.due_after(START);
            let (mut shortest, mut longest) = (Duration::MAX, Duration::ZERO);
            // Three years in the sun of every zone.
            while at < START.after(Duration::from_secs(3 * 366 * 86_400)) {
                let next = schedule.due_after(at);
                shortest = shortest.min(next.since(at));
                longest = longest.max(next.since(at));
                at = next;
            }
            let gaps = schedule.gaps();
            assert!(
                gaps.0 <= shortest && longest <= gaps.1,
                "{line} in {zone}: {gaps:?}"
            );
            let slack = Duration::from_secs(2 * 86_400);
            assert!(
                shortest - gaps.0 < slack && gaps.1 - longest < slack,
                "{line} in {zone}"
            );
        }
    }

    #[test]
    fn a_stored_line_in_a_zone_that_is_gone_goes_by_utc_and_says_so() {
        let gone = Schedule::cron_from_record("0 3 1 * *", "Europe/Atlantis");
        let utc = Schedule::cron("0 3 1 * *", "UTC").unwrap();
        assert_eq!(gone.due_after(START), utc.due_after(START));
        assert!(gone.warning().unwrap().contains("Europe/Atlantis"));
        let Schedule::Cron(crontab) = &gone else {
            unreachable!()
        };
        assert_eq!(
            (crontab.line(), crontab.zone()),
            ("0 3 1 * *", "Europe/Atlantis")
        );
        assert_ne!(gone, utc);
        let here = Schedule::cron_from_record("0 3 1 * *", "UTC");
        assert_eq!((here.warning(), &here), (None, &utc));
    }

    #[test]
    fn a_stored_line_that_does_not_read_rotates_every_thirty_days_and_says_so() {
        let broken = Schedule::cron_from_record("0 0 L * *", "UTC");
        let interval = Duration::from_secs(30 * 86_400);
        assert_eq!(broken.due_after(START), START.after(interval));
        assert_eq!(broken.gaps(), (interval, interval));
        assert!(broken.warning().unwrap().contains("every 30d"));
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
}
