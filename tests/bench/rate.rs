//! How often something can be done in a second of processor time.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Calls for each second of processor time, over `duration`: what else runs on the machine takes time
/// away, and no processor time.
pub(crate) fn rate(duration: Duration, mut call: impl FnMut()) -> f64 {
    let mut count = 0_u32;
    let (started, used) = (Instant::now(), processor_seconds());
    while started.elapsed() < duration {
        call();
        count += 1;
    }
    f64::from(count) / (processor_seconds() - used)
}

/// The processor time of this process so far.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
