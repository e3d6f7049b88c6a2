//! What is measured of each issuer.

use std::time::Duration;

use keywright_verifier::Algorithm;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{IssuerLabels, SecondsGauge};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabels {
    issuer: String,
    algorithm: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    issuer: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerifierLabels {
    issuer: String,
    key_set: &'static str,
}

/// What is measured of each issuer: its keys, its faults, what is revoked, who verifies.
#[derive(Default)]
pub struct IssuerMetrics {
    key_age: Family<KeyLabels, SecondsGauge>,
    next_rotation: Family<KeyLabels, SecondsGauge>,
    failed_rotations: Family<IssuerLabels, Counter>,
    rotation_failing: Family<IssuerLabels, Gauge>,
    faults: Family<FaultLabels, Gauge>,
    revocations: Family<IssuerLabels, Gauge>,
    verifiers: Family<VerifierLabels, Gauge>,
    waiting_rotations: Family<KeyLabels, Gauge>,
}

fn labels(issuer: &str) -> IssuerLabels {
    IssuerLabels {
        issuer: issuer.to_owned(),
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl IssuerMetrics {
    /// Forgets what was shown of issuers as they are, before it is shown anew: those that are gone, and
    /// keys that sign no more.
    pub fn forget(&self) {
        self.key_age.clear();
        self.next_rotation.clear();
        self.faults.clear();
        self.revocations.clear();
        self.verifiers.clear();
        self.waiting_rotations.clear();
    }

    /// Shows that an issuer has a fault.
    pub fn observe_fault(&self, issuer: &str, state: &'static str) {
        let labels = FaultLabels {
            issuer: issuer.to_owned(),
            state,
        };
        self.faults.get_or_create(&labels).set(1);
    }

    /// Shows how many revocations an issuer has.
    pub fn observe_revocations(&self, issuer: &str, count: usize) {
        let gauge = self.revocations.get_or_create(&labels(issuer));
        gauge.set(number(count));
    }

    /// Shows how many verifiers have an issuer's key set as it is served now, and how many an earlier one.
    pub fn observe_verifiers(&self, issuer: &str, current: usize, earlier: usize) {
        for (key_set, count) in [("current", current), ("earlier", earlier)] {
            let labels = VerifierLabels {
                issuer: issuer.to_owned(),
                key_set,
            };
            self.verifiers.get_or_create(&labels).set(number(count));
        }
    }

    /// Shows that a rotation waits for verifiers that lack the successor.
    pub fn observe_waiting_rotation(&self, issuer: &str, algorithm: Algorithm) {
        let labels = KeyLabels {
            issuer: issuer.to_owned(),
            algorithm: algorithm.as_str(),
        };
        self.waiting_rotations.get_or_create(&labels).set(1);
    }

    /// Shows an active key's age and the time that is left to it.
    pub fn observe_key(
        &self,
        issuer: &str,
        algorithm: Algorithm,
        age: Duration,
        left: Option<Duration>,
    ) {
        let labels = KeyLabels {
            issuer: issuer.to_owned(),
            algorithm: algorithm.as_str(),
        };
        self.key_age.get_or_create(&labels).set(age.as_secs_f64());
        if let Some(left) = left {
            self.next_rotation
                .get_or_create(&labels)
                .set(left.as_secs_f64());
        }
    }

    /// Shows that an issuer's last scheduled change succeeded.
    pub fn report_rotation_success(&self, issuer: &str) {
        self.rotation_failing.get_or_create(&labels(issuer)).set(0);
        drop(self.failed_rotations.get_or_create(&labels(issuer)));
    }

    /// Shows that an issuer's last scheduled change failed, and counts it.
    pub fn report_rotation_failure(&self, issuer: &str) {
        self.rotation_failing.get_or_create(&labels(issuer)).set(1);
        self.failed_rotations.get_or_create(&labels(issuer)).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "active_key_age",
            "Time since the active key began to sign",
            Unit::Seconds,
            Family::clone(&self.key_age),
        );
        registry.register_with_unit(
            "next_rotation",
            "Time until the next rotation",
            Unit::Seconds,
            Family::clone(&self.next_rotation),
        );
        registry.register(
            "failed_rotations",
            "Scheduled changes that failed",
            Family::clone(&self.failed_rotations),
        );
        registry.register(
            "rotation_failing",
            "1 while the last scheduled change has failed",
            Family::clone(&self.rotation_failing),
        );
        registry.register(
            "issuer_fault",
            "1 for each issuer that has a fault, with the state that it is in",
            Family::clone(&self.faults),
        );
        registry.register(
            "revocations",
            "Revocations that are kept, because they still refuse tokens or signatures",
            Family::clone(&self.revocations),
        );
        registry.register(
            "verifiers",
            "Verifiers that fetched the key set here within a day, by which one they have",
            Family::clone(&self.verifiers),
        );
        registry.register(
            "waiting_rotations",
            "1 for each rotation that is due and waits for verifiers that lack the successor",
            Family::clone(&self.waiting_rotations),
        );
    }
}
