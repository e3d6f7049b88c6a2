//! When a set changes, and how long the set before it may stay in use.

use std::time::Duration;

use super::time::Timestamp;

/// How long the old key may go on signing after the commit that retires it began: the time for
/// that commit and for the swap of the snapshot in memory. Signing past it is refused, and every
/// retired key stays published for it in addition (the caching arithmetic's *R*).
pub const SWITCH_OVER: Duration = Duration::from_secs(2);

/// The instant of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeTime {
    /// What time it is.
    pub now: Timestamp,
    /// How long after it somebody may still sign with the set that is replaced, and serve it as
    /// fresh: at least [`SWITCH_OVER`]; where several processes use one store, the time in which
    /// every one of them has taken the change over or has stopped.
    pub overlap: Duration,
}

impl From<Timestamp> for ChangeTime {
    /// The instant of a change that one process alone knows of.
    fn from(now: Timestamp) -> Self {
        Self {
            now,
            overlap: SWITCH_OVER,
        }
    }
}
