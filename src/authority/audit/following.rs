//! The log as it grows: events for a caller that follows it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::Filter;
use crate::authority::Authority;
use crate::authority::lease::LogEnd;
use crate::store::StoreError;

/// How many events are taken at a time. No more are in memory for one that follows.
const MOST_AT_A_TIME: usize = 100;

/// How long the log is waited for before it is asked whether the client still may follow.
const PATIENCE_WITH_QUIET: Duration = Duration::from_secs(1);

/// Follows the log from an event on.
pub struct LogFollower {
    authority: Arc<Authority>,
    filter: Filter,
    after: u64,
    log_end: watch::Receiver<LogEnd>,
    /// How often the log had lost events when this began.
    losses: u64,
}

/// What there is to tell of the log.
pub enum Followed {
    /// The next events, as the API shows them.
    Events(Vec<Map<String, Value>>),
    /// Nothing has happened for a second.
    Quiet,
    /// It cannot be followed any further here: the process is asked to end, or the log has lost events.
    Over,
}

/// A log that ends before the event after which it is to be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "after is {after}, and the log ends with event {end}: it has lost events, or is another one"
)]
pub struct ShorterLog {
    end: u64,
    after: u64,
}

/// Why a log is not followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It ends before the event after which it is to be followed.
    #[error(transparent)]
    Shorter(#[from] ShorterLog),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Authority {
    /// Follows the log after an event, or from now on.
    ///
    /// # Errors
    /// [`FollowError`].
    pub async fn follow_log(
        self: &Arc<Self>,
        filter: Filter,
        after: Option<u64>,
    ) -> Result<LogFollower, FollowError> {
        let mut log_end = self.services.lease.follow_log();
        let losses = log_end.borrow_and_update().losses;
        let end = self.services.store.log_head().await?.sequence;
        let after = after.unwrap_or(end);
        if after > end {
            return Err(ShorterLog { end, after }.into());
        }
        Ok(LogFollower {
            authority: Arc::clone(self),
            filter,
            after,
            log_end,
            losses,
        })
    }
}

impl LogFollower {
    /// What comes next.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn next(&mut self) -> Result<Followed, StoreError> {
        let LogEnd { sequence, losses } = *self.log_end.borrow_and_update();
        if self.authority.is_draining() || losses != self.losses {
            return Ok(Followed::Over);
        }
        let page = self
            .authority
            .events(&self.filter, self.after, MOST_AT_A_TIME);
        let page = page.await?;
        let last = page.events.last();
        let last = last.and_then(|event| event.get("sequence")?.as_u64());
        let looked_at = page.next.or(last).unwrap_or(0);
        self.after = match page.next {
            Some(next) => next,
            // The end was reached, which was no earlier than what was known of it before.
            None => self.after.max(looked_at).max(sequence),
        };
        if !page.events.is_empty() {
            return Ok(Followed::Events(page.events));
        }
        if page.next.is_none() {
            let quiet = self.authority.services.clock.wait_for(PATIENCE_WITH_QUIET);
            tokio::select! {
                _ = self.log_end.changed() => {}
                () = quiet => {}
            }
        }
        Ok(Followed::Quiet)
    }
}
