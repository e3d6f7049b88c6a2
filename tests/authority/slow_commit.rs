//! What the old set may do while the commit that replaces it takes long, and after it.

use std::sync::Arc;
use std::time::Duration;

use keywright::authority::ChangeError;
use keywright::authority::audit::Actor;
use keywright::authority::issuer::Issuer;
use keywright::authority::request::Request;
use keywright::authority::signing::SignRefusal;
use keywright::lifecycle::Successor;
use keywright_verifier::Kid;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::world::{HOUR, SECOND, World, active, eventually, publishes};

/// An issuer whose successor is ready.
async fn ready(world: &World) -> (Arc<Issuer>, Kid) {
    let issuer = world.issuer("a", json!({})).await;
    world.pass(HOUR * 25);
    let signing = active(&issuer).unwrap();
    (issuer, signing)
}

fn begin_revocation(
    world: &World,
    issuer: &Arc<Issuer>,
    kid: &Kid,
) -> JoinHandle<Result<(), ChangeError>> {
    let authority = Arc::clone(&world.authority);
    let (issuer, kid) = (Arc::clone(issuer), kid.clone());
    tokio::spawn(async move {
        let request = Request::by(Actor::Bootstrap);
        let revoke = authority.revoke(&issuer, &kid, Successor::Promote, request);
        revoke.await.map(drop)
    })
}

fn cache_control(world: &World, issuer: &Issuer) -> String {
    let now = world.clock.now();
    issuer.leased_snapshot().cache_control(now).into_owned()
}

async fn may_go_on(world: &World, issuer: &Issuer, kid: &Kid) {
    assert_eq!(&world.signs(issuer).await.unwrap(), kid);
    assert_ne!(cache_control(world, issuer), "no-cache");
}

async fn has_ended(world: &World, issuer: &Issuer) {
    let refused = world.signs(issuer).await;
    assert!(
        matches!(refused, Err(SignRefusal::SnapshotStale)),
        "{refused:?}"
    );
    assert_eq!(cache_control(world, issuer), "no-cache");
}

#[tokio::test]
async fn the_old_set_ends_with_the_switch_over_and_for_its_copies_too() {
    let world = World::in_memory().await;
    let (issuer, signing) = ready(&world).await;
    world.faults.gate.close();
    let revocation = begin_revocation(&world, &issuer, &signing);
    world.faults.gate.until_waiting(1).await;
    let services_time = SECOND * 2;
    world.pass(services_time - Duration::from_millis(1));
    may_go_on(&world, &issuer, &signing).await;
    world.pass(Duration::from_millis(1));
    has_ended(&world, &issuer).await;
    world.faults.gate.open();
    revocation.await.unwrap().unwrap();
    assert_ne!(world.signs(&issuer).await.unwrap(), signing);
    assert!(!publishes(&issuer, &signing));
}

#[tokio::test]
async fn a_refused_commit_gives_the_old_set_its_right_back() {
    let world = World::in_memory().await;
    let (issuer, signing) = ready(&world).await;
    world.faults.gate.close();
    let revocation = begin_revocation(&world, &issuer, &signing);
    world.faults.gate.until_waiting(1).await;
    world.pass(SECOND * 3);
    has_ended(&world, &issuer).await;
    world.faults.refuse_the_next_commit();
    world.faults.gate.open();
    let refused = revocation.await.unwrap();
    assert!(matches!(refused, Err(ChangeError::Store(_))), "{refused:?}");
    world.pass(HOUR);
    may_go_on(&world, &issuer, &signing).await;
    assert!(!issuer.outcome_is_unknown());
}

#[tokio::test]
async fn a_commit_that_comes_late_is_decided_anew() {
    let world = World::in_memory().await;
    let (issuer, signing) = ready(&world).await;
    world.faults.delay_the_next_commit();
    begin_revocation(&world, &issuer, &signing)
        .await
        .unwrap()
        .unwrap();
    world.pass(HOUR);
    assert_ne!(world.signs(&issuer).await.unwrap(), signing);
    assert!(!issuer.outcome_is_unknown());
}

/// What has panicked may have happened: until that is known the old set goes on for no longer than
/// a switch-over, and the next change finds out.
#[tokio::test]
async fn a_panic_in_a_commit_leaves_its_outcome_unknown_and_the_next_change_settles_it() {
    for happened in [true, false] {
        for world in World::each().await {
            let (issuer, signing) = ready(&world).await;
            if happened {
                world.faults.panic_after_the_next_commit();
            } else {
                world.faults.panic_before_the_next_commit();
            }
            let interrupted = begin_revocation(&world, &issuer, &signing).await.unwrap();
            assert!(matches!(interrupted, Err(ChangeError::Interrupted)));
            assert!(issuer.outcome_is_unknown());
            world.pass(SECOND * 2);
            has_ended(&world, &issuer).await;

            let again = begin_revocation(&world, &issuer, &signing).await.unwrap();
            assert_eq!(again.is_err(), happened, "{again:?}");
            assert!(!issuer.outcome_is_unknown());
            assert_ne!(world.signs(&issuer).await.unwrap(), signing);
            assert!(!publishes(&issuer, &signing));
            assert_eq!(world.events("key-revoked").await.len(), 1);
        }
    }
}

#[tokio::test]
async fn the_schedule_settles_what_a_panic_has_left_unknown_when_nobody_asks() {
    let world = World::in_memory().await;
    let (issuer, signing) = ready(&world).await;
    let authority = Arc::clone(&world.authority);
    let scheduler = tokio::spawn(keywright::authority::scheduler::run(authority));
    world.faults.panic_after_the_next_commit();
    let interrupted = begin_revocation(&world, &issuer, &signing).await.unwrap();
    assert!(matches!(interrupted, Err(ChangeError::Interrupted)));
    eventually("it to be settled", || !issuer.outcome_is_unknown()).await;
    assert_ne!(world.signs(&issuer).await.unwrap(), signing);
    scheduler.abort();
}
