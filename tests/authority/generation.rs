//! Keys that take long, that fail and that panic keep nothing else waiting.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keywright::authority::issuer::Issuer;
use keywright::authority::scheduler;
use keywright::engine::Entropy;
use keywright::lifecycle::Successor;
use keywright_verifier::Algorithm;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::unreliable::Unreliable;
use crate::world::{BEGIN, HOUR, SECOND, World, active, eventually, pending};

fn schedule(world: &World) -> JoinHandle<()> {
    tokio::spawn(scheduler::run(Arc::clone(&world.authority)))
}

/// A policy under which a key signs for ten minutes.
fn ten_minutes() -> Value {
    json!({
        "lead": "20s", "jwks_max_age": "10s", "stale_if_error": "0s", "clock_skew": "5s",
        "rotation": { "every": "10m" }, "default_token_ttl": "10s", "max_token_ttl": "10s",
    })
}

/// An issuer with keys of both algorithms, of which the next RSA key is held up.
async fn with_an_rsa_key_held_up(world: &World) -> Arc<Issuer> {
    let mut policy = ten_minutes();
    policy["algorithms"] = json!(["ES256", "RS256"]);
    let issuer = world.issuer("a", policy).await;
    world.engine.rs256.close();
    let rsa = issuer.snapshot();
    let rsa = rsa.set().successors(Algorithm::Rs256)[0].kid().clone();
    world
        .revoke(&issuer, &rsa, Successor::Promote)
        .await
        .unwrap();
    world.engine.rs256.until_waiting(1).await;
    issuer
}

#[tokio::test]
async fn a_due_rotation_does_not_wait_for_a_key_of_another_algorithm() {
    let world = World::in_memory().await;
    let issuer = with_an_rsa_key_held_up(&world).await;
    let before = active(&issuer).unwrap();
    let scheduler = schedule(&world);
    world.pass(SECOND * 600);
    eventually("the rotation", || active(&issuer) != Some(before.clone())).await;
    scheduler.abort();
}

/// A vacancy that is filled at once by an ES256 key must not wait for an RSA key either.
#[tokio::test]
async fn a_vacancy_does_not_wait_for_a_key_of_another_algorithm() {
    let world = World::in_memory().await;
    let issuer = with_an_rsa_key_held_up(&world).await;
    let leaked = active(&issuer).unwrap();
    world
        .revoke(&issuer, &leaked, Successor::Discard)
        .await
        .unwrap();
    eventually("another key", || active(&issuer).is_some()).await;
    assert_ne!(active(&issuer), Some(leaked));
    world.engine.rs256.open();
}

#[tokio::test]
async fn failures_are_tried_again_with_growing_pauses_and_delay_no_other_issuer() {
    let faults = Arc::new(Unreliable::default());
    let clock = keywright::clock::Clock::manual(BEGIN);
    // What is added to a pause by chance is nothing here.
    let no_chance = |setup: &mut crate::access::Setup| {
        let system = Entropy::system();
        setup.entropy = Entropy::from_source(move |bytes| {
            bytes.fill(0);
            if bytes.len() > 1 {
                bytes.copy_from_slice(&system.bytes::<64>()?[..bytes.len()]);
            }
            Ok(())
        });
    };
    let world = World::on(faults, clock, None, no_chance).await;
    let failing = world.issuer("failing", json!({})).await;
    let other = world.issuer("other", json!({})).await;
    let scheduler = schedule(&world);
    world.engine.failures.store(usize::MAX, Ordering::SeqCst);
    let begun = || world.engine.begun.load(Ordering::SeqCst);
    let before = begun();
    let lost = pending(&failing).unwrap();
    world
        .revoke(&failing, &lost, Successor::Promote)
        .await
        .unwrap();
    eventually("the first failure", || {
        begun() == before + 1 && !world.authority.issuer_faults().is_empty()
    })
    .await;
    for (tries, pause) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        world.pass(Duration::from_millis(pause * 1000 - 1));
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(begun(), before + 1 + tries, "before {pause} s");
        world.pass(Duration::from_millis(1));
        eventually("another try", || begun() == before + 2 + tries).await;
        // The failure has to be written down before the next pause begins.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let leaked = active(&other).unwrap();
    world
        .revoke(&other, &leaked, Successor::Promote)
        .await
        .unwrap();
    assert!(world.signs(&other).await.is_ok());
    assert!(world.signs(&failing).await.is_ok());
    world.engine.failures.store(0, Ordering::SeqCst);
    world.pass(SECOND * 61);
    eventually("a successor", || pending(&failing).is_some()).await;
    scheduler.abort();
}

#[tokio::test]
async fn a_panic_in_generation_does_not_end_the_generation_of_that_issuer() {
    let world = World::in_memory().await;
    let issuer = world.issuer("a", json!({})).await;
    world.pass(HOUR);
    world.engine.panics.store(1, Ordering::SeqCst);
    let lost = pending(&issuer).unwrap();
    world
        .revoke(&issuer, &lost, Successor::Promote)
        .await
        .unwrap();
    eventually("the panic", || {
        world.engine.panics.load(Ordering::SeqCst) == 0
            && !world.authority.issuer_faults().is_empty()
    })
    .await;
    let leaked = active(&issuer).unwrap();
    world
        .revoke(&issuer, &leaked, Successor::Promote)
        .await
        .unwrap();
    eventually("both keys", || {
        active(&issuer).is_some() && pending(&issuer).is_some()
    })
    .await;
}
