//! What takes a second person where the policy says so, and what one person may do alone.

use keywright::lifecycle::{
    Attestation, Command, Confirmation, Event, ImportAs, IssuerOrigin, Policy, Readiness,
    RuleViolation, Successor,
};
use keywright_verifier::Kid;

use super::revocation::revoke;
use super::rotation::{ES256, rotate, signing, standing_by};
use super::world::{DAY, Fate, HOUR, World, single_policy};

fn guarded() -> Policy {
    Policy {
        confirmation: Confirmation::SecondPerson,
        ..single_policy()
    }
}

fn unguarded() -> Command {
    Command::SetPolicy(single_policy().into())
}

fn delete() -> Command {
    Command::Delete {
        reason: "over".to_owned(),
    }
}

/// An issuer whose every key is known to verifiers.
fn known() -> World {
    World::fresh(guarded())
}

/// An issuer whose successor is not ready.
fn unready() -> World {
    let mut world = known();
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    world
}

fn refused(mut world: World, command: &Command) {
    let alone = world.run(command);
    assert_eq!(alone, Err(RuleViolation::NeedsConfirmation), "{command:?}");
    world.attestation = Attestation::TwoPeople;
    world.run(command).unwrap();
}

#[test]
fn what_may_lock_verifiers_out_takes_two_people() {
    for world in [known, unready] {
        refused(world(), &rotate(ES256, Readiness::Waived));
        refused(world(), &delete());
        refused(world(), &unguarded());
        for kid in [signing(&world()), standing_by(&world())[0].clone()] {
            refused(world(), &revoke(&kid, Successor::Discard));
        }
    }
    let world = unready();
    refused(unready(), &revoke(&signing(&world), Successor::Promote));
}

#[test]
fn a_revocation_takes_two_people_while_no_successor_stands_by() {
    let mut world = known();
    let (first, second) = (signing(&world), standing_by(&world)[0].clone());
    let leaked = revoke(&second, Successor::Promote);
    world.run_with(&leaked, &Fate::default(), None).unwrap();
    refused(world, &revoke(&first, Successor::Promote));
}

#[test]
fn what_verifiers_do_not_notice_takes_one_person() {
    let mut world = known();
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let retired = world.view.keys()[0].kid().clone();
    world.run(&revoke(&retired, Successor::Promote)).unwrap();
    let successor = standing_by(&world)[0].clone();
    world.run(&revoke(&successor, Successor::Promote)).unwrap();
    let stricter = Policy {
        max_token_ttl: HOUR / 2,
        ..guarded()
    };
    world.run(&Command::SetPolicy(stricter.into())).unwrap();
    world.live_until(world.clock.after(DAY * 2));
    let active = signing(&world);
    world.run(&revoke(&active, Successor::Promote)).unwrap();
    let lost = vec![signing(&world)];
    world.run(&Command::Replace { lost }).unwrap();
}

#[test]
fn without_the_option_one_person_suffices_for_all() {
    let mut world = World::fresh(single_policy());
    world.run(&rotate(ES256, Readiness::Waived)).unwrap();
    let active = signing(&world);
    world.run(&revoke(&active, Successor::Discard)).unwrap();
    world.run(&Command::SetPolicy(guarded().into())).unwrap();
    let mut world = World::fresh(single_policy());
    world.run(&delete()).unwrap();
}

/// What one person may try; keys are named by the state that they are in when it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Revoke(&'static str, Successor),
    ForceRotation,
    Delete,
    Unguard,
    Import(ImportAs),
}

const ATTEMPTS: [Attempt; 12] = [
    Attempt::Revoke("active", Successor::Promote),
    Attempt::Revoke("pending", Successor::Promote),
    Attempt::Revoke("retired", Successor::Promote),
    Attempt::Revoke("active", Successor::Discard),
    Attempt::Revoke("pending", Successor::Discard),
    Attempt::Revoke("retired", Successor::Discard),
    Attempt::ForceRotation,
    Attempt::Delete,
    Attempt::Unguard,
    Attempt::Import(ImportAs::Pending),
    Attempt::Import(ImportAs::Active),
    Attempt::Import(ImportAs::Retired),
];

impl Attempt {
    fn command(self, world: &mut World) -> Option<Command> {
        Some(match self {
            Self::Revoke(state, successor) => {
                let mut keys = world.view.keys().iter();
                let kid: Kid = keys.find(|key| key.state().name() == state)?.kid().clone();
                revoke(&kid, successor)
            }
            Self::ForceRotation => rotate(ES256, Readiness::Waived),
            Self::Delete => delete(),
            Self::Unguard => unguarded(),
            Self::Import(state) => Command::Import {
                jwk: world.new_key(ES256),
                state,
            },
        })
    }
}

/// Tries, and leaves the keys that are wanted afterwards to be made later, or not.
fn attempt(world: &mut World, attempt: Attempt, keys_come_at_once: bool) -> Vec<Event> {
    let Some(command) = attempt.command(world) else {
        return Vec::new();
    };
    let mut events = world
        .run_with(&command, &Fate::default(), None)
        .unwrap_or_default();
    if keys_come_at_once {
        events.extend(world.follow_up().unwrap());
    }
    events
}

// Issue 10, case 3.
#[test]
fn no_two_requests_of_one_person_do_together_what_takes_two_people() {
    let taking_over = || {
        let mut world = World::create(guarded(), IssuerOrigin::TakesOver);
        world.live_until(world.clock.after(DAY * 3));
        world
    };
    let begins: [fn() -> World; 3] = [known, unready, taking_over];
    for begin in begins {
        for (first, second) in ATTEMPTS
            .into_iter()
            .flat_map(|one| ATTEMPTS.map(|other| (one, other)))
        {
            for keys_come_at_once in [false, true] {
                let mut world = begin();
                let mut events = attempt(&mut world, first, keys_come_at_once);
                events.extend(attempt(&mut world, second, keys_come_at_once));
                let told = format!("{first:?}, {second:?}, {keys_come_at_once}: {events:?}");
                let forced =
                    |event: &Event| matches!(event, Event::KeyActivated { forced: true, .. });
                assert!(!events.iter().any(forced), "{told}");
                assert!(world.view.active(ES256).is_some(), "{told}");
                assert!(world.view.deleted_at().is_none(), "{told}");
                let confirmation = world.view.policy().confirmation;
                assert_eq!(confirmation, Confirmation::SecondPerson, "{told}");
            }
        }
    }
}
