//! The thread of the log: takes what waits, writes it, and does not give up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::output::Output;
use super::queue::{Batch, Queue};
use super::refusals::Refusals;
use crate::clock::Clock;
use crate::disk::Space;
use crate::telemetry::Metrics;

/// How long lines are gathered before they are written. A thread that woke up for each line would
/// cost every signature a switch of threads.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// How long to wait before a write is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// How often the thread looks at the space and at the interval of refusals, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// For how long refusals are counted into one line.
const INTERVAL: Duration = Duration::from_secs(60);

/// How much of the disk lines of tokens leave free, in sizes of the store's reserve: what it gives
/// up is not taken by them.
const LEFT_BY_TOKENS: u64 = 2;

/// How much of the disk must be free for lines of refusals.
const LEFT_BY_REFUSALS: u64 = 3;

/// How often a write is tried when the process wants to end.
const LAST_ATTEMPTS: usize = 10;

/// Where a writer writes to.
pub(super) trait Sink {
    /// Writes the bytes from `written` on, and moves it. After an error or a panic it says where to
    /// go on.
    fn write(&mut self, bytes: &[u8], written: &mut usize) -> io::Result<()>;

    /// The space that it writes into; `None` for what takes none.
    fn space(&self) -> Option<Space>;
}

impl Sink for Output {
    fn space(&self) -> Option<Space> {
        Self::space(self)
    }

    fn write(&mut self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        Self::write(self, bytes, written)
    }
}

/// Writes lines. What it has taken out of the queue is its own, so that a panic loses no line.
pub(super) struct Writer<S> {
    queue: Arc<Queue>,
    refusals: Arc<Refusals>,
    sink: S,
    clock: Clock,
    metrics: Arc<Metrics>,
    batch: Batch,
    written: usize,
    failing: bool,
    /// When the interval of refusals began, by the monotonic clock.
    interval_began: Duration,
}

impl<S: Sink> Writer<S> {
    pub(super) fn new(
        queue: Arc<Queue>,
        refusals: Arc<Refusals>,
        sink: S,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            queue,
            refusals,
            sink,
            interval_began: clock.read().monotonic,
            clock,
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
            let next = self.queue.exchange(written, PAUSE, LOOK_EVERY);
            let is_end = next.is_none();
            self.batch = next.unwrap_or_default();
            self.look_at_space();
            self.add_counts(is_end);
            if is_end {
                self.write_batch();
                return;
            }
        }
    }

    /// Adds what was counted in an interval that has ended.
    fn add_counts(&mut self, is_end: bool) {
        let now = self.clock.read();
        if !is_end && now.monotonic.saturating_sub(self.interval_began) < INTERVAL {
            return;
        }
        self.interval_began = now.monotonic;
        for count in self.refusals.end_interval() {
            self.batch.bytes.extend(count.text(now.wall));
            self.batch.lines += 1;
            self.metrics.issuance().count_refusals(count.count);
        }
    }

    /// Whether less than so many sizes of a reserve are free.
    fn is_short_of(&self, reserves: u64) -> bool {
        let space = self.sink.space();
        space.is_some_and(|space| space.is_short_of(reserves))
    }

    fn look_at_space(&self) {
        let is_short = self.is_short_of(LEFT_BY_REFUSALS);
        if !self.refusals.set_space_short(is_short) {
            return;
        }
        self.metrics.issuance().report_space(is_short);
        if is_short {
            tracing::warn!(
                "disk space is short: the issuance log counts refusals and writes none of them"
            );
        } else {
            tracing::info!("disk space is free: the issuance log writes refusals again");
        }
    }

    /// Writes, unless that takes space which is to stay free.
    fn try_write(&mut self) -> io::Result<()> {
        if self.is_short_of(LEFT_BY_TOKENS) {
            let told = "the disk is nearly full, and the rest of it is for changes of the store";
            return Err(io::Error::new(io::ErrorKind::StorageFull, told));
        }
        self.sink.write(&self.batch.bytes, &mut self.written)
    }

    /// Writes what is left of the batch. `false` when it is given up because the process ends.
    fn write_batch(&mut self) -> bool {
        if self.batch.lines == 0 {
            return true;
        }
        let mut attempts_left = LAST_ATTEMPTS;
        while let Err(error) = self.try_write() {
            self.metrics.issuance().count_failure();
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
        let metrics = self.metrics.issuance();
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

        fn space(&self) -> Option<Space> {
            None
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
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let refusals = Arc::default();
        let mut writer = Writer::new(queue, refusals, sink, clock.clone(), Arc::clone(&metrics));
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
