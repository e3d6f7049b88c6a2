//! How long requests take.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    listener: &'static str,
    method: &'static str,
    route: &'static str,
}

/// How long requests take, by their routes.
pub struct RequestMetrics {
    seconds: Family<RequestLabels, Histogram, fn() -> Histogram>,
}

/// From 64 µs to 4 s, each four times the one before.
fn histogram() -> Histogram {
    Histogram::new((0..9).map(|power| 64e-6 * f64::from(1_u32 << (2 * power))))
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            seconds: Family::new_with_constructor(histogram),
        }
    }
}

impl RequestMetrics {
    /// Records a request from its head to the head of its answer. The route is one of the listener's own,
    /// with names in braces for what stands in a path.
    pub fn observe(
        &self,
        listener: &'static str,
        method: &'static str,
        route: &'static str,
        duration: Duration,
    ) {
        let labels = RequestLabels {
            listener,
            method,
            route,
        };
        let seconds = self.seconds.get_or_create(&labels);
        seconds.observe(duration.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "request",
            "Time from a request to its response",
            Unit::Seconds,
            Family::clone(&self.seconds),
        );
    }
}
