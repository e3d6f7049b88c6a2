//! A key signs only when every process that lives publishes it.

use std::sync::Arc;

use keywright::authority::ChangeError;
use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::scheduler;
use keywright::lifecycle::{Adoption, KeySet, Readiness, RuleViolation, SWITCH_OVER, plan};
use serde_json::{Value, json};

use crate::world::{BEGIN, MAX_STALENESS, Process, SECOND, World, eventually};

/// Lives that pass within a minute: sets are fresh for 10 seconds.
fn short() -> Value {
    json!({
        "lead": "20s", "jwks_max_age": "10s", "stale_if_error": "0s", "clock_skew": "5s",
        "rotation": { "every": "10m" }, "default_token_ttl": "10s", "max_token_ttl": "10s",
    })
}

async fn rotate(process: &Process, readiness: Readiness) -> Result<(), ChangeError> {
    let issuer = process.issuer("a").unwrap();
    let request = Request::by(Actor::Bootstrap);
    process
        .rotate(&issuer, None, readiness, request)
        .await
        .map(drop)
}

/// Rotates once, so that the successor that stands by then is one that was published later.
async fn with_a_later_successor(world: &World, all: &[&Process]) {
    all[0].create("a", short()).await;
    for process in all {
        process.catch_up().await.unwrap();
    }
    rotate(all[0], Readiness::Required).await.unwrap();
    for process in all {
        process.catch_up().await.unwrap();
    }
    world.pass(SECOND, all);
}

#[tokio::test]
async fn a_successor_waits_for_what_others_may_serve_without_it() {
    let world = World::new();
    let one = world.process().await;
    with_a_later_successor(&world, &[&one]).await;
    let view = one.issuer("a").unwrap().snapshot();
    let successor = view.set().successors(view.set().policy().default_algorithm)[0];
    // Served for an overlap, fresh for 10 s from then on, by clocks that are 5 s apart.
    let overlap = SWITCH_OVER + MAX_STALENESS + SECOND * 4;
    let ready_at = BEGIN.after(overlap + SECOND * 15);
    assert_eq!(successor.ready_at(view.set().policy()), Some(ready_at));
}

#[tokio::test]
async fn a_live_process_that_lags_behind_holds_a_rotation_up() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    with_a_later_successor(&world, &[&one, &two]).await;
    for _ in 0..3 {
        world.pass(SECOND * 20, &[&one, &two]);
        one.catch_up().await.unwrap();
        two.catch_up().await.unwrap();
    }
    // A change that the other has not taken over.
    let name = keywright::lifecycle::IssuerName::parse("a").unwrap();
    let mut changes = short();
    changes["max_token_bytes"] = 2048.into();
    let policy = crate::world::policy("a", changes);
    let actor = Actor::Bootstrap;
    one.set_issuer(&name, policy, None, actor).await.unwrap();
    let refused = rotate(&one, Readiness::Required).await.err().unwrap();
    let ChangeError::Refused(RuleViolation::SuccessorNotReady { ready_at, .. }) = refused else {
        panic!("{refused}");
    };
    assert_eq!(ready_at, two.now().after(MAX_STALENESS));

    two.catch_up().await.unwrap();
    rotate(&one, Readiness::Required).await.unwrap();
}

#[tokio::test]
async fn a_dead_process_holds_nothing_up_and_its_lease_has_ended_by_then() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    with_a_later_successor(&world, &[&one, &two]).await;
    world.pass(SECOND * 29, &[&one, &two]);
    one.catch_up().await.unwrap();
    world.pass(SECOND * 29, &[&one, &two]);
    one.catch_up().await.unwrap();
    assert_eq!(two.serve("a").1, "no-cache");
    rotate(&one, Readiness::Required).await.unwrap();
}

#[tokio::test]
async fn what_is_forced_waits_for_nobody() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    with_a_later_successor(&world, &[&one, &two]).await;
    rotate(&one, Readiness::Waived).await.unwrap();
    assert_ne!(one.active("a"), two.active("a"));
}

/// A replica that has not heard of the rotation signs on for a lease, and its tokens verify.
#[tokio::test]
async fn a_retired_key_stays_until_the_last_token_of_the_last_lease_has_expired() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", short()).await;
    two.catch_up().await.unwrap();
    let retired = one.active("a");
    rotate(&one, Readiness::Required).await.unwrap();
    world.pass(MAX_STALENESS - SECOND, &[&one, &two]);
    assert_eq!(two.sign("a").await.unwrap(), retired);
    one.catch_up().await.unwrap();
    // The token lives for 10 s, and verifiers' clocks may be 5 s behind.
    world.pass(SECOND * 15, &[&one]);
    one.catch_up().await.unwrap();
    assert!(one.serve("a").0.contains(&retired));
    world.pass(SECOND * 8, &[&one]);
    one.catch_up().await.unwrap();
    assert!(!one.serve("a").0.contains(&retired));
}

#[tokio::test]
async fn what_failed_here_and_another_has_done_is_a_failure_no_more() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", short()).await;
    for process in [&one, &two] {
        process.catch_up().await.unwrap();
    }
    let all = [&one, &two];
    world.pass(SECOND * 600, &all);
    // Without a lease it fails to do what is due.
    let theirs = tokio::spawn(scheduler::run(Arc::clone(&two)));
    eventually(|| {
        two.metrics()
            .render()
            .contains("rotation_failing{issuer=\"a\"} 1")
    })
    .await;
    let before = one.issuer("a").unwrap().snapshot().set().version();
    one.catch_up().await.unwrap();
    let ours = tokio::spawn(scheduler::run(Arc::clone(&one)));
    let is_done = |set: &KeySet| {
        set.version() > before && plan(set, one.now(), &Adoption::default()).steps.is_empty()
    };
    eventually(|| is_done(one.issuer("a").unwrap().snapshot().set())).await;

    two.catch_up().await.unwrap();
    assert_eq!(two.issuer_faults(), []);
    assert!(
        two.metrics()
            .render()
            .contains("rotation_failing{issuer=\"a\"} 0")
    );
    for scheduler in [ours, theirs] {
        scheduler.abort();
    }
}
