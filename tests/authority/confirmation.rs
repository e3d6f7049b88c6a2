//! A confirmation is one commit: the operation is done and waits no more, or neither.

use std::sync::Arc;

use keywright::access::approval::Operation;
use keywright::authority::ChangeError;
use keywright::authority::approvals::ApprovalOutcome;
use keywright::authority::issuer::Issuer;
use keywright::store::{Kind, Query};
use serde_json::json;
use tokio::sync::Barrier;

use crate::access::policy;
use crate::unreliable::Unreliable;
use crate::world::{HOUR, World, active, full_set, set_policy};

/// What takes two people.
fn operations(issuer: &Issuer) -> [Operation; 4] {
    [
        Operation::ForceRotation { algorithm: None },
        Operation::Revoke {
            kid: active(issuer).unwrap(),
            discard_successor: true,
        },
        Operation::Delete,
        set_policy(policy(issuer.name().as_str(), json!({}))),
    ]
}

async fn waits(world: &World, issuer: &Arc<Issuer>, operation: Operation) -> String {
    match world.ask(issuer, operation).await.unwrap() {
        ApprovalOutcome::Awaits(approval) => approval.id,
        ApprovalOutcome::Done(_) => panic!("one person did it"),
    }
}

/// How often confirmed operations have changed the issuer, by the log.
async fn done(world: &World, issuer: &Issuer) -> usize {
    let events = world
        .store
        .events(Some(issuer.name()), 0, 1000)
        .await
        .unwrap();
    let confirmed = |document: &str| {
        document.contains("confirmed_by") && !document.contains("approval-confirmed")
    };
    let events = events.iter().map(|event| event.event.document.as_str());
    usize::from(events.filter(|document| confirmed(document)).count() > 0)
}

async fn waiting(world: &World) -> usize {
    let records = world.store.list(Query::all(Kind::Approval)).await.unwrap();
    records.len()
}

/// What happens to the commit of a confirmation, and whether it happened.
type Fault = (&'static str, fn(&Unreliable), bool);

const FAULTS: [Fault; 6] = [
    ("refused", Unreliable::refuse_the_next_commit, false),
    ("answer lost", Unreliable::lose_the_next_answer, true),
    (
        "answer lost twice",
        Unreliable::lose_the_next_two_answers,
        true,
    ),
    ("batch lost", Unreliable::lose_the_next_batch, false),
    (
        "panic before",
        Unreliable::panic_before_the_next_commit,
        false,
    ),
    ("panic after", Unreliable::panic_after_the_next_commit, true),
];

#[tokio::test]
async fn a_fault_of_the_store_leaves_both_or_neither() {
    for world in World::each().await {
        let bob = world.caller("bob").await;
        for (name, fault, happens) in FAULTS {
            for at in 0..4 {
                let label = format!("{}-{at}", name.replace(' ', "-"));
                let guarded = json!({"confirmation": "second-person"});
                let issuer = world.issuer(&label, guarded).await;
                world.pass(HOUR * 25);
                let operation = operations(&issuer)[at].clone();
                let approval = waits(&world, &issuer, operation).await;
                let before = waiting(&world).await;
                let stored = world.authority.approval(&approval).await.unwrap();
                fault(&world.faults);
                let _ = world.authority.confirm(stored, &bob).await;
                let is_done = done(&world, &issuer).await;
                assert_eq!(is_done, usize::from(happens), "{label}");
                assert_eq!(before - waiting(&world).await, is_done, "{label}");
                let again = world.authority.approval(&approval).await;
                if happens {
                    assert!(matches!(again, Err(ChangeError::ApprovalEnded(_))));
                } else {
                    let confirmed = world.authority.confirm(again.unwrap(), &bob).await;
                    assert!(confirmed.is_ok(), "{label}: {:?}", confirmed.err());
                    assert_eq!(done(&world, &issuer).await, 1, "{label}");
                    assert_eq!(before - waiting(&world).await, 1, "{label}");
                }
                // What is generated in the background commits as well, and would meet the next fault.
                if issuer.snapshot().set().deleted_at().is_none() {
                    full_set(&issuer).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_confirmations_at_once_one_does_and_the_other_is_told_so() {
    for world in World::each().await {
        let callers = [world.caller("bob").await, world.caller("carol").await];
        for round in 0..10 {
            let guarded = json!({"confirmation": "second-person"});
            let issuer = world.issuer(&format!("i{round}"), guarded).await;
            let force = Operation::ForceRotation { algorithm: None };
            let approval = waits(&world, &issuer, force).await;
            let barrier = Arc::new(Barrier::new(2));
            let mut tasks = Vec::new();
            for caller in &callers {
                let stored = world.authority.approval(&approval).await.unwrap();
                let (authority, barrier) = (Arc::clone(&world.authority), Arc::clone(&barrier));
                let document = json!({"name": caller.id(), "roles": ["security"]});
                let (_, credential) = world.client(document).await;
                let caller = world.admit(&credential).await.unwrap();
                tasks.push(tokio::spawn(async move {
                    barrier.wait().await;
                    authority.confirm(stored, &caller).await.map(drop)
                }));
            }
            let mut done = 0;
            for task in tasks {
                match task.await.unwrap() {
                    Ok(()) => done += 1,
                    Err(ChangeError::ApprovalEnded(ended)) => {
                        assert_eq!(ended.approval, approval);
                        assert_eq!(ended.event, "approval-confirmed");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(done, 1);
            assert_eq!(world.events("approval-confirmed").await.len(), round + 1);
        }
    }
}

/// A second person may confirm what is so already: it must not wait on, to be confirmed again.
#[tokio::test]
async fn what_has_become_so_meanwhile_waits_no_more_when_it_is_confirmed() {
    let world = World::in_memory().await;
    let bob = world.caller("bob").await;
    let guarded = json!({"confirmation": "second-person"});
    let issuer = world.issuer("a", guarded.clone()).await;
    let off = set_policy(policy("a", json!({})));
    let first = waits(&world, &issuer, off.clone()).await;
    let second = waits(&world, &issuer, off).await;
    for approval in [first, second] {
        let stored = world.authority.approval(&approval).await.unwrap();
        world.authority.confirm(stored, &bob).await.unwrap();
    }
    assert_eq!(waiting(&world).await, 0);
    assert_eq!(world.events("approval-confirmed").await.len(), 2);
}
