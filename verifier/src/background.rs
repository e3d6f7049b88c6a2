//! What tasks that fetch in the background have in common.

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::task::JoinHandle;

/// Ends the task when the last one who needs it is dropped.
pub(crate) struct Task(pub(crate) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A number from 0 to 1.
pub(crate) fn jitter() -> f64 {
    let mut byte = [0];
    match SystemRandom::new().fill(&mut byte) {
        Ok(()) => f64::from(byte[0]) / 255.0,
        Err(_) => 0.5,
    }
}
