//! What becomes of messages to webhooks.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::OutcomeLabels;

/// What becomes of messages to webhooks.
#[derive(Default)]
pub struct WebhookMetrics(Family<OutcomeLabels, Counter>);

impl WebhookMetrics {
    /// Counts an attempt: `accepted` or `rejected`.
    pub fn count(&self, outcome: &'static str) {
        self.0.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "webhook_attempts",
            "Attempts to send a message to a webhook",
            Family::clone(&self.0),
        );
    }
}
