//! What a restore tells of the time between the backup and the register.

use std::collections::BTreeSet;

use keywright::lifecycle::{
    Command, Event, ImportAs, IssuerOrigin, KeySet, Policy, Readiness, RegisterMismatch,
    RestoreSources, State, Successor,
};
use keywright_verifier::Kid;

use super::recovery::recovered;
use super::rotation::{ES256, rotate, signing, standing_by};
use super::world::{DAY, HOUR, MINUTE, World, single_policy};

/// Restores a set that was `backup` and became `register`.
fn restored(world: &mut World, backup: &KeySet, register: &KeySet) -> (KeySet, Vec<Event>) {
    let testimony = RestoreSources::Both { backup, register };
    testimony.check().unwrap();
    let now = world.clock;
    let change = recovered(&testimony, &BTreeSet::new(), now, &mut world.keys_made);
    (change.set, change.events)
}

fn because(kid: &Kid, reason: &str) -> Command {
    Command::Revoke {
        kid: kid.clone(),
        reason: reason.to_owned(),
        successor: Successor::Promote,
    }
}

#[test]
fn what_the_register_shows_is_told_as_it_would_have_been() {
    let mut world = World::fresh(single_policy());
    world.pass(DAY * 2);
    let (first, second) = (signing(&world), standing_by(&world)[0].clone());
    let backup = world.stored.clone();
    let stricter = Policy {
        max_token_ttl: MINUTE * 30,
        ..single_policy()
    };
    world.run(&Command::SetPolicy(stricter.into())).unwrap();
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let third = standing_by(&world)[0].clone();
    let theirs = world.new_key(ES256);
    let import = Command::Import {
        jwk: theirs.clone(),
        state: ImportAs::Retired,
    };
    world.run(&import).unwrap();
    world.run(&because(&third, "leaked")).unwrap();
    let fourth = standing_by(&world)[0].clone();
    let register = world.stored.clone();
    let (set, events) = restored(&mut world, &backup, &register);
    let told: Vec<(Kid, String)> = events.iter().filter_map(told).collect();
    let theirs = theirs.kid().clone();
    for expected in [
        (first.clone(), "retired"),
        (second.clone(), "activated, imported false, forced false"),
        (third.clone(), "revoked from pending"),
        (theirs.clone(), "retired, imported"),
        // Its private half is lost.
        (fourth.clone(), "published"),
        (fourth.clone(), "retired"),
    ] {
        let expected = (expected.0, expected.1.to_owned());
        assert_eq!(
            told.iter().filter(|one| **one == expected).count(),
            1,
            "{expected:?} in {told:?}"
        );
    }
    let of_others =
        |(kid, _): &&(Kid, String)| ![&first, &second, &third, &fourth, &theirs].contains(&kid);
    // The one that stands by from now on.
    assert_eq!(told.iter().filter(of_others).count(), 1, "{told:?}");
    let policies: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, Event::PolicyChanged { before, after } if before != after))
        .collect();
    assert_eq!(policies.len(), 1);
    let unwanted = |event: &Event| {
        matches!(
            event,
            Event::IssuerCreated { .. } | Event::IssuerDeleted { .. }
        )
    };
    assert!(!events.iter().any(unwanted));
    assert_eq!(signing(&world), set.active(ES256).unwrap().kid().clone());
}

fn told(event: &Event) -> Option<(Kid, String)> {
    Some(match event {
        Event::KeyPublished { kid, .. } => (kid.clone(), "published".to_owned()),
        Event::KeyActivated {
            kid,
            imported,
            forced,
            ..
        } => (
            kid.clone(),
            format!("activated, imported {imported}, forced {forced}"),
        ),
        Event::KeyRetired { kid, imported, .. } => {
            let how = if *imported {
                "retired, imported"
            } else {
                "retired"
            };
            (kid.clone(), how.to_owned())
        }
        Event::KeyRevoked { kid, from, .. } => (kid.clone(), format!("revoked from {from}")),
        Event::KeyRemoved { kid, .. } => (kid.clone(), "removed".to_owned()),
        _ => return None,
    })
}

#[test]
fn nothing_is_told_of_a_time_in_which_nothing_happened() {
    let mut world = World::fresh(single_policy());
    world.pass(HOUR);
    let backup = world.stored.clone();
    let (_, events) = restored(&mut world, &backup, &backup);
    assert_eq!(events, []);
}

#[test]
fn an_issuer_that_was_deleted_before_the_backup_is_not_deleted_again() {
    let mut world = World::fresh(single_policy());
    let alive = world.stored.clone();
    let reason = "over".to_owned();
    world.run(&Command::Delete { reason }).unwrap();
    let deleted = world.stored.clone();
    let is_deletion = |event: &&Event| matches!(event, Event::IssuerDeleted {});
    for (backup, expected) in [(&alive, 1), (&deleted, 0)] {
        let (set, events) = restored(&mut world, backup, &deleted);
        assert!(set.deleted_at().is_some());
        assert_eq!(events.iter().filter(is_deletion).count(), expected);
    }
    // Nor does it come back to life.
    let mut other = World::fresh(single_policy());
    other.run(&rotate(ES256, Readiness::Waived)).unwrap();
    other.run(&rotate(ES256, Readiness::Waived)).unwrap();
    let revived = RestoreSources::Both {
        backup: &deleted,
        register: &other.stored,
    };
    assert_eq!(revived.check(), Err(RegisterMismatch::OtherIssuer));
}

#[test]
fn reasons_come_from_the_backup_and_otherwise_from_whoever_restores() {
    let life = |before: &str, after: &str| {
        let mut world = World::fresh(single_policy());
        let first = signing(&world);
        world.run(&because(&first, before)).unwrap();
        let (backup, second) = (world.stored.clone(), signing(&world));
        world.run(&because(&second, after)).unwrap();
        (world, backup, [first, second])
    };
    let (_, backup, _) = life("stolen", "");
    let (mut world, _, kids) = life("", "");
    let register = world.stored.clone();
    let (set, _) = restored(&mut world, &backup, &register);
    let reasons = kids.map(|kid| match set.key(&kid).unwrap().state() {
        State::Revoked(revoked) => revoked.reason.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(reasons, ["stolen", "leaked"]);
    // What a register does say is left as it is.
    let (mut world, _, [_, second]) = life("", "lost");
    let register = world.stored.clone();
    let (set, _) = restored(&mut world, &backup, &register);
    let State::Revoked(revoked) = set.key(&second).unwrap().state() else {
        panic!("it is revoked");
    };
    assert_eq!(revoked.reason, "lost");
}

#[test]
fn an_issuer_that_only_the_register_knows_is_told_as_created() {
    for (founding, expected) in [
        (IssuerOrigin::Fresh, false),
        (IssuerOrigin::TakesOver, true),
    ] {
        let mut world = World::create(single_policy(), founding);
        let (register, now) = (world.stored.clone(), world.clock);
        let testimony = RestoreSources::Register(&register);
        let change = recovered(&testimony, &BTreeSet::new(), now, &mut world.keys_made);
        let Event::IssuerCreated { takes_over, .. } = change.events[0] else {
            panic!("it is created first");
        };
        assert_eq!(takes_over, expected);
    }
}
