//! How many grants there are, and what becomes of them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{IssuerLabels, OutcomeLabels};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

/// How many grants there are, and what becomes of them.
#[derive(Default)]
pub struct GrantMetrics {
    live: Family<IssuerLabels, Gauge>,
    renewals: Family<OutcomeLabels, Counter>,
    ended: Family<CauseLabels, Counter>,
}

impl GrantMetrics {
    /// Shows how many live grants there are: pairs of an issuer and a count, which are added up.
    pub fn observe_live<'a>(&self, counts: impl IntoIterator<Item = (&'a str, u64)>) {
        self.live.clear();
        for (issuer, count) in counts {
            let labels = IssuerLabels {
                issuer: issuer.to_owned(),
            };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.live.get_or_create(&labels).inc_by(count);
        }
    }

    /// Counts a request to renew a grant: `renewed`, `repeated`, or the code of the refusal.
    pub fn count_renewal(&self, outcome: &'static str) {
        self.renewals
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
    }

    /// Counts grants that this process has ended before their time.
    pub fn count_ended(&self, cause: &'static str, count: u64) {
        self.ended
            .get_or_create(&CauseLabels { cause })
            .inc_by(count);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "grants",
            "Live grants, as the store had them within the last minute",
            Family::clone(&self.live),
        );
        registry.register(
            "grant_renewals",
            "Requests to renew a grant",
            Family::clone(&self.renewals),
        );
        registry.register(
            "grants_ended",
            "Grants that this process has ended before their time",
            Family::clone(&self.ended),
        );
    }
}
