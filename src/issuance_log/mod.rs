//! One line for each token, and for each refusal of one: who had what signed, and with which key.
//!
//! A token that the log does not know is worse than one that is not made. So a token is handed out
//! when its line has a place in the queue, and refused when there is none. One thread of the log's
//! own takes what is there and writes it at once; what cannot be written waits in the queue and is
//! tried again. Lines are not forced to the disk (no `fsync`).
//!
//! Refusals are there to be seen, not to be kept: the first few of each client and code of a minute
//! have lines, the others are counted in one (`refusals`). Lines leave space on their disk: tokens
//! stop before the disk is full, and refusals before that.
//!
//! What `kill -9` can lose is what waits: about 5 ms of lines while they can be written.

mod line;
mod live_tokens;
mod output;
mod queue;
mod refusals;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

pub use line::{Decision, Line, LoggedClaims};
pub use live_tokens::{LiveTokens, LiveTokensOf, Share};
pub use output::Destination;
pub use queue::QueueFull;

use crate::clock::Clock;
use crate::supervision::supervise_thread;
use crate::telemetry::Metrics;
use output::Output;
use queue::Queue;
use refusals::Refusals;
use writer::Writer;

/// The name of the thread, in the log, in the metrics and in the health report.
const TASK: &str = "issuance-log";

/// How long the last lines may take when the process ends.
const LONGEST_END: Duration = Duration::from_secs(4);

/// The log, and the thread that writes it.
pub struct IssuanceLog {
    queue: Arc<Queue>,
    refusals: Arc<Refusals>,
    metrics: Arc<Metrics>,
    /// The file, if it is one.
    file: Option<PathBuf>,
    /// Closed when the thread has ended.
    writing: watch::Receiver<()>,
}

impl IssuanceLog {
    /// Opens the log, with room for so many lines that wait.
    ///
    /// # Errors
    /// When the file cannot be opened or made, or the thread cannot be started.
    pub fn start(
        destination: Destination,
        capacity: usize,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let file = match &destination {
            Destination::Stdout => None,
            Destination::File(path) => Some(path.clone()),
        };
        let output = Output::open(destination)?;
        let queue = Arc::new(Queue::new(capacity));
        let (alive, writing) = watch::channel(());
        let refusals = Arc::<Refusals>::default();
        let mut writer = Writer::new(
            Arc::clone(&queue),
            Arc::clone(&refusals),
            output,
            clock.clone(),
            Arc::clone(&metrics),
        );
        let (lines, counters) = (Arc::clone(&queue), Arc::clone(&metrics));
        thread::Builder::new()
            .name(TASK.to_owned())
            .spawn(move || {
                let wait = |pause| {
                    lines.wait(pause);
                };
                supervise_thread(TASK, clock, counters, wait, || writer.run());
                drop(alive);
            })?;
        Ok(Self {
            queue,
            refusals,
            metrics,
            file,
            writing,
        })
    }

    /// Counts the live tokens of a key by client and audience, in this process's own file and in
    /// what it was renamed to: its newest 64 MiB. `None` when lines go to standard output. It reads
    /// files and does not return before that.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn live_tokens(&self, of: &LiveTokensOf) -> Option<io::Result<LiveTokens>> {
        self.file
            .as_deref()
            .map(|path| live_tokens::count(path, of))
    }

    /// Puts a line into the queue. Refusals find no room a little earlier than tokens, so that a
    /// flood of them does not keep tokens from being signed. A refusal that is one of many is only
    /// counted.
    ///
    /// # Errors
    /// [`QueueFull`]: there is no line. That of a token is lost; a refusal is counted.
    pub fn put(&self, line: &Line<'_>) -> Result<(), QueueFull> {
        let refused = match line.decision {
            Decision::Signed { .. } => None,
            Decision::Refused { code, .. } => Some(code),
        };
        if let Some(code) = refused
            && !self.refusals.admit(line.client, code, line.time)
        {
            return Ok(());
        }
        let put = self.queue.put(&line.text(), line.decision.priority());
        put.inspect_err(|_| {
            self.metrics.issuance().count_no_room();
            if let Some(code) = refused {
                self.refusals.count(line.client, code, line.time);
            }
        })
    }

    /// Writes what waits, for a few seconds at most. Nothing may be put any more.
    pub async fn end(&self) {
        self.queue.close();
        let mut writing = self.writing.clone();
        // The sender only ever goes away.
        let ended = async { while writing.changed().await.is_ok() {} };
        if tokio::time::timeout(LONGEST_END, ended).await.is_err() {
            let lines = self.queue.waiting();
            tracing::error!(lines, "the end of the issuance log could not be written");
        }
    }
}
