//! The coming life of a key set, told by the same functions that will live it.

use std::time::Duration;

use keywright_verifier::{Algorithm, Jwk, Kid, PublicKey};

use p256::elliptic_curve::sec1::ToSec1Point as _;

use super::adoption::Adoption;
use super::available_keys::{AvailableKeys, KeySpecification};
use super::command::{Attestation, Command, Decision, DecisionError, create, decide};
use super::event::Event;
use super::issuer::IssuerName;
use super::key_set::{IssuerOrigin, KeySet};
use super::key_set_update::{Change, PushedCopies};
use super::plan::plan;
use super::policy::Policy;
use super::rule_violation::RuleViolation;
use super::time::Timestamp;
use super::timing::ChangeTime;

/// The life to be told.
#[derive(Debug, Clone)]
pub enum SimulationStart {
    /// An issuer that does not exist yet.
    Create(IssuerName, Box<Policy>, IssuerOrigin),
    /// An issuer as it is, after one command.
    Change(Box<KeySet>, Command),
}

/// Something that will happen, if no caller interferes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedEvent {
    /// When.
    pub at: Timestamp,
    /// What. A key that does not exist yet is called `next-ES256-1` and so on.
    pub event: Event,
}

/// The longest story that is told, in occurrences.
const LONGEST_STORY: usize = 1000;

/// Tells what happens from the moment until `until`, at most 1,000 occurrences. A rotation that waits for verifiers
/// is told as late as it can be; those to come are told as if every verifier held their successors. Where the
/// policy has the set pushed, it is told as if each push succeeded at once, and readers had what it brought after
/// `delay`.
///
/// # Errors
/// The [`RuleViolation`] of the proposal's first command.
pub fn simulate(
    proposal: &SimulationStart,
    time: impl Into<ChangeTime>,
    adoption: &Adoption,
    until: Timestamp,
    delay: Duration,
) -> Result<Vec<PlannedEvent>, RuleViolation> {
    let mut time = time.into();
    let mut story = Vec::new();
    let mut names = Names::default();
    let expected = match proposal {
        SimulationStart::Create(..) => adoption.expected(&[]),
        SimulationStart::Change(set, _) => adoption.expected(&plan(set, time, adoption).waits),
    };
    let adoption = &expected;
    let mut set = match proposal {
        SimulationStart::Create(issuer, policy, origin) => {
            let change = names.supplied(|available| {
                create(issuer.clone(), (**policy).clone(), *origin, time, available)
            })?;
            append(&mut story, change)
        }
        SimulationStart::Change(set, command) => {
            match names.decided(set, command, time, adoption)? {
                Some(change) => append(&mut story, change),
                None => set.as_ref().clone(),
            }
        }
    };
    while story.len() < LONGEST_STORY {
        if let Some(change) = names.pushed(&set, time, adoption, delay)? {
            set = append(&mut story, change);
        }
        let Some(wake) = plan(&set, time, adoption).next_wake else {
            break;
        };
        if wake > until || wake <= time.reading {
            break;
        }
        time.reading = wake;
        match names.decided(&set, &Command::ApplyPlan, time, adoption) {
            Ok(Some(change)) => set = append(&mut story, change),
            Ok(None) => {}
            Err(_) => break,
        }
    }
    Ok(story)
}

fn append(story: &mut Vec<PlannedEvent>, change: Change) -> KeySet {
    let at = change.at;
    story.extend(
        change
            .events
            .into_iter()
            .map(|event| PlannedEvent { at, event }),
    );
    change.set
}

/// Keys that do not exist yet.
#[derive(Default)]
struct Names {
    available: AvailableKeys,
    count: u64,
}

impl Names {
    /// Decides as if every key were there at once.
    fn decided(
        &mut self,
        set: &KeySet,
        command: &Command,
        time: ChangeTime,
        adoption: &Adoption,
    ) -> Result<Option<Change>, RuleViolation> {
        self.supplied(|available| {
            // What is asked for is told as if it were confirmed.
            let agreed = Attestation::TwoPeople;
            let Decision { change, wanted } =
                decide(set, command, agreed, time, available, adoption)?;
            if wanted.is_empty() {
                Ok(change)
            } else {
                Err(DecisionError::NeedsKeys(wanted))
            }
        })
    }

    /// What a push to every copy confirms, if a key waits for that.
    fn pushed(
        &mut self,
        set: &KeySet,
        time: ChangeTime,
        adoption: &Adoption,
        delay: Duration,
    ) -> Result<Option<Change>, RuleViolation> {
        let waiting = set.keys().iter();
        let waiting = waiting.filter(|key| key.unconfirmed_since().is_some());
        let kids: Vec<Kid> = waiting.map(|key| key.kid().clone()).collect();
        if kids.is_empty() {
            return Ok(None);
        }
        let pushed = PushedCopies {
            targets: set.policy().push.clone(),
            kids,
            delay,
            freshness: Duration::ZERO,
        };
        self.decided(set, &Command::ConfirmCopies(pushed), time, adoption)
    }

    fn supplied<T>(
        &mut self,
        attempt: impl Fn(&AvailableKeys) -> Result<T, DecisionError>,
    ) -> Result<T, RuleViolation> {
        loop {
            match attempt(&self.available) {
                Ok(outcome) => return Ok(outcome),
                Err(DecisionError::Refused(refusal)) => return Err(refusal),
                Err(DecisionError::NeedsKeys(wanted)) => {
                    for specification in wanted {
                        self.count += 1;
                        let jwk = sample_jwk(specification, self.count)
                            .ok_or(RuleViolation::NoSuccessor(specification.algorithm))?;
                        self.available.add(jwk);
                    }
                }
            }
        }
    }
}

/// A well-formed public key without a private half, called `next-ES256-1` and so on.
pub(super) fn sample_jwk(wanted: KeySpecification, number: u64) -> Option<Jwk> {
    let kid = Kid::parse(&format!("next-{}-{number}", wanted.algorithm)).ok()?;
    let seed = number.to_be_bytes();
    let key = match wanted.algorithm {
        Algorithm::Es256 => {
            let mut scalar = [0; 32];
            scalar
                .iter_mut()
                .rev()
                .zip(seed.iter().rev())
                .for_each(|(to, from)| *to = *from);
            let point = p256::SecretKey::from_slice(&scalar)
                .ok()?
                .public_key()
                .to_sec1_point(false);
            PublicKey::p256((*point.x()?).into(), (*point.y()?).into()).ok()?
        }
        Algorithm::Rs256 => {
            let mut modulus = vec![0; usize::from(wanted.rsa_bits / 8)];
            modulus
                .iter_mut()
                .rev()
                .zip(seed.iter().rev())
                .for_each(|(to, from)| *to = *from);
            *modulus.first_mut()? |= 0x80;
            *modulus.last_mut()? |= 1;
            PublicKey::rsa(modulus, vec![1, 0, 1]).ok()?
        }
    };
    Jwk::new(Some(kid), key).ok()
}
