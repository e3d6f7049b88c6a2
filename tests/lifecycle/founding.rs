//! How an issuer begins.

use keywright::lifecycle::{
    Adoption, Command, Event, IssuerName, IssuerOrigin, Readiness, State, Visibility, create, plan,
    rotation_due,
};
use keywright_verifier::Algorithm;

use super::world::{BEGINNING, DAY, World, default_policy, supplied};

#[test]
fn a_fresh_issuer_begins_with_an_active_key_and_a_successor_for_every_algorithm() {
    let world = World::fresh(default_policy());
    assert_eq!(world.view.version(), 1);
    assert_eq!(world.view.keys().len(), 4);
    for algorithm in Algorithm::ALL {
        assert!(world.view.active(algorithm).is_some());
        assert_eq!(world.view.successors(algorithm).len(), 1);
    }
}

#[test]
fn successors_of_the_first_set_are_ready_at_once() {
    let mut world = World::fresh(default_policy());
    for algorithm in Algorithm::ALL {
        let [successor] = world.view.successors(algorithm)[..] else {
            panic!("one successor");
        };
        assert_eq!(successor.ready_at(world.view.policy()), Some(BEGINNING));
        let State::Pending(pending) = successor.state() else {
            panic!("pending");
        };
        assert_eq!(pending.visibility, Visibility::SinceFirstSet);
    }
    let rotate = Command::Rotate {
        algorithm: None,
        readiness: Readiness::Required,
    };
    world.run(&rotate).unwrap();
}

#[test]
fn the_first_event_says_whether_the_issuer_takes_over() {
    for (founding, expected) in [
        (IssuerOrigin::Fresh, false),
        (IssuerOrigin::TakesOver, true),
    ] {
        let name = IssuerName::parse("example").unwrap();
        let change = supplied(&mut 0, |supply| {
            let (name, policy) = (name.clone(), default_policy());
            create(name, policy, founding, BEGINNING, supply)
        });
        let Event::IssuerCreated { takes_over, .. } = change.unwrap().events[0] else {
            panic!("an issuer is created first");
        };
        assert_eq!(takes_over, expected);
    }
}

#[test]
fn nothing_is_due_right_after_the_founding() {
    let world = World::fresh(default_policy());
    let plan = plan(&world.view, BEGINNING, &Adoption::default());
    assert_eq!(plan.steps, []);
    assert_eq!(plan.next_wake, Some(BEGINNING.after(DAY * 29)));
    assert_eq!(plan.next_publication, plan.next_wake);
    let due = rotation_due(&world.view, Algorithm::Es256);
    assert_eq!(due, Some(BEGINNING.after(DAY * 30)));
}
