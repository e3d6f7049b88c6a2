//! A key set while it changes: the transitions that are legal, and no others.

mod canary;
mod copies;
mod policy;

use keywright_verifier::{Algorithm, Jwk, Kid};

use super::adoption::Adoption;
use super::available_keys::AvailableKeys;
use super::event::Event;
use super::key::{Active, Key, KeyOrigin, Pending, Removed, Retired, Revoked, State, Visibility};
use super::key_set::{IssuerOrigin, KeySet, PublishedCapacity};
use super::plan::{Plan, plan};
use super::policy::Policy;
use super::rule_violation::RuleViolation;
use super::time::Timestamp;
use super::timing::ChangeTime;

pub use copies::PushedCopies;

/// A committed-to-be key set and the events that led to it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The next version of the set.
    pub set: KeySet,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// When it happened: the stamp that the new states carry.
    pub at: Timestamp,
}

/// A key set while it changes.
pub(super) struct KeySetUpdate<'a> {
    set: KeySet,
    events: Vec<Event>,
    time: ChangeTime,
    /// What new states are stamped with.
    stamp: Timestamp,
    /// Until when a process may still sign with the set before, and serve it as fresh.
    in_use_until: Timestamp,
    available: &'a AvailableKeys,
    adoption: &'a Adoption,
}

impl<'a> KeySetUpdate<'a> {
    pub(super) fn of(
        set: &KeySet,
        time: ChangeTime,
        available: &'a AvailableKeys,
        adoption: &'a Adoption,
    ) -> Self {
        let stamp = time.stamp(set);
        Self {
            set: set.clone(),
            events: Vec::new(),
            time,
            stamp,
            in_use_until: stamp.after(time.timing.overlap()),
            available,
            adoption,
        }
    }

    pub(super) fn set(&self) -> &KeySet {
        &self.set
    }

    /// How many verifiers hold which keys.
    pub(super) fn adoption(&self) -> &'a Adoption {
        self.adoption
    }

    /// What is due, and what the set lacks.
    pub(super) fn plan(&self) -> Plan {
        plan(&self.set, self.time, self.adoption)
    }

    /// What may be published beside what is not over yet and the successors that the set lacks, but
    /// for those of `algorithm`.
    pub(super) fn spare_capacity(&self, algorithm: Option<Algorithm>) -> PublishedCapacity {
        self.set.spare_capacity(self.stamp, algorithm)
    }

    pub(super) fn time(&self) -> ChangeTime {
        self.time
    }

    /// Takes what the clock shows for the stamp, whatever has been witnessed: the clock was wrong.
    pub(super) fn stamp_with_reading(&mut self) -> &mut KeySet {
        let ChangeTime {
            reading, timing, ..
        } = self.time;
        self.time.witnessed = reading;
        self.stamp = reading;
        self.in_use_until = reading.after(timing.overlap());
        self.set.latest = reading;
        &mut self.set
    }

    /// What the clock shows: it decides what may begin.
    pub(super) fn reading(&self) -> Timestamp {
        self.time.reading
    }

    pub(super) fn record(&mut self, event: Event) {
        self.events.push(event);
    }

    /// How much has happened so far.
    pub(super) fn event_count(&self) -> usize {
        self.events.len()
    }

    pub(super) fn finish(mut self) -> Change {
        self.set.version += 1;
        self.set.latest = self.stamp;
        Change {
            set: self.set,
            events: self.events,
            at: self.stamp,
        }
    }

    /// Publishes a fresh key as pending, if one is available.
    pub(super) fn publish_new(&mut self, algorithm: Algorithm) -> Result<(), RuleViolation> {
        let Some(jwk) = self.available.next_for(&self.set, algorithm) else {
            return Ok(());
        };
        self.publish_pending(jwk, KeyOrigin::Generated)
    }

    /// Publishes a key as pending: no set that was served until now has it.
    pub(super) fn publish_pending(
        &mut self,
        jwk: Jwk,
        origin: KeyOrigin,
    ) -> Result<(), RuleViolation> {
        // No verifier has seen version 0, the set that is being founded.
        let first_set = self.set.version == 0 && self.set.origin == IssuerOrigin::Fresh;
        let visibility = if first_set {
            Visibility::SinceFirstSet
        } else {
            let fresh = self.served_fresh_until().max(self.set.served_fresh_until);
            Visibility::MissingUntil(fresh.after(self.set.policy.clock_skew))
        };
        let copies = self.copies_of_new_key(first_set);
        let pending = Pending { visibility, copies };
        let key = self.admit(jwk, origin, State::Pending(pending))?;
        let (kid, algorithm) = (key.kid().clone(), key.algorithm());
        let ready_at = known_ready_at(&key, &self.set.policy);
        let imported = origin == KeyOrigin::Imported;
        self.record(Event::KeyPublished {
            kid,
            algorithm,
            imported,
            ready_at,
        });
        Ok(())
    }

    /// Lets a key of another system go on signing here, under the kid that verifiers know.
    pub(super) fn continue_signing(&mut self, jwk: Jwk) -> Result<(), RuleViolation> {
        let state = State::Active(Active {
            activated_at: self.stamp,
            scheduled_from: self.time.reading,
            longest_ttl: self.set.policy.max_token_ttl,
            widest_skew: self.set.policy.clock_skew,
        });
        let key = self.admit(jwk, KeyOrigin::Imported, state)?;
        let (kid, algorithm) = (key.kid().clone(), key.algorithm());
        self.set.vacant.remove(&algorithm);
        self.record(Event::KeyActivated {
            kid,
            algorithm,
            imported: true,
            forced: false,
        });
        Ok(())
    }

    /// Publishes a key of another system for one retention, to verify only.
    pub(super) fn continue_verifying(&mut self, jwk: Jwk) -> Result<(), RuleViolation> {
        let tokens_until = self.in_use_until.after(self.set.policy.max_token_ttl);
        let published_until = tokens_until.after(self.set.policy.clock_skew);
        let state = State::Retired(Retired {
            activated_at: None,
            retired_at: self.stamp,
            tokens_until,
            published_until,
        });
        let key = self.admit(jwk, KeyOrigin::Imported, state)?;
        let (kid, algorithm) = (key.kid().clone(), key.algorithm());
        let published_until = published_until.ceil_seconds();
        self.record(Event::KeyRetired {
            kid,
            algorithm,
            imported: true,
            published_until,
        });
        Ok(())
    }

    fn admit(&mut self, jwk: Jwk, origin: KeyOrigin, state: State) -> Result<Key, RuleViolation> {
        // Neither the name nor the key itself may come back: not under another name either.
        let twin = self
            .set
            .keys
            .iter()
            .find(|key| key.kid() == jwk.kid() || key.jwk.public_key() == jwk.public_key());
        if let Some(twin) = twin {
            return Err(RuleViolation::KeyKnown {
                kid: twin.kid().clone(),
                state: twin.state.name(),
            });
        }
        // What is imported leaves the room of a successor that is being generated.
        let mut capacity = match (origin, &state) {
            (KeyOrigin::Generated, _) => self.set.capacity(self.stamp),
            (KeyOrigin::Imported, State::Pending(_)) => self.spare_capacity(Some(jwk.algorithm())),
            (KeyOrigin::Imported, _) => self.spare_capacity(None),
        };
        if !capacity.take(jwk.to_json().len() + 1) {
            return Err(RuleViolation::SetFull);
        }
        let key = Key::restore(jwk, origin, self.stamp, self.stamp, state);
        self.set.keys.push(key.clone());
        Ok(key)
    }

    /// `pending → active`, or `canary → active`. Whether it is ready is the caller's question; `forced` is the answer.
    pub(super) fn activate(&mut self, kid: &Kid) -> Result<(), RuleViolation> {
        let (reading, stamp) = (self.time.reading, self.stamp);
        let longest_ttl = self.set.policy.max_token_ttl;
        if let Some(algorithm) = self.set.key(kid).map(Key::algorithm)
            && let Some(active) = self.set.active(algorithm)
        {
            return Err(illegal(active, "active"));
        }
        let policy = self.set.policy.clone();
        let key = self.key_mut(kid)?;
        let (activated_at, forced, longest_ttl, widest_skew) = match &key.state {
            State::Canary(canary) => {
                let ttl = canary.longest_ttl.max(longest_ttl);
                let skew = canary.widest_skew.max(policy.clock_skew);
                (canary.started_at, false, ttl, skew)
            }
            _ => {
                let ready_at = key.ready_at(&policy);
                let ready_at = ready_at.ok_or_else(|| illegal(key, "active"))?;
                (stamp, reading < ready_at, longest_ttl, policy.clock_skew)
            }
        };
        key.state = State::Active(Active {
            activated_at,
            scheduled_from: reading,
            longest_ttl,
            widest_skew,
        });
        let imported = key.origin == KeyOrigin::Imported;
        let (kid, algorithm) = (key.kid().clone(), key.algorithm());
        self.set.vacant.remove(&algorithm);
        self.record(Event::KeyActivated {
            kid,
            algorithm,
            imported,
            forced,
        });
        Ok(())
    }

    /// `active → retired`, `canary → retired`, or `pending → retired` for a key that will never be needed:
    /// nothing was signed with that one, so that its publication ends at once.
    pub(super) fn retire(&mut self, kid: &Kid) -> Result<(), RuleViolation> {
        let (stamp, in_use_until) = (self.stamp, self.in_use_until);
        let key = self.key_mut(kid)?;
        let was_active = matches!(key.state, State::Active(_));
        let (activated_at, tokens_until, published_until) = match &key.state {
            State::Canary(canary) => {
                let tokens_until = in_use_until.after(canary.longest_ttl);
                (
                    Some(canary.started_at),
                    tokens_until,
                    tokens_until.after(canary.widest_skew),
                )
            }
            State::Active(active) => {
                let tokens_until = in_use_until.after(active.longest_ttl);
                (
                    Some(active.activated_at),
                    tokens_until,
                    tokens_until.after(active.widest_skew),
                )
            }
            State::Pending(_) => (None, stamp, stamp),
            State::Retired(_) | State::Removed(_) | State::Revoked(_) => {
                return Err(illegal(key, "retired"));
            }
        };
        key.state = State::Retired(Retired {
            activated_at,
            retired_at: stamp,
            tokens_until,
            published_until,
        });
        let algorithm = key.algorithm();
        if was_active {
            self.vacate(algorithm);
        }
        self.record_retired(kid, published_until)
    }

    /// Notes that the key which signed for `algorithm` signs no more.
    fn vacate(&mut self, algorithm: Algorithm) {
        if self.set.policy.algorithms.contains(&algorithm) {
            self.set.vacant.insert(algorithm);
        }
    }

    fn record_retired(
        &mut self,
        kid: &Kid,
        published_until: Timestamp,
    ) -> Result<(), RuleViolation> {
        let key = self.key_mut(kid)?;
        let imported = key.origin == KeyOrigin::Imported;
        let (kid, algorithm) = (key.kid().clone(), key.algorithm());
        let published_until = published_until.ceil_seconds();
        self.record(Event::KeyRetired {
            kid,
            algorithm,
            imported,
            published_until,
        });
        Ok(())
    }

    /// As [`retire`](Self::retire), but `pending → retired` for a key that may have signed where no process
    /// saw it: it is published for one retention.
    pub(super) fn end_signing(&mut self, kid: &Kid) -> Result<(), RuleViolation> {
        let (stamp, tokens_until) = (
            self.stamp,
            self.in_use_until.after(self.set.policy.max_token_ttl),
        );
        let skew = self.set.policy.clock_skew;
        let key = self.key_mut(kid)?;
        if !matches!(key.state, State::Pending(_)) {
            return self.retire(kid);
        }
        let published_until = tokens_until.after(skew);
        key.state = State::Retired(Retired {
            activated_at: None,
            retired_at: stamp,
            tokens_until,
            published_until,
        });
        self.record_retired(kid, published_until)
    }

    /// Counts with sets that were served without the pending keys, until now at the latest.
    pub(super) fn reset_readiness(&mut self) {
        let fresh = self.served_fresh_until().max(self.set.served_fresh_until);
        self.set.served_fresh_until = fresh;
        let fresh = fresh.after(self.set.policy.clock_skew);
        self.doubt_all_copies();
        for key in self.set.trusted_keys_mut() {
            if let State::Pending(pending) = &mut key.state {
                pending.visibility = Visibility::MissingUntil(match pending.visibility {
                    Visibility::SinceFirstSet => fresh,
                    Visibility::MissingUntil(until) => until.max(fresh),
                });
            }
        }
    }

    /// `retired → removed`.
    pub(super) fn remove(&mut self, kid: &Kid) -> Result<(), RuleViolation> {
        let stamp = self.stamp;
        let key = self.key_mut(kid)?;
        let State::Retired(retired) = &key.state else {
            return Err(illegal(key, "removed"));
        };
        key.state = State::Removed(Removed {
            activated_at: retired.activated_at,
            retired_at: retired.retired_at,
            removed_at: stamp,
            published_until: Some(retired.published_until),
        });
        let (kid, algorithm) = (key.kid().clone(), key.algorithm());
        self.record(Event::KeyRemoved { kid, algorithm });
        Ok(())
    }

    /// `pending | canary | active | retired → revoked`.
    pub(super) fn revoke(&mut self, kid: &Kid, reason: &str) -> Result<(), RuleViolation> {
        let (stamp, in_use_until) = (self.stamp, self.in_use_until);
        let key = self.key_mut(kid)?;
        let from = key.state.name();
        let (activated_at, retired, tokens_until) = match &key.state {
            State::Pending(_) => (None, None, stamp),
            State::Canary(canary) => (
                Some(canary.started_at),
                None,
                in_use_until.after(canary.longest_ttl),
            ),
            State::Active(active) => (
                Some(active.activated_at),
                None,
                in_use_until.after(active.longest_ttl),
            ),
            State::Retired(retired) => (
                retired.activated_at,
                Some(retired.clone()),
                retired.tokens_until,
            ),
            State::Removed(_) | State::Revoked(_) => return Err(illegal(key, "revoked")),
        };
        let reason = reason.to_owned();
        key.state = State::Revoked(Revoked {
            activated_at,
            retired_at: retired.as_ref().map(|retired| retired.retired_at),
            revoked_at: stamp,
            published_until: retired.map(|retired| retired.published_until),
            reason,
        });
        let (kid, algorithm) = (key.kid().clone(), key.algorithm());
        if from == "active" {
            self.vacate(algorithm);
        }
        let tokens_until = tokens_until.ceil_seconds();
        self.record(Event::KeyRevoked {
            kid,
            algorithm,
            from,
            tokens_until,
        });
        Ok(())
    }

    /// Ends the issuer: every key that is published is revoked, and none follows.
    pub(super) fn delete(&mut self, reason: &str) -> Result<(), RuleViolation> {
        let keys = self.set.keys.iter().filter(|key| key.is_trusted());
        let kids: Vec<Kid> = keys.map(|key| key.kid().clone()).collect();
        for kid in kids {
            self.revoke(&kid, reason)?;
        }
        self.set.deleted_at = Some(self.stamp);
        self.set.vacant.clear();
        self.record(Event::IssuerDeleted {});
        Ok(())
    }

    /// Until when the last set that is served without this change is fresh.
    fn served_fresh_until(&self) -> Timestamp {
        self.in_use_until.after(self.set.policy.freshness())
    }

    fn key_mut(&mut self, kid: &Kid) -> Result<&mut Key, RuleViolation> {
        self.set
            .keys
            .iter_mut()
            .find(|key| key.kid() == kid)
            .ok_or_else(|| RuleViolation::UnknownKey(kid.clone()))
    }
}

/// When a pending key may sign, in Unix seconds; `None` until every copy has it.
pub(super) fn known_ready_at(key: &Key, policy: &Policy) -> Option<u64> {
    let ready_at = key.ready_at(policy)?;
    (ready_at < Timestamp::END).then(|| ready_at.ceil_seconds())
}

fn illegal(key: &Key, to: &'static str) -> RuleViolation {
    RuleViolation::IllegalTransition {
        kid: key.kid().clone(),
        from: key.state.name(),
        to,
    }
}
