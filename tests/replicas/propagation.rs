//! What one process changes, the others take over.

use serde_json::json;

use crate::world::{SECOND, World};
use keywright::authority::audit::Actor;
use keywright::lifecycle::IssuerName;

#[tokio::test]
async fn an_issuer_that_is_created_is_served_and_signs_elsewhere() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    assert!(two.issuer("a").is_err());
    two.catch_up().await.unwrap();
    assert!(two.published_under("/a").is_some());
    assert_eq!(two.sign("a").await, one.sign("a").await);
    assert_eq!(two.serve("a"), one.serve("a"));
}

#[tokio::test]
async fn a_process_that_joins_late_has_everything() {
    let world = World::new();
    let one = world.process().await;
    one.create("a", json!({})).await;
    let two = world.process().await;
    assert_eq!(two.sign("a").await, one.sign("a").await);
}

#[tokio::test]
async fn a_process_that_missed_much_catches_up_in_one_round() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    for name in ["a", "b", "c"] {
        one.create(name, json!({})).await;
    }
    for name in ["a", "c"] {
        let changed = policy_with_shorter_tokens(name);
        let name = IssuerName::parse(name).unwrap();
        let actor = Actor::Bootstrap;
        one.set_issuer(&name, changed, None, actor).await.unwrap();
    }
    two.catch_up().await.unwrap();
    for name in ["a", "b", "c"] {
        let view = |process: &crate::world::Process| process.issuer(name).unwrap().snapshot();
        assert_eq!(*view(&two).set(), *view(&one).set(), "{name}");
    }
}

fn policy_with_shorter_tokens(name: &str) -> keywright::lifecycle::Policy {
    crate::world::policy(name, json!({ "default_token_ttl": "1m" }))
}

#[tokio::test]
async fn of_two_that_change_one_version_one_is_told_to_decide_anew() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    two.catch_up().await.unwrap();
    let name = IssuerName::parse("a").unwrap();
    let changed = policy_with_shorter_tokens("a");
    let actor = Actor::Bootstrap;
    one.set_issuer(&name, changed, None, actor).await.unwrap();
    // It decides on version 1, finds 2 in the store, and decides anew on that.
    let longer = crate::world::policy("a", json!({ "default_token_ttl": "30m" }));
    let actor = Actor::Bootstrap;
    two.set_issuer(&name, longer, None, actor).await.unwrap();
    assert_eq!(two.issuer("a").unwrap().snapshot().set().version(), 3);
    one.catch_up().await.unwrap();
    let view = one.issuer("a").unwrap().snapshot();
    assert_eq!(view.set().policy().default_token_ttl, SECOND * 1800);
}

#[tokio::test]
async fn two_that_create_the_same_issuer_agree_on_one() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    let name = IssuerName::parse("a").unwrap();
    let policy = crate::world::policy("a", json!({}));
    let refused = two.set_issuer(&name, policy, None, Actor::Bootstrap).await;
    assert!(refused.is_err());
    two.catch_up().await.unwrap();
    assert_eq!(two.active("a"), one.active("a"));
}
