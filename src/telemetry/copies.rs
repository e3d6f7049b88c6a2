//! Pushes of key sets to copies.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Pushes of key sets to copies.
#[derive(Default)]
pub struct CopyMetrics {
    pushes: Family<PushLabels, Counter>,
    behind: Family<CopyLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PushLabels {
    target: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CopyLabels {
    issuer: String,
    target: String,
}

impl CopyMetrics {
    /// Counts a push to a target: `pushed` or `failed`.
    pub fn count(&self, target: &str, outcome: &'static str) {
        let target = target.to_owned();
        self.pushes
            .get_or_create(&PushLabels { target, outcome })
            .inc();
    }

    /// Forgets all copies, before those that there are are observed.
    pub fn forget(&self) {
        self.behind.clear();
    }

    /// For how long a copy has not been its issuer's key set.
    pub fn observe(&self, issuer: &str, target: &str, behind: Duration) {
        let labels = CopyLabels {
            issuer: issuer.to_owned(),
            target: target.to_owned(),
        };
        let seconds = i64::try_from(behind.as_secs()).unwrap_or(i64::MAX);
        self.behind.get_or_create(&labels).set(seconds);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "push_attempts",
            "Pushes of a key set to a target",
            Family::clone(&self.pushes),
        );
        registry.register(
            "push_behind_seconds",
            "For how long the copy of a key set at a target has not been the key set; 0 while it is",
            Family::clone(&self.behind),
        );
    }
}
