//! What is published is decided anew while keys are revoked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::scheduler;
use keywright::lifecycle::{Readiness, Successor};
use serde_json::json;

use crate::world::{HOUR, World, active, full_set, publishes};

/// Republishing has no public door of its own: a scheduled change that fails goes through it, and
/// here it is called as that does.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_revoked_key_does_not_come_back_however_often_the_set_is_published_anew() {
    let world = World::in_memory().await;
    let issuer = world.issuer("a", json!({})).await;
    world.pass(HOUR * 25);
    // A revocation that comes while the key of the one before is being made leaves its own to the
    // schedule.
    let scheduling = tokio::spawn(scheduler::run(Arc::clone(&world.authority)));
    let ends = Arc::new(AtomicBool::new(false));
    let republishers: Vec<_> = (0..4)
        .map(|_| {
            let (authority, issuer) = (Arc::clone(&world.authority), Arc::clone(&issuer));
            let ends = Arc::clone(&ends);
            std::thread::spawn(move || {
                while !ends.load(Ordering::Acquire) {
                    authority.republish(&issuer);
                    // Keys are generated at the lowest priority.
                    std::thread::park_timeout(Duration::from_micros(100));
                }
            })
        })
        .collect();
    let mut revoked = Vec::new();
    for _ in 0..40 {
        let leaked = active(&issuer).unwrap();
        world
            .revoke(&issuer, &leaked, Successor::Promote)
            .await
            .unwrap();
        revoked.push(leaked);
        for _ in 0..20 {
            let signs = world.signs(&issuer).await.ok();
            for kid in &revoked {
                assert_ne!(signs.as_ref(), Some(kid));
                assert!(!publishes(&issuer, kid), "it came back");
            }
        }
        full_set(&issuer).await;
    }
    ends.store(true, Ordering::Release);
    republishers
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    scheduling.abort();
}

/// A copy that takes the snapshot's place while a commit is under way ends with it.
#[tokio::test]
async fn a_copy_shares_the_permit_of_the_snapshot_that_it_was_made_of() {
    let world = World::in_memory().await;
    let issuer = world.issuer("a", json!({})).await;
    world.pass(HOUR * 25);
    let first = issuer.leased_snapshot();
    world.authority.republish(&issuer);
    world.faults.gate.close();
    let (authority, of) = (Arc::clone(&world.authority), Arc::clone(&issuer));
    let rotation = tokio::spawn(async move {
        let request = Request::by(Actor::Bootstrap);
        authority
            .rotate(&of, None, Readiness::Required, request)
            .await
    });
    world.faults.gate.until_waiting(1).await;
    world.authority.republish(&issuer);
    let copy = issuer.leased_snapshot();
    world.pass(keywright::lifecycle::SWITCH_OVER);
    for snapshot in [&first, &copy] {
        assert!(!snapshot.may_sign());
        assert_eq!(snapshot.cache_control(world.clock.now()), "no-cache");
    }
    world.faults.gate.open();
    rotation.await.unwrap().unwrap();
    assert!(world.signs(&issuer).await.is_ok());
}
