//! A revocation is in force everywhere within a staleness, whatever a process has missed.

use std::time::Duration;

use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::signing::SignRefusal;
use keywright::engine::{SigningEngine as _, Urgency};
use keywright::lifecycle::{KeySpecification, Readiness, Successor};
use keywright_verifier::Algorithm;
use serde_json::json;

use crate::world::{BEGIN, MAX_STALENESS, Process, SECOND, World};

fn leaked() -> Request {
    Request::with_reason(Actor::Bootstrap, Some("leak".to_owned()))
}

async fn revoke(process: &Process, issuer: &str) -> keywright::authority::Exposure {
    let kid = process.active(issuer);
    let issuer = process.issuer(issuer).unwrap();
    process
        .revoke(&issuer, &kid, Successor::Promote, leaked())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_process_that_is_cut_off_signs_until_its_lease_ends_and_not_longer() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    two.catch_up().await.unwrap();
    let revoked = one.active("a");
    let exposure = revoke(&one, "a").await;
    assert_eq!(exposure.in_force_everywhere_at, BEGIN.after(MAX_STALENESS));

    let millisecond = SECOND / 1000;
    world.pass(MAX_STALENESS - millisecond, &[&one, &two]);
    assert_eq!(two.sign("a").await, Ok(revoked));
    let (_, kept) = two.serve("a");
    assert!(kept.contains("max-age=300"), "{kept}");

    world.pass(millisecond, &[&one, &two]);
    assert_eq!(two.sign("a").await, Err(SignRefusal::SnapshotStale));
    let (kids, kept) = two.serve("a");
    assert_eq!((kids.len(), kept.as_str()), (2, "no-cache"));
    assert!(two.readiness().is_err());

    two.catch_up().await.unwrap();
    assert_eq!(two.sign("a").await, Ok(exposure.signs_now.unwrap()));
    assert!(two.readiness().is_ok());
}

/// An attacker who has read one process may have read the others.
#[tokio::test]
async fn a_revocation_by_one_process_makes_all_forget_the_keys_that_they_have_in_reserve() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    two.catch_up().await.unwrap();
    let rsa = KeySpecification {
        algorithm: Algorithm::Rs256,
        rsa_bits: 2048,
    };
    for process in [&one, &two] {
        process
            .engine
            .generate(rsa, Urgency::Background)
            .await
            .unwrap();
    }
    let filled = async {
        while one.engine.reserved(2048) < 2 || two.engine.reserved(2048) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let patience = Duration::from_secs(120);
    tokio::time::timeout(patience, filled).await.unwrap();
    let (issuer, kid) = (one.issuer("a").unwrap(), one.active("a"));
    let revoked = one.revoke(&issuer, &kid, Successor::Discard, leaked());
    revoked.await.unwrap();
    two.catch_up().await.unwrap();
    assert_eq!(one.engine.reserved(2048), 0);
    assert_eq!(two.engine.reserved(2048), 0);
}

#[tokio::test]
async fn the_answer_says_so_when_everyone_has_it_already() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    let rounds = tokio::spawn(keywright::authority::replication::run((*two).clone()));
    let exposure = revoke(&one, "a").await;
    assert_eq!(exposure.in_force_everywhere_at, BEGIN);
    assert_eq!(two.sign("a").await, one.sign("a").await);
    rounds.abort();
}

#[tokio::test]
async fn a_process_that_has_left_or_is_dead_is_not_waited_for() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    let three = world.process().await;
    two.leave().await.unwrap();
    world.pass(MAX_STALENESS + SECOND, &[&one, &three]);
    one.catch_up().await.unwrap();
    one.create("a", json!({})).await;
    let exposure = revoke(&one, "a").await;
    assert_eq!(exposure.in_force_everywhere_at, one.now());
}

/// The process wakes, its rounds renew the lease first, and then the request goes on with the
/// snapshot that it had taken before.
#[tokio::test]
async fn a_request_that_was_frozen_hands_out_nothing_under_a_lease_that_was_renewed_since() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    two.catch_up().await.unwrap();
    let view = two.issuer("a").unwrap().leased_snapshot();
    assert!(view.may_sign());
    revoke(&one, "a").await;
    world.pass(MAX_STALENESS, &[&one, &two]);
    two.catch_up().await.unwrap();
    assert!(!view.may_sign());
    assert_eq!(view.cache_control(two.now()), "no-cache");
    assert!(two.issuer("a").unwrap().leased_snapshot().may_sign());
}

#[tokio::test]
async fn a_process_without_a_lease_changes_nothing() {
    let world = World::new();
    let one = world.process().await;
    one.create("a", json!({})).await;
    world.pass(MAX_STALENESS, &[&one]);
    let issuer = one.issuer("a").unwrap();
    let kid = one.active("a");
    let refused = one
        .revoke(&issuer, &kid, Successor::Promote, leaked())
        .await;
    let refused = refused.err().unwrap();
    assert!(
        matches!(refused, keywright::authority::ChangeError::SnapshotStale),
        "{refused}"
    );
    one.catch_up().await.unwrap();
    revoke(&one, "a").await;
}

/// Also where the answer says that it is in force now.
#[tokio::test]
async fn what_is_being_signed_when_its_key_is_revoked_is_not_handed_out() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    two.catch_up().await.unwrap();
    let here = one.issuer("a").unwrap().leased_snapshot();
    let there = two.issuer("a").unwrap().leased_snapshot();
    revoke(&one, "a").await;
    two.catch_up().await.unwrap();
    assert_eq!((here.may_sign(), there.may_sign()), (false, false));
}

#[tokio::test]
async fn what_is_being_signed_when_its_key_retires_is_handed_out() {
    let world = World::new();
    let one = world.process().await;
    let issuer = one.create("a", json!({})).await;
    let view = issuer.leased_snapshot();
    let request = Request::by(Actor::Bootstrap);
    let rotated = one.rotate(&issuer, None, Readiness::Required, request);
    rotated.await.unwrap();
    assert!(view.may_sign());
}
