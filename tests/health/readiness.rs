//! When this process cannot serve.

use std::sync::Arc;

use keywright::authority::{Unready, health};
use keywright::clock::Clock;
use keywright::store::Store as _;
use keywright::store::sqlite::SqliteStore;

use crate::world::{BEGIN, MAX_STALENESS, SECOND, World, eventually};

#[tokio::test]
async fn a_process_is_ready_while_its_store_answers_and_until_it_drains() {
    let world = World::new().await;
    let checks = world.spawn("store-check", health::watch_store);
    for _ in 0..20 {
        world.pass(SECOND).await;
        assert_eq!(world.authority.readiness(), Ok(()));
    }
    world.authority.drain();
    assert_eq!(world.authority.readiness(), Err(Unready::Draining));
    checks.abort();
}

#[tokio::test]
async fn a_process_whose_own_store_does_not_answer_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("keywright.db"), Clock::system()).await;
    let store = Arc::new(store.unwrap());
    let world = World::on(Arc::clone(&store) as _, Clock::manual(BEGIN)).await;
    let checks = world.spawn("store-check", health::watch_store);
    world.pass(SECOND).await;
    assert_eq!(world.authority.readiness(), Ok(()));
    store.close().await;
    world.pass(SECOND).await;
    let unready = || world.authority.readiness() == Err(Unready::Store);
    eventually("the failure", unready).await;
    assert_eq!(world.authority.store_answered_at(), None);
    checks.abort();
}

/// On a shared store the lease says it, with no task and no call.
#[tokio::test]
async fn a_process_on_a_shared_store_is_ready_for_as_long_as_its_lease_holds() {
    let world = World::shared().await;
    let millisecond = SECOND / 1000;
    world.pass(MAX_STALENESS - millisecond).await;
    assert_eq!(world.authority.readiness(), Ok(()));
    assert_eq!(world.authority.lease_remaining(), Some(millisecond));
    world.pass(millisecond).await;
    assert_eq!(world.authority.readiness(), Err(Unready::Stale));
    assert_eq!(world.authority.store_answered_at(), None);
}
