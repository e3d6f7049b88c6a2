//! Waiting for the keys of one trusted issuer.
//!
//! A token that names an issuer and an unknown key costs its author nothing, and makes its request
//! wait for that issuer. So few requests wait at a time, none for long, and after one has waited in
//! vain none does for a while: the keys at hand decide, which the background goes on fetching.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::lifecycle::Timestamp;

/// How many requests wait for one issuer at a time.
const WAITING: usize = 32;

/// How long one waits at most.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// For how long none waits after one has waited in vain.
const PAUSE: Duration = Duration::from_secs(30);

/// Who waits for the keys of one issuer.
pub(super) struct KeyWait {
    waiting: Semaphore,
    longest: Duration,
    /// When one last waited in vain, in milliseconds since the Unix epoch; 0 for never.
    timed_out_at: AtomicU64,
}

impl Default for KeyWait {
    fn default() -> Self {
        Self {
            waiting: Semaphore::new(WAITING),
            longest: LONGEST_WAIT,
            timed_out_at: AtomicU64::new(0),
        }
    }
}

impl KeyWait {
    /// Waits for `verified`, which needs keys that are not at hand. `None` when it may not wait, or has
    /// waited in vain.
    pub(super) async fn wait_for<T>(
        &self,
        verified: impl Future<Output = T>,
        now: Timestamp,
    ) -> Option<T> {
        if self.is_paused(now) {
            return None;
        }
        let _waits = self.waiting.try_acquire().ok()?;
        let outcome = tokio::time::timeout(self.longest, verified).await;
        if outcome.is_err() {
            self.timed_out_at.store(now.millis(), Ordering::Relaxed);
        }
        outcome.ok()
    }

    /// A clock that was set back does not make the pause longer.
    fn is_paused(&self, now: Timestamp) -> bool {
        let begin = Timestamp::from_millis(self.timed_out_at.load(Ordering::Relaxed));
        begin <= now && now < begin.after(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[tokio::test]
    async fn after_one_has_waited_in_vain_none_waits_for_a_while() {
        let wait = KeyWait {
            longest: Duration::from_millis(1),
            ..KeyWait::default()
        };
        assert_eq!(wait.wait_for(ready(1), NOW).await, Some(1));
        assert_eq!(wait.wait_for(pending::<u8>(), NOW).await, None);
        for (later, waits) in [(0, false), (29, false), (31, true), (3600, true)] {
            let later = NOW.after(Duration::from_secs(later));
            let expected = waits.then_some(2);
            assert_eq!(wait.wait_for(ready(2), later).await, expected);
        }
        let before = Timestamp::from_seconds(1_700_000_000);
        assert_eq!(wait.wait_for(ready(3), before).await, Some(3));
    }

    #[tokio::test]
    async fn only_so_many_wait_at_a_time() {
        let wait = KeyWait::default();
        let others: Vec<_> = std::iter::from_fn(|| wait.waiting.try_acquire().ok()).collect();
        assert_eq!(others.len(), WAITING);
        assert_eq!(wait.wait_for(ready(1), NOW).await, None);
        drop(others);
        assert_eq!(wait.wait_for(ready(1), NOW).await, Some(1));
    }
}
