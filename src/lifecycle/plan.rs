//! What is due now, and when to look again.

use keywright_verifier::{Algorithm, Kid};

use super::adoption::{Adoption, AdoptionWait, GateState, gate_of_rotation};
use super::key::{Key, State};
use super::key_set::{KeySet, PublishedCapacity};
use super::policy::{Policy, published_bytes};
use super::time::Timestamp;
use super::timing::ChangeTime;

/// The transitions that are due, and the next instant at which any will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What to do now, in order.
    pub steps: Vec<Step>,
    /// When to plan again, if nothing else happens; `None` when nothing ever will.
    pub next_wake: Option<Timestamp>,
    /// When the next key will be published: a served set should not stay fresh for much longer.
    pub next_publication: Option<Timestamp>,
    /// The rotations that are due, and wait until enough verifiers hold the successor.
    pub waits: Vec<AdoptionWait>,
}

/// One transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Publish a fresh key as pending.
    Publish(Algorithm),
    /// Wait no longer for the verifiers that lack a pending key.
    GiveUpAdoption(Kid),
    /// Let a pending key sign a share of the tokens, beside the active key.
    StartCanary(Kid),
    /// Let a pending key sign, or a canary sign all tokens.
    Activate(Kid),
    /// Let a key sign no more.
    Retire(Kid),
    /// Take a retired key out of the published set.
    Remove(Kid),
}

impl Step {
    /// Whether a step lets one key sign in the place of another. A place that a revocation has left
    /// empty is filled by no rotation.
    pub(super) fn is_of_rotation(&self, set: &KeySet) -> bool {
        let algorithm = |kid| set.key(kid).map(Key::algorithm);
        match self {
            Self::Publish(_) | Self::Remove(_) => false,
            Self::Activate(kid) | Self::StartCanary(kid) | Self::GiveUpAdoption(kid) => {
                algorithm(kid).is_some_and(|it| !set.vacant().contains(&it))
            }
            Self::Retire(kid) => algorithm(kid).is_some_and(|it| {
                let signs = set.active(it).is_some_and(|active| active.kid() == kid);
                signs && set.policy.algorithms.contains(&it)
            }),
        }
    }
}

/// Plans for this time: a pure function of the set.
///
/// Per algorithm of the policy:
///
/// - where the signing key was revoked or lost, the first successor signs at once, ready or not;
/// - a set without a pending key gets one at once, so that a successor always stands by;
/// - the next but one is published a lead before the rotation, so that also right after the
///   rotation the successor that stands by is one that verifiers know;
/// - a rotation happens when the schedule says so *and* the successor is ready *and*, under a policy
///   with a gate, enough verifiers hold it or the time to wait for them is over;
/// - under a policy with a canary, the successor then signs a share beside the active key, and takes its
///   place when the time for that is over; after one that was stopped, the next waits for a lead;
/// - the keys of an algorithm that the policy has dropped retire.
///
/// A retired key is removed when its publication has ended, by the stamp: a clock that is set back
/// does not begin it anew. What may begin goes by what the clock shows. While the published set is full
/// nothing is introduced, and no rotation leaves the set without a successor.
pub fn plan(set: &KeySet, time: impl Into<ChangeTime>, adoption: &Adoption) -> Plan {
    let time = time.into();
    let stamp = time.stamp(set);
    let mut plan = Plan {
        steps: Vec::new(),
        next_wake: None,
        next_publication: None,
        waits: Vec::new(),
    };
    if set.deleted_at.is_some() {
        return plan;
    }
    for key in &set.keys {
        match &key.state {
            State::Retired(retired) if retired.published_until <= stamp => {
                plan.steps.push(Step::Remove(key.kid().clone()));
            }
            State::Retired(retired) => plan.wake_at(retired.published_until),
            State::Pending(_) | State::Canary(_) | State::Active(_) if !keeps(&set.policy, key) => {
                plan.steps.push(Step::Retire(key.kid().clone()));
            }
            _ => {}
        }
    }
    // One room for all: two algorithms must not both count on the last place. One whose place to
    // sign is empty comes first, then one for which no successor stands by, or will not in a moment.
    let mut capacity = set.capacity(stamp);
    let mut algorithms = set.policy.algorithms.clone();
    algorithms.sort_by_key(|algorithm| {
        let is_bereft = set.vacant.contains(algorithm) && !set.has_successor(*algorithm);
        (!is_bereft, !set.lacks_successor(*algorithm))
    });
    for algorithm in algorithms {
        plan_algorithm(
            set,
            algorithm,
            time.reading,
            adoption,
            &mut capacity,
            &mut plan,
        );
    }
    plan
}

fn plan_algorithm(
    set: &KeySet,
    algorithm: Algorithm,
    now: Timestamp,
    adoption: &Adoption,
    capacity: &mut PublishedCapacity,
    plan: &mut Plan,
) {
    let bytes = published_bytes(algorithm, set.policy.rsa_bits);
    let successors = set.successors(algorithm);
    if let Some(canary) = set.canary(algorithm) {
        let is_vacant = set.vacant.contains(&algorithm);
        let is_alone = successors.is_empty();
        let has_room = !is_alone || capacity.take(bytes);
        if is_alone && has_room {
            plan.steps.push(Step::Publish(algorithm));
        }
        let until = set.canary_until(algorithm).unwrap_or(now);
        if until > now && !is_vacant {
            plan.wake_at(until);
            return;
        }
        if !has_room && !is_vacant {
            return;
        }
        let active = set.active(algorithm).map(|key| key.kid().clone());
        plan.steps.extend(active.map(Step::Retire));
        plan.steps.push(Step::Activate(canary.kid().clone()));
        return;
    }
    let Some(successor) = successors.first() else {
        if capacity.take(bytes) {
            plan.steps.push(Step::Publish(algorithm));
        }
        return;
    };
    let stands_by = successors.len() > 1;
    if set.vacant.contains(&algorithm) {
        plan.steps.push(Step::Activate(successor.kid().clone()));
        // The room of the one that stands by next.
        let _ = stands_by || capacity.take(bytes);
        return;
    }
    let due = rotation_due(set, algorithm).unwrap_or(now);
    if due <= now {
        if !stands_by && !capacity.take(bytes) {
            return;
        }
        let kid = successor.kid();
        match gate_of_rotation(set, successor, adoption, now) {
            GateState::Open => {}
            GateState::Overdue => plan.steps.push(Step::GiveUpAdoption(kid.clone())),
            GateState::Shut(wait) => {
                plan.wake_at(wait.until);
                plan.waits.push(wait);
                if !stands_by {
                    plan.steps.push(Step::Publish(algorithm));
                }
                return;
            }
        }
        let active = set.active(algorithm).map(|key| key.kid().clone());
        if active.is_some() && set.policy.canary.is_some() {
            plan.steps.push(Step::StartCanary(kid.clone()));
            return;
        }
        plan.steps.extend(active.map(Step::Retire));
        plan.steps.push(Step::Activate(kid.clone()));
        return;
    }
    plan.wake_at(due);
    if stands_by {
        return;
    }
    let publication = due.before(set.policy.lead);
    if publication > now {
        plan.wake_at(publication);
        plan.next_publication = Some(
            plan.next_publication
                .map_or(publication, |other| other.min(publication)),
        );
    } else if capacity.take(bytes) {
        plan.steps.push(Step::Publish(algorithm));
    }
}

/// When the next rotation of `algorithm` happens: when the time of its canary is over; else at the time of the
/// schedule, but not before the successor is ready, and not within a lead after a canary was stopped. Without an active key, as soon as the first is ready. `None` when no
/// successor stands.
pub fn rotation_due(set: &KeySet, algorithm: Algorithm) -> Option<Timestamp> {
    if let Some(until) = set.canary_until(algorithm) {
        return Some(until);
    }
    let ready_at = set.successors(algorithm).first()?.ready_at(&set.policy)?;
    let ended = set.canary_ended_at(algorithm);
    let ready_at = ready_at.max(ended.map_or(ready_at, |ended| ended.after(set.policy.lead)));
    let scheduled = rotation_scheduled(set, algorithm);
    Some(scheduled.map_or(ready_at, |scheduled| scheduled.max(ready_at)))
}

/// When the schedule has the next rotation of `algorithm`, whether its successor is ready then or not.
/// `None` without an active key.
fn rotation_scheduled(set: &KeySet, algorithm: Algorithm) -> Option<Timestamp> {
    match &set.active(algorithm)?.state {
        State::Active(active) => Some(set.policy.rotation.due_after(active.scheduled_from)),
        _ => None,
    }
}

/// When the next rotation of `algorithm` happens at the latest, however many verifiers lack the successor. A
/// successor that waits for copies is ready at no time that is known: then, when it should have happened.
pub fn latest_rotation(set: &KeySet, algorithm: Algorithm) -> Option<Timestamp> {
    let due = rotation_due(set, algorithm)?;
    if set.canary(algorithm).is_some() {
        return Some(due);
    }
    let within = set.policy.adoption.map(|gate| gate.within.0);
    let due = match due {
        Timestamp::END => rotation_scheduled(set, algorithm)?,
        due => due,
    };
    let canary = set.policy.canary.map(|phase| phase.duration.0);
    Some(due.after(within.unwrap_or_default() + canary.unwrap_or_default()))
}

fn keeps(policy: &Policy, key: &Key) -> bool {
    policy.algorithms.contains(&key.algorithm())
}

impl Plan {
    fn wake_at(&mut self, instant: Timestamp) {
        self.next_wake = Some(self.next_wake.map_or(instant, |other| other.min(instant)));
    }
}
