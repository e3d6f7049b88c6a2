//! One person alone never gets what takes two, whatever two requests they send at once.

use std::sync::Arc;

use keywright::access::approval::Operation;
use keywright::authority::ChangeError;
use keywright::authority::approvals::ApprovalOutcome;
use keywright::authority::issuer::Issuer;
use keywright::authority::request::Request;
use serde_json::json;
use tokio::sync::Barrier;

use crate::access::policy;
use crate::world::{HOUR, SECOND, World, active, pending, set_policy};

/// What one person may ask for: the first two alone, but not both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    RevokeActive,
    RevokePending,
    RevokeDiscard,
    ForceRotation,
    Delete,
    TakeConfirmationBack,
}

const ASKS: [Ask; 6] = [
    Ask::RevokeActive,
    Ask::RevokePending,
    Ask::RevokeDiscard,
    Ask::ForceRotation,
    Ask::Delete,
    Ask::TakeConfirmationBack,
];

impl Ask {
    fn operation(self, issuer: &Issuer) -> Operation {
        let revoke = |kid: Option<_>, discard_successor| Operation::Revoke {
            kid: kid.unwrap(),
            discard_successor,
        };
        match self {
            Self::RevokeActive => revoke(active(issuer), false),
            Self::RevokePending => revoke(pending(issuer), false),
            Self::RevokeDiscard => revoke(active(issuer), true),
            Self::ForceRotation => Operation::ForceRotation { algorithm: None },
            Self::Delete => Operation::Delete,
            Self::TakeConfirmationBack => {
                let off = policy(issuer.name().as_str(), json!({}));
                set_policy(off)
            }
        }
    }

    fn may_be_done_alone(self) -> bool {
        matches!(self, Self::RevokeActive | Self::RevokePending)
    }
}

async fn race(world: &World, rounds: usize) {
    let alice = world.caller("alice").await;
    let mut pairs = Vec::new();
    for (at, one) in ASKS.into_iter().enumerate() {
        pairs.extend(ASKS.into_iter().skip(at).map(|other| [one, other]));
    }
    for round in 0..rounds {
        let mut scenes = Vec::new();
        for (at, pair) in pairs.iter().enumerate() {
            let guarded = json!({"confirmation": "second-person"});
            let issuer = world.issuer(&format!("i{round}-{at}"), guarded).await;
            scenes.push((*pair, issuer));
        }
        world.pass(HOUR * 25);
        for (pair, issuer) in scenes {
            let barrier = Arc::new(Barrier::new(2));
            let tasks = pair.map(|ask| {
                let (authority, of) = (Arc::clone(&world.authority), Arc::clone(&issuer));
                let (operation, actor) = (ask.operation(&issuer), alice.actor());
                let barrier = Arc::clone(&barrier);
                tokio::spawn(async move {
                    barrier.wait().await;
                    authority.ask(&of, operation, Request::by(actor)).await
                })
            });
            let mut done = Vec::new();
            for (ask, task) in pair.into_iter().zip(tasks) {
                match task.await.unwrap() {
                    Ok(ApprovalOutcome::Done(_)) => done.push(ask),
                    Ok(ApprovalOutcome::Awaits(_)) | Err(ChangeError::Refused(_)) => {}
                    Err(error) => panic!("{pair:?}: {error}"),
                }
            }
            assert!(done.len() <= 1, "{pair:?}: both were done");
            assert!(done.iter().all(|ask| ask.may_be_done_alone()), "{done:?}");
            assert!(world.signs(&issuer).await.is_ok(), "{pair:?} locks out");
        }
    }
    let activated = world.events("key-activated").await;
    assert!(activated.iter().all(|event| event["forced"] != true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_requests_at_once_do_what_takes_two_people_in_memory() {
    race(&World::in_memory().await, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_requests_at_once_do_what_takes_two_people_in_a_file() {
    race(&World::in_a_file().await, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_requests_at_once_let_no_more_than_five_of_a_client_and_twenty_in_all_wait() {
    for world in World::each().await {
        let guarded = json!({"confirmation": "second-person"});
        let issuer = world.issuer("a", guarded).await;
        let force = Operation::ForceRotation { algorithm: None };
        for round in 1..=5 {
            let actor = world.caller(&format!("client {round}")).await.actor();
            let barrier = Arc::new(Barrier::new(20));
            let asks: Vec<_> = (0..20)
                .map(|_| {
                    let (authority, issuer) = (Arc::clone(&world.authority), Arc::clone(&issuer));
                    let (force, barrier) = (force.clone(), Arc::clone(&barrier));
                    let request = Request::by(actor.clone());
                    tokio::spawn(async move {
                        barrier.wait().await;
                        authority.ask(&issuer, force, request).await
                    })
                })
                .collect();
            for ask in asks {
                match ask.await.unwrap() {
                    Ok(ApprovalOutcome::Awaits(_)) => {}
                    Ok(ApprovalOutcome::Done(_)) => panic!("one person did it"),
                    Err(ChangeError::TooManyApprovals) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            let waiting = world.authority.approvals().await.unwrap().len();
            assert_eq!(waiting, 20.min(round * 5));
        }
        world.pass(SECOND * 900);
        world.ask(&issuer, force).await.unwrap();
    }
}
