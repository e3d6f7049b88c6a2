//! Keys that no verifier may trust any more.

use keywright::lifecycle::{Command, Event, ImportAs, Readiness, RuleViolation, State, Successor};
use keywright_verifier::Kid;

use super::keys;
use super::rotation::{ES256, rotate, signing, standing_by};
use super::world::{BEGINNING, DAY, HOUR, World, single_policy};

pub(crate) fn revoke(kid: &Kid, successor: Successor) -> Command {
    Command::Revoke {
        kid: kid.clone(),
        reason: "leaked".to_owned(),
        successor,
    }
}

fn activated(events: &[Event]) -> Vec<(Kid, bool)> {
    let activated = |event: &Event| match event {
        Event::KeyActivated { kid, forced, .. } => Some((kid.clone(), *forced)),
        _ => None,
    };
    events.iter().filter_map(activated).collect()
}

fn state(world: &World, kid: &Kid) -> &'static str {
    world.view.key(kid).unwrap().state().name()
}

#[test]
fn revoking_what_signs_promotes_a_successor_that_verifiers_hold() {
    let mut world = World::fresh(single_policy());
    let (first, second) = (signing(&world), standing_by(&world)[0].clone());
    let events = world.run(&revoke(&first, Successor::Promote)).unwrap();
    assert_eq!(activated(&events), [(second.clone(), false)]);
    assert_eq!(signing(&world), second);
    assert_eq!(standing_by(&world).len(), 1);
    let key = world.view.key(&first).unwrap();
    assert!(!key.is_published(world.clock));
    let State::Revoked(revoked) = key.state() else {
        panic!("revoked");
    };
    assert_eq!(revoked.reason, "leaked");
}

#[test]
fn a_promotion_that_comes_too_soon_for_verifiers_is_called_forced() {
    let mut world = World::fresh(single_policy());
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let next = standing_by(&world)[0].clone();
    let active = signing(&world);
    let events = world.run(&revoke(&active, Successor::Promote)).unwrap();
    assert_eq!(activated(&events), [(next, true)]);
}

#[test]
fn discarding_revokes_every_successor_and_a_fresh_key_signs_forced() {
    let mut world = World::fresh(single_policy());
    world.live_until(BEGINNING.after(DAY * 29));
    let first = signing(&world);
    let suspects = standing_by(&world);
    assert_eq!(suspects.len(), 2);
    let events = world.run(&revoke(&first, Successor::Discard)).unwrap();
    assert_eq!(activated(&events), [(signing(&world), true)]);
    for kid in suspects.iter().chain([&first]) {
        assert_eq!(state(&world, kid), "revoked");
    }
    assert_eq!(standing_by(&world).len(), 1);
}

#[test]
fn revoking_a_successor_leaves_what_signs_and_brings_another() {
    let mut world = World::fresh(single_policy());
    let (first, second) = (signing(&world), standing_by(&world)[0].clone());
    let events = world.run(&revoke(&second, Successor::Promote)).unwrap();
    assert_eq!(activated(&events), []);
    assert_eq!(signing(&world), first);
    assert_eq!(state(&world, &second), "revoked");
    assert_eq!(standing_by(&world).len(), 1);
}

#[test]
fn revoking_a_retired_key_takes_it_out_at_once() {
    let mut world = World::fresh(single_policy());
    let first = signing(&world);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let second = signing(&world);
    world.run(&revoke(&first, Successor::Promote)).unwrap();
    assert_eq!(state(&world, &first), "revoked");
    assert!(!world.view.key(&first).unwrap().is_published(world.clock));
    assert_eq!(signing(&world), second);
}

#[test]
fn revoking_a_removed_or_revoked_key_is_refused_by_its_state() {
    let mut world = World::fresh(single_policy());
    let first = signing(&world);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    world.live_until(BEGINNING.after(HOUR * 2));
    let second = signing(&world);
    world.run(&revoke(&second, Successor::Promote)).unwrap();
    for (kid, from) in [(first, "removed"), (second, "revoked")] {
        let refusal = world.run(&revoke(&kid, Successor::Promote));
        let to = "revoked";
        assert_eq!(
            refusal,
            Err(RuleViolation::IllegalTransition { kid, from, to })
        );
    }
}

#[test]
fn revoking_an_unknown_key_is_refused() {
    let mut world = World::fresh(single_policy());
    let kid = Kid::parse("nobody").unwrap();
    assert_eq!(
        world.run(&revoke(&kid, Successor::Promote)),
        Err(RuleViolation::UnknownKey(kid))
    );
}

// Attack 84.
#[test]
fn neither_a_revoked_kid_nor_a_revoked_key_is_imported_again() {
    let mut world = World::fresh(single_policy());
    let revoked = world.view.active(ES256).unwrap().jwk().clone();
    let kid = revoked.kid().clone();
    world.run(&revoke(&kid, Successor::Promote)).unwrap();
    let stranger = world.new_key(ES256);
    let state = "revoked";
    for jwk in [
        revoked.clone(),
        keys::named("another-name", &revoked),
        keys::named(kid.as_str(), &stranger),
    ] {
        for state_wanted in [ImportAs::Pending, ImportAs::Retired] {
            let import = Command::Import {
                jwk: jwk.clone(),
                state: state_wanted,
            };
            let kid = kid.clone();
            assert_eq!(
                world.run(&import),
                Err(RuleViolation::KeyKnown { kid, state })
            );
        }
    }
}

/// What several processes must agree on first, and what must not be held up by one that is away.
#[test]
fn nothing_that_is_forced_or_follows_from_a_loss_waits_for_verifiers() {
    let mut world = World::fresh(single_policy());
    let (kid, jwk) = (signing(&world), world.new_key(ES256));
    let import = |state| Command::Import {
        jwk: jwk.clone(),
        state,
    };
    for waits in [
        Command::ApplyPlan,
        Command::SetPolicy(single_policy().into()),
        rotate(ES256, Readiness::Required),
        import(ImportAs::Pending),
        import(ImportAs::Active),
    ] {
        assert!(waits.waits_for_verifiers(), "{waits:?}");
    }
    let reason = "over".to_owned();
    for hurries in [
        rotate(ES256, Readiness::Waived),
        revoke(&kid, Successor::Promote),
        revoke(&kid, Successor::Discard),
        Command::Replace { lost: vec![kid] },
        Command::Delete { reason },
    ] {
        assert!(!hurries.waits_for_verifiers(), "{hurries:?}");
    }
}
