//! The canary: beside the one active key at most one more of its algorithm, which signs a share of the tokens before
//! it signs all of them.
//!
//! A canary was a ready successor, so that verifiers know it. It becomes active when its time is over or the active
//! key is revoked. One that is taken back retires like an active key: what it has signed verifies, and it signs no
//! more. No other key is tried until the one that stands by next has been published for a lead.

use keywright_verifier::{Algorithm, Kid};

use super::key::{Key, State};
use super::key_set::KeySet;
use super::key_set_update::KeySetUpdate;
use super::rule_violation::RuleViolation;
use super::time::Timestamp;

impl KeySet {
    /// The key that signs a share of the tokens of `algorithm`.
    pub fn canary(&self, algorithm: Algorithm) -> Option<&Key> {
        self.keys
            .iter()
            .find(|key| key.algorithm() == algorithm && matches!(key.state, State::Canary(_)))
    }

    /// When the canary of `algorithm` becomes active, if nothing comes between.
    pub(super) fn canary_until(&self, algorithm: Algorithm) -> Option<Timestamp> {
        let State::Canary(canary) = &self.canary(algorithm)?.state else {
            return None;
        };
        let phase = self.policy.canary.map(|phase| phase.duration.0);
        Some(canary.counted_from.after(phase.unwrap_or_default()))
    }

    /// When the last canary beside the key that is active now was stopped or revoked: the next one waits for a
    /// lead. It began to sign after the active key did, and signs no more.
    pub(super) fn canary_ended_at(&self, algorithm: Algorithm) -> Option<Timestamp> {
        let began = self.active(algorithm)?.activated_at()?;
        let of_algorithm = self.keys.iter().filter(|key| key.algorithm() == algorithm);
        let later = of_algorithm.filter(|key| key.activated_at().is_some_and(|at| at > began));
        let ended = later.filter_map(|key| match &key.state {
            State::Pending(_) | State::Canary(_) | State::Active(_) => None,
            State::Retired(retired) => Some(retired.retired_at),
            State::Removed(removed) => Some(removed.retired_at),
            State::Revoked(revoked) => Some(revoked.retired_at.unwrap_or(revoked.revoked_at)),
        });
        ended.max()
    }
}

/// Lets a canary sign all tokens before its time is over. It was ready, so verifiers know it.
pub(super) fn promote_canary(
    update: &mut KeySetUpdate<'_>,
    algorithm: Algorithm,
    canary: &Kid,
) -> Result<(), RuleViolation> {
    let active = update.set().active(algorithm);
    if let Some(active) = active.map(|key| key.kid().clone()) {
        update.retire(&active)?;
    }
    update.activate(canary)
}

/// Takes back the canary of one algorithm, or all. Where none signs, nothing changes.
pub(super) fn stop_canaries(
    update: &mut KeySetUpdate<'_>,
    algorithm: Option<Algorithm>,
) -> Result<(), RuleViolation> {
    let policy = update.set().policy();
    if let Some(algorithm) = algorithm.filter(|one| !policy.algorithms.contains(one)) {
        return Err(RuleViolation::AlgorithmNotInPolicy(algorithm));
    }
    let algorithms = Algorithm::ALL.into_iter();
    let meant = algorithms.filter(|one| algorithm.is_none_or(|meant| meant == *one));
    for one in meant {
        let canary = update.set().canary(one).map(|key| key.kid().clone());
        if let Some(kid) = canary {
            update.stop_canary(&kid)?;
        }
    }
    Ok(())
}
