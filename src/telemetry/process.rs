//! What the process takes of its machine, under the names that Prometheus's own clients have for it.

use std::fmt;
use std::fs;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};

use crate::clock;

/// What the process takes, read anew whenever it is shown. What a system does not tell is left out.
#[derive(Debug, Clone, Copy)]
pub struct ProcessMetrics {
    /// Since 1970.
    begun: Duration,
}

impl Default for ProcessMetrics {
    /// Of a process that begins now.
    fn default() -> Self {
        Self {
            begun: clock::time_of_day(),
        }
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let cpu = ConstCounter::new(clock::processor_time().as_secs_f64());
        write(
            &mut encoder,
            "process_cpu",
            "Processor time of the process",
            Some(&Unit::Seconds),
            &cpu,
        )?;
        let mut gauge = |name, help, unit: Option<&Unit>, value: Option<f64>| match value {
            Some(value) => write(&mut encoder, name, help, unit, &ConstGauge::new(value)),
            None => Ok(()),
        };
        gauge(
            "process_start_time",
            "When the process began, since 1970",
            Some(&Unit::Seconds),
            Some(self.begun.as_secs_f64()),
        )?;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        gauge(
            "process_resident_memory",
            "Memory of the process that is in use",
            Some(&Unit::Bytes),
            of_status(&status, "VmRSS:").map(|kibibytes| kibibytes * 1024.0),
        )?;
        gauge(
            "process_threads",
            "Threads of the process",
            None,
            of_status(&status, "Threads:"),
        )?;
        let open = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
        gauge(
            "process_open_fds",
            "File descriptors that the process has open",
            None,
            open.and_then(|open| u32::try_from(open).ok())
                .map(f64::from),
        )?;
        gauge(
            "process_max_fds",
            "File descriptors that the process may have open; absent when there is no limit",
            None,
            getrlimit(Resource::Nofile).current.map(approximately),
        )
    }
}

fn write(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    let kind: MetricType = metric.metric_type();
    metric.encode(encoder.encode_descriptor(name, help, unit, kind)?)
}

/// A number of `/proc/self/status`.
fn of_status(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a limit beyond 2^53 is one that nothing reaches"
)]
fn approximately(limit: u64) -> f64 {
    limit as f64
}
