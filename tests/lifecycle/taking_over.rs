//! Moving in from another system.

use keywright::lifecycle::{
    Command, Event, ImportAs, IssuerOrigin, RuleViolation, SWITCH_OVER, State,
};
use keywright_verifier::{Algorithm, Jwk};

use super::keys;
use super::rotation::{ES256, signing, standing_by};
use super::world::{BEGINNING, DAY, HOUR, MINUTE, SECOND, World, single_policy};

fn taking_over() -> World {
    World::create(single_policy(), IssuerOrigin::TakesOver)
}

fn import(jwk: &Jwk, state: ImportAs) -> Command {
    Command::Import {
        jwk: jwk.clone(),
        state,
    }
}

#[test]
fn generated_keys_of_an_issuer_that_takes_over_wait_out_the_lead() {
    let mut world = taking_over();
    assert!(world.view.active(ES256).is_none());
    // One to sign in a lead from now, and one that is known by then to stand by for it.
    assert_eq!(standing_by(&world).len(), 2);
    world.live_until(BEGINNING.after(DAY - SECOND));
    assert!(world.view.active(ES256).is_none());
    world.live_until(BEGINNING.after(DAY));
    assert!(world.view.active(ES256).is_some());
}

#[test]
fn the_other_systems_signing_key_goes_on_signing_under_its_own_kid() {
    let mut world = taking_over();
    let foreign = keys::named("their-key-7", &world.new_key(ES256));
    let events = world.run(&import(&foreign, ImportAs::Active)).unwrap();
    assert_eq!(signing(&world).as_str(), "their-key-7");
    assert!(matches!(
        events[..],
        [Event::KeyActivated {
            imported: true,
            forced: false,
            ..
        }]
    ));
    // It rotates by our schedule from here on.
    world.live_until(BEGINNING.after(DAY * 30 - SECOND));
    assert_eq!(signing(&world).as_str(), "their-key-7");
    world.live_until(BEGINNING.after(DAY * 30));
    assert_ne!(signing(&world).as_str(), "their-key-7");
}

#[test]
fn an_active_key_is_imported_once() {
    let mut world = taking_over();
    for expected in [Ok(()), Err(RuleViolation::AlreadySigning(ES256))] {
        let foreign = world.new_key(ES256);
        let outcome = world.run(&import(&foreign, ImportAs::Active));
        assert_eq!(outcome.map(drop), expected);
    }
}

#[test]
fn an_active_key_is_not_imported_once_a_generated_one_has_signed() {
    let mut world = taking_over();
    world.live_until(BEGINNING.after(DAY));
    let foreign = world.new_key(ES256);
    let refusal = Err(RuleViolation::AlreadySigning(ES256));
    assert_eq!(world.run(&import(&foreign, ImportAs::Active)), refusal);
}

#[test]
fn an_active_key_is_imported_nowhere_else() {
    let mut world = World::fresh(single_policy());
    let foreign = world.new_key(ES256);
    let refusal = Err(RuleViolation::NotTakingOver);
    assert_eq!(world.run(&import(&foreign, ImportAs::Active)), refusal);
}

#[test]
fn a_key_of_an_algorithm_that_the_policy_lacks_is_imported_only_to_verify() {
    let mut world = taking_over();
    let foreign = world.new_key(Algorithm::Rs256);
    for state in [ImportAs::Active, ImportAs::Pending] {
        let refusal = Err(RuleViolation::AlgorithmNotInPolicy(Algorithm::Rs256));
        assert_eq!(world.run(&import(&foreign, state)), refusal);
    }
    world.run(&import(&foreign, ImportAs::Retired)).unwrap();
}

#[test]
fn a_key_that_only_verifies_is_published_for_one_retention() {
    let mut world = taking_over();
    let foreign = world.new_key(ES256);
    world.run(&import(&foreign, ImportAs::Retired)).unwrap();
    let ends = BEGINNING.after(SWITCH_OVER + HOUR + MINUTE * 5);
    let key = world.view.key(foreign.kid()).unwrap();
    assert!(key.is_published(ends.before(SECOND)));
    assert!(!key.is_published(ends));
    assert!(!key.holds_private_half());
    world.live_until(ends);
    let key = world.view.key(foreign.kid()).unwrap();
    assert!(matches!(key.state(), State::Removed(_)));
}

#[test]
fn a_wider_clock_skew_extends_a_key_that_was_imported_to_verify() {
    let mut world = taking_over();
    let foreign = world.new_key(ES256);
    world.run(&import(&foreign, ImportAs::Retired)).unwrap();
    let mut policy = world.view.policy().clone();
    policy.clock_skew = HOUR;
    world.run(&Command::SetPolicy(policy.into())).unwrap();
    let key = world.view.key(foreign.kid()).unwrap();
    assert!(key.is_published(BEGINNING.after(HOUR * 2)));
}

#[test]
fn an_imported_successor_waits_out_the_lead_like_any_other() {
    let mut world = World::fresh(single_policy());
    let foreign = world.new_key(ES256);
    world.run(&import(&foreign, ImportAs::Pending)).unwrap();
    let key = world.view.key(foreign.kid()).unwrap();
    assert_eq!(
        key.ready_at(world.view.policy()),
        Some(BEGINNING.after(DAY))
    );
    // The one that everybody knows goes first.
    assert_eq!(standing_by(&world)[1], *foreign.kid());
}
