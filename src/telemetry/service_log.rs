//! The service's log: lines on standard error.
//!
//! Logging is best effort and waits for nothing. A line is put into a bounded queue, and one thread
//! writes. A reader that has stopped, a pipe without a reader and a full disk cost lines, which are
//! counted; they never cost a request, a signature or a task of the background.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::{LogFormat, Metrics};
use crate::clock::Clock;
use crate::disk::Space;
use crate::supervision::supervise_thread;

/// The name of the thread, in the metrics and in the health report.
const TASK: &str = "service-log";

/// The most bytes that wait to be written. Further lines are lost.
const MOST_BYTES: usize = 1 << 20;

/// How often a write to a pipe that is full is tried, and with which pause.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// How long the last lines may take when the process ends.
const LONGEST_END: Duration = Duration::from_secs(1);

/// A log that lies on a disk leaves so much of a reserve free (1/2).
const RESERVE_SHARE: u64 = 2;

/// The log of this process, and the thread that writes it.
pub struct ServiceLog {
    queue: Arc<LineQueue>,
}

impl ServiceLog {
    /// Starts writing lines to standard error, also those of panics. `filter` is in the syntax of
    /// `tracing-subscriber`'s `EnvFilter`, such as `info` or `keywright=debug`.
    ///
    /// # Errors
    /// When the filter does not read, the thread cannot be started, or logging was started before.
    pub fn start(
        format: LogFormat,
        filter: &str,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let filter = EnvFilter::try_new(filter)?;
        let terminal = io::IsTerminal::is_terminal(&io::stderr());
        let queue = Arc::new(LineQueue::new(metrics.log_lines_lost().clone()));
        let output = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        spawn(&queue, output, Clock::system(), Arc::clone(metrics))?;
        let builder = tracing_subscriber::fmt()
            .with_ansi(terminal)
            .with_env_filter(filter)
            .log_internal_errors(false)
            .with_writer(Lines(Arc::clone(&queue)));
        match format {
            LogFormat::Text => builder.try_init().map_err(|error| error.to_string())?,
            LogFormat::Json => builder
                .json()
                .try_init()
                .map_err(|error| error.to_string())?,
        }
        // The default hook would wait for standard error.
        let lines = Arc::clone(&queue);
        std::panic::set_hook(Box::new(move |panic| {
            let name = thread::current().name().unwrap_or("unnamed").to_owned();
            lines.put(panic_line(format, &name, &panic.to_string()));
        }));
        Ok(Self { queue })
    }

    /// Writes the lines that wait, for a second at most.
    pub fn end(&self) {
        self.queue.wait_until_written(LONGEST_END);
    }
}

/// How a panic is written: in the form of every other line.
fn panic_line(format: LogFormat, thread: &str, panic: &str) -> Vec<u8> {
    let line = match format {
        LogFormat::Text => format!("thread '{thread}' {panic}"),
        LogFormat::Json => {
            let fields =
                json!({ "message": "a thread has panicked", "thread": thread, "error": panic });
            let now = Clock::system().now().to_string();
            let target = module_path!();
            json!({ "timestamp": now, "level": "ERROR", "fields": fields, "target": target })
                .to_string()
        }
    };
    format!("{line}\n").into_bytes()
}

/// Starts the thread that writes what is put into the queue.
fn spawn(
    queue: &Arc<LineQueue>,
    output: File,
    clock: Clock,
    metrics: Arc<Metrics>,
) -> io::Result<()> {
    let queue = Arc::clone(queue);
    let mut writer = LogWriter::new(Arc::clone(&queue), output);
    let writes = move || {
        let wait = |pause| queue.wait(pause);
        supervise_thread(TASK, clock, metrics, wait, || writer.run());
    };
    thread::Builder::new()
        .name(TASK.to_owned())
        .spawn(writes)
        .map(drop)
}

/// Lines that wait to be written: bounded in bytes.
struct LineQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
    lost: Counter,
}

#[derive(Default)]
struct QueueState {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    is_writing: bool,
}

impl LineQueue {
    fn new(lost: Counter) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            lost,
        }
    }

    /// Takes a line, or counts it as lost when too much waits.
    fn put(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if state.bytes + line.len() > MOST_BYTES {
            drop(state);
            self.lost.inc();
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for a line, and takes it. It counts as waiting until the next one is taken.
    fn take(&self) -> Vec<u8> {
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        let mut state = self
            .changed
            .wait_while(state, |state| state.lines.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let line = state.lines.pop_front().unwrap_or_default();
        state.bytes = state.bytes.saturating_sub(line.len());
        state.is_writing = true;
        line
    }

    fn is_empty(&self) -> bool {
        self.lock().lines.is_empty()
    }

    fn wait_until_written(&self, longest: Duration) {
        let is_waiting = |state: &mut QueueState| state.is_writing || !state.lines.is_empty();
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), longest, is_waiting);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn wait(&self, pause: Duration) {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), pause, |_| true);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the formatter writes to: each write is one line.
struct Lines(Arc<LineQueue>);

struct LineOf<'a>(&'a LineQueue);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LineOf<'a>;

    fn make_writer(&'a self) -> LineOf<'a> {
        LineOf(&self.0)
    }
}

impl Write for LineOf<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines, and counts those that it cannot write.
struct LogWriter {
    queue: Arc<LineQueue>,
    output: File,
    /// Whether a line has broken off.
    is_broken: bool,
    /// How many lost lines the log has told of.
    told: u64,
}

impl LogWriter {
    fn new(queue: Arc<LineQueue>, output: File) -> Self {
        Self {
            queue,
            output,
            is_broken: false,
            told: 0,
        }
    }

    /// Writes for as long as the process lives.
    fn run(&mut self) {
        loop {
            let line = self.queue.take();
            if self.write(&line).is_err() {
                self.queue.lost.inc();
                continue;
            }
            let lost = self.queue.lost.get();
            // While many lines wait the remark would be lost, too.
            if lost > self.told && self.queue.is_empty() {
                let lines = lost - self.told;
                self.told = lost;
                tracing::warn!(
                    lines,
                    "lines of this log were lost: they could not be written"
                );
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let is_short = |space: Space| space.free < space.reserve_size() / RESERVE_SHARE;
        if Space::around(&self.output).is_some_and(is_short) {
            return Err(ErrorKind::StorageFull.into());
        }
        if self.is_broken {
            self.write_all(b"\n")?;
        }
        self.write_all(line)?;
        self.is_broken = false;
        Ok(())
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut attempts_left = ATTEMPTS;
        while !bytes.is_empty() {
            match self.output.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.is_broken = true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another program has made the pipe one that does not block.
                Err(error) if error.kind() == ErrorKind::WouldBlock && attempts_left > 0 => {
                    attempts_left -= 1;
                    self.queue.wait(PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, pipe};
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::lifecycle::Timestamp;

    fn writer(output: impl Into<OwnedFd>) -> (Arc<LineQueue>, Arc<Metrics>) {
        let metrics = Arc::<Metrics>::default();
        let queue = Arc::new(LineQueue::new(metrics.log_lines_lost().clone()));
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let output = File::from(output.into());
        spawn(&queue, output, clock, Arc::clone(&metrics)).unwrap();
        (queue, metrics)
    }

    fn put(queue: &LineQueue, line: &str) {
        queue.put(line.as_bytes().to_vec());
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn lines_come_in_their_order_and_the_end_waits_for_the_last() {
        let (mut reader, output) = pipe().unwrap();
        let (queue, metrics) = writer(output);
        for line in ["one\n", "two\n", "three\n"] {
            put(&queue, line);
        }
        queue.wait_until_written(LONG);
        let mut text = [0; 14];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"one\ntwo\nthree\n");
        assert_eq!(metrics.log_lines_lost().get(), 0);
    }

    #[test]
    fn a_pipe_without_a_reader_costs_lines_and_nothing_else() {
        let (reader, output) = pipe().unwrap();
        drop(reader);
        let (queue, metrics) = writer(output);
        for _ in 0..5 {
            put(&queue, "line\n");
        }
        queue.wait_until_written(LONG);
        assert_eq!(metrics.log_lines_lost().get(), 5);
        assert_eq!(metrics.tasks().all()[TASK].restarts, 0);
        assert!(
            metrics
                .render()
                .contains("keywright_log_lines_lost_total 5")
        );
    }

    /// Panics at its first line.
    struct Panics(std::sync::atomic::AtomicBool);

    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Panics {
        fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            let panics = self.0.swap(false, std::sync::atomic::Ordering::SeqCst);
            assert!(!panics, "on purpose");
        }
    }

    #[test]
    fn a_panic_of_the_thread_is_counted_and_it_goes_on() {
        use tracing_subscriber::layer::SubscriberExt as _;
        let (reader, output) = pipe().unwrap();
        let metrics = Arc::<Metrics>::default();
        let queue = Arc::new(LineQueue::new(metrics.log_lines_lost().clone()));
        let mut writer = LogWriter::new(Arc::clone(&queue), File::from(OwnedFd::from(output)));
        let counted = Arc::clone(&metrics);
        thread::spawn(move || {
            let panics = Panics(true.into());
            let subscriber = tracing_subscriber::registry().with(panics);
            let _guard = tracing::subscriber::set_default(subscriber);
            let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
            supervise_thread(TASK, clock, counted, |_| (), || writer.run());
        });
        // The thread tells of a lost line after the next one that it writes, and panics there.
        metrics.log_lines_lost().inc();
        put(&queue, "one\n");
        while metrics
            .tasks()
            .all()
            .get(TASK)
            .map_or(0, |task| task.restarts)
            == 0
        {
            queue.wait(Duration::from_millis(1));
        }
        put(&queue, "two\n");
        let lines: Vec<_> = BufReader::new(reader)
            .lines()
            .take(2)
            .map(Result::unwrap)
            .collect();
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(metrics.tasks().all()[TASK].restarts, 1);
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (queue, metrics) = writer(full);
        for _ in 0..5 {
            put(&queue, "line\n");
        }
        queue.wait_until_written(LONG);
        assert_eq!(metrics.log_lines_lost().get(), 5);
        assert_eq!(metrics.tasks().all()[TASK].restarts, 0);
    }

    #[test]
    fn a_reader_that_has_stopped_holds_no_writer_up_and_is_told_how_much_it_has_missed() {
        let (reader, output) = pipe().unwrap();
        let (queue, metrics) = writer(output);
        let line = format!("{}\n", "x".repeat(1023));
        // The pipe takes 64 lines, and the writer waits with another.
        for _ in 0..65 {
            put(&queue, &line);
        }
        while !queue.is_empty() {
            queue.wait(Duration::from_millis(1));
        }
        // The queue takes 1 MiB.
        for _ in 65..2048 {
            put(&queue, &line);
        }
        let lost = metrics.log_lines_lost().get();
        assert_eq!(lost, 2048 - 65 - 1024);
        let mut lines = BufReader::new(reader).lines();
        for _ in 0..2048 - lost {
            assert_eq!(lines.next().unwrap().unwrap().len(), 1023);
        }
        put(&queue, "again\n");
        assert_eq!(lines.next().unwrap().unwrap(), "again");
    }
}
