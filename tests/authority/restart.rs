//! A process that comes back with a clock that was set back.

use std::sync::Arc;
use std::time::Duration;

use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::scheduler;
use keywright::clock::Clock;
use keywright::lifecycle::{Readiness, State, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use crate::world::{BEGIN, HOUR, SECOND, World, active};

/// The issuer's longest token, which verifiers with a slow clock take for five minutes more.
const LIFETIME: Duration = HOUR;
const SKEW: Duration = Duration::from_secs(300);

/// Rotates on the same folder by a clock that shows `now`, and says until when the key that has
/// signed before is published.
async fn rotates_later(folder: Arc<TempDir>, now: Timestamp) -> Timestamp {
    let world = World::in_folder(folder, Clock::manual(now)).await;
    let issuer = world.authority.issuer("a").unwrap();
    let kid = active(&issuer).unwrap();
    let request = Request::by(Actor::Bootstrap);
    let rotate = world
        .authority
        .rotate(&issuer, None, Readiness::Waived, request);
    rotate.await.unwrap();
    let snapshot = issuer.snapshot();
    match snapshot.set().key(&kid).unwrap().state() {
        State::Retired(retired) => retired.published_until,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_retired_key_outlives_its_tokens_after_a_restart_with_the_clock_two_hours_behind() {
    let world = World::in_a_file().await;
    let issuer = world.issuer("a", json!({"default_token_ttl": "1h"})).await;
    world.pass(HOUR * 3);
    world.signs(&issuer).await.unwrap();
    let expires_at = world.clock.now().after(LIFETIME);
    let folder = world.folder.clone().unwrap();
    world.authority.store_witness().await.unwrap();
    world.store.close().await;
    drop(world);
    let published_until = rotates_later(folder, BEGIN.after(HOUR)).await;
    assert!(
        published_until >= expires_at.after(SKEW),
        "{published_until:?}"
    );
}

/// The time was written down less than a minute before the end, and not at it.
#[tokio::test]
async fn a_retired_key_outlives_its_tokens_after_the_process_was_killed() {
    let world = World::in_a_file().await;
    let issuer = world.issuer("a", json!({"default_token_ttl": "1h"})).await;
    let upkeep = tokio::spawn(scheduler::run_access_upkeep(Arc::clone(&world.authority)));
    tokio::time::sleep(SECOND / 20).await;
    world.pass(HOUR * 3);
    let written = || async {
        let records = world.store.rows().await.unwrap().records;
        records
            .iter()
            .any(|record| record.key.id == "clock-witness")
    };
    for _ in 0..200 {
        if written().await {
            break;
        }
        tokio::time::sleep(SECOND / 20).await;
    }
    assert!(written().await);
    upkeep.abort();
    world.pass(SECOND * 59);
    world.signs(&issuer).await.unwrap();
    let expires_at = world.clock.now().after(LIFETIME);
    let folder = world.folder.clone().unwrap();
    // Nothing is closed: this is what a killed process leaves behind.
    let published_until = rotates_later(folder, BEGIN.after(HOUR)).await;
    assert!(
        published_until >= expires_at.after(SKEW),
        "{published_until:?}"
    );
}
