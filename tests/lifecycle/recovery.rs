//! A set that is restored, as properties of random histories: a backup is taken at one step, a
//! register is written at a later one, and the store is lost at the end.

use std::collections::{BTreeMap, BTreeSet};

use keywright::lifecycle::{
    Adoption, Attestation, AvailableKeys, Change, Command, Event, IssuerName, Key, KeySet,
    OperatorStatements, Readiness, RegisterMismatch, RestoreSources, State, Successor, Timestamp,
    Visibility, decide, recover,
};
use keywright::store::documents;
use keywright_verifier::{Algorithm, Kid};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::history::History;
use super::world::{DAY, HOUR, MINUTE, Token, World, single_policy, supplied};

const CASES: u32 = 200;

/// What is there when a store is lost.
struct Loss {
    world: World,
    backup: KeySet,
    /// The latest time that had been seen when the backup was taken.
    backup_at: Timestamp,
    register: KeySet,
    register_at: Timestamp,
}

impl Loss {
    fn after(history: &History, backup_step: usize, register_step: usize) -> Self {
        let (mut backup, mut register) = (None, None);
        let world = history.live_and_die(|step, world| {
            let seen = (world.stored.clone(), world.latest_ever);
            if step == backup_step {
                backup = Some(seen.clone());
            }
            if step == register_step {
                register = Some(seen);
            }
        });
        let (backup, backup_at) = backup.unwrap();
        let (register, register_at) = register.unwrap();
        Self {
            world,
            backup,
            backup_at,
            register: register.with_latest_at_least(register_at),
            register_at,
        }
    }

    fn both(&self) -> RestoreSources<'_> {
        RestoreSources::Both {
            backup: &self.backup,
            register: &self.register,
        }
    }

    fn recover(&mut self, testimony: &RestoreSources<'_>, revoked: &BTreeSet<Kid>) -> Change {
        let now = self.world.clock;
        recovered(testimony, revoked, now, &mut self.world.keys_made)
    }

    /// The live tokens of keys that a set knows, signed until `until`.
    fn tokens<'a>(&'a self, set: &'a KeySet, until: Timestamp) -> impl Iterator<Item = &'a Token> {
        (self.world.live_tokens())
            .filter(move |token| token.signed_at <= until && set.key(&token.kid).is_some())
    }
}

pub(crate) fn recovered(
    testimony: &RestoreSources<'_>,
    revoked: &BTreeSet<Kid>,
    now: Timestamp,
    keys_made: &mut u64,
) -> Change {
    let remembered = OperatorStatements {
        revoked,
        deleted: &BTreeSet::new(),
        reason: "leaked",
    };
    supplied(keys_made, |supply| {
        recover(testimony, &remembered, now, supply)
    })
    .unwrap()
}

fn for_many_losses(check: impl Fn(&mut Loss) -> Result<(), String>) {
    let losses = (
        History::of_at_most(40),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
    );
    let config = Config {
        cases: CASES,
        rng_seed: RngSeed::Fixed(20_261_122),
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&losses, |(history, one, other)| {
        let steps = history.length() + 1;
        let (one, other) = (one.index(steps), other.index(steps));
        let mut loss = Loss::after(&history, one.min(other), one.max(other));
        check(&mut loss).map_err(TestCaseError::fail)
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(text()) }
}

/// What must hold of every restored set, whatever was known.
fn is_sound(change: &Change, testimony: &RestoreSources<'_>, now: Timestamp) -> Result<(), String> {
    let (backup, base) = match *testimony {
        RestoreSources::Backup(set) => (Some(set), set),
        RestoreSources::Both { backup, register } => (Some(backup), register),
        RestoreSources::Register(set) => (None, set),
    };
    let set = &change.set;
    // Before what the register knows, the clock of the backup's time may have been corrected.
    ensure(set.latest() >= base.latest(), || {
        "time went back".to_owned()
    })?;
    for before in backup.into_iter().chain([base]) {
        ensure(set.version() > before.version(), || {
            format!("version {} after {}", set.version(), before.version())
        })?;
        for key in before.keys() {
            let after = set.key(key.kid()).ok_or("a key is forgotten")?;
            ensure(after.jwk() == key.jwk(), || {
                "a kid means another".to_owned()
            })?;
            let ended = matches!(key.state(), State::Removed(_) | State::Revoked(_));
            ensure(!ended || after.state().name() == key.state().name(), || {
                format!("{key:?} is back as {after:?}")
            })?;
        }
    }
    stored_and_read(set, backup)?;
    told(set, backup, &change.events)?;
    for algorithm in base.policy().algorithms.iter().copied() {
        let signed = base.active(algorithm).is_some() && base.deleted_at().is_none();
        let full = set.published(now).count() > 90 || jwks_length(set, now) > 48_000;
        ensure(!signed || full || set.active(algorithm).is_some(), || {
            format!("nothing signs for {algorithm}")
        })?;
    }
    let again = decide(
        set,
        &Command::ApplyPlan,
        Attestation::OnePerson,
        now,
        &AvailableKeys::default(),
        &Adoption::default(),
    );
    let again = again.map_err(|refusal| refusal.to_string())?;
    ensure(again.change.is_none() && again.wanted.is_empty(), || {
        format!("{again:?} is due at once")
    })
}

fn jwks_length(set: &KeySet, now: Timestamp) -> usize {
    let keys = set.published(now).map(|key| key.jwk().to_json().len());
    keys.sum()
}

/// The set can be stored: its private halves are those of the backup or of fresh keys.
fn stored_and_read(set: &KeySet, backup: Option<&KeySet>) -> Result<(), String> {
    let known = |kid: &Kid| backup.and_then(|backup| backup.key(kid));
    let is_sealed = |key: &&Key| {
        key.holds_private_half() && known(key.kid()).is_none_or(Key::holds_private_half)
    };
    let sealed = set.keys().iter().filter(is_sealed);
    let sealed = sealed.map(|key| (key.kid().clone(), Vec::new())).collect();
    let stored = documents::records(set, sealed);
    let read = documents::key_set(&stored).map_err(|error| error.to_string())?;
    ensure(read == *set, || "another set was stored".to_owned())
}

/// The log of the backup, and the events of the restore after it, tell the state of every key.
fn told(set: &KeySet, backup: Option<&KeySet>, events: &[Event]) -> Result<(), String> {
    let keys = backup.map(KeySet::keys).unwrap_or_default().iter();
    let mut states: BTreeMap<&Kid, &str> =
        keys.map(|key| (key.kid(), key.state().name())).collect();
    for event in events {
        let state = match event {
            Event::KeyPublished { .. }
            | Event::KeyConfirmed { .. }
            | Event::KeyUnconfirmed { .. } => "pending",
            Event::KeyCanaryStarted { .. } => "canary",
            Event::KeyActivated { .. } => "active",
            Event::KeyRetired { .. } => "retired",
            Event::KeyRemoved { .. } => "removed",
            Event::KeyRevoked { .. } => "revoked",
            _ => continue,
        };
        states.insert(event.kid().unwrap(), state);
    }
    for key in set.keys() {
        let told = states.get(key.kid());
        ensure(told == Some(&key.state().name()), || {
            format!("{key:?} is told as {told:?}")
        })?;
    }
    Ok(())
}

fn verifies(set: &KeySet, token: &Token, now: Timestamp) -> Result<(), String> {
    let key = set.key(&token.kid);
    ensure(key.is_some_and(|key| key.is_published(now)), || {
        format!(
            "a token of {} lives until {:?}: {key:?}",
            token.kid, token.expires_at
        )
    })
}

#[test]
fn with_a_fresh_register_every_live_token_verifies_and_the_set_is_sound() {
    for_many_losses(|loss| {
        loss.register = (loss.world.stored.clone()).with_latest_at_least(loss.world.latest_ever);
        let both = RestoreSources::Both {
            backup: &loss.backup.clone(),
            register: &loss.register.clone(),
        };
        both.check().map_err(|error| error.to_string())?;
        let change = loss.recover(&both, &BTreeSet::new());
        let now = loss.world.clock;
        is_sound(&change, &both, now)?;
        loss.tokens(&loss.register, Timestamp::from_millis(u64::MAX))
            .try_for_each(|token| verifies(&change.set, token, now))?;
        // What the register shows active signs on if its private half is there.
        for key in loss.register.keys() {
            let held = loss.backup.key(key.kid());
            let held = held.is_some_and(Key::holds_private_half);
            let state = change.set.key(key.kid()).unwrap().state();
            if let (State::Active(_), true, State::Retired(_)) = (key.state(), held, state) {
                let due = change.events.iter().any(|event| {
                    matches!(event, Event::KeyActivated { algorithm, forced: false, .. }
                        if *algorithm == key.algorithm())
                });
                ensure(due, || format!("{key:?} retired and nothing was due"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn with_an_older_register_what_it_knows_verifies_and_the_set_is_sound() {
    for_many_losses(|loss| {
        let (backup, register) = (loss.backup.clone(), loss.register.clone());
        let both = RestoreSources::Both {
            backup: &backup,
            register: &register,
        };
        both.check().map_err(|error| error.to_string())?;
        let change = loss.recover(&both, &BTreeSet::new());
        let now = loss.world.clock;
        is_sound(&change, &both, now)?;
        // Also what was signed afterwards. Only lifetimes and a skew that a policy has allowed since
        // are none that the register could tell of.
        let longest = loss
            .world
            .latest_ever
            .after(register.policy().max_token_ttl);
        loss.tokens(&register, Timestamp::from_millis(u64::MAX))
            .filter(|token| loss.world.latest_ever < token.expires_at)
            .filter(|token| token.signed_at <= loss.register_at || token.expires_at <= longest)
            .try_for_each(|token| verifies(&change.set, token, now))
    });
}

#[test]
fn without_a_register_what_was_revoked_stays_revoked_and_what_signed_before_verifies() {
    for_many_losses(|loss| {
        let backup = loss.backup.clone();
        let testimony = RestoreSources::Backup(&backup);
        let revoked: BTreeSet<Kid> = (loss.world.stored.keys().iter())
            .filter(|key| matches!(key.state(), State::Revoked(_)))
            .map(|key| key.kid().clone())
            .collect();
        let change = loss.recover(&testimony, &revoked);
        let now = loss.world.clock;
        is_sound(&change, &testimony, now)?;
        for kid in &revoked {
            if let Some(key) = change.set.key(kid) {
                let ended = matches!(key.state(), State::Revoked(_) | State::Removed(_));
                ensure(ended, || format!("{key:?} was revoked"))?;
            }
        }
        // Nothing that signed goes on, and it is not certain that verifiers know what follows.
        for key in change.set.keys() {
            let before = backup.key(key.kid());
            let signed = before.is_some_and(|key| matches!(key.state(), State::Active(_)));
            let signs = matches!(key.state(), State::Active(_));
            ensure(!(signed && signs), || format!("{key:?} signs on"))?;
            if let State::Pending(pending) = key.state() {
                let policy = change.set.policy();
                let fresh = now.after(policy.freshness()).after(policy.clock_skew);
                let counted = matches!(pending.visibility,
                    Visibility::MissingUntil(until) if until >= fresh);
                ensure(counted, || {
                    format!("{key:?} may be missing until {fresh:?}")
                })?;
            }
        }
        for event in &change.events {
            let unforced = matches!(event, Event::KeyActivated { forced: false, .. });
            ensure(!unforced, || format!("{event:?}"))?;
        }
        loss.tokens(&backup, loss.backup_at)
            .filter(|token| loss.world.latest_ever < token.expires_at)
            .try_for_each(|token| verifies(&change.set, token, now))
    });
}

#[test]
fn an_issuer_that_the_backup_does_not_have_comes_back_with_fresh_keys() {
    for_many_losses(|loss| {
        let register = loss.register.clone();
        let testimony = RestoreSources::Register(&register);
        let change = loss.recover(&testimony, &BTreeSet::new());
        let now = loss.world.clock;
        is_sound(&change, &testimony, now)?;
        for key in change
            .set
            .keys()
            .iter()
            .filter(|key| key.holds_private_half())
        {
            ensure(register.key(key.kid()).is_none(), || {
                format!("the private half of {key:?} is lost")
            })?;
        }
        loss.tokens(&register, loss.register_at)
            .filter(|token| loss.world.latest_ever < token.expires_at)
            .try_for_each(|token| verifies(&change.set, token, now))
    });
}

#[test]
fn a_register_that_is_older_than_the_backup_is_refused() {
    for_many_losses(|loss| {
        let swapped = RestoreSources::Both {
            backup: &loss.register,
            register: &loss.backup,
        };
        let newer = loss.register.version() > loss.backup.version();
        ensure(swapped.check().is_err() == newer, || {
            format!("{:?}", swapped.check())
        })?;
        loss.both().check().map_err(|error| error.to_string())
    });
}

/// An issuer with one algorithm whose active key is a day old.
fn world() -> World {
    let mut world = World::fresh(single_policy());
    world.live_until(world.clock.after(DAY * 2));
    world
}

fn active(set: &KeySet) -> Kid {
    set.active(Algorithm::Es256).unwrap().kid().clone()
}

#[test]
fn the_successor_of_the_backup_signs_where_nobody_knows_what_happened() {
    let mut world = world();
    let backup = world.stored.clone();
    let successor = backup.successors(Algorithm::Es256)[0].kid().clone();
    world.pass(HOUR);
    let now = world.clock;
    let testimony = RestoreSources::Backup(&backup);
    let change = recovered(&testimony, &BTreeSet::new(), now, &mut world.keys_made);
    assert_eq!(active(&change.set), successor);
    let retired = change.set.key(&active(&backup)).unwrap();
    assert!(matches!(retired.state(), State::Retired(_)), "{retired:?}");
    assert!(retired.is_published(now.after(HOUR)));
    assert!(change.events.iter().any(
        |event| matches!(event, Event::KeyActivated { kid, forced: true, .. } if *kid == successor)
    ));
}

#[test]
fn a_key_that_the_register_shows_active_signs_on() {
    let mut world = world();
    let backup = world.stored.clone();
    let rotate = Command::Rotate {
        algorithm: None,
        readiness: Readiness::Required,
    };
    world.run(&rotate).unwrap();
    let register = world.stored.clone();
    world.pass(MINUTE);
    let both = RestoreSources::Both {
        backup: &backup,
        register: &register,
    };
    let now = world.clock;
    let change = recovered(&both, &BTreeSet::new(), now, &mut world.keys_made);
    assert_eq!(active(&change.set), active(&register));
    let before = register.key(&active(&backup)).unwrap();
    assert_eq!(change.set.key(before.kid()), Some(before));
    // The key that was published after the backup can sign nothing any more.
    let lost = register.successors(Algorithm::Es256)[0];
    let lost = change.set.key(lost.kid()).unwrap();
    assert!(matches!(lost.state(), State::Retired(_)), "{lost:?}");
    assert!(lost.is_published(now.after(HOUR)));
}

#[test]
fn a_fresh_key_signs_where_both_keys_of_the_backup_were_revoked() {
    let mut world = world();
    let backup = world.stored.clone();
    let discard = Command::Revoke {
        kid: active(&backup),
        reason: "leaked".to_owned(),
        successor: Successor::Discard,
    };
    world.run(&discard).unwrap();
    let register = world.stored.clone();
    let both = RestoreSources::Both {
        backup: &backup,
        register: &register,
    };
    let now = world.clock;
    let change = recovered(&both, &BTreeSet::new(), now, &mut world.keys_made);
    let fresh = active(&change.set);
    assert!(backup.key(&fresh).is_none() && register.key(&fresh).is_none());
    assert!(change.events.iter().any(
        |event| matches!(event, Event::KeyActivated { kid, forced: true, .. } if *kid == fresh)
    ));
}

#[test]
fn an_issuer_that_was_deleted_stays_deleted() {
    let mut world = world();
    let backup = world.stored.clone();
    let deleted = BTreeSet::from([IssuerName::clone(backup.issuer())]);
    let remembered = OperatorStatements {
        revoked: &BTreeSet::new(),
        deleted: &deleted,
        reason: "over",
    };
    let now = world.clock;
    let change = supplied(&mut world.keys_made, |supply| {
        recover(&RestoreSources::Backup(&backup), &remembered, now, supply)
    })
    .unwrap();
    assert!(change.set.deleted_at().is_some());
    assert_eq!(change.set.published(now).count(), 0);
}

#[test]
fn a_register_of_another_issuer_is_refused() {
    let (one, other) = (world().stored, {
        let mut other = world();
        other.new_key(Algorithm::Es256);
        let force = Command::Rotate {
            algorithm: None,
            readiness: Readiness::Waived,
        };
        other.run(&force).unwrap();
        other.run(&force).unwrap();
        other.stored
    });
    let mut ahead = world();
    ahead.new_key(Algorithm::Es256);
    ahead
        .run(&Command::Revoke {
            kid: active(&one),
            reason: String::new(),
            successor: Successor::Promote,
        })
        .unwrap();
    // Both begin with the same keys; what one has introduced since, the other does not have.
    let foreign = RestoreSources::Both {
        backup: &ahead.stored,
        register: &other,
    };
    let contradiction = foreign.check().unwrap_err();
    assert!(
        matches!(
            contradiction,
            RegisterMismatch::WentBack { .. } | RegisterMismatch::LacksKey(_)
        ),
        "{contradiction}"
    );
}
