//! A fail-over to a standby that has not received the last commits: what was lost and what came
//! instead have the same numbers. A revoked key must not return with them.

use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::signing::SignRefusal;
use keywright::lifecycle::{IssuerName, Readiness, Successor};
use keywright::store::{RecordKey, Store as _};
use keywright_verifier::Kid;
use serde_json::json;

use crate::world::{MAX_STALENESS, Process, SECOND, World, eventually, policy};

async fn set_token_bytes(process: &Process, issuer: &str, bytes: u64) {
    let name = IssuerName::parse(issuer).unwrap();
    let policy = policy(issuer, json!({ "max_token_bytes": bytes }));
    let set = process.set_issuer(&name, policy, None, Actor::Bootstrap);
    set.await.unwrap();
}

/// Two processes that serve an issuer, with so many commits that the database has lost since.
async fn with_lost_commits(world: &World, lost: u64) -> (Process, Process) {
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    two.catch_up().await.unwrap();
    let kept = world.store.copy();
    for number in 0..lost {
        set_token_bytes(&one, "a", 2048 + number).await;
    }
    two.catch_up().await.unwrap();
    world.store.lose_commits(&kept);
    (one, two)
}

async fn revoke(process: &Process, kid: &Kid) -> keywright::authority::Exposure {
    let issuer = process.issuer("a").unwrap();
    let request = Request::with_reason(Actor::Bootstrap, Some("leak".to_owned()));
    let revoked = process.revoke(&issuer, kid, Successor::Promote, request);
    revoked.await.unwrap()
}

/// The key is revoked in the store, and was written once since.
async fn assert_revoked(world: &World, kid: &Kid) {
    let key = RecordKey::signing_key(&IssuerName::parse("a").unwrap(), kid.as_str());
    let record = world.store.get(&key).await.unwrap().unwrap();
    assert!(record.is_final);
    assert_eq!((record.version, &record.sealed), (2, &None));
    assert!(
        record.document.contains("\"revoked\""),
        "{}",
        record.document
    );
}

/// Lets the key be published that a revocation has wanted: by a commit of its own.
async fn published_successor(process: &Process) {
    let issuer = process.issuer("a").unwrap();
    let is_published = || {
        let snapshot = issuer.snapshot();
        let mut keys = snapshot.set().keys().iter();
        keys.any(|key| key.state().name() == "pending")
    };
    eventually(is_published).await;
}

/// Rotates, once there is a key to rotate to.
async fn rotate(process: &Process) {
    let issuer = process.issuer("a").unwrap();
    let has_successor = || {
        let snapshot = issuer.snapshot();
        let algorithm = snapshot.set().policy().default_algorithm;
        !snapshot.set().successors(algorithm).is_empty()
    };
    let published = async {
        while !has_successor() {
            process.catch_up().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SECOND * 20, published).await.unwrap();
    let request = Request::by(Actor::Bootstrap);
    let rotated = process.rotate(&issuer, None, Readiness::Waived, request);
    rotated.await.unwrap();
}

fn version(process: &Process) -> u64 {
    process.issuer("a").unwrap().snapshot().set().version()
}

// The revocation is a commit, and the key that it wanted is another: after as many lost commits
// both processes have seen the same number, of different sets.
#[tokio::test]
async fn a_revoked_key_does_not_return_after_a_fail_over_that_lost_commits() {
    for lost in 1..=3 {
        let world = World::new();
        let (one, two) = with_lost_commits(&world, lost).await;
        let revoked = one.active("a");
        let frozen = two.issuer("a").unwrap().leased_snapshot();
        let exposure = revoke(&one, &revoked).await;
        // What the other one has told is of an event that was lost: it has not this one.
        let by_lease = one.now().after(MAX_STALENESS);
        assert_eq!(exposure.in_force_everywhere_at, by_lease, "{lost}");
        assert_eq!(two.sign("a").await, Ok(revoked.clone()), "it does not know");
        published_successor(&one).await;

        two.catch_up().await.unwrap();
        assert!(!frozen.may_sign(), "{lost}");
        let active = one.active("a");
        assert_ne!(active, revoked);
        assert_eq!(two.sign("a").await, Ok(active), "{lost}");
        assert!(!two.serve("a").0.contains(&revoked), "{lost}");
        assert_eq!(version(&two), version(&one));
        for _ in 0..2 {
            rotate(&two).await;
            assert_revoked(&world, &revoked).await;
        }
        one.catch_up().await.unwrap();
        assert!(!one.serve("a").0.contains(&revoked), "{lost}");
    }
}

// It asks for nothing in between: what it has in memory is the set that was lost.
#[tokio::test]
async fn a_change_that_was_decided_on_lost_commits_is_decided_anew() {
    for lost in 1..=3 {
        let world = World::new();
        let (one, two) = with_lost_commits(&world, lost).await;
        let revoked = one.active("a");
        revoke(&one, &revoked).await;
        published_successor(&one).await;
        rotate(&two).await;
        assert_revoked(&world, &revoked).await;
        assert_ne!(two.active("a"), revoked, "{lost}");
        one.catch_up().await.unwrap();
        assert_eq!(two.sign("a").await, one.sign("a").await, "{lost}");
        // What was lost has not come back with it.
        let issuer = two.issuer("a").unwrap();
        let limit = issuer.snapshot().set().policy().max_token_bytes;
        let default = policy("a", json!({})).max_token_bytes;
        assert_eq!(limit, default, "{lost}");
    }
}

#[tokio::test]
async fn a_process_that_knew_lost_commits_has_no_lease_until_it_has_loaded_everything() {
    let world = World::new();
    let (one, two) = with_lost_commits(&world, 1).await;
    revoke(&one, &one.active("a")).await;
    // It loads, and is not confirmed: the lease of before has ended with what it knew.
    let right = two.now();
    two.clock.set_wall(right.after(SECOND * 60));
    two.catch_up().await.unwrap_err();
    two.clock.set_wall(right);
    assert_eq!(two.sign("a").await, Err(SignRefusal::SnapshotStale));
    assert_eq!(two.serve("a").1, "no-cache");
    two.catch_up().await.unwrap();
    assert_eq!(two.sign("a").await, one.sign("a").await);
}

#[tokio::test]
async fn an_issuer_that_was_lost_is_gone_everywhere_and_can_be_created_again() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    let kept = world.store.copy();
    one.create("b", json!({})).await;
    two.catch_up().await.unwrap();
    let lost = two.active("b");
    world.store.lose_commits(&kept);
    for process in [&one, &two] {
        process.catch_up().await.unwrap();
        assert!(process.issuer("b").is_err());
        assert!(process.published_under("/b").is_none());
        assert!(process.sign("a").await.is_ok());
    }
    two.create("b", json!({})).await;
    one.catch_up().await.unwrap();
    assert_eq!(one.sign("b").await, two.sign("b").await);
    assert_ne!(one.active("b"), lost);
}
