//! The adoption gate: a rotation waits, beside the lead, until enough of the known verifiers hold its successor.

use std::time::Duration;

use keywright::lifecycle::{
    AdoptionGate, Command, Event, Policy, PolicyViolation, Readiness, RuleViolation, Schedule,
    SimulationStart, Successor, Timing, simulate,
};
use keywright_api::{DurationText, Share};
use keywright_verifier::{Algorithm, Kid};

use super::world::{BEGINNING, DAY, HOUR, SECOND, Seen, World, single_policy};

const ES256: Algorithm = Algorithm::Es256;

fn gate(parts: u16, within: Duration) -> Option<AdoptionGate> {
    Some(AdoptionGate {
        share: Share::of_ten_thousand(parts).unwrap(),
        within: DurationText(within),
    })
}

/// A policy whose rotations wait a day for 99 % of the verifiers.
fn gated() -> Policy {
    Policy {
        adoption: gate(9900, DAY),
        ..single_policy()
    }
}

fn seen(holders: u64, verifiers: u64) -> Seen {
    Seen {
        verifiers,
        holders,
        uncounted_replicas: 0,
    }
}

fn signing(world: &World) -> Kid {
    world.view.active(ES256).unwrap().kid().clone()
}

fn successor(world: &World) -> Kid {
    world.view.successors(ES256)[0].kid().clone()
}

fn rotate(readiness: Readiness) -> Command {
    Command::Rotate {
        algorithm: Some(ES256),
        readiness,
    }
}

fn has_missed(events: &[Event]) -> bool {
    let missed = |event: &Event| matches!(event, Event::AdoptionMissed { .. });
    events.iter().any(missed)
}

#[test]
fn a_rotation_waits_for_verifiers_and_happens_as_soon_as_enough_hold_the_successor() {
    let mut world = World::fresh(gated());
    world.seen = seen(98, 100);
    let (first, next) = (signing(&world), successor(&world));
    let due = BEGINNING.after(DAY * 30);
    world.live_until(due.after(HOUR));
    assert_eq!(signing(&world), first);
    let waits = world.plan().waits;
    let [wait] = waits.as_slice() else {
        panic!("{waits:?}");
    };
    assert_eq!((wait.algorithm, &wait.kid), (ES256, &next));
    assert_eq!((wait.holders.holders, wait.holders.verifiers), (98, 100));
    assert_eq!(wait.until, due.after(DAY));
    assert_eq!(world.next_wake(), Some(wait.until));

    world.seen = seen(99, 100);
    let events = world.run(&Command::ApplyPlan).unwrap();
    assert_eq!(signing(&world), next);
    assert!(!has_missed(&events));
    assert!(world.plan().waits.is_empty());
    // The schedule counts from the rotation.
    world.live_until(world.clock.after(DAY * 30 - SECOND));
    assert_eq!(signing(&world), next);
    world.live_until(world.clock.after(SECOND));
    assert_ne!(signing(&world), next);
}

#[test]
fn a_gate_that_is_not_met_in_its_time_rotates_and_says_so() {
    let mut world = World::fresh(gated());
    let (first, next) = (signing(&world), successor(&world));
    world.seen = Seen {
        uncounted_replicas: 2,
        ..seen(3, 100)
    };
    let latest = BEGINNING.after(DAY * 31);
    world.live_until(latest.before(SECOND));
    assert_eq!(signing(&world), first);
    let story = world.live_until(latest);
    assert_eq!(signing(&world), next);
    let events: Vec<Event> = story.into_iter().map(|(_, event)| event).collect();
    let expected = Event::AdoptionMissed {
        kid: next,
        algorithm: ES256,
        share: Share::of_ten_thousand(9900).unwrap(),
        holders: 3,
        verifiers: 100,
        uncounted_replicas: 2,
    };
    assert_eq!(events[0], expected, "{events:?}");
    assert_eq!(
        serde_json::to_value(&expected).unwrap()["share"],
        serde_json::json!(0.99)
    );
}

#[test]
fn where_no_verifier_is_known_a_rotation_waits_as_long_as_it_may() {
    let mut world = World::fresh(gated());
    let first = signing(&world);
    world.live_until(BEGINNING.after(DAY * 31 - SECOND));
    assert_eq!(signing(&world), first);
    let story = world.live_until(BEGINNING.after(DAY * 31));
    assert_ne!(signing(&world), first);
    assert!(has_missed(
        &story.into_iter().map(|one| one.1).collect::<Vec<_>>()
    ));
}

#[test]
fn a_gate_that_is_open_shortens_no_lead() {
    let mut world = World::fresh(Policy {
        lead: DAY * 2,
        ..gated()
    });
    world.seen = seen(100, 100);
    world.run(&rotate(Readiness::Waived)).unwrap();
    let refusal = world.run(&rotate(Readiness::Required)).unwrap_err();
    assert!(
        matches!(refusal, RuleViolation::SuccessorNotReady { .. }),
        "{refusal}"
    );
}

#[test]
fn a_rotation_by_hand_waits_too_and_one_that_is_forced_does_not() {
    let mut world = World::fresh(gated());
    world.seen = seen(1, 2);
    let (first, next) = (signing(&world), successor(&world));
    let refusal = world.run(&rotate(Readiness::Required)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        format!(
            "the ES256 successor {next} is held by 1 of 2 known verifiers, and the policy wants 99 % of them, until \
             2026-02-01T00:00:00Z"
        )
    );
    assert_eq!(signing(&world), first);
    let events = world.run(&rotate(Readiness::Waived)).unwrap();
    assert_eq!(signing(&world), next);
    assert!(!has_missed(&events));
}

#[test]
fn a_revocation_waits_for_no_verifier() {
    for successor in [Successor::Promote, Successor::Discard] {
        let mut world = World::fresh(gated());
        let first = signing(&world);
        let events = world
            .run(&Command::Revoke {
                kid: first.clone(),
                reason: "leaked".to_owned(),
                successor,
            })
            .unwrap();
        assert_ne!(signing(&world), first);
        assert!(!has_missed(&events));
    }
}

#[test]
fn no_other_command_lets_a_rotation_pass_a_gate_that_is_shut() {
    let mut world = World::fresh(gated());
    let first = signing(&world);
    world.live_until(BEGINNING.after(DAY * 30 + HOUR));
    let policy = Policy {
        max_token_bytes: 2048,
        ..gated()
    };
    world
        .run(&Command::SetPolicy(policy.clone().into()))
        .unwrap();
    assert_eq!(signing(&world), first);
    world.run(&Command::CorrectClock).unwrap();
    assert_eq!(signing(&world), first);
    // Without a gate nothing waits.
    let policy = Policy {
        adoption: None,
        ..policy
    };
    world.run(&Command::SetPolicy(policy.into())).unwrap();
    assert_ne!(signing(&world), first);
}

#[test]
fn a_new_algorithm_has_no_gate_because_nothing_signs_in_its_place() {
    let mut world = World::fresh(gated());
    let policy = Policy {
        algorithms: Algorithm::ALL.to_vec(),
        ..gated()
    };
    world.run(&Command::SetPolicy(policy.into())).unwrap();
    world.live_until(BEGINNING.after(DAY * 2));
    assert!(world.view.active(Algorithm::Rs256).is_some());
}

#[test]
fn a_look_ahead_counts_with_the_rotation_that_waits_and_with_no_later_wait() {
    let mut world = World::fresh(gated());
    world.seen = seen(1, 2);
    let tell = |world: &World, adoption: &keywright::lifecycle::Adoption| {
        let proposal = SimulationStart::Change(Box::new(world.view.clone()), Command::ApplyPlan);
        let until = world.clock.after(DAY * 70);
        let told = simulate(&proposal, world.clock, adoption, until, Duration::ZERO).unwrap();
        let rotations = told.into_iter().filter(|one| {
            matches!(
                one.event,
                Event::KeyActivated { .. } | Event::AdoptionMissed { .. }
            )
        });
        let day = |at: keywright::lifecycle::Timestamp| at.since(BEGINNING).as_secs() / 86_400;
        rotations
            .map(|one| {
                (
                    day(one.at),
                    matches!(one.event, Event::AdoptionMissed { .. }),
                )
            })
            .collect::<Vec<_>>()
    };
    let holders = [(successor(&world), 1)].into();
    let adoption = keywright::lifecycle::Adoption::observed(2, holders, 0);
    assert_eq!(tell(&world, &adoption), [(30, false), (60, false)]);
    world.live_until(BEGINNING.after(DAY * 30));
    let told = tell(&world, &adoption);
    assert_eq!(told, [(31, true), (31, false), (61, false), (91, false)]);
}

#[test]
fn a_gate_fits_between_two_rotations() {
    let timing = Timing::single();
    let policy = |within| Policy {
        rotation: Schedule::Every(DAY * 3),
        adoption: gate(9900, within),
        ..single_policy()
    };
    assert_eq!(policy(DAY).validate(&timing), Ok(()));
    let refusal = policy(DAY + SECOND).validate(&timing).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the rotation interval must be at least 2 × lead + adoption.within + canary.for: 3d < 2 × 24h + 86401s + 0s"
    );
    let refusal = policy(Duration::ZERO).validate(&timing).unwrap_err();
    assert_eq!(
        refusal,
        PolicyViolation::Zero {
            field: "adoption.within"
        }
    );
    // Two rotations may come so much closer together, and more keys retire within a retention.
    let long = |within| Policy {
        rotation: Schedule::Every(DAY * 30),
        max_token_ttl: DAY * 900,
        ..policy(within)
    };
    assert_eq!(long(DAY).validate(&timing), Ok(()));
    let refusal = long(DAY * 28).validate(&timing).unwrap_err();
    assert!(
        matches!(refusal, PolicyViolation::SetTooLarge { .. }),
        "{refusal}"
    );
}
