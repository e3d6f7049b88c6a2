//! What a guard counts and measures.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::issuers::FollowedIssuers;
use crate::telemetry::{Metrics, ProcessMetrics, openmetrics};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    status: u16,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabels {
    issuer: String,
}

type SecondsGauge = Gauge<f64, AtomicU64>;

/// What a guard counts and measures.
pub(super) struct GuardMetrics {
    registry: Registry,
    process: ProcessMetrics,
    verdicts: Family<VerdictLabels, Counter>,
    ready: Gauge,
    key_age: Family<IssuerLabels, SecondsGauge>,
    head_age: Family<IssuerLabels, SecondsGauge>,
    records: Family<IssuerLabels, Gauge>,
}

impl GuardMetrics {
    /// With those of the process.
    pub(super) fn new(process: &Metrics) -> Self {
        let mut registry = Registry::with_prefix("keywright");
        let (verdicts, ready) = (Family::default(), Gauge::default());
        let (key_age, head_age, records) =
            (Family::default(), Family::default(), Family::default());
        registry.register(
            "guard_verdicts",
            "Requests of gateways that were answered",
            Family::clone(&verdicts),
        );
        registry.register(
            "guard_ready",
            "1 while tokens of any age can be judged, which is what /readyz says",
            Gauge::clone(&ready),
        );
        registry.register_with_unit(
            "guard_keys_age",
            "Time since the issuer's keys were fetched; absent before",
            Unit::Seconds,
            Family::clone(&key_age),
        );
        registry.register_with_unit(
            "guard_revocations_age",
            "Age of the newest head of the issuer's revocations; absent without one",
            Unit::Seconds,
            Family::clone(&head_age),
        );
        registry.register(
            "guard_revocations",
            "Revocations of the issuer that are in force here",
            Family::clone(&records),
        );
        process.register_for_every_process(&mut registry);
        Self {
            registry,
            process: process.process(),
            verdicts,
            ready,
            key_age,
            head_age,
            records,
        }
    }

    /// Counts a response to a gateway.
    pub(super) fn count_verdict(&self, status: u16, reason: &'static str) {
        let labels = VerdictLabels { status, reason };
        self.verdicts.get_or_create(&labels).inc();
    }

    /// Everything in the OpenMetrics text format, with what is known of the issuers now.
    pub(super) fn render(&self, issuers: &FollowedIssuers) -> String {
        self.ready.set(issuers.readiness().is_ok().into());
        // An issuer without keys or without a head has no age.
        self.key_age.clear();
        self.head_age.clear();
        for issuer in issuers.iter() {
            let labels = IssuerLabels {
                issuer: issuer.name.clone(),
            };
            if let Some(age) = issuer.keys.age() {
                self.key_age.get_or_create(&labels).set(age.as_secs_f64());
            }
            let Some(revocations) = &issuer.revocations else {
                continue;
            };
            if let Some(age) = revocations.head_age() {
                self.head_age.get_or_create(&labels).set(age.as_secs_f64());
            }
            let count = i64::try_from(revocations.record_count()).unwrap_or(i64::MAX);
            self.records.get_or_create(&labels).set(count);
        }
        openmetrics(&self.registry, self.process)
    }
}
