//! Whether the service can do everything that it is for.

use std::time::Duration;

use super::Authority;
use crate::lifecycle::{IssuerName, IssuerOrigin, State, rotation_due};

/// Why the service is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// The store does not answer.
    #[error("the key store does not answer")]
    Store,
    /// What is in memory may be out of date.
    #[error("the store has not confirmed what is in memory for too long, or the clock is wrong")]
    Stale,
    /// An issuer has no key that signs with its default algorithm.
    #[error("issuer {0} has no active key")]
    NoActiveKey(IssuerName),
    /// An issuer's stored records cannot be used.
    #[error("issuer {0} is out of service: its stored records cannot be used")]
    Unusable(IssuerName),
    /// A rotation should have happened.
    #[error("a rotation of issuer {0} is overdue")]
    RotationOverdue(IssuerName),
}

/// How long after its time a rotation is called overdue, if nothing was reported to have failed.
const OVERDUE_AFTER: Duration = Duration::from_secs(60);

impl Authority {
    /// Whether the service can do everything that it is for.
    ///
    /// An issuer that takes over another system's set and has not signed anything yet does not
    /// count as lacking a key: it waits, and the others serve.
    ///
    /// # Errors
    /// The first reason why not.
    pub async fn readiness(&self) -> Result<(), Unready> {
        if !self.services.lease.holds() {
            return Err(Unready::Stale);
        }
        if let Some(name) = self.directory.unusable() {
            return Err(Unready::Unusable(name));
        }
        self.services
            .store
            .log_head()
            .await
            .map_err(|_| Unready::Store)?;
        let now = self.now();
        for issuer in self.issuers() {
            let name = issuer.name();
            let snapshot = issuer.snapshot();
            let set = snapshot.set();
            let waits = set.origin() == IssuerOrigin::TakesOver
                && set.keys().iter().all(|key| key.activated_at().is_none());
            if !waits && set.active(set.policy().default_algorithm).is_none() {
                return Err(Unready::NoActiveKey(name.clone()));
            }
            let overdue = set.policy().algorithms.iter().any(|algorithm| {
                rotation_due(set, *algorithm).is_some_and(|due| due.after(OVERDUE_AFTER) < now)
            });
            if overdue || self.failures.contains(name) {
                return Err(Unready::RotationOverdue(name.clone()));
            }
        }
        Ok(())
    }

    /// What the gauges show: the age of every active key and the time to the next rotation.
    pub fn update_gauges(&self) {
        let now = self.now();
        self.metrics().forget_keys();
        if let Some(left) = self.services.lease.remaining() {
            self.metrics().observe_lease(left);
        }
        for issuer in self.issuers() {
            let snapshot = issuer.snapshot();
            for key in snapshot.set().keys() {
                if let State::Active(active) = key.state() {
                    let algorithm = key.algorithm();
                    let age = now.since(active.activated_at);
                    let due = rotation_due(snapshot.set(), algorithm);
                    let left = due.map(|due| due.since(now));
                    self.metrics()
                        .observe_key(issuer.name().as_str(), algorithm, age, left);
                }
            }
        }
    }
}
