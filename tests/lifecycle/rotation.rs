//! Rotations: by schedule, by hand and by force.

use std::time::Duration;

use keywright::lifecycle::{
    Adoption, Command, Event, Readiness, RuleViolation, SWITCH_OVER, SimulationStart, Successor,
    simulate,
};
use keywright_verifier::{Algorithm, Kid};

use super::world::{BEGINNING, DAY, HOUR, MINUTE, SECOND, World, default_policy, single_policy};

pub(crate) const ES256: Algorithm = Algorithm::Es256;

pub(crate) fn rotate(algorithm: Algorithm, readiness: Readiness) -> Command {
    Command::Rotate {
        algorithm: Some(algorithm),
        readiness,
    }
}

/// The kid of what signs.
pub(crate) fn signing(world: &World) -> Kid {
    world.view.active(ES256).unwrap().kid().clone()
}

/// The kids of what stands by, the next first.
pub(crate) fn standing_by(world: &World) -> Vec<Kid> {
    let successors = world.view.successors(ES256);
    successors.iter().map(|key| key.kid().clone()).collect()
}

#[test]
fn the_next_but_one_is_published_a_lead_before_the_successor_takes_over() {
    let mut world = World::fresh(single_policy());
    let (first, second) = (signing(&world), standing_by(&world)[0].clone());
    let story = world.live_until(BEGINNING.after(DAY * 31));
    let third = standing_by(&world)[0].clone();
    let (published, rotated) = (BEGINNING.after(DAY * 29), BEGINNING.after(DAY * 30));
    let published_until = rotated.after(SWITCH_OVER + HOUR + MINUTE * 5);
    let algorithm = ES256;
    let imported = false;
    let ready_at = rotated.floor_seconds();
    assert_eq!(
        story,
        [
            (
                published,
                Event::KeyPublished {
                    kid: third,
                    algorithm,
                    imported,
                    ready_at: Some(ready_at),
                }
            ),
            (
                rotated,
                Event::KeyRetired {
                    kid: first.clone(),
                    algorithm,
                    imported,
                    published_until: published_until.floor_seconds(),
                }
            ),
            (
                rotated,
                Event::KeyActivated {
                    kid: second,
                    algorithm,
                    imported,
                    forced: false,
                }
            ),
            (
                published_until,
                Event::KeyRemoved {
                    kid: first,
                    algorithm,
                }
            ),
        ]
    );
}

#[test]
fn a_successor_that_verifiers_know_stands_by_right_after_a_scheduled_rotation() {
    let mut world = World::fresh(single_policy());
    world.live_until(BEGINNING.after(DAY * 30));
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
}

#[test]
fn a_retired_key_stays_published_until_its_last_token_expires() {
    let mut world = World::fresh(single_policy());
    let first = signing(&world);
    world.live_until(BEGINNING.after(DAY * 30));
    let last = BEGINNING.after(DAY * 30 + SWITCH_OVER + HOUR + MINUTE * 5);
    let key = world.view.key(&first).unwrap();
    assert!(key.is_published(last.before(SECOND)));
    // Decided when it is read: no tick has removed it yet.
    assert!(!key.is_published(last));
    assert_eq!(key.state().name(), "retired");
}

#[test]
fn a_manual_rotation_right_after_another_is_refused_with_the_time_of_readiness() {
    let mut world = World::fresh(single_policy());
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let kid = standing_by(&world)[0].clone();
    let ready_at = BEGINNING.after(DAY);
    assert_eq!(
        world.run(&rotate(ES256, Readiness::Required)),
        Err(RuleViolation::SuccessorNotReady {
            algorithm: ES256,
            kid,
            ready_at
        })
    );
    world.live_until(ready_at);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
}

#[test]
fn a_rotation_of_all_algorithms_happens_for_all_or_for_none() {
    let mut world = World::fresh(default_policy());
    world
        .run(&rotate(Algorithm::Rs256, Readiness::Required))
        .unwrap();
    let before = world.view.clone();
    let all = Command::Rotate {
        algorithm: None,
        readiness: Readiness::Required,
    };
    assert!(matches!(
        world.run(&all),
        Err(RuleViolation::SuccessorNotReady {
            algorithm: Algorithm::Rs256,
            ..
        })
    ));
    assert_eq!(world.view, before);
}

#[test]
fn a_rotation_of_an_algorithm_that_the_policy_lacks_is_refused() {
    let mut world = World::fresh(single_policy());
    assert_eq!(
        world.run(&rotate(Algorithm::Rs256, Readiness::Waived)),
        Err(RuleViolation::AlgorithmNotInPolicy(Algorithm::Rs256))
    );
}

#[test]
fn a_forced_rotation_says_so_only_when_verifiers_may_not_know_the_key() {
    let mut world = World::fresh(single_policy());
    for expected in [false, true] {
        let events = world.run(&rotate(ES256, Readiness::Waived)).unwrap();
        let forced = |event: &Event| match event {
            Event::KeyActivated { forced, .. } => Some(*forced),
            _ => None,
        };
        assert_eq!(events.iter().find_map(forced), Some(expected));
    }
}

#[test]
fn a_rotation_that_is_due_waits_for_its_successor() {
    let mut world = World::fresh(single_policy());
    world.live_until(BEGINNING.after(DAY * 30 - HOUR));
    for kid in standing_by(&world) {
        let leaked = super::revocation::revoke(&kid, Successor::Promote);
        world.run(&leaked).unwrap();
    }
    let before = signing(&world);
    let ready_at = BEGINNING.after(DAY * 31 - HOUR);
    world.live_until(ready_at.before(SECOND));
    assert_eq!(signing(&world), before);
    world.live_until(ready_at);
    assert_ne!(signing(&world), before);
}

#[test]
fn the_schedule_counts_from_the_last_rotation_also_from_one_by_hand() {
    let mut world = World::fresh(single_policy());
    world.live_until(BEGINNING.after(DAY * 10));
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let second = signing(&world);
    world.live_until(BEGINNING.after(DAY * 40 - SECOND));
    assert_eq!(signing(&world), second);
    world.live_until(BEGINNING.after(DAY * 40));
    assert_ne!(signing(&world), second);
}

#[test]
fn a_simulation_tells_the_story_that_ticking_lives() {
    let mut world = World::fresh(default_policy());
    let until = BEGINNING.after(DAY * 100);
    let proposal = SimulationStart::Change(Box::new(world.view.clone()), Command::ApplyPlan);
    let none = Adoption::default();
    let told = simulate(&proposal, BEGINNING, &none, until, Duration::ZERO).unwrap();
    let lived = world.live_until(until);
    assert!(lived.len() > 20);
    let told = told.iter().map(|one| (one.at, shape(&one.event)));
    let lived = lived.iter().map(|(at, event)| (*at, shape(event)));
    assert_eq!(told.collect::<Vec<_>>(), lived.collect::<Vec<_>>());
}

/// An event without the name of its key, which the future has not given yet.
fn shape(event: &Event) -> serde_json::Value {
    let mut shape = serde_json::to_value(event).unwrap();
    shape["kid"].take();
    shape
}
