//! Creating issuers: slowly, and two at once.

use std::sync::Arc;

use keywright::access::approval::Operation;
use keywright::authority::audit::Actor;
use keywright::authority::{ChangeError, IssuerSet};
use keywright::lifecycle::IssuerName;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use crate::access::policy;
use crate::world::{HOUR, World, active, promptly};

fn put(world: &World, name: &str, changes: Value) -> JoinHandle<Result<IssuerSet, ChangeError>> {
    let authority = Arc::clone(&world.authority);
    let (name, policy) = (IssuerName::parse(name).unwrap(), policy(name, changes));
    tokio::spawn(async move {
        let set = authority.set_issuer(&name, policy, None, Actor::Bootstrap);
        set.await
    })
}

#[tokio::test]
async fn an_issuer_whose_keys_take_long_keeps_no_other_waiting() {
    for world in World::each().await {
        let other = world.issuer("other", json!({})).await;
        world.issuer("third", json!({})).await;
        world.engine.rs256.close();
        let slow = put(&world, "slow", json!({"algorithms": ["ES256", "RS256"]}));
        world.engine.rs256.until_waiting(1).await;
        let longer = json!({"max_token_ttl": "2h"});
        let replaced = promptly(put(&world, "other", longer)).await.unwrap();
        assert!(matches!(replaced, Ok(IssuerSet::Replaced(_))));
        assert_eq!(other.snapshot().set().policy().max_token_ttl, HOUR * 2);
        let created = promptly(put(&world, "quick", json!({}))).await.unwrap();
        assert!(matches!(created, Ok(IssuerSet::Created(_))));
        let third = world.authority.issuer("third").unwrap();
        promptly(world.ask(&third, Operation::Delete))
            .await
            .unwrap();
        assert!(!slow.is_finished());
        slow.abort();
        world.engine.rs256.open();
    }
}

/// One creates it, and the other lays down its policy or is told that others were faster.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_that_create_one_issuer_at_once_make_one() {
    for world in World::each().await {
        for round in 0..20 {
            let name = format!("i{round}");
            let barrier = Arc::new(Barrier::new(2));
            let tasks: Vec<_> = (0..2)
                .map(|_| {
                    let authority = Arc::clone(&world.authority);
                    let barrier = Arc::clone(&barrier);
                    let policy = policy(&name, json!({}));
                    let name = IssuerName::parse(&name).unwrap();
                    tokio::spawn(async move {
                        barrier.wait().await;
                        let set = authority.set_issuer(&name, policy, None, Actor::Bootstrap);
                        set.await
                    })
                })
                .collect();
            let mut created = 0;
            let mut objects = Vec::new();
            for task in tasks {
                match task.await.unwrap() {
                    Ok(IssuerSet::Created(issuer)) => {
                        created += 1;
                        objects.push(issuer);
                    }
                    Ok(IssuerSet::Replaced(issuer)) => objects.push(issuer),
                    Ok(IssuerSet::Awaits(_)) => panic!("it waits"),
                    Err(ChangeError::Contended | ChangeError::PathTaken) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(created, 1);
            let known = world.authority.issuer(&name).unwrap();
            assert!(objects.iter().all(|issuer| Arc::ptr_eq(issuer, &known)));
            let stored = world.store.key_set(known.name()).await.unwrap().unwrap();
            let kid = active(&known).unwrap();
            assert!(stored.keys.iter().any(|key| key.key.id == kid.as_str()));
            world.signs(&known).await.unwrap();
        }
    }
}
