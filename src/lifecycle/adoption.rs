//! Who is known to hold which key, and whether that is enough for a rotation.
//!
//! It is an input like the time: the lifecycle counts no requests. A gate stands beside the lead and never in its
//! place, and it opens by itself: what an attacker invents delays a rotation by no more than the policy says.

use std::collections::BTreeMap;

use keywright_api::AdoptionGate;
use keywright_verifier::{Algorithm, Kid};

use super::event::Event;
use super::key::Key;
use super::key_set::KeySet;
use super::key_set_update::KeySetUpdate;
use super::plan::rotation_due;
use super::rule_violation::RuleViolation;
use super::time::Timestamp;

/// How many verifiers hold which keys, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adoption {
    verifiers: u64,
    holders: BTreeMap<Kid, u64>,
    uncounted_replicas: u64,
    others: OtherKeys,
}

/// What counts for a key of which nothing is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum OtherKeys {
    /// No verifier holds it.
    #[default]
    Unknown,
    /// All hold it, in a look ahead.
    Known,
}

/// How many verifiers hold a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holders {
    /// The verifiers that hold it.
    pub holders: u64,
    /// The verifiers that are known.
    pub verifiers: u64,
    /// Replicas that have not counted for long enough to tell.
    pub uncounted_replicas: u64,
}

impl Holders {
    /// Whether they are as many as a gate wants. Where no verifier is known, nothing is known of the key: a
    /// process that has just begun has seen none either.
    fn reach(&self, gate: &AdoptionGate) -> bool {
        let parts = u128::from(gate.share.ten_thousandths());
        let whole = u128::from(keywright_api::Share::WHOLE);
        let are_enough = u128::from(self.holders) * whole >= u128::from(self.verifiers) * parts;
        self.uncounted_replicas == 0 && self.verifiers > 0 && are_enough
    }
}

impl Adoption {
    /// What all replicas have seen: of so many verifiers these hold the keys.
    pub fn observed(verifiers: u64, holders: BTreeMap<Kid, u64>, uncounted_replicas: u64) -> Self {
        Self {
            verifiers,
            holders,
            uncounted_replicas,
            others: OtherKeys::Unknown,
        }
    }

    /// How many verifiers hold a key.
    pub fn of(&self, kid: &Kid) -> Holders {
        Holders {
            holders: self.holders.get(kid).copied().unwrap_or_default(),
            verifiers: self.verifiers,
            uncounted_replicas: self.uncounted_replicas,
        }
    }

    /// What a look ahead goes by: the rotations that wait now wait for as long as they may, and those that come
    /// later do not wait.
    pub(super) fn expected(&self, waits: &[AdoptionWait]) -> Self {
        let waiting = waits.iter().map(|wait| {
            let holders = self.of(&wait.kid).holders;
            (wait.kid.clone(), holders)
        });
        Self {
            holders: waiting.collect(),
            others: OtherKeys::Known,
            ..self.clone()
        }
    }

    fn reaches(&self, kid: &Kid, gate: &AdoptionGate) -> bool {
        let is_listed = self.holders.contains_key(kid);
        (!is_listed && self.others == OtherKeys::Known) || self.of(kid).reach(gate)
    }
}

/// A rotation whose successor is ready, and that waits for verifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptionWait {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The successor.
    pub kid: Kid,
    /// What the policy wants.
    pub gate: AdoptionGate,
    /// Who holds it.
    pub holders: Holders,
    /// When it happens at the latest.
    pub until: Timestamp,
}

/// Whether verifiers hold a rotation up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GateState {
    /// Enough of them hold the successor, or the policy has no gate.
    Open,
    /// Not enough do, and the time to wait for them is over.
    Overdue,
    /// The rotation waits.
    Shut(AdoptionWait),
}

/// Judges the gate of a rotation. Where no key signs that another could follow, there is none.
pub(super) fn gate_of_rotation(
    set: &KeySet,
    successor: &Key,
    adoption: &Adoption,
    now: Timestamp,
) -> GateState {
    let (kid, algorithm) = (successor.kid(), successor.algorithm());
    let Some(gate) = set.policy.adoption else {
        return GateState::Open;
    };
    if set.active(algorithm).is_none() || adoption.reaches(kid, &gate) {
        return GateState::Open;
    }
    let until = rotation_due(set, algorithm)
        .unwrap_or(now)
        .after(gate.within.0);
    if until <= now {
        return GateState::Overdue;
    }
    GateState::Shut(AdoptionWait {
        algorithm,
        kid: kid.clone(),
        gate,
        holders: adoption.of(kid),
        until,
    })
}

/// Writes down that a rotation waits no longer for the verifiers that lack its successor.
pub(super) fn give_up_adoption(
    update: &mut KeySetUpdate<'_>,
    kid: &Kid,
) -> Result<(), RuleViolation> {
    let Holders {
        holders,
        verifiers,
        uncounted_replicas,
    } = update.adoption().of(kid);
    let set = update.set();
    let successor = set.key(kid);
    let algorithm = successor.map(Key::algorithm);
    let algorithm = algorithm.ok_or_else(|| RuleViolation::UnknownKey(kid.clone()))?;
    if let Some(gate) = set.policy.adoption {
        update.record(Event::AdoptionMissed {
            kid: kid.clone(),
            algorithm,
            share: gate.share,
            holders,
            verifiers,
            uncounted_replicas,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keywright_api::{DurationText, Share};

    use super::*;

    #[test]
    fn a_share_is_reached_by_as_many_and_by_no_fewer() {
        let reach = |holders, verifiers, uncounted_replicas, parts| {
            let gate = AdoptionGate {
                share: Share::of_ten_thousand(parts).unwrap(),
                within: DurationText(Duration::from_secs(1)),
            };
            let holders = Holders {
                holders,
                verifiers,
                uncounted_replicas,
            };
            holders.reach(&gate)
        };
        assert!(reach(99, 100, 0, 9900));
        assert!(!reach(98, 100, 0, 9900));
        assert!(!reach(98, 99, 0, 9900), "98.98 % are not 99 %");
        assert!(reach(1, 1, 0, 10_000));
        assert!(!reach(9_999, 10_000, 0, 10_000));
        assert!(reach(1, 10_000, 0, 1));
        assert!(!reach(0, 10_000, 0, 1));
        assert!(!reach(0, 0, 0, 1), "where none is known, nothing is");
        assert!(!reach(100, 100, 1, 9900), "a replica cannot tell yet");
        assert!(reach(u64::MAX, u64::MAX, 0, 10_000));
    }
}
