//! The thread of the log: takes what waits, writes it, and does not give up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::output::Output;
use super::queue::{Batch, Queue};
use crate::telemetry::Metrics;

/// How long lines are gathered before they are written. A thread that woke up for each line would
/// cost every signature a switch of threads.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// How long to wait before a write is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// How often a write is tried when the process wants to end.
const LAST_ATTEMPTS: usize = 10;

/// Where a writer writes to.
pub(super) trait Sink {
    /// Writes the bytes from `written` on, and moves it. After an error or a panic it says where to
    /// go on.
    fn write(&mut self, bytes: &[u8], written: &mut usize) -> io::Result<()>;
}

impl Sink for Output {
    fn write(&mut self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        Self::write(self, bytes, written)
    }
}

/// Writes lines. What it has taken out of the queue is its own, so that a panic loses no line.
pub(super) struct Writer<S> {
    queue: Arc<Queue>,
    sink: S,
    metrics: Arc<Metrics>,
    batch: Batch,
    written: usize,
    failing: bool,
}

impl<S: Sink> Writer<S> {
    pub(super) fn new(queue: Arc<Queue>, sink: S, metrics: Arc<Metrics>) -> Self {
        Self {
            queue,
            sink,
            metrics,
            batch: Batch::default(),
            written: 0,
            failing: false,
        }
    }

    /// Writes until the queue is closed and empty. After a panic it goes on where it was.
    pub(super) fn run(&mut self) {
        loop {
            if !self.write_batch() {
                return;
            }
            let written = std::mem::take(&mut self.batch);
            self.written = 0;
            let Some(next) = self.queue.exchange(written, PAUSE) else {
                return;
            };
            self.batch = next;
        }
    }

    /// Writes what is left of the batch. `false` when it is given up because the process ends.
    fn write_batch(&mut self) -> bool {
        if self.batch.lines == 0 {
            return true;
        }
        let metrics = self.metrics.issuance();
        let mut attempts_left = LAST_ATTEMPTS;
        while let Err(error) = self.sink.write(&self.batch.bytes, &mut self.written) {
            metrics.count_failure();
            if !self.failing {
                self.failing = true;
                tracing::error!(%error, "the issuance log cannot be written; its lines wait");
            }
            if self.queue.wait(RETRY) {
                attempts_left -= 1;
            }
            if attempts_left == 0 {
                let lines = self.queue.waiting();
                tracing::error!(lines, %error, "the end of the issuance log is lost");
                return false;
            }
        }
        metrics.count_written(self.batch.lines, self.batch.bytes.len());
        self.batch.lines = 0;
        if self.failing {
            self.failing = false;
            tracing::info!("the issuance log is written again");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::queue::Priority;
    use super::*;
    use crate::clock::Clock;
    use crate::lifecycle::Timestamp;
    use crate::supervision::supervise_thread;

    /// Writes half a batch, panics, and writes the rest.
    struct Sinks {
        text: Arc<Mutex<Vec<u8>>>,
        panics_left: usize,
    }

    impl Sink for Sinks {
        fn write(&mut self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
            let end = match self.panics_left {
                0 => bytes.len(),
                _ => *written + (bytes.len() - *written) / 2,
            };
            self.text.lock().unwrap().extend(&bytes[*written..end]);
            *written = end;
            if self.panics_left > 0 {
                self.panics_left -= 1;
                panic!("on purpose");
            }
            Ok(())
        }
    }

    #[test]
    fn a_sink_that_panics_loses_no_line_and_repeats_none() {
        let queue = Arc::new(Queue::new(16));
        let lines = ["one\n", "two\n", "three\n"];
        for line in lines {
            queue.put(line.as_bytes(), Priority::Token).unwrap();
        }
        queue.close();
        let (metrics, text) = (Arc::<Metrics>::default(), Arc::default());
        let sink = Sinks {
            text: Arc::clone(&text),
            panics_left: 3,
        };
        let mut writer = Writer::new(queue, sink, Arc::clone(&metrics));
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let (name, counted) = ("issuance-log", Arc::clone(&metrics));
        supervise_thread(name, clock, counted, |_| (), || writer.run());
        assert_eq!(*text.lock().unwrap(), lines.concat().as_bytes());
        let shown = metrics.render();
        for line in [
            "keywright_task_restarts_total{task=\"issuance-log\"} 3",
            "keywright_issuance_log_lines_total 3",
            "keywright_issuance_log_bytes_total 14",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
    }
}
