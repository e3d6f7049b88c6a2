//! The clocks, in the one file that reads them.

#![expect(
    clippy::disallowed_methods,
    reason = "the only caller of now() in this crate"
)]

use std::time::{Instant, SystemTime};

/// The wall clock.
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// A clock that no one sets.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
