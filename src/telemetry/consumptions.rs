//! What becomes of requests to use up tokens that count once.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::OutcomeLabels;

/// What becomes of requests to use up tokens that count once.
#[derive(Default)]
pub struct ConsumptionMetrics(Family<OutcomeLabels, Counter>);

impl ConsumptionMetrics {
    /// Counts a request: `consumed`, `repeated`, or the code of the refusal.
    pub fn count(&self, outcome: &'static str) {
        self.0.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "consumptions",
            "Requests to use up a token that counts once",
            Family::clone(&self.0),
        );
    }
}
