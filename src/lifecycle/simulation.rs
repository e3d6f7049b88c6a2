//! The coming life of a key set, told by the same functions that will live it.

use keywright_verifier::{Algorithm, Jwk, Kid, PublicKey};

use p256::elliptic_curve::sec1::ToSec1Point as _;

use super::command::{Command, Halt, Refusal, decide, found};
use super::event::Event;
use super::issuer::IssuerName;
use super::key_set::{Founding, KeySet};
use super::moment::Moment;
use super::plan::plan;
use super::policy::Policy;
use super::revision::{Change, KeySpecification, Supply};
use super::time::Timestamp;

/// The life to be told.
#[derive(Debug, Clone)]
pub enum Proposal {
    /// An issuer that does not exist yet.
    Found(IssuerName, Policy, Founding),
    /// An issuer as it is, after one command.
    Change(Box<KeySet>, Command),
}

/// Something that will happen, if nobody interferes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// When.
    pub at: Timestamp,
    /// What. A key that does not exist yet is called `next-ES256-1` and so on.
    pub event: Event,
}

/// The longest story that is told, in occurrences.
const LONGEST_STORY: usize = 1000;

/// Tells what happens from the moment until `until`, at most 1,000 occurrences.
///
/// # Errors
/// The [`Refusal`] of the proposal's first command.
pub fn simulate(
    proposal: &Proposal,
    moment: impl Into<Moment>,
    until: Timestamp,
) -> Result<Vec<Occurrence>, Refusal> {
    let mut moment = moment.into();
    let mut story = Vec::new();
    let mut names = Names::default();
    let mut set = match proposal {
        Proposal::Found(issuer, policy, founding) => {
            let change = names.supplied(|supply| {
                found(issuer.clone(), policy.clone(), *founding, moment, supply)
            })?;
            tell(&mut story, change)
        }
        Proposal::Change(set, command) => {
            match names.supplied(|supply| decide(set, command, moment, supply))? {
                Some(change) => tell(&mut story, change),
                None => set.as_ref().clone(),
            }
        }
    };
    while story.len() < LONGEST_STORY {
        let Some(wake) = plan(&set, moment.now).next_wake else {
            break;
        };
        if wake > until || wake <= moment.now {
            break;
        }
        moment.now = wake;
        match names.supplied(|supply| decide(&set, &Command::Tick, moment, supply)) {
            Ok(Some(change)) => set = tell(&mut story, change),
            Ok(None) => {}
            Err(_) => break,
        }
    }
    Ok(story)
}

fn tell(story: &mut Vec<Occurrence>, change: Change) -> KeySet {
    let at = change.at;
    story.extend(
        change
            .events
            .into_iter()
            .map(|event| Occurrence { at, event }),
    );
    change.set
}

/// Keys that do not exist yet.
#[derive(Default)]
struct Names {
    supply: Supply,
    count: u64,
}

impl Names {
    fn supplied<T>(&mut self, attempt: impl Fn(&Supply) -> Result<T, Halt>) -> Result<T, Refusal> {
        loop {
            match attempt(&self.supply) {
                Ok(outcome) => return Ok(outcome),
                Err(Halt::Refused(refusal)) => return Err(refusal),
                Err(Halt::NeedsKey(wanted)) => {
                    self.count += 1;
                    let jwk = sample_jwk(wanted, self.count)
                        .ok_or(Refusal::NoSuccessor(wanted.algorithm))?;
                    self.supply.add(jwk);
                }
            }
        }
    }
}

/// A well-formed public key that nobody has the private half of, called `next-ES256-1` and so on.
fn sample_jwk(wanted: KeySpecification, number: u64) -> Option<Jwk> {
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
