//! A set that is as large as verifiers accept.

use keywright::lifecycle::{
    Command, ImportAs, MAX_PUBLISHED_KEYS, Policy, Readiness, RuleViolation, Schedule, Successor,
};
use keywright_verifier::Algorithm;

use super::invariants;
use super::revocation::revoke;
use super::rotation::{ES256, rotate, signing, standing_by};
use super::world::{BEGINNING, DAY, Fate, World, default_policy};

/// Tokens for weeks, so that a flood of rotations leaves many keys.
fn long_lived() -> Policy {
    Policy {
        max_token_ttl: DAY * 100,
        rotation: Schedule::Every(DAY * 10),
        ..default_policy()
    }
}

fn count(world: &World) -> usize {
    world.view.published(world.clock).count()
}

fn flood(world: &mut World) -> RuleViolation {
    loop {
        if let Err(refusal) = world.run(&rotate(ES256, Readiness::Waived)) {
            return refusal;
        }
    }
}

fn hold(world: &World) {
    invariants::ALL
        .iter()
        .try_for_each(|law| law(world))
        .unwrap();
}

// Attack 66.
#[test]
fn a_flood_of_forced_rotations_is_refused_at_the_limit_of_keys() {
    let mut world = World::fresh(long_lived());
    assert_eq!(flood(&mut world), RuleViolation::SetFull);
    assert_eq!(count(&world), MAX_PUBLISHED_KEYS);
    hold(&world);
}

#[test]
fn a_full_set_still_lets_what_signs_be_revoked() {
    for successor in [Successor::Promote, Successor::Discard] {
        let mut world = World::fresh(long_lived());
        flood(&mut world);
        let leaked = signing(&world);
        world.run(&revoke(&leaked, successor)).unwrap();
        assert_ne!(signing(&world), leaked);
        assert_eq!(standing_by(&world).len(), 1);
        hold(&world);
    }
}

#[test]
fn a_full_set_grows_no_further_by_ticking_and_rotates_again_when_there_is_room() {
    let mut world = World::fresh(long_lived());
    flood(&mut world);
    let stuck = signing(&world);
    world.live_until(BEGINNING.after(DAY * 99));
    assert_eq!(count(&world), MAX_PUBLISHED_KEYS);
    assert_eq!(signing(&world), stuck);
    hold(&world);
    world.live_until(BEGINNING.after(DAY * 101));
    assert_ne!(signing(&world), stuck);
    hold(&world);
}

#[test]
fn two_algorithms_do_not_both_count_on_the_last_place() {
    let mut world = World::fresh(long_lived());
    while count(&world) < MAX_PUBLISHED_KEYS - 1 {
        world.run(&rotate(ES256, Readiness::Waived)).unwrap();
    }
    // Both want their next but one now.
    world.live_until(BEGINNING.after(DAY * 9));
    assert_eq!(count(&world), MAX_PUBLISHED_KEYS);
    // Both want to rotate.
    world.live_until(BEGINNING.after(DAY * 10));
    hold(&world);
}

// Found by the 200,000 lives: one algorithm was left without a successor, because the last place
// went to the next but one of another.
#[test]
fn the_last_place_belongs_to_the_algorithm_that_no_successor_stands_by_for() {
    for algorithm in Algorithm::ALL {
        let mut world = World::fresh(long_lived());
        while count(&world) < MAX_PUBLISHED_KEYS {
            world.run(&rotate(ES256, Readiness::Waived)).unwrap();
        }
        // Both are in the lead before their rotation, and wait for room.
        world.live_until(BEGINNING.after(DAY * 10));
        let leaked = world.view.active(algorithm).unwrap().kid().clone();
        let revoke = revoke(&leaked, Successor::Promote);
        let fate = Fate::default();
        world.run_with(&revoke, &fate, None).unwrap();
        let wanted: Vec<_> = world.wanted.iter().map(|one| one.algorithm).collect();
        assert_eq!(wanted, [algorithm]);
        world.follow_up().unwrap();
        assert_eq!(world.view.successors(algorithm).len(), 1);
        hold(&world);
    }
}

#[test]
fn the_last_place_belongs_to_the_algorithm_for_which_nothing_signs() {
    for algorithm in Algorithm::ALL {
        let mut world = World::fresh(long_lived());
        while count(&world) < MAX_PUBLISHED_KEYS {
            world.run(&rotate(ES256, Readiness::Waived)).unwrap();
        }
        // What has signed stays published; what only stood by leaves its place.
        let active = |one: Algorithm| world.view.active(one).unwrap().kid().clone();
        let mut lost = Algorithm::ALL.map(active).to_vec();
        lost.push(world.view.successors(algorithm)[0].kid().clone());
        let replace = Command::Replace { lost };
        world.run_with(&replace, &Fate::default(), None).unwrap();
        assert!(world.view.active(algorithm).is_none());
        assert_eq!(count(&world), MAX_PUBLISHED_KEYS - 1);
        let wanted = world.wanted.iter().map(|one| one.algorithm);
        assert!(
            wanted.clone().all(|one| one == algorithm),
            "{:?}",
            world.wanted
        );
        world.follow_up().unwrap();
        assert!(world.view.active(algorithm).is_some());
        hold(&world);
    }
}

// Found by the 200,000 lives, after the one before.
#[test]
fn nothing_takes_the_place_of_a_successor_that_is_being_generated() {
    for algorithm in Algorithm::ALL {
        let [other] = Algorithm::ALL
            .into_iter()
            .filter(|one| *one != algorithm)
            .collect::<Vec<_>>()[..]
        else {
            panic!("there are two")
        };
        let mut world = World::fresh(long_lived());
        while count(&world) < MAX_PUBLISHED_KEYS {
            world.run(&rotate(ES256, Readiness::Waived)).unwrap();
        }
        // What has signed leaves its place to the next successor, which is not there yet.
        let leaked = world.view.active(algorithm).unwrap().kid().clone();
        let revoke = revoke(&leaked, Successor::Promote);
        world.run_with(&revoke, &Fate::default(), None).unwrap();
        assert_eq!(count(&world), MAX_PUBLISHED_KEYS - 1);
        let rotated = world.run(&rotate(other, Readiness::Waived));
        assert_eq!(rotated, Err(RuleViolation::SetFull), "{algorithm}");
        for (jwk, state) in [
            (world.new_key(algorithm), ImportAs::Retired),
            (world.new_key(other), ImportAs::Retired),
            (world.new_key(other), ImportAs::Pending),
        ] {
            let imported = world.run(&Command::Import { jwk, state });
            assert_eq!(imported, Err(RuleViolation::SetFull), "{algorithm}");
        }
        // One that is imported as the successor takes it itself.
        let (jwk, state) = (world.new_key(algorithm), ImportAs::Pending);
        world.run(&Command::Import { jwk, state }).unwrap();
        assert_eq!(world.view.successors(algorithm).len(), 1);
        hold(&world);
    }
}

#[test]
fn a_rotation_of_both_algorithms_needs_room_for_both_that_will_stand_by() {
    let mut world = World::fresh(long_lived());
    while count(&world) < MAX_PUBLISHED_KEYS - 1 {
        world.run(&rotate(ES256, Readiness::Waived)).unwrap();
    }
    let both = Command::Rotate {
        algorithm: None,
        readiness: Readiness::Waived,
    };
    assert_eq!(world.run(&both), Err(RuleViolation::SetFull));
    world.run(&rotate(ES256, Readiness::Waived)).unwrap();
    hold(&world);
}

#[test]
fn a_revocation_goes_through_when_not_even_its_room_suffices_for_a_fresh_key() {
    let policy = Policy {
        algorithms: vec![Algorithm::Rs256],
        default_algorithm: Algorithm::Rs256,
        ..long_lived()
    };
    let mut world = World::fresh(policy);
    // Fewer large keys reach the limit of bytes before that of keys.
    let larger = Policy {
        rsa_bits: 4096,
        ..world.view.policy().clone()
    };
    world.run(&Command::SetPolicy(larger.into())).unwrap();
    let small: Vec<_> = world
        .view
        .keys()
        .iter()
        .map(|key| key.kid().clone())
        .collect();
    loop {
        let jwk = world.new_key(Algorithm::Rs256);
        let state = ImportAs::Retired;
        if world.run(&Command::Import { jwk, state }).is_err() {
            break;
        }
    }
    // A small key fills what is left.
    loop {
        let jwk = world.new_key(ES256);
        let state = ImportAs::Retired;
        if world.run(&Command::Import { jwk, state }).is_err() {
            break;
        }
    }
    for kid in &small {
        world.run(&revoke(kid, Successor::Discard)).ok();
    }
    for kid in &small {
        assert_eq!(world.view.key(kid).unwrap().state().name(), "revoked");
    }
    hold(&world);
}
