//! A clock that is wrong.

use keywright::authority::ChangeError;
use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::signing::SignRefusal;
use keywright::lifecycle::Readiness;
use serde_json::json;

use crate::world::{SECOND, World};

#[tokio::test]
async fn a_clock_that_jumps_stops_signatures_at_once_until_it_is_right_again() {
    let world = World::new();
    let one = world.process().await;
    one.create("a", json!({})).await;
    let right = one.now();
    for wrong in [right.after(SECOND * 3600), right.before(SECOND * 3)] {
        one.clock.set_wall(wrong);
        assert_eq!(one.sign("a").await, Err(SignRefusal::SnapshotStale));
        assert_eq!(one.serve("a").1, "no-cache");
        one.clock.set_wall(right);
        assert!(one.sign("a").await.is_ok());
    }
}

#[tokio::test]
async fn a_process_whose_clock_is_wrong_is_not_confirmed() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    two.clock.set_wall(two.now().after(SECOND * 60));
    assert!(two.catch_up().await.is_err());
    assert_eq!(two.sign("a").await, Err(SignRefusal::SnapshotStale));
    assert!(one.sign("a").await.is_ok());
}

/// A retired key stays in the set that such a process serves: verifiers have live tokens by it.
#[tokio::test]
async fn a_clock_that_is_far_ahead_takes_no_key_out_of_the_set() {
    let world = World::new();
    let one = world.process().await;
    let issuer = one.create("a", json!({})).await;
    let retired = one.active("a");
    let request = Request::by(Actor::Bootstrap);
    let rotated = one.rotate(&issuer, None, Readiness::Required, request);
    rotated.await.unwrap();
    one.clock
        .set_wall(one.now().after(SECOND * 3600 * 24 * 365));
    let _ = one.catch_up().await;
    let published = one.issuer("a").unwrap().snapshot();
    let served = String::from_utf8(published.publication().jwks().bytes.to_vec()).unwrap();
    assert!(served.contains(retired.as_str()));
}

/// What a wrong clock showed is forgotten when it is right again: stamps are of the right time.
#[tokio::test]
async fn a_clock_that_was_ahead_leaves_no_stamps() {
    let world = World::new();
    let one = world.process().await;
    let issuer = one.create("a", json!({})).await;
    let right = one.now();
    one.clock.set_wall(right.after(SECOND * 3600));
    one.now();
    one.clock.set_wall(right);
    world.pass(SECOND * 6, &[&one]);
    one.catch_up().await.unwrap();
    let request = Request::by(Actor::Bootstrap);
    let rotated = one.rotate(&issuer, None, Readiness::Required, request);
    rotated.await.unwrap();
    assert!(issuer.snapshot().set().latest() <= right.after(SECOND * 8));
}

#[tokio::test]
async fn a_process_without_a_lease_corrects_no_clock() {
    let world = World::new();
    let one = world.process().await;
    one.create("a", json!({})).await;
    world.pass(SECOND * 31, &[&one]);
    let corrected = one.correct_clock(Actor::Bootstrap, "a drill".to_owned());
    assert!(matches!(corrected.await, Err(ChangeError::SnapshotStale)));
    one.catch_up().await.unwrap();
    let corrected = one.correct_clock(Actor::Bootstrap, "a drill".to_owned());
    let corrected = corrected.await.unwrap();
    assert_eq!(corrected.corrected, []);
    assert_eq!(corrected.now, one.now());
}
