//! A process that is far from the database keeps its lease, however often others commit.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use keywright::authority::Authority;
use keywright::authority::audit::Actor;
use keywright::clock::Clock;
use keywright::lifecycle::IssuerName;
use keywright::store::chain::LogHead;
use keywright::store::memory::MemoryStore;
use keywright::store::replicas::{Changes, Heartbeat, ReplicaList, ReplicaStore};
use keywright::store::{CommitError, Store, StoreError, StoredSet};
use serde_json::json;
use tokio::task::yield_now;

use crate::world::{MAX_STALENESS, Process, World, policy};
use crate::wrapped_store::wrapped_store;

/// The store as a process far away sees it: between what it reads and the heartbeat that it sends,
/// another process commits.
struct FarAway {
    store: Arc<MemoryStore>,
    other: OnceLock<Arc<Authority>>,
}

impl FarAway {
    async fn let_the_other_commit(&self) -> Result<(), StoreError> {
        let Some(other) = self.other.get() else {
            return Ok(());
        };
        let head = self.store.log_head().await?;
        // Another policy each time.
        let ttl = format!("{}s", 3600 + head.sequence);
        let name = IssuerName::parse("a").unwrap();
        let policy = policy("a", json!({ "max_token_ttl": ttl }));
        let other = Arc::clone(other);
        // Its answer waits for this process, and does not matter here.
        tokio::spawn(async move {
            other
                .set_issuer(&name, policy, None, Actor::Bootstrap)
                .await
        });
        while self.store.log_head().await? == head {
            yield_now().await;
        }
        Ok(())
    }
}

#[async_trait]
impl ReplicaStore for FarAway {
    async fn changes(&self, after: LogHead, positions: &[LogHead]) -> Result<Changes, StoreError> {
        self.store.changes(after, positions).await
    }

    async fn load(&self, issuer: &IssuerName) -> Result<(Option<StoredSet>, LogHead), StoreError> {
        self.store.load(issuer).await
    }

    async fn wait_for_change(&self) {
        self.store.wait_for_change().await;
    }

    async fn write_heartbeat(&self, heartbeat: &Heartbeat) -> Result<ReplicaList, StoreError> {
        self.let_the_other_commit().await?;
        self.store.write_heartbeat(heartbeat).await
    }

    async fn replicas(&self) -> Result<ReplicaList, StoreError> {
        ReplicaStore::replicas(&*self.store).await
    }

    async fn remove_replica(&self, replica: &str) -> Result<(), StoreError> {
        self.store.remove_replica(replica).await
    }

    async fn set_max_staleness(
        &self,
        before: Option<Duration>,
        after: Duration,
    ) -> Result<(), CommitError> {
        self.store.set_max_staleness(before, after).await
    }

    async fn last_change(&self, issuer: &IssuerName) -> Result<u64, StoreError> {
        self.store.last_change(issuer).await
    }
}

wrapped_store!(FarAway {
    async fn writer(&self) -> Result<Box<dyn Writer + '_>, StoreError> {
        self.store.writer().await
    }

    async fn outcome(&self, batch: BatchId) -> Result<Option<LogHead>, StoreError> {
        self.store.outcome(batch).await
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        self.store.record_uses(uses).await
    }

    fn replicas(&self) -> Option<&dyn ReplicaStore> {
        Some(self)
    }
});

#[tokio::test]
async fn commits_of_others_in_every_round_end_no_lease() {
    let world = World::new();
    let near = world.process().await;
    near.create("a", json!({})).await;
    let store = Arc::new(FarAway {
        store: Arc::clone(&world.store),
        other: OnceLock::new(),
    });
    let clock = Clock::manual(world.clock.read().wall);
    let far = Process::on(Arc::clone(&store) as _, clock, MAX_STALENESS);
    let far = far.await.unwrap();
    assert!(store.other.set(Arc::clone(&near)).is_ok());

    for _ in 0..12 {
        world.pass(MAX_STALENESS / 2, &[&near, &far]);
        near.catch_up().await.unwrap();
        let begun = world.store.log_head().await.unwrap();
        let known = near.issuer("a").unwrap().snapshot().set().version();
        far.catch_up().await.unwrap();
        let ended = world.store.log_head().await.unwrap();
        assert_ne!(ended, begun, "nothing was committed");
        // What had been committed before the round is in memory after it.
        assert!(far.issuer("a").unwrap().snapshot().set().version() >= known);
        assert_eq!(far.readiness(), Ok(()));
        assert!(far.sign("a").await.is_ok());
    }
}
