//! Keys whose private halves are lost.

use keywright::lifecycle::{Command, Event, RuleViolation, State};
use keywright_verifier::{Algorithm, Kid};

use super::rotation::{ES256, signing, standing_by};
use super::world::{BEGINNING, DAY, HOUR, World, default_policy, single_policy};

fn replace(lost: impl IntoIterator<Item = Kid>) -> Command {
    Command::Replace {
        lost: lost.into_iter().collect(),
    }
}

/// Every key whose private half is sealed.
fn all(world: &World) -> Vec<Kid> {
    let keys = world.view.keys().iter();
    let sealed = keys.filter(|key| key.holds_private_half());
    sealed.map(|key| key.kid().clone()).collect()
}

fn activated(events: &[Event]) -> Vec<bool> {
    let forced = |event: &Event| match event {
        Event::KeyActivated { forced, .. } => Some(*forced),
        _ => None,
    };
    events.iter().filter_map(forced).collect()
}

#[test]
fn what_signed_goes_on_verifying_and_a_fresh_key_signs_forced() {
    let mut world = World::fresh(default_policy());
    world.live_until(BEGINNING.after(DAY));
    let lost = all(&world);
    assert_eq!(lost.len(), 4);
    let signed: Vec<Kid> = Algorithm::ALL
        .map(|one| world.view.active(one).unwrap().kid().clone())
        .into();
    let events = world.run(&replace(lost.clone())).unwrap();
    assert_eq!(activated(&events), [true, true]);
    for kid in &lost {
        let key = world.view.key(kid).unwrap();
        let needed = signed.contains(kid);
        assert_eq!(key.is_published(world.clock), needed, "{key:?}");
        if let State::Retired(retired) = key.state() {
            // The longest life of a token, the switch-over and the skew.
            let longest = HOUR.as_secs() + 2 + 300;
            let kept = retired.published_until.since(world.clock).as_secs();
            assert_eq!(kept, longest);
        }
    }
    for algorithm in Algorithm::ALL {
        let fresh = world.view.active(algorithm).unwrap().kid();
        assert!(!lost.contains(fresh));
        let successors = world.view.successors(algorithm);
        assert_eq!(successors.len(), 1);
        assert!(!lost.contains(successors[0].kid()));
    }
}

#[test]
fn a_successor_that_is_not_lost_takes_over() {
    let mut world = World::fresh(single_policy());
    let (first, second) = (signing(&world), standing_by(&world)[0].clone());
    let events = world.run(&replace([first])).unwrap();
    assert_eq!(signing(&world), second);
    // It is a key of the first set, which every verifier knows.
    assert_eq!(activated(&events), [false]);
    assert_eq!(standing_by(&world).len(), 1);
}

#[test]
fn a_lost_successor_leaves_what_signs_and_another_stands_by() {
    let mut world = World::fresh(single_policy());
    let (first, second) = (signing(&world), standing_by(&world)[0].clone());
    let events = world.run(&replace([second.clone()])).unwrap();
    assert!(activated(&events).is_empty());
    assert_eq!(signing(&world), first);
    assert!(!world.view.key(&second).unwrap().is_published(world.clock));
    assert_eq!(standing_by(&world).len(), 1);
}

#[test]
fn an_algorithm_that_the_policy_has_dropped_is_not_filled_again() {
    let mut world = World::fresh(default_policy());
    world
        .run(&Command::SetPolicy(single_policy().into()))
        .unwrap();
    let lost = all(&world);
    assert!(lost.iter().all(|kid| {
        let key = world.view.key(kid).unwrap();
        key.algorithm() == ES256
    }));
    world.run(&replace(lost)).unwrap();
    assert!(world.view.active(Algorithm::Rs256).is_none());
}

#[test]
fn keys_without_a_private_half_cannot_lose_it() {
    let mut world = World::fresh(single_policy());
    let first = signing(&world);
    world.run(&replace([first.clone()])).unwrap();
    let again = world.run(&replace([first.clone()]));
    let (from, to) = ("retired", "retired");
    assert_eq!(
        again,
        Err(RuleViolation::IllegalTransition {
            kid: first,
            from,
            to
        })
    );
    let nobody = Kid::parse("nobody").unwrap();
    let unknown = world.run(&replace([nobody.clone()]));
    assert_eq!(unknown, Err(RuleViolation::UnknownKey(nobody)));
    assert_eq!(world.run(&replace([])), Ok(Vec::new()));
}
