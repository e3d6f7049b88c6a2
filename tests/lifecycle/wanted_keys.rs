//! What a change does without the keys that it wants, and what follows when they are there.

use keywright::lifecycle::{
    Adoption, Attestation, AvailableKeys, Command, DecisionError, Event, ImportAs, IssuerName,
    IssuerOrigin, KeySpecification, Readiness, RuleViolation, Successor, create, decide,
};
use keywright_verifier::{Algorithm, Kid};

use super::keys;
use super::revocation::revoke;
use super::rotation::{ES256, rotate, signing, standing_by};
use super::world::{BEGINNING, DAY, Fate, HOUR, SECOND, World, default_policy, single_policy};

/// Commits what needs no key.
fn commit(world: &mut World, command: &Command) -> Vec<Event> {
    world.run_with(command, &Fate::default(), None).unwrap()
}

fn wanted(world: &World) -> Vec<Algorithm> {
    world.wanted.iter().map(|wanted| wanted.algorithm).collect()
}

/// The kids that began to sign, and whether they were forced.
fn activated(events: &[Event]) -> Vec<(&Kid, bool)> {
    let activated = events.iter().filter_map(|event| match event {
        Event::KeyActivated { kid, forced, .. } => Some((kid, *forced)),
        _ => None,
    });
    activated.collect()
}

/// Revokes what signs, with its successors.
fn discard(world: &mut World) -> Kid {
    let leaked = signing(world);
    let events = commit(world, &revoke(&leaked, Successor::Discard));
    assert_eq!(activated(&events), []);
    leaked
}

// Issue 10, case 2.
#[test]
fn a_revocation_promotes_the_successor_before_another_key_exists() {
    let mut world = World::fresh(single_policy());
    let (first, second) = (signing(&world), standing_by(&world)[0].clone());
    let events = commit(&mut world, &revoke(&first, Successor::Promote));
    assert_eq!(activated(&events), [(&second, false)]);
    assert_eq!(signing(&world), second);
    assert_eq!(wanted(&world), [ES256]);
    world.follow_up().unwrap();
    assert_eq!(signing(&world), second);
    assert_eq!(standing_by(&world).len(), 1);
}

// Issue 10, case 2.
#[test]
fn a_revocation_with_its_successors_is_committed_before_a_fresh_key_exists() {
    let mut world = World::fresh(single_policy());
    let leaked = discard(&mut world);
    assert!(world.view.active(ES256).is_none());
    assert!(!world.view.key(&leaked).unwrap().is_published(world.clock));
    assert_eq!(world.view.published(world.clock).count(), 0);
    // One to sign, and one to stand by for it.
    assert_eq!(wanted(&world), [ES256, ES256]);
    let events = world.follow_up().unwrap();
    let fresh = signing(&world);
    assert_eq!(activated(&events), [(&fresh, true)]);
    assert_eq!(standing_by(&world).len(), 1);
    assert!(world.wanted.is_empty());
}

#[test]
fn the_first_key_that_comes_signs_without_waiting_for_the_one_that_stands_by() {
    let mut world = World::fresh(single_policy());
    discard(&mut world);
    let mut available = AvailableKeys::default();
    available.add(world.new_key(ES256));
    let decision = decide(
        &world.view,
        &Command::ApplyPlan,
        Attestation::OnePerson,
        world.clock,
        &available,
        &Adoption::default(),
    )
    .unwrap();
    assert!(decision.change.unwrap().set.active(ES256).is_some());
    assert_eq!(decision.wanted.len(), 1);
}

#[test]
fn a_key_that_is_not_needed_stays_unused() {
    let world = World::fresh(single_policy());
    let mut available = AvailableKeys::default();
    available.add(keys::key(specification(ES256), 700));
    let decision = decide(
        &world.view,
        &Command::ApplyPlan,
        Attestation::OnePerson,
        world.clock,
        &available,
        &Adoption::default(),
    )
    .unwrap();
    assert!(decision.change.is_none() && decision.wanted.is_empty());
}

#[test]
fn nothing_signs_until_the_keys_come_however_long_that_takes() {
    let mut world = World::fresh(default_policy());
    discard(&mut world);
    for _ in 0..3 {
        world.pass(DAY * 9);
        world.restart();
        commit(&mut world, &Command::ApplyPlan);
        assert!(world.view.active(ES256).is_none());
        assert_eq!(wanted(&world), [ES256, ES256]);
        // The other algorithm goes on.
        assert!(world.view.active(Algorithm::Rs256).is_some());
    }
    let events = world.follow_up().unwrap();
    assert_eq!(activated(&events), [(&signing(&world), true)]);
}

#[test]
fn a_successor_that_comes_in_while_nothing_signs_does_so_at_once() {
    let mut world = World::fresh(single_policy());
    discard(&mut world);
    let jwk = world.new_key(ES256);
    let kid = jwk.kid().clone();
    let state = ImportAs::Pending;
    let events = commit(&mut world, &Command::Import { jwk, state });
    assert_eq!(activated(&events), [(&kid, true)]);
    assert_eq!(wanted(&world), [ES256]);
}

#[test]
fn a_lost_key_retires_before_another_exists() {
    let mut world = World::fresh(single_policy());
    let lost = vec![signing(&world), standing_by(&world)[0].clone()];
    let events = commit(&mut world, &Command::Replace { lost: lost.clone() });
    assert_eq!(activated(&events), []);
    assert_eq!(world.view.key(&lost[0]).unwrap().state().name(), "retired");
    let events = world.follow_up().unwrap();
    assert_eq!(activated(&events), [(&signing(&world), true)]);
}

#[test]
fn an_algorithm_that_the_policy_drops_and_takes_in_again_waits_out_its_lead() {
    for revoked in [false, true] {
        let mut world = World::fresh(default_policy());
        if revoked {
            let leaked = world.view.active(Algorithm::Rs256).unwrap().kid().clone();
            commit(&mut world, &revoke(&leaked, Successor::Discard));
        }
        for policy in [single_policy(), default_policy()] {
            world.run(&Command::SetPolicy(policy.into())).unwrap();
        }
        assert!(world.view.active(Algorithm::Rs256).is_none());
        let known = world.clock.after(DAY);
        world.live_until(known.before(SECOND));
        assert!(world.view.active(Algorithm::Rs256).is_none());
        world.live_until(known);
        assert!(world.view.active(Algorithm::Rs256).is_some());
    }
}

// Issue 10, case 11.
#[test]
fn a_rotation_that_is_due_does_not_wait_for_the_key_of_another_algorithm() {
    let mut world = World::fresh(default_policy());
    world.live_until(BEGINNING.after(DAY * 29 - HOUR));
    // Neither next but one is there when both algorithms are due.
    world.pass(DAY + HOUR);
    let (first, second) = (signing(&world), standing_by(&world)[0].clone());
    commit(&mut world, &Command::ApplyPlan);
    assert_eq!(signing(&world), second);
    assert_eq!(world.view.key(&first).unwrap().state().name(), "retired");
    assert_eq!(wanted(&world), Algorithm::ALL);
}

#[test]
fn a_rotation_by_hand_names_the_next_key_and_is_refused_until_it_is_there() {
    let mut world = World::fresh(single_policy());
    let second = standing_by(&world)[0].clone();
    commit(&mut world, &rotate(ES256, Readiness::Required));
    assert_eq!(signing(&world), second);
    assert_eq!(wanted(&world), [ES256]);
    let again = world.run_with(&rotate(ES256, Readiness::Waived), &Fate::default(), None);
    assert_eq!(again, Err(RuleViolation::NoSuccessor(ES256)));
    world.follow_up().unwrap();
    commit(&mut world, &rotate(ES256, Readiness::Waived));
    assert_ne!(signing(&world), second);
}

#[test]
fn a_first_set_names_all_its_keys_at_once() {
    for origin in [IssuerOrigin::Fresh, IssuerOrigin::TakesOver] {
        let name = IssuerName::parse("example").unwrap();
        let none = AvailableKeys::default();
        let created = create(name, default_policy(), origin, BEGINNING, &none);
        let [es256, rs256] = [Algorithm::Es256, Algorithm::Rs256].map(specification);
        let all = vec![es256, rs256, es256, rs256];
        assert_eq!(created.unwrap_err(), DecisionError::NeedsKeys(all));
    }
}

fn specification(algorithm: Algorithm) -> KeySpecification {
    KeySpecification {
        algorithm,
        rsa_bits: 2048,
    }
}
