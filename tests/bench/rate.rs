//! How often something can be done.

use std::time::{Duration, Instant};

/// Calls a second, over `duration`.
pub(crate) fn rate(duration: Duration, mut call: impl FnMut()) -> f64 {
    let mut count = 0_u32;
    let started = Instant::now();
    while started.elapsed() < duration {
        call();
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}
