//! Heads of the revocation feed that outlast the policy under which they were signed.

use std::time::Duration;

use super::time::{Timestamp, format_duration};

/// Heads of the revocation feed that were signed with another `revocation_max_age` than the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierHeads {
    /// The longest `max_age` that any of them has.
    pub max_age: Duration,
    /// When the last of them has ended.
    pub until: Timestamp,
}

impl EarlierHeads {
    /// What an operator who shortens `revocation_max_age` should know, as a sentence; `None` once they have ended.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        (now < self.until).then(|| {
            format!(
                "until {} a verifier that cannot reach the feed may go by a head with the earlier \
                 revocation_max_age of {}; \"guaranteed\" of revocations counts with it",
                self.until,
                format_duration(self.max_age)
            )
        })
    }

    /// What holds for all of these heads.
    pub(super) fn of_both(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(one), Some(other)) = (one, other) else {
            return one.or(other);
        };
        Some(Self {
            max_age: one.max_age.max(other.max_age),
            until: one.until.max(other.until),
        })
    }
}
