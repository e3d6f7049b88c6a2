//! Assertions that have been used: each `jti` counts once (RFC 7523 §3, RFC 7521 §5.2).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ring::digest::{SHA256, digest};

use crate::lifecycle::Timestamp;

/// The assertions that one client has used and that have not expired. Another client's flood takes
/// no room here.
#[derive(Default)]
pub(super) struct UsedAssertions {
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    /// When each expires, by the hash of its `jti`.
    until: HashMap<[u8; 32], Timestamp>,
    /// When the expired ones were last forgotten.
    swept: Timestamp,
}

/// The most assertions that are remembered of one client: some 300 a second, at five minutes each.
const MOST: usize = 100_000;

/// What using an assertion came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Consumption {
    /// It had not been used.
    Accepted,
    /// It had been used.
    Replayed,
    /// It cannot be told, because no more can be remembered.
    Full,
}

impl UsedAssertions {
    /// Uses an assertion up.
    pub(super) fn consume(&self, jti: &str, expires_at: Timestamp, now: Timestamp) -> Consumption {
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, jti.as_bytes()).as_ref());
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // At most once a second, so that a full memory is not searched for each assertion.
        if used.until.len() >= MOST / 2 && now.since(used.swept).as_secs() >= 1 {
            used.until.retain(|_, until| now < *until);
            used.swept = now;
        }
        if used.until.contains_key(&name) {
            return Consumption::Replayed;
        }
        if used.until.len() >= MOST {
            return Consumption::Full;
        }
        used.until.insert(name, expires_at);
        Consumption::Accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_counts_once_and_a_full_memory_takes_no_more() {
        let used = UsedAssertions::default();
        let (now, end) = (Timestamp::from_seconds(10), Timestamp::from_seconds(20));
        assert_eq!(used.consume("a", end, now), Consumption::Accepted);
        assert_eq!(used.consume("a", end, now), Consumption::Replayed);
        for number in 1..MOST {
            used.consume(&number.to_string(), end, now);
        }
        assert_eq!(used.consume("b", end, now), Consumption::Full);
        assert_eq!(used.consume("a", end, now), Consumption::Replayed);
        assert_eq!(
            used.consume("b", Timestamp::from_seconds(30), end),
            Consumption::Accepted
        );
    }
}
