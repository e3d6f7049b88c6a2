//! What people and the scheduler ask of a key set, and the one function that answers.

use std::collections::BTreeSet;

use keywright_verifier::{Algorithm, Jwk, Kid};

use super::adoption::{Adoption, GateState, gate_of_rotation, give_up_adoption};
use super::available_keys::{AvailableKeys, KeySpecification};
use super::canary::{promote_canary, stop_canaries};
use super::clock_correction::correct_clock;
use super::event::Event;
use super::issuer::IssuerName;
use super::key::{Key, KeyOrigin, State};
use super::key_set::{IssuerOrigin, KeySet};
use super::key_set_update::{Change, KeySetUpdate, PushedCopies};
use super::plan::Step;
use super::policy::{Confirmation, Policy, published_bytes};
use super::rule_violation::RuleViolation;
use super::time::Timestamp;
use super::timing::ChangeTime;

/// A request to change a key set.
#[derive(Debug, Clone)]
pub enum Command {
    /// Do whatever is due.
    ApplyPlan,
    /// Do whatever is due but rotate: not every process publishes a successor yet, and what has
    /// nothing to do with it does not wait for the one that lags behind.
    ApplyPlanWithoutRotation,
    /// Let the successor take over now.
    Rotate {
        /// For which algorithm; `None` for every algorithm of the policy, all or nothing.
        algorithm: Option<Algorithm>,
        /// Whether the successor must be ready.
        readiness: Readiness,
    },
    /// Take back the canary: it signs no more, and the active key signs all tokens again. Where none signs,
    /// nothing changes.
    StopCanary {
        /// Of which algorithm; `None` for every one.
        algorithm: Option<Algorithm>,
    },
    /// Distrust a key.
    Revoke {
        /// The key.
        kid: Kid,
        /// Why, in the words of the caller.
        reason: String,
        /// What becomes of the keys that stand by for it.
        successor: Successor,
    },
    /// Bring in a key of another system.
    Import {
        /// Its public half.
        jwk: Jwk,
        /// What it becomes.
        state: ImportAs,
    },
    /// Go on without private halves that are lost: their keys retire, and others take over.
    Replace {
        /// The keys whose private halves are lost.
        lost: Vec<Kid>,
    },
    /// Replace the policy.
    SetPolicy(Box<Policy>),
    /// Take note of keys that every copy of the set has.
    ConfirmCopies(PushedCopies),
    /// Take note that a copy was found which is not what was pushed.
    DoubtCopies,
    /// The clock was ahead and has been set right: what its readings made too late is put back to
    /// what they would make now. `lifecycle/clock_correction.rs` says what this gives up. The
    /// caller lets the process forget what it has witnessed.
    CorrectClock,
    /// The end of the issuer: every key that is published is revoked, and nothing follows.
    Delete {
        /// Why, in the words of the caller.
        reason: String,
    },
}

impl Command {
    /// Whether a key that begins to sign by it must be known to verifiers first. What is forced and
    /// what a revocation, a loss or the end of an issuer brings about is not held up.
    pub fn waits_for_verifiers(&self) -> bool {
        match self {
            Self::ApplyPlan | Self::SetPolicy(_) | Self::Import { .. } | Self::CorrectClock => true,
            Self::ConfirmCopies(_) | Self::DoubtCopies => true,
            Self::ApplyPlanWithoutRotation => false,
            Self::Rotate { readiness, .. } => *readiness == Readiness::Required,
            Self::StopCanary { .. }
            | Self::Revoke { .. }
            | Self::Delete { .. }
            | Self::Replace { .. } => false,
        }
    }
}

/// Who stands behind a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attestation {
    /// One person, or the schedule.
    OnePerson,
    /// One person has asked for it, and a second one has confirmed it.
    TwoPeople,
}

/// Whether a rotation must wait for the successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// The successor must have been published for its lead, and enough verifiers must hold it if the policy
    /// says so.
    Required,
    /// Forced: it signs at once, and verifiers that do not know it refuse its tokens.
    Waived,
}

/// What becomes of the successors of a key that is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// The next one takes over.
    Promote,
    /// They are as suspect as the key itself: they are revoked with it. Nothing signs until a
    /// fresh key is there.
    Discard,
}

/// What an imported key becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportAs {
    /// A successor that waits out its lead.
    Pending,
    /// The signing key of an issuer that takes over.
    Active,
    /// A key that verifies for one retention.
    Retired,
}

/// What a command does with the keys at hand.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What the set becomes; `None` when it is already so.
    pub change: Option<Change>,
    /// The keys that the set still wants after it. Generate them outside every lock, then decide
    /// [`Command::ApplyPlan`] with them; until then no successor stands by, or nothing signs.
    pub wanted: Vec<KeySpecification>,
}

/// Why a set that needs all its keys at once did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionError {
    /// Generate these keys, add them to those that are available, and try again.
    NeedsKeys(Vec<KeySpecification>),
    /// The request is against the rules.
    Refused(RuleViolation),
}

impl From<RuleViolation> for DecisionError {
    fn from(violation: RuleViolation) -> Self {
        Self::Refused(violation)
    }
}

/// Founds an issuer: its first set, with an active key and a successor for every algorithm, or
/// with keys that wait out their lead when it takes over.
///
/// # Errors
/// [`DecisionError::NeedsKeys`] until every key of the first set is available.
pub fn create(
    issuer: IssuerName,
    policy: Policy,
    origin: IssuerOrigin,
    time: impl Into<ChangeTime>,
    available: &AvailableKeys,
) -> Result<Change, DecisionError> {
    let time = time.into();
    let now = time.reading.max(time.witnessed);
    let document = policy.to_document();
    let set = KeySet {
        issuer,
        version: 0,
        origin,
        created_at: now,
        policy,
        latest: now,
        served_fresh_until: Timestamp::default(),
        earlier_heads: None,
        untracked_until: None,
        deleted_at: None,
        vacant: BTreeSet::new(),
        keys: Vec::new(),
    };
    let adoption = Adoption::default();
    let mut update = KeySetUpdate::of(&set, time, available, &adoption);
    let takes_over = origin == IssuerOrigin::TakesOver;
    update.record(Event::IssuerCreated {
        policy: document,
        takes_over,
    });
    finish_with_all_keys(update)
}

/// Answers a command with what can be done now. No command waits for a key: what needs one that is
/// not available is left for the [`Command::ApplyPlan`] that has it.
///
/// Whether it takes a second person is judged here, on the set that the change is committed
/// against: two requests of one person, each harmless alone, must not do together what neither may.
///
/// # Errors
/// [`RuleViolation`] when a rule forbids the command; nothing changes then.
pub fn decide(
    set: &KeySet,
    command: &Command,
    attestation: Attestation,
    time: impl Into<ChangeTime>,
    available: &AvailableKeys,
    adoption: &Adoption,
) -> Result<Decision, RuleViolation> {
    if set.deleted_at.is_some() {
        return match command {
            Command::ApplyPlan | Command::ApplyPlanWithoutRotation => Ok(Decision {
                change: None,
                wanted: Vec::new(),
            }),
            _ => Err(RuleViolation::IssuerDeleted),
        };
    }
    let mut update = KeySetUpdate::of(set, time.into(), available, adoption);
    if attestation == Attestation::OnePerson && needs_two_people(set, command, update.reading()) {
        return Err(RuleViolation::NeedsConfirmation);
    }
    match command {
        Command::ApplyPlan | Command::ApplyPlanWithoutRotation => {}
        Command::Delete { reason } => update.delete(reason)?,
        Command::Rotate {
            algorithm,
            readiness,
        } => rotate(&mut update, *algorithm, *readiness)?,
        Command::StopCanary { algorithm } => stop_canaries(&mut update, *algorithm)?,
        Command::Revoke {
            kid,
            reason,
            successor,
        } => revoke(&mut update, kid, reason, *successor)?,
        Command::Import { jwk, state } => import(&mut update, jwk, *state)?,
        Command::Replace { lost } => replace(&mut update, lost)?,
        Command::SetPolicy(policy) => set_policy(&mut update, policy)?,
        Command::ConfirmCopies(pushed) => update.confirm_copies(pushed),
        Command::DoubtCopies => update.doubt_copies(),
        Command::CorrectClock => correct_clock(&mut update),
    }
    let rotations = match command {
        Command::ApplyPlanWithoutRotation => Rotations::Held,
        _ => Rotations::Due,
    };
    let wanted = apply_plan(&mut update, rotations)?;
    let change = (update.event_count() > 0).then(|| update.finish());
    Ok(Decision { change, wanted })
}

/// Whether the issuer's policy wants a second person to agree.
///
/// A revocation takes one where it would put a key to work that verifiers may not know, or leave
/// nothing that signs: it discards the successor, or the successor is not ready. Otherwise two
/// plain revocations would do together what one must not do alone.
fn needs_two_people(set: &KeySet, command: &Command, now: Timestamp) -> bool {
    let policy = &set.policy;
    if policy.confirmation == Confirmation::None {
        return false;
    }
    match command {
        Command::Rotate { readiness, .. } => *readiness == Readiness::Waived,
        Command::Delete { .. } => true,
        Command::Revoke { kid, successor, .. } => {
            let signs = set
                .key(kid)
                .filter(|key| matches!(key.state(), State::Active(_)));
            *successor == Successor::Discard
                || signs.is_some_and(|key| {
                    if set.canary(key.algorithm()).is_some() {
                        return false;
                    }
                    let successors = set.successors(key.algorithm());
                    let ready_at = successors.first().and_then(|next| next.ready_at(policy));
                    ready_at.is_none_or(|ready_at| now < ready_at)
                })
        }
        Command::SetPolicy(after) => after.confirmation == Confirmation::None,
        Command::ApplyPlan
        | Command::ApplyPlanWithoutRotation
        | Command::StopCanary { .. }
        | Command::Import { .. }
        | Command::Replace { .. }
        | Command::ConfirmCopies(_)
        | Command::DoubtCopies
        | Command::CorrectClock => false,
    }
}

/// Ends a change that must not leave a key to be wanted.
pub(super) fn finish_with_all_keys(mut update: KeySetUpdate<'_>) -> Result<Change, DecisionError> {
    let wanted = apply_plan(&mut update, Rotations::Due)?;
    if wanted.is_empty() {
        Ok(update.finish())
    } else {
        Err(DecisionError::NeedsKeys(wanted))
    }
}

/// Whether the rotations that are due happen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rotations {
    Due,
    Held,
}

/// Does what is due until nothing is, or only what needs keys that are not available, which it
/// names. Three rounds suffice (retire and activate, introduce, remove); the bound only keeps a
/// mistake in `plan` from becoming an endless loop.
fn apply_plan(
    update: &mut KeySetUpdate<'_>,
    rotations: Rotations,
) -> Result<Vec<KeySpecification>, RuleViolation> {
    let mut steps = update.plan().steps;
    for _ in 0..8 {
        let before = update.event_count();
        for step in &steps {
            if rotations == Rotations::Held && step.is_of_rotation(update.set()) {
                continue;
            }
            match step {
                Step::Publish(algorithm) => update.publish_new(*algorithm)?,
                Step::GiveUpAdoption(kid) => give_up_adoption(update, kid)?,
                Step::StartCanary(kid) => update.start_canary(kid)?,
                Step::Activate(kid) => update.activate(kid)?,
                Step::Retire(kid) => update.retire(kid)?,
                Step::Remove(kid) => update.remove(kid)?,
            }
        }
        if update.event_count() == before {
            break;
        }
        steps = update.plan().steps;
    }
    Ok(wanted(update.set(), &steps))
}

/// The keys that the steps lack. Where nothing signs, the first of them will, so that another has
/// to stand by for it.
fn wanted(set: &KeySet, steps: &[Step]) -> Vec<KeySpecification> {
    let algorithms = steps.iter().filter_map(|step| match step {
        Step::Publish(algorithm) => Some(*algorithm),
        _ => None,
    });
    let signs_next = |algorithm: &Algorithm| {
        set.vacant.contains(algorithm)
            || (set.version == 0 && !set.keys.iter().any(|key| key.algorithm() == *algorithm))
    };
    let (first, second) = (algorithms.clone(), algorithms.filter(signs_next));
    let rsa_bits = set.policy.rsa_bits;
    let specification = |algorithm| KeySpecification {
        algorithm,
        rsa_bits,
    };
    first.chain(second).map(specification).collect()
}

fn rotate(
    update: &mut KeySetUpdate<'_>,
    algorithm: Option<Algorithm>,
    readiness: Readiness,
) -> Result<(), RuleViolation> {
    let listed = update.set().policy().algorithms.clone();
    let algorithms = match algorithm {
        Some(algorithm) if listed.contains(&algorithm) => vec![algorithm],
        Some(algorithm) => return Err(RuleViolation::AlgorithmNotInPolicy(algorithm)),
        None => listed,
    };
    let mut capacity = update.spare_capacity(None);
    let rsa_bits = update.set().policy().rsa_bits;
    for algorithm in algorithms {
        let set = update.set();
        let successors = set.successors(algorithm);
        if let Some(canary) = set.canary(algorithm).map(|key| key.kid().clone()) {
            if successors.is_empty() && !capacity.take(published_bytes(algorithm, rsa_bits)) {
                return Err(RuleViolation::SetFull);
            }
            promote_canary(update, algorithm, &canary)?;
            continue;
        }
        let Some(successor) = successors.first() else {
            return Err(RuleViolation::NoSuccessor(algorithm));
        };
        let kid = successor.kid().clone();
        let required = readiness == Readiness::Required;
        if let Some(since) = successor.unconfirmed_since().filter(|_| required) {
            return Err(RuleViolation::SuccessorUnconfirmed {
                algorithm,
                kid,
                since,
            });
        }
        let ready_at = successor.ready_at(set.policy()).unwrap_or(update.reading());
        if ready_at > update.reading() && required {
            return Err(RuleViolation::SuccessorNotReady {
                algorithm,
                kid,
                ready_at,
            });
        }
        let gate = match readiness {
            Readiness::Required => {
                gate_of_rotation(set, successor, update.adoption(), update.reading())
            }
            Readiness::Waived => GateState::Open,
        };
        let gives_up = match gate {
            GateState::Open => false,
            GateState::Overdue => true,
            GateState::Shut(wait) => {
                return Err(RuleViolation::SuccessorNotAdopted(Box::new(wait)));
            }
        };
        // Without room for the next one, the set would lose its last successor.
        if successors.len() == 1 && !capacity.take(published_bytes(algorithm, rsa_bits)) {
            return Err(RuleViolation::SetFull);
        }
        let active = set.active(algorithm).map(|key| key.kid().clone());
        if gives_up {
            give_up_adoption(update, &kid)?;
        }
        if let Some(active) = active {
            update.retire(&active)?;
        }
        update.activate(&kid)?;
    }
    Ok(())
}

/// The plan lets a successor follow a key that signed.
fn revoke(
    update: &mut KeySetUpdate<'_>,
    kid: &Kid,
    reason: &str,
    successor: Successor,
) -> Result<(), RuleViolation> {
    let Some(key) = update.set().key(kid) else {
        return Err(RuleViolation::UnknownKey(kid.clone()));
    };
    let algorithm = key.algorithm();
    update.revoke(kid, reason)?;
    if successor == Successor::Discard {
        let set = update.set();
        let successors = set.canary(algorithm).into_iter();
        let successors = successors.chain(set.successors(algorithm));
        let kids: Vec<Kid> = successors.map(|key| key.kid().clone()).collect();
        for kid in kids {
            update.revoke(&kid, reason)?;
        }
    }
    Ok(())
}

/// Lost keys go on verifying what they have signed: no attacker can sign with them either.
fn replace(update: &mut KeySetUpdate<'_>, lost: &[Kid]) -> Result<(), RuleViolation> {
    lost.iter().try_for_each(|kid| update.retire(kid))
}

fn import(update: &mut KeySetUpdate<'_>, jwk: &Jwk, state: ImportAs) -> Result<(), RuleViolation> {
    let algorithm = jwk.algorithm();
    let set = update.set();
    if state != ImportAs::Retired && !set.policy().algorithms.contains(&algorithm) {
        return Err(RuleViolation::AlgorithmNotInPolicy(algorithm));
    }
    match state {
        ImportAs::Pending => update.publish_pending(jwk.clone(), KeyOrigin::Imported),
        ImportAs::Retired => update.continue_verifying(jwk.clone()),
        ImportAs::Active => {
            if set.origin() != IssuerOrigin::TakesOver {
                return Err(RuleViolation::NotTakingOver);
            }
            let signed = |key: &Key| key.algorithm() == algorithm && key.activated_at().is_some();
            if set.keys().iter().any(signed) {
                return Err(RuleViolation::AlreadySigning(algorithm));
            }
            update.continue_signing(jwk.clone())
        }
    }
}

fn set_policy(update: &mut KeySetUpdate<'_>, policy: &Policy) -> Result<(), RuleViolation> {
    let set = update.set();
    let current = set.policy();
    if policy == current {
        return Ok(());
    }
    if policy.url != current.url {
        return Err(RuleViolation::UrlFixed);
    }
    let default = policy.default_algorithm;
    if default != current.default_algorithm && set.active(default).is_none() {
        return Err(RuleViolation::DefaultNotActive(default));
    }
    update.replace_policy(policy.clone());
    Ok(())
}
