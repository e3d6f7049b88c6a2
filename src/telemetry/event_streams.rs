//! What becomes of security event tokens that are pushed.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::OutcomeLabels;

/// What becomes of security event tokens that are pushed.
#[derive(Default)]
pub struct EventStreamMetrics(Family<OutcomeLabels, Counter>);

impl EventStreamMetrics {
    /// Counts an attempt: `accepted` or `rejected`.
    pub fn count(&self, outcome: &'static str) {
        self.0.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "security_event_attempts",
            "Attempts to push a security event token",
            Family::clone(&self.0),
        );
    }
}
