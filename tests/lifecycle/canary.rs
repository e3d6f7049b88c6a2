//! The canary: a successor that signs a share of the tokens before it signs all of them.

use std::time::Duration;

use keywright::lifecycle::{
    AdoptionGate, CanaryPhase, Command, Event, ImportAs, Policy, PolicyViolation, Readiness,
    Schedule, SimulationStart, State, Successor, Timestamp, Timing, simulate,
};
use keywright_api::{DurationText, Share};
use keywright_verifier::{Algorithm, Kid};

use super::world::{BEGINNING, DAY, HOUR, MINUTE, SECOND, Seen, World, single_policy};

const ES256: Algorithm = Algorithm::Es256;

fn phase(duration: Duration) -> Option<CanaryPhase> {
    Some(CanaryPhase {
        share: Share::of_ten_thousand(100).unwrap(),
        duration: DurationText(duration),
    })
}

/// A policy whose successors sign 1 % of the tokens for six hours first.
fn with_canary() -> Policy {
    Policy {
        canary: phase(HOUR * 6),
        ..single_policy()
    }
}

/// When the first canary begins.
fn due() -> Timestamp {
    BEGINNING.after(DAY * 30)
}

fn signing(world: &World) -> Kid {
    world.view.active(ES256).unwrap().kid().clone()
}

fn canary(world: &World) -> Option<Kid> {
    world.view.canary(ES256).map(|key| key.kid().clone())
}

fn successor(world: &World) -> Kid {
    world.view.successors(ES256)[0].kid().clone()
}

/// A world in which a canary has signed for an hour: the active key, and the canary.
fn in_the_phase() -> (World, Kid, Kid) {
    let mut world = World::fresh(with_canary());
    world.live_until(due().after(HOUR));
    let (active, canary) = (signing(&world), canary(&world).unwrap());
    world.sign(ES256);
    (world, active, canary)
}

const STOP: Command = Command::StopCanary { algorithm: None };

fn revoke(kid: &Kid, successor: Successor) -> Command {
    Command::Revoke {
        kid: kid.clone(),
        reason: "leaked".to_owned(),
        successor,
    }
}

#[test]
fn a_successor_signs_a_share_beside_the_active_key_and_then_takes_its_place() {
    let mut world = World::fresh(with_canary());
    let (first, next) = (signing(&world), successor(&world));
    world.live_until(due().before(SECOND));
    assert_eq!(canary(&world), None);
    let story = world.live_until(due());
    assert_eq!(
        (signing(&world), canary(&world)),
        (first.clone(), Some(next.clone()))
    );
    let started = Event::KeyCanaryStarted {
        kid: next.clone(),
        algorithm: ES256,
        share: Share::of_ten_thousand(100).unwrap(),
        until: due().after(HOUR * 6).ceil_seconds(),
    };
    assert_eq!(story, [(due(), started)]);
    // A successor stands by for both, and the private halves of all are kept.
    assert_ne!(successor(&world), next);
    assert!(world.view.key(&next).unwrap().holds_private_half());
    world.live_until(due().after(HOUR * 6 - SECOND));
    assert_eq!(
        (signing(&world), canary(&world)),
        (first.clone(), Some(next.clone()))
    );
    world.live_until(due().after(HOUR * 6));
    assert_eq!((signing(&world), canary(&world)), (next.clone(), None));
    // It began to sign with its share, and the next rotation counts from when it signed all.
    assert_eq!(world.view.key(&next).unwrap().activated_at(), Some(due()));
    world.live_until(due().after(HOUR * 6 + DAY * 30 - SECOND));
    assert_eq!(canary(&world), None);
    world.live_until(due().after(HOUR * 6 + DAY * 30));
    assert!(canary(&world).is_some());
}

#[test]
fn a_canary_that_is_taken_back_signs_no_more_and_its_tokens_verify() {
    let (mut world, active, stopped) = in_the_phase();
    let at = world.clock;
    let events = world.run(&STOP).unwrap();
    let is_stop =
        |event: &Event| matches!(event, Event::KeyCanaryStopped { kid, .. } if *kid == stopped);
    assert!(is_stop(&events[0]), "{events:?}");
    assert_eq!((signing(&world), canary(&world)), (active, None));
    let State::Retired(retired) = world.view.key(&stopped).unwrap().state() else {
        panic!("{:?}", world.view.key(&stopped));
    };
    // The switch-over, the longest lifetime and the skew.
    let last_token = at.after(SECOND * 2 + HOUR);
    assert_eq!(retired.tokens_until, last_token);
    assert_eq!(retired.published_until, last_token.after(MINUTE * 5));
    assert!(!world.view.key(&stopped).unwrap().holds_private_half());
    let again = world.run(&STOP).unwrap();
    assert_eq!(again, [], "where none signs, nothing changes");
    // It comes back by no way.
    let jwk = world.view.key(&stopped).unwrap().jwk().clone();
    let state = ImportAs::Pending;
    world.run(&Command::Import { jwk, state }).unwrap_err();
}

#[test]
fn after_a_stop_the_next_successor_waits_for_a_lead_and_then_it_is_tried() {
    let (mut world, active, stopped) = in_the_phase();
    let at = world.clock;
    world.run(&STOP).unwrap();
    let next = successor(&world);
    world.live_until(at.after(DAY - SECOND));
    assert_eq!((signing(&world), canary(&world)), (active, None));
    world.live_until(at.after(DAY));
    assert_eq!(canary(&world), Some(next.clone()));
    assert_ne!(next, stopped);
    // One that is revoked counts like one that is stopped.
    let at = world.clock;
    world.run(&revoke(&next, Successor::Promote)).unwrap();
    world.live_until(at.after(DAY - SECOND));
    assert_eq!(canary(&world), None);
    world.live_until(at.after(DAY + MINUTE * 10));
    assert!(canary(&world).is_some());
}

#[test]
fn the_canary_follows_an_active_key_that_is_revoked_and_is_discarded_with_it() {
    let (mut world, active, next) = in_the_phase();
    let events = world.run(&revoke(&active, Successor::Promote)).unwrap();
    assert_eq!((signing(&world), canary(&world)), (next, None));
    let forced = |event: &Event| matches!(event, Event::KeyActivated { forced: true, .. });
    assert!(!events.iter().any(forced), "verifiers know it");

    let (mut world, active, next) = in_the_phase();
    world.run(&revoke(&active, Successor::Discard)).unwrap();
    for kid in [active, next] {
        let state = world.view.key(&kid).unwrap().state();
        assert!(matches!(state, State::Revoked(_)), "{state:?}");
    }
    assert_eq!(canary(&world), None);
}

#[test]
fn a_canary_that_is_revoked_leaves_the_active_key_signing() {
    let (mut world, active, revoked) = in_the_phase();
    world.run(&revoke(&revoked, Successor::Promote)).unwrap();
    assert_eq!((signing(&world), canary(&world)), (active, None));
    assert!(!world.view.key(&revoked).unwrap().is_published(world.clock));
    assert!(world.view.vacant().is_empty());
}

#[test]
fn a_canary_whose_private_half_is_lost_retires_alone() {
    let (mut world, active, lost) = in_the_phase();
    let lost = vec![lost];
    world.run(&Command::Replace { lost: lost.clone() }).unwrap();
    assert_eq!((signing(&world), canary(&world)), (active.clone(), None));
    // Of the active key's the canary takes the place.
    let (mut world, active, next) = in_the_phase();
    world.run(&Command::Replace { lost: vec![active] }).unwrap();
    assert_eq!((signing(&world), canary(&world)), (next, None));
}

#[test]
fn a_rotation_by_hand_ends_the_phase_and_begins_none() {
    for readiness in [Readiness::Required, Readiness::Waived] {
        let rotate = Command::Rotate {
            algorithm: Some(ES256),
            readiness,
        };
        let (mut world, _, next) = in_the_phase();
        world.run(&rotate).unwrap();
        assert_eq!((signing(&world), canary(&world)), (next, None));
        let mut world = World::fresh(with_canary());
        let next = successor(&world);
        world.run(&rotate).unwrap();
        assert_eq!((signing(&world), canary(&world)), (next, None));
    }
}

#[test]
fn the_gate_comes_before_the_canary() {
    let mut world = World::fresh(Policy {
        adoption: Some(AdoptionGate {
            share: Share::of_ten_thousand(9900).unwrap(),
            within: DurationText(DAY),
        }),
        ..with_canary()
    });
    world.live_until(due().after(HOUR));
    assert_eq!(canary(&world), None);
    world.seen = Seen {
        verifiers: 1,
        holders: 1,
        uncounted_replicas: 0,
    };
    world.run(&Command::ApplyPlan).unwrap();
    assert!(canary(&world).is_some());
    // It has begun: the gate was passed.
    world.seen = Seen::default();
    let until = world.clock.after(HOUR * 6);
    world.live_until(until);
    assert_eq!(canary(&world), None);
}

#[test]
fn the_policy_says_how_long_it_is_a_canary_also_while_it_is_one() {
    let (mut world, active, next) = in_the_phase();
    let longer = Policy {
        canary: phase(HOUR * 12),
        max_token_ttl: HOUR * 2,
        ..with_canary()
    };
    world.run(&Command::SetPolicy(longer.into())).unwrap();
    world.live_until(due().after(HOUR * 12 - SECOND));
    assert_eq!(canary(&world), Some(next.clone()));
    let State::Canary(state) = world.view.key(&next).unwrap().state() else {
        panic!("{next}");
    };
    assert_eq!(state.longest_ttl, HOUR * 2);
    // Without a phase it signs all of them.
    world
        .run(&Command::SetPolicy(single_policy().into()))
        .unwrap();
    assert_eq!((signing(&world), canary(&world)), (next, None));
    assert!(world.view.key(&active).unwrap().is_published(world.clock));
}

#[test]
fn a_dropped_algorithm_loses_its_canary_too() {
    let mut world = World::fresh(Policy {
        algorithms: Algorithm::ALL.to_vec(),
        ..with_canary()
    });
    world.live_until(due().after(HOUR));
    assert!(world.view.canary(Algorithm::Rs256).is_some());
    world
        .run(&Command::SetPolicy(with_canary().into()))
        .unwrap();
    assert!(world.view.canary(Algorithm::Rs256).is_none());
    assert!(world.view.active(Algorithm::Rs256).is_none());
    assert!(canary(&world).is_some());
}

#[test]
fn a_look_ahead_tells_of_the_phase() {
    let world = World::fresh(with_canary());
    let proposal = SimulationStart::Change(Box::new(world.view.clone()), Command::ApplyPlan);
    let adoption = Default::default();
    let told = simulate(
        &proposal,
        BEGINNING,
        &adoption,
        due().after(DAY),
        Duration::ZERO,
    )
    .unwrap();
    let of = |at: Timestamp| {
        told.iter()
            .filter(move |one| one.at == at)
            .map(|one| &one.event)
    };
    assert!(of(due()).any(|event| matches!(event, Event::KeyCanaryStarted { .. })));
    let over = due().after(HOUR * 6);
    assert!(of(over).any(|event| matches!(event, Event::KeyActivated { forced: false, .. })));
    assert!(of(over).any(|event| matches!(event, Event::KeyRetired { .. })));
}

#[test]
fn a_phase_fits_between_two_rotations() {
    let policy = |duration| Policy {
        rotation: Schedule::Every(DAY * 3),
        canary: phase(duration),
        ..single_policy()
    };
    let timing = Timing::single();
    assert_eq!(policy(DAY).validate(&timing), Ok(()));
    let refusal = policy(DAY + SECOND).validate(&timing).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the rotation interval must be at least 2 × lead + adoption.within + canary.for: 3d < 2 × 24h + 0s + 86401s"
    );
    let refusal = policy(Duration::ZERO).validate(&timing).unwrap_err();
    assert_eq!(
        refusal,
        PolicyViolation::Zero {
            field: "canary.for"
        }
    );
}
