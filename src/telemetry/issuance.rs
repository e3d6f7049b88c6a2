//! What becomes of the lines of the issuance log.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What becomes of the lines of the issuance log.
#[derive(Default)]
pub struct IssuanceMetrics {
    lines: Counter,
    bytes: Counter,
    no_room: Counter,
    failures: Counter,
    counted: Counter,
    space_short: Gauge,
    failing: Gauge,
}

impl IssuanceMetrics {
    /// Counts lines that are written; the last write succeeded.
    pub fn count_written(&self, lines: usize, bytes: usize) {
        self.lines.inc_by(u64::try_from(lines).unwrap_or(u64::MAX));
        self.bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.failing.set(0);
    }

    /// Counts a write that failed, and will be tried again.
    pub fn count_failure(&self) {
        self.failures.inc();
        self.failing.set(1);
    }

    /// Counts refusals that have no lines of their own.
    pub fn count_refusals(&self, count: u64) {
        self.counted.inc_by(count);
    }

    /// Shows whether the log has too little space for refusals.
    pub fn report_space(&self, is_short: bool) {
        self.space_short.set(is_short.into());
    }

    /// Counts a line that found no room in the queue.
    pub fn count_no_room(&self) {
        self.no_room.inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let mut counter = |name, help, counter: &Counter| {
            registry.register(name, help, Counter::clone(counter));
        };
        counter("issuance_log_lines", "Lines written", &self.lines);
        counter("issuance_log_bytes", "Bytes written", &self.bytes);
        counter(
            "issuance_log_no_room",
            "Lines that found no room in the queue: tokens not handed out, and refusals",
            &self.no_room,
        );
        counter(
            "issuance_log_failures",
            "Writes that failed",
            &self.failures,
        );
        counter(
            "issuance_log_counted_refusals",
            "Refusals that were counted in one line with others",
            &self.counted,
        );
        registry.register(
            "issuance_log_space_short",
            "1 while the issuance log writes no refusals, because disk space is short",
            Gauge::clone(&self.space_short),
        );
        registry.register(
            "issuance_log_failing",
            "1 while the issuance log cannot be written",
            Gauge::clone(&self.failing),
        );
    }
}
