//! What tasks that fetch in the background have in common.

use ring::rand::{SecureRandom as _, SystemRandom};
use std::time::Duration;

use tokio::task::JoinHandle;

/// Ends the task when the last one who needs it is dropped.
pub(crate) struct Task(pub(crate) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a task, and begins it anew if it panics: a verifier must not keep using what it has
/// indefinitely.
pub(crate) async fn supervised<F>(mut begin: impl FnMut() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut running = Task(tokio::spawn(begin()));
        match (&mut running.0).await {
            Err(error) if error.is_panic() => {
                tracing::error!(
                    "a task that fetches in the background has panicked, and begins anew"
                );
                tokio::time::sleep(AFTER_PANIC).await;
            }
            _ => return,
        }
    }
}

/// How long after a panic a task begins anew.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// A number from 0 to 1.
pub(crate) fn jitter() -> f64 {
    let mut byte = [0];
    match SystemRandom::new().fill(&mut byte) {
        Ok(()) => f64::from(byte[0]) / 255.0,
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn task_that_panics_begins_anew_and_one_that_ends_does_not() {
        let begun = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&begun);
        supervised(move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move { assert!(number >= 2, "a panic on purpose") }
        })
        .await;
        assert_eq!(begun.load(Ordering::SeqCst), 3);
    }
}
