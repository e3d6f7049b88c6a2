//! Every key of one issuer: the aggregate that changes as one.

use keywright_verifier::{Algorithm, Kid};
use std::collections::BTreeSet;

use super::earlier_heads::EarlierHeads;
use super::issuer::IssuerName;
use super::key::{Key, KeyOrigin, State};
use super::policy::{Policy, TokenStatus, published_bytes};
use super::time::Timestamp;

/// The most keys that a published set may have: what the strictest verifiers take (AWS).
pub const MAX_PUBLISHED_KEYS: usize = 100;

/// The largest published set, in bytes: what Nimbus reads by default (50 KiB).
pub const MAX_PUBLISHED_BYTES: usize = 51_200;

/// How an issuer came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerOrigin {
    /// Its first set is the first that anyone ever saw: its keys are ready at once.
    Fresh,
    /// It continues a set that another system published: its own keys wait out their lead, and
    /// the other's signing keys may be imported as active.
    TakesOver,
}

/// Every key of one issuer, its policy, and a version that only grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    pub(super) issuer: IssuerName,
    pub(super) version: u64,
    pub(super) origin: IssuerOrigin,
    pub(super) created_at: Timestamp,
    pub(super) policy: Policy,
    /// The latest instant that this set has witnessed. New stamps are never earlier, so that a
    /// clock that was set back shortens neither a lead nor a retention.
    pub(super) latest: Timestamp,
    /// Until when sets served under earlier policies may still be used as fresh.
    pub(super) served_fresh_until: Timestamp,
    /// Heads of the revocation feed that were signed under earlier policies and still count.
    pub(super) earlier_heads: Option<EarlierHeads>,
    /// Under a policy that tracks tokens: when the last one has expired that may not be tracked; `None` where
    /// there was none.
    pub(super) untracked_until: Option<Timestamp>,
    /// When the issuer was deleted; `None` while it lives.
    pub(super) deleted_at: Option<Timestamp>,
    /// The algorithms of the policy that a key has signed for and none signs for any more. It does
    /// not follow from the keys: an algorithm that the policy drops and takes in again is not vacant.
    pub(super) vacant: BTreeSet<Algorithm>,
    pub(super) keys: Vec<Key>,
}

/// Why stored parts do not make a key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InconsistentSet {
    /// Two keys with one name.
    #[error("the kid {0} stands twice")]
    DuplicateKid(Kid),
    /// Two keys that sign.
    #[error("two keys are active for {0}")]
    TwoActive(Algorithm),
    /// Two keys that sign a share.
    #[error("two keys are canaries for {0}")]
    TwoCanaries(Algorithm),
    /// A canary that is beside no key.
    #[error("a key is the canary for {0}, and none is active")]
    CanaryAlone(Algorithm),
    /// A key that outlives its issuer.
    #[error("the issuer is deleted and key {0} is {1}")]
    Outlives(Kid, &'static str),
    /// Something signs for it, or nothing should.
    #[error("{0} cannot be vacant: the policy lacks it, or a key is active for it")]
    NotVacant(Algorithm),
    /// A version that no commit writes.
    #[error("version 0 is never stored")]
    Unversioned,
}

impl KeySet {
    /// Puts a stored set together again and checks what must hold between its keys.
    ///
    /// # Errors
    /// [`InconsistentSet`] when it could not have been written by this program.
    #[expect(
        clippy::too_many_arguments,
        reason = "one argument a stored column; called by the record parser alone"
    )]
    pub fn restore(
        issuer: IssuerName,
        version: u64,
        origin: IssuerOrigin,
        created_at: Timestamp,
        policy: Policy,
        latest: Timestamp,
        served_fresh_until: Timestamp,
        earlier_heads: Option<EarlierHeads>,
        untracked_until: Option<Timestamp>,
        deleted_at: Option<Timestamp>,
        vacant: BTreeSet<Algorithm>,
        keys: Vec<Key>,
    ) -> Result<Self, InconsistentSet> {
        if version == 0 {
            return Err(InconsistentSet::Unversioned);
        }
        let mut kids = BTreeSet::new();
        let mut active = BTreeSet::new();
        let mut canaries = BTreeSet::new();
        for key in &keys {
            if !kids.insert(key.kid()) {
                return Err(InconsistentSet::DuplicateKid(key.kid().clone()));
            }
            if deleted_at.is_some() && !matches!(key.state, State::Removed(_) | State::Revoked(_)) {
                let state = key.state.name();
                return Err(InconsistentSet::Outlives(key.kid().clone(), state));
            }
            if matches!(key.state, State::Active(_)) && !active.insert(key.algorithm()) {
                return Err(InconsistentSet::TwoActive(key.algorithm()));
            }
            if matches!(key.state, State::Canary(_)) && !canaries.insert(key.algorithm()) {
                return Err(InconsistentSet::TwoCanaries(key.algorithm()));
            }
        }
        if let Some(algorithm) = canaries.difference(&active).next() {
            return Err(InconsistentSet::CanaryAlone(*algorithm));
        }
        let is_vacant = |algorithm: &&Algorithm| {
            policy.algorithms.contains(*algorithm) && !active.contains(*algorithm)
        };
        if let Some(algorithm) = vacant.iter().find(|algorithm| !is_vacant(algorithm)) {
            return Err(InconsistentSet::NotVacant(*algorithm));
        }
        Ok(Self {
            issuer,
            version,
            origin,
            created_at,
            policy,
            latest,
            served_fresh_until,
            earlier_heads,
            untracked_until,
            deleted_at,
            vacant,
            keys,
        })
    }

    /// The same set with other keys.
    ///
    /// # Errors
    /// [`InconsistentSet`], as [`restore`](Self::restore).
    pub fn with_keys(&self, keys: Vec<Key>) -> Result<Self, InconsistentSet> {
        let set = self.clone();
        Self::restore(
            set.issuer,
            set.version,
            set.origin,
            set.created_at,
            set.policy,
            set.latest,
            set.served_fresh_until,
            set.earlier_heads,
            set.untracked_until,
            set.deleted_at,
            set.vacant,
            keys,
        )
    }

    /// The issuer's short name.
    pub fn issuer(&self) -> &IssuerName {
        &self.issuer
    }

    /// How many changes this set has seen; the first stored version is 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How the issuer came to be.
    pub fn origin(&self) -> IssuerOrigin {
        self.origin
    }

    /// When the issuer was created.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The issuer's rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The latest instant that this set has witnessed.
    pub fn latest(&self) -> Timestamp {
        self.latest
    }

    /// Until when sets served under earlier policies may still be used as fresh.
    pub fn served_fresh_until(&self) -> Timestamp {
        self.served_fresh_until
    }

    /// Heads of the revocation feed that were signed under earlier policies and may still count.
    pub fn earlier_heads(&self) -> Option<EarlierHeads> {
        self.earlier_heads
    }

    /// When the last token has expired that was signed before the policy had all tracked.
    pub fn untracked_until(&self) -> Option<Timestamp> {
        self.untracked_until
    }

    /// From when on every token that verifiers accept is tracked, as far as that is known: not while a key is
    /// published that another system may have signed with.
    pub fn all_tracked_from(&self, now: Timestamp) -> Option<Timestamp> {
        let is_imported = |key: &Key| key.origin() == KeyOrigin::Imported;
        let is_sure =
            self.policy.status == TokenStatus::Tracked && !self.published(now).any(is_imported);
        is_sure.then(|| self.untracked_until.unwrap_or_default())
    }

    /// When the issuer was deleted; `None` while it lives.
    pub fn deleted_at(&self) -> Option<Timestamp> {
        self.deleted_at
    }

    /// The algorithms of the policy whose signing key was revoked or lost and has no follower yet:
    /// the next key signs at once.
    pub fn vacant(&self) -> &BTreeSet<Algorithm> {
        &self.vacant
    }

    /// The set as a register shows it that was written at `instant`.
    #[must_use]
    pub fn with_latest_at_least(mut self, instant: Timestamp) -> Self {
        self.latest = self.latest.max(instant);
        self
    }

    /// Every key that ever was in the set, in the order in which they came.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The keys that are new, or whose records are not those of `before`. Keys keep their places, so
    /// that one which has not changed costs a look.
    pub fn keys_changed_since<'a>(
        &'a self,
        before: Option<&'a Self>,
    ) -> impl Iterator<Item = &'a Key> {
        let keys = self.keys.iter().enumerate();
        let changed = keys.filter(move |(place, key)| {
            let stayed = before.and_then(|before| before.keys.get(*place));
            stayed != Some(key) && before.and_then(|before| before.key(key.kid())) != Some(key)
        });
        changed.map(|(_, key)| key)
    }

    /// The keys that live, to be changed. The records of the others stay shared.
    pub(super) fn trusted_keys_mut(&mut self) -> impl Iterator<Item = &mut Key> {
        self.keys.iter_mut().filter(|key| key.is_trusted())
    }

    /// The key with this name, whatever its state.
    pub fn key(&self, kid: &Kid) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// The key that signs for `algorithm`.
    pub fn active(&self, algorithm: Algorithm) -> Option<&Key> {
        self.keys
            .iter()
            .find(|key| key.algorithm() == algorithm && matches!(key.state, State::Active(_)))
    }

    /// The pending keys of `algorithm`, the one that will sign next first.
    pub fn successors(&self, algorithm: Algorithm) -> Vec<&Key> {
        let mut pending: Vec<&Key> = self
            .keys
            .iter()
            .filter(|key| key.algorithm() == algorithm && matches!(key.state, State::Pending(_)))
            .collect();
        pending.sort_by_key(|key| (key.ready_at(&self.policy), key.published_at));
        pending
    }

    /// The keys that a set served at `now` contains.
    pub fn published(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.is_published(now))
    }

    /// Whether no successor of `algorithm` stands by, or none will once the place of the key that
    /// signs is filled.
    pub(super) fn lacks_successor(&self, algorithm: Algorithm) -> bool {
        self.vacant.contains(&algorithm) || !self.has_successor(algorithm)
    }

    /// When every token has expired that was signed before `instant`, for verifiers whose clocks are
    /// behind, too: with the longest lifetime that was allowed while any key signed that still
    /// verifies.
    pub fn tokens_expire_by(&self, instant: Timestamp) -> Timestamp {
        let policy = &self.policy;
        let now = instant.after(policy.max_token_ttl + policy.clock_skew);
        let of_keys = self.keys.iter().filter_map(|key| match &key.state {
            State::Canary(canary) => Some(instant.after(canary.longest_ttl + canary.widest_skew)),
            State::Active(active) => Some(instant.after(active.longest_ttl + active.widest_skew)),
            State::Retired(retired) => Some(retired.published_until),
            State::Pending(_) | State::Removed(_) | State::Revoked(_) => None,
        });
        of_keys.fold(now, Timestamp::max)
    }

    /// When the last head of the revocation feed has ended that says what was so before `instant`, by
    /// the policy's `revocation_max_age` or by a longer one under which it was signed earlier.
    pub fn heads_expire_by(&self, instant: Timestamp) -> Timestamp {
        let now = instant.after(self.policy.revocation_max_age);
        let earlier = self.earlier_heads;
        earlier.map_or(now, |heads| {
            now.max(instant.after(heads.max_age).min(heads.until))
        })
    }

    /// Whether a pending key of `algorithm` stands by.
    pub(super) fn has_successor(&self, algorithm: Algorithm) -> bool {
        self.keys
            .iter()
            .any(|key| key.algorithm() == algorithm && matches!(key.state, State::Pending(_)))
    }

    /// How much may be published at `now` beside the successors that the set lacks, but for those of
    /// `algorithm`.
    pub(super) fn spare_capacity(
        &self,
        now: Timestamp,
        algorithm: Option<Algorithm>,
    ) -> PublishedCapacity {
        let mut capacity = self.capacity(now);
        for other in &self.policy.algorithms {
            if Some(*other) != algorithm && self.lacks_successor(*other) {
                // Where there is none, there is none for what comes beside it either.
                capacity.take(published_bytes(*other, self.policy.rsa_bits));
            }
        }
        capacity
    }

    /// How much may still be published beside what a set served at `now` contains.
    pub(super) fn capacity(&self, now: Timestamp) -> PublishedCapacity {
        let empty = PublishedCapacity {
            keys: MAX_PUBLISHED_KEYS,
            bytes: MAX_PUBLISHED_BYTES - ENVELOPE,
        };
        self.published(now)
            .fold(empty, |capacity, key| PublishedCapacity {
                keys: capacity.keys.saturating_sub(1),
                bytes: capacity.bytes.saturating_sub(key.jwk.to_json().len() + 1),
            })
    }
}

/// What is left of the limits that verifiers set.
pub(super) struct PublishedCapacity {
    keys: usize,
    bytes: usize,
}

impl PublishedCapacity {
    /// Takes the room of one more key, if there is so much. `bytes` counts the comma that follows it.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.keys > 0 && bytes <= self.bytes;
        if fits {
            self.keys -= 1;
            self.bytes -= bytes;
        }
        fits
    }
}

/// `{"keys":[` and `]}` around the keys, rounded up.
const ENVELOPE: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::adoption::Adoption;
    use super::super::available_keys::{AvailableKeys, KeySpecification};
    use super::super::command::{Attestation, Command, decide};
    use super::super::issuer::IssuerUrl;
    use super::super::key::{Copies, KeyOrigin, Pending, Removed, Visibility};
    use super::super::simulation::sample_jwk;
    use super::*;

    /// A set whose `count` keys are dead, with one that lives.
    fn of_dead_keys(count: u64) -> KeySet {
        let at = Timestamp::from_seconds(1_800_000_000);
        let removed = State::Removed(Removed {
            activated_at: Some(at),
            retired_at: at,
            removed_at: at,
            published_until: Some(at),
        });
        let (visibility, copies) = (Visibility::SinceFirstSet, Copies::NoneWithout);
        let keys = (0..=count).map(|number| {
            let state = if number == count {
                State::Pending(Pending { visibility, copies })
            } else {
                removed.clone()
            };
            let specification = KeySpecification {
                algorithm: Algorithm::Rs256,
                rsa_bits: 2048,
            };
            let jwk = sample_jwk(specification, number + 1).unwrap();
            Key::restore(jwk, KeyOrigin::Generated, at, at, state)
        });
        KeySet {
            issuer: IssuerName::parse("example").unwrap(),
            version: 1,
            origin: IssuerOrigin::Fresh,
            created_at: at,
            policy: Policy::for_url(IssuerUrl::parse("https://id.example.com").unwrap()),
            latest: at,
            served_fresh_until: at,
            earlier_heads: None,
            untracked_until: None,
            deleted_at: None,
            vacant: BTreeSet::new(),
            keys: keys.collect(),
        }
    }

    // Issue 10, case 16: a set dragged its dead keys through every clone and comparison.
    #[test]
    fn a_change_shares_the_records_of_the_keys_that_it_does_not_touch() {
        let before = of_dead_keys(20);
        let policy = Policy {
            clock_skew: Duration::from_secs(1),
            algorithms: vec![Algorithm::Rs256],
            default_algorithm: Algorithm::Es256,
            ..before.policy.clone()
        };
        let (command, one) = (Command::SetPolicy(policy.into()), Attestation::OnePerson);
        let none = AvailableKeys::default();
        let (now, unknown) = (before.latest, Adoption::default());
        let decision = decide(&before, &command, one, now, &none, &unknown).unwrap();
        let after = decision.change.unwrap().set;
        let shares = |(one, other): (&Key, &Key)| std::ptr::eq(&**one, &**other);
        let shared = before
            .keys
            .iter()
            .zip(&after.keys)
            .filter(|pair| shares(*pair));
        assert_eq!(shared.count(), 20);
        let changed: Vec<_> = after.keys_changed_since(Some(&before)).collect();
        assert_eq!(changed, [after.keys.last().unwrap()]);
        assert_eq!(after.keys_changed_since(None).count(), 21);
    }

    #[test]
    fn room_is_taken_key_by_key_and_byte_by_byte() {
        let mut capacity = PublishedCapacity { keys: 9, bytes: 10 };
        assert!(!capacity.take(11));
        assert!(capacity.take(6));
        assert!(!capacity.take(5));
        assert!(capacity.take(4));
        assert!(!capacity.take(1));
        let mut capacity = PublishedCapacity { keys: 1, bytes: 10 };
        assert!(capacity.take(1));
        assert!(!capacity.take(1));
    }
}
