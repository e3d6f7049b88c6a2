//! A clock that was far ahead, and that was corrected.

use std::time::Duration;

use keywright::lifecycle::{
    Active, Command, Event, IssuerOrigin, Key, Policy, Readiness, Retired, State, Successor,
    Timestamp, rotation_due,
};
use keywright_verifier::Kid;

use super::revocation::revoke;
use super::rotation::{ES256, rotate, signing, standing_by};
use super::world::{BEGINNING, DAY, HOUR, MINUTE, SECOND, World, single_policy};

fn set_right(world: &mut World) -> Vec<Event> {
    world.run(&Command::CorrectClock).unwrap()
}

fn retired(world: &World, kid: &Kid) -> Retired {
    match world.view.key(kid).unwrap().state() {
        State::Retired(retired) => retired.clone(),
        other => panic!("{other:?}"),
    }
}

fn active(world: &World) -> Active {
    match world.view.active(ES256).unwrap().state() {
        State::Active(active) => active.clone(),
        other => panic!("{other:?}"),
    }
}

fn ready_at(world: &World, kid: &Kid) -> Option<Timestamp> {
    let key = world.view.key(kid);
    key.and_then(|key| key.ready_at(world.view.policy()))
}

/// An issuer that has witnessed one reading a year ahead, of a clock that is right otherwise.
fn poisoned(policy: Policy) -> World {
    let mut world = World::fresh(policy);
    world.pass(DAY * 366);
    world.jump_back(DAY * 366);
    world
}

// Issue 10, case 14.
#[test]
fn the_schedule_counts_from_what_the_clock_showed_and_not_from_the_stamp() {
    let mut world = World::fresh(single_policy());
    // Two successors, so that the next is ready soon.
    world.live_until(BEGINNING.after(DAY * 29));
    let first = signing(&world);
    world.pass(DAY * 366);
    world.jump_back(DAY * 366);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    assert_ne!(signing(&world), first);
    assert_eq!(active(&world).activated_at, world.clock.after(DAY * 366));
    let due = world.clock.after(DAY * 30);
    assert_eq!(rotation_due(&world.view, ES256), Some(due));
}

#[test]
fn the_schedule_of_an_imported_key_counts_from_what_the_clock_showed() {
    let mut world = World::create(single_policy(), IssuerOrigin::TakesOver);
    world.pass(DAY * 366);
    world.jump_back(DAY * 366);
    let jwk = world.new_key(ES256);
    let state = keywright::lifecycle::ImportAs::Active;
    world.run(&Command::Import { jwk, state }).unwrap();
    assert_eq!(active(&world).scheduled_from, BEGINNING);
}

// Issue 10, case 14: a successor was ready at +366 d.
#[test]
fn a_successor_that_was_published_with_a_late_stamp_is_ready_a_lead_after_the_correction() {
    let mut world = poisoned(single_policy());
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let successor = standing_by(&world)[0].clone();
    let late = BEGINNING.after(DAY * 367);
    assert_eq!(ready_at(&world, &successor), Some(late));
    world.pass(HOUR);
    let now = world.clock;
    let events = set_right(&mut world);
    let by_seconds = 366 * 86_400 - 3600;
    assert_eq!(events, [Event::ClockCorrected { by_seconds }]);
    assert_eq!(world.view.latest(), now);
    assert_eq!(ready_at(&world, &successor), Some(now.after(DAY)));
    assert_eq!(active(&world).activated_at, now);
    // What follows is stamped with what the clock shows.
    world.live_until(now.after(DAY));
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    assert_eq!(active(&world).activated_at, now.after(DAY));
}

#[test]
fn a_key_that_retired_with_a_late_stamp_is_published_for_its_own_retention_from_now() {
    let mut world = World::fresh(Policy {
        max_token_ttl: HOUR * 10,
        ..single_policy()
    });
    world
        .run(&Command::SetPolicy(single_policy().into()))
        .unwrap();
    world.pass(DAY * 366);
    world.jump_back(DAY * 366);
    let first = signing(&world);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    assert!(retired(&world, &first).published_until > BEGINNING.after(DAY * 366));
    world.pass(MINUTE);
    set_right(&mut world);
    let now = world.clock;
    let after = retired(&world, &first);
    assert_eq!(after.retired_at, now);
    // It has signed under the longer lifetime.
    let tokens_until = now.after(SECOND * 2 + HOUR * 10);
    assert_eq!(after.tokens_until, tokens_until);
    assert_eq!(after.published_until, tokens_until.after(MINUTE * 5));
}

#[test]
fn what_an_honest_clock_has_made_is_not_touched() {
    let mut world = World::fresh(single_policy());
    let first = signing(&world);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let leaked = standing_by(&world)[0].clone();
    world.run(&revoke(&leaked, Successor::Promote)).unwrap();
    world.pass(HOUR / 2);
    let honest: Vec<Key> = world.view.keys().to_vec();
    // The poison comes with a change that concerns none of these keys.
    world.pass(DAY * 366);
    world.jump_back(DAY * 366);
    let jwk = world.new_key(ES256);
    let state = keywright::lifecycle::ImportAs::Retired;
    world.run(&Command::Import { jwk, state }).unwrap();
    assert!(world.view.latest() > world.clock);
    set_right(&mut world);
    assert_eq!(world.view.latest(), world.clock);
    // The retired key was over by the late stamp, and what is removed does not come back.
    for key in honest.iter().filter(|key| *key.kid() != first) {
        assert_eq!(world.view.key(key.kid()), Some(key));
    }
}

#[test]
fn every_instant_lies_where_an_honest_clock_could_have_put_it() {
    let mut world = poisoned(single_policy());
    for readiness in [Readiness::Required, Readiness::Waived, Readiness::Waived] {
        world.run(&rotate(ES256, readiness)).unwrap();
    }
    for state in ["pending", "retired"] {
        let mut keys = world.view.keys().iter();
        let kid = keys.find(|key| key.state().name() == state).unwrap().kid();
        let kid = kid.clone();
        world.run(&revoke(&kid, Successor::Promote)).unwrap();
    }
    let stricter = Policy {
        max_token_ttl: HOUR / 2,
        revocation_max_age: MINUTE / 2,
        ..single_policy()
    };
    world.run(&Command::SetPolicy(stricter.into())).unwrap();
    set_right(&mut world);
    let now = world.clock;
    let most = now.after(SECOND * 2 + HOUR + MINUTE * 10);
    let set = &world.view;
    assert!(set.served_fresh_until() <= most, "{set:?}");
    let heads_until = set.earlier_heads().unwrap().until;
    assert_eq!(heads_until, now.after(SECOND * 2 + MINUTE));
    let is_revoked = |key: &&Key| matches!(key.state(), State::Revoked(_));
    for key in set.keys().iter().filter(|key| !is_revoked(key)) {
        assert!(key.created_at().max(key.published_at()) <= now, "{key:?}");
        assert!(key.activated_at().is_none_or(|at| at <= now), "{key:?}");
        match key.state() {
            State::Pending(_) => {
                assert!(
                    key.ready_at(set.policy()) <= Some(now.after(DAY)),
                    "{key:?}"
                );
            }
            State::Canary(canary) => assert!(canary.counted_from <= now, "{key:?}"),
            State::Active(active) => assert!(active.scheduled_from <= now, "{key:?}"),
            State::Retired(retired) => {
                assert!(
                    retired.retired_at <= now && retired.published_until <= most,
                    "{key:?}"
                );
            }
            State::Removed(removed) => assert!(removed.removed_at <= now, "{key:?}"),
            State::Revoked(_) => unreachable!("left out above"),
        }
    }
}

#[test]
fn a_clock_that_was_right_needs_no_correction() {
    let mut world = World::fresh(single_policy());
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    assert_eq!(set_right(&mut world), []);
    // Nor does one that was off by no more than clocks may be.
    world.jump_back(SECOND * 2);
    assert_eq!(set_right(&mut world), []);
    world.jump_back(Duration::from_millis(1));
    assert_eq!(set_right(&mut world).len(), 1);
}
