//! A copy of a key set: what is known of the one that a target holds, and how its pushes go.

use std::time::Duration;

use crate::lifecycle::Timestamp;
use crate::webhook::pause_after;

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is known of the copy of one issuer's key set that one target holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedCopy {
    /// Where it is, as the configuration had it.
    pub place: String,
    /// What was pushed last; `None` while nothing was, or where something else was found.
    pub content: Option<PushedContent>,
    /// For how long it is fresh once it is read. Of a push whose outcome is not known, the longer of both.
    pub freshness: Duration,
    /// Copies before it that were fresh for longer.
    pub replaced: Option<ReplacedCopies>,
    /// How pushes go.
    pub state: PushState,
    /// Until when a process has the target to itself.
    pub claimed_until: Timestamp,
}

/// What a push has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedContent {
    /// A hash of the set's bytes and of what goes with them.
    pub digest: String,
    /// The version of the key set.
    pub version: u64,
    /// When it was there.
    pub pushed_at: Timestamp,
}

/// Copies that were replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplacedCopies {
    /// For how long the longest of them was fresh once it was read.
    pub freshness: Duration,
    /// Until when this counts.
    pub until: Timestamp,
}

/// How pushes to a target go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushState {
    /// The last one has succeeded, or none was tried.
    Succeeding,
    /// The last one has failed.
    Failing {
        /// Since when they do.
        since: Timestamp,
        /// How often in a row.
        attempts: u32,
        /// When the next one is made, unless there is something else to push.
        next_at: Timestamp,
        /// What the last one was to bring.
        digest: String,
        /// Why the last one has failed.
        reason: String,
    },
}

impl PushedCopy {
    /// Of a place to which nothing was pushed.
    pub fn new(place: String) -> Self {
        Self {
            place,
            content: None,
            freshness: Duration::ZERO,
            replaced: None,
            state: PushState::Succeeding,
            claimed_until: Timestamp::default(),
        }
    }

    /// Whether it is this content, as far as is known.
    pub fn has(&self, digest: &str) -> bool {
        (self.content.as_ref()).is_some_and(|content| content.digest == digest)
    }

    /// Whether this content is to be pushed now. What has failed waits; what has not been tried does not.
    pub fn is_due(&self, digest: &str, now: Timestamp) -> bool {
        let waits = match &self.state {
            PushState::Failing {
                next_at,
                digest: tried,
                ..
            } => tried == digest && now < *next_at,
            PushState::Succeeding => false,
        };
        !waits && self.claimed_until <= now && !self.has(digest)
    }

    /// It, while one process pushes what is fresh for so long. This is written before the push: a process
    /// may end before it can say how that went.
    #[must_use]
    pub fn claimed(&self, until: Timestamp, freshness: Duration) -> Self {
        Self {
            claimed_until: until,
            freshness: self.freshness.max(freshness),
            ..self.clone()
        }
    }

    /// It, when a push has succeeded. `before` is how long what it has replaced was fresh.
    #[must_use]
    pub fn pushed(&self, content: PushedContent, freshness: Duration, before: Duration) -> Self {
        let now = content.pushed_at;
        let just_replaced = ReplacedCopies {
            freshness: before,
            until: now.after(before),
        };
        let earlier = self.replaced.filter(|earlier| now < earlier.until);
        let replaced = earlier.map_or(just_replaced, |earlier| ReplacedCopies {
            freshness: before.max(earlier.freshness),
            until: just_replaced.until.max(earlier.until),
        });
        Self {
            content: Some(content),
            freshness,
            replaced: Some(replaced),
            state: PushState::Succeeding,
            claimed_until: Timestamp::default(),
            ..self.clone()
        }
    }

    /// It, when a push of this content has failed.
    #[must_use]
    pub fn failed(&self, digest: &str, reason: String, now: Timestamp) -> Self {
        let (since, attempts) = match &self.state {
            PushState::Failing {
                since, attempts, ..
            } => (*since, *attempts),
            PushState::Succeeding => (now, 0),
        };
        let attempts = attempts.saturating_add(1);
        Self {
            state: PushState::Failing {
                since,
                attempts,
                next_at: now.after(pause_after(attempts, LONGEST_PAUSE)),
                digest: digest.to_owned(),
                reason,
            },
            claimed_until: Timestamp::default(),
            ..self.clone()
        }
    }

    /// It, when its place was found without what was pushed there, or is another one now.
    #[must_use]
    pub fn lost(&self, place: String) -> Self {
        Self {
            place,
            content: None,
            ..self.clone()
        }
    }

    /// For how long copies were fresh that were replaced, where that still counts.
    pub fn replaced_freshness(&self, now: Timestamp) -> Duration {
        let replaced = self.replaced.filter(|replaced| now < replaced.until);
        replaced.map_or(Duration::ZERO, |replaced| replaced.freshness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn content(digest: &str, pushed_at: Timestamp) -> PushedContent {
        PushedContent {
            digest: digest.to_owned(),
            version: 1,
            pushed_at,
        }
    }

    #[test]
    fn what_failed_waits_and_what_is_new_does_not() {
        let new = PushedCopy::new("file:a".to_owned());
        assert!(new.is_due("one", AT));
        let failed = new.failed("one", "no".to_owned(), AT);
        assert!(!failed.is_due("one", AT));
        assert!(failed.is_due("one", AT.after(SECOND)));
        assert!(failed.is_due("two", AT), "a revocation does not wait");
        let claimed = failed.claimed(AT.after(SECOND * 20), SECOND);
        assert!(!claimed.is_due("two", AT));
        let pushed = claimed.pushed(content("two", AT), SECOND, SECOND);
        assert!(!pushed.is_due("two", AT) && pushed.has("two"));
        assert!(pushed.lost("file:b".to_owned()).is_due("two", AT));
    }

    #[test]
    fn pauses_grow_from_a_second_to_a_minute() {
        let seconds: Vec<u64> = (1..=8)
            .map(|n| pause_after(n, LONGEST_PAUSE).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause_after(u32::MAX, LONGEST_PAUSE), LONGEST_PAUSE);
    }

    #[test]
    fn a_copy_that_was_fresh_for_long_counts_until_nobody_can_hold_it() {
        let first = PushedCopy::new("file:a".to_owned());
        let long = first.pushed(content("one", AT), SECOND * 3600, Duration::ZERO);
        assert_eq!(long.replaced_freshness(AT), Duration::ZERO);
        let claimed = long.claimed(AT, SECOND);
        assert_eq!(claimed.freshness, SECOND * 3600, "the push may not happen");
        let short = claimed.pushed(content("two", AT), SECOND, long.freshness);
        let next = short.pushed(content("three", AT.after(SECOND)), SECOND, SECOND);
        for copy in [short, next] {
            assert_eq!(copy.freshness, SECOND);
            let last = AT.after(SECOND * 3599);
            assert_eq!(copy.replaced_freshness(last), SECOND * 3600);
            assert!(copy.replaced_freshness(AT.after(SECOND * 3601)) <= SECOND);
        }
    }
}
