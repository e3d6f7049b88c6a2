//! The thread of the log: takes what waits, writes it, and does not give up.

use std::time::Duration;

use super::output::Output;
use super::queue::{Batch, Queue};
use crate::telemetry::IssuanceMetrics;

/// How long lines are gathered before they are written. A thread that woke up for each line would
/// cost every signature a switch of threads.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// How long to wait before a write is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// How often a write is tried when the process wants to end.
const LAST_ATTEMPTS: usize = 10;

/// Writes until the queue is closed and empty.
pub(super) fn run(queue: &Queue, mut output: Output, metrics: &IssuanceMetrics) {
    let mut batch = Batch::default();
    let mut failing = false;
    while let Some(next) = queue.exchange(batch, PAUSE) {
        batch = next;
        let mut written = 0;
        let mut attempts_left = LAST_ATTEMPTS;
        while let Err(error) = output.write(&batch.bytes, &mut written) {
            metrics.count_failure();
            if !failing {
                failing = true;
                tracing::error!(%error, "the issuance log cannot be written; its lines wait");
            }
            if queue.wait(RETRY) {
                attempts_left -= 1;
            }
            if attempts_left == 0 {
                let lines = queue.waiting();
                tracing::error!(lines, %error, "the end of the issuance log is lost");
                return;
            }
        }
        if failing {
            failing = false;
            tracing::info!("the issuance log is written again");
        }
        metrics.count_written(batch.lines, batch.bytes.len());
    }
}
