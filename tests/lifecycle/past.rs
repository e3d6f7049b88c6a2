//! What is told of an earlier instant, by example.

use keywright::lifecycle::{Command, Key, Policy, Readiness, State, Successor, Timestamp};
use keywright_verifier::{Algorithm, Kid};

use super::world::{BEGINNING, HOUR, MINUTE, SECOND, World, single_policy};

fn active(world: &World) -> Kid {
    world.view.active(Algorithm::Es256).unwrap().kid().clone()
}

fn rotate(world: &mut World) {
    let force = Command::Rotate {
        algorithm: None,
        readiness: Readiness::Waived,
    };
    world.run(&force).unwrap();
}

fn told(world: &World, kid: &Kid, at: Timestamp) -> Option<(&'static str, bool)> {
    let keys = world.stored.keys_at(at).unwrap();
    let past = keys.into_iter().find(|past| past.key.kid() == kid)?;
    Some((past.state.as_str(), past.was_published))
}

#[test]
fn nothing_is_told_of_the_time_before_the_issuer() {
    let world = World::fresh(single_policy());
    assert!(world.stored.keys_at(BEGINNING.before(SECOND)).is_none());
    assert_eq!(world.stored.keys_at(BEGINNING).unwrap().len(), 2);
}

#[test]
fn a_key_is_told_in_every_state_that_it_passed_through() {
    let mut world = World::fresh(single_policy());
    let first = active(&world);
    world.pass(HOUR);
    let activated = world.clock;
    rotate(&mut world);
    let second = active(&world);
    world.pass(HOUR);
    let retired = world.clock;
    rotate(&mut world);
    world.live_until(world.clock.after(HOUR * 3));
    let State::Removed(removed) = world.stored.key(&second).unwrap().state().clone() else {
        panic!("it is over");
    };
    let until = removed.published_until.unwrap();
    let time = SECOND / 1000;
    for (at, expected) in [
        (BEGINNING, ("pending", true)),
        (activated.before(time), ("pending", true)),
        (activated, ("active", true)),
        (retired.before(time), ("active", true)),
        (retired, ("retired", true)),
        (until.before(time), ("retired", true)),
        (until.max(removed.removed_at), ("removed", false)),
    ] {
        assert_eq!(told(&world, &second, at), Some(expected), "{at:?}");
    }
    assert_eq!(told(&world, &first, BEGINNING), Some(("active", true)));
    let third = active(&world);
    assert_eq!(told(&world, &third, activated.before(time)), None);
}

// The service was down when the time of a key was over: no verifier was served it after that.
#[test]
fn a_key_leaves_the_told_set_with_its_time_and_not_with_its_removal() {
    for revoked in [false, true] {
        let mut world = World::fresh(single_policy());
        let first = active(&world);
        rotate(&mut world);
        let State::Retired(retired) = world.view.key(&first).unwrap().state().clone() else {
            panic!("it has just retired");
        };
        let until = retired.published_until;
        world.pass(HOUR * 9);
        let command = if revoked {
            Command::Revoke {
                kid: first.clone(),
                reason: "leaked".to_owned(),
                successor: Successor::Promote,
            }
        } else {
            Command::ApplyPlan
        };
        world.run(&command).unwrap();
        assert_eq!(
            told(&world, &first, until.before(SECOND)),
            Some(("retired", true))
        );
        assert_eq!(told(&world, &first, until), Some(("retired", false)));
    }
}

#[test]
fn a_prolonged_publication_is_told_to_its_later_end() {
    let mut world = World::fresh(single_policy());
    let first = active(&world);
    rotate(&mut world);
    let before = world.view.key(&first).cloned();
    let until = |key: Option<Key>| match key.unwrap().state() {
        State::Retired(retired) => retired.published_until,
        state => panic!("{}", state.name()),
    };
    let wider = Policy {
        clock_skew: MINUTE * 50,
        ..single_policy()
    };
    world.run(&Command::SetPolicy(wider.into())).unwrap();
    let (before, after) = (until(before), until(world.view.key(&first).cloned()));
    assert!(before < after);
    world.live_until(after.after(HOUR));
    assert_eq!(told(&world, &first, before), Some(("retired", true)));
    assert_eq!(
        told(&world, &first, after.before(SECOND)),
        Some(("retired", true))
    );
    assert_eq!(told(&world, &first, after), Some(("removed", false)));
}
