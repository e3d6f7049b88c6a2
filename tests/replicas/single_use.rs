//! Tokens that count once: uses that share a batch, processes that race, and what time does to records.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keywright::authority::signing::{SignRequest, Uses, sign};
use keywright::authority::single_use::{ConsumeError, Consumed};
use keywright::authority::upkeep;
use keywright::clock::Clock;
use keywright::oauth::single_use::IdempotencyKey;
use keywright::store::memory::MemoryStore;
use keywright::store::{Batch, CommitError, Kind, Query, Store as _};
use serde_json::json;

use crate::world::{BEGIN, MAX_STALENESS, Process, SECOND, World, anyone, eventually};
use crate::wrapped_store::wrapped_store;

async fn token(process: &Process) -> String {
    let view = process.issuer("a").unwrap().leased_snapshot();
    let request = SignRequest {
        claims: keywright_verifier::json::Members::default(),
        expires_in: Some(60),
        typ: None,
        algorithm: None,
        origin: None,
        confirmation: None,
        uses: Uses::Once,
        status: None,
    };
    let signed = sign(&view, &anyone(), request).await;
    signed.unwrap_or_else(|error| panic!("{error}")).token
}

async fn use_up(process: &Process, token: &str, key: &str) -> Result<Consumed, ConsumeError> {
    let issuer = process.issuer("a").unwrap();
    let token = process.issued_token(&issuer, token).unwrap();
    let key = IdempotencyKey::parse(key).unwrap();
    process.consume(&issuer, token, "orders", key).await
}

/// A store whose commits take a while, one at a time, and are counted.
#[derive(Default)]
struct Slow {
    store: MemoryStore,
    commits: AtomicUsize,
}

struct SlowWriter<'a> {
    writer: Box<dyn keywright::store::Writer + 'a>,
    commits: &'a AtomicUsize,
}

#[async_trait::async_trait]
impl keywright::store::Writer for SlowWriter<'_> {
    async fn commit(
        self: Box<Self>,
        batch: Batch,
    ) -> Result<keywright::store::chain::LogHead, CommitError> {
        let is_use = |write: &keywright::store::Write| write.key().kind == Kind::UsedToken;
        if batch.writes.iter().any(is_use) {
            self.commits.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.writer.commit(batch).await
    }
}

impl Deref for Slow {
    type Target = MemoryStore;

    fn deref(&self) -> &MemoryStore {
        &self.store
    }
}

wrapped_store!(Slow {
    async fn writer(&self) -> Result<Box<dyn Writer + '_>, StoreError> {
        Ok(Box::new(SlowWriter {
            writer: self.store.writer().await?,
            commits: &self.commits,
        }))
    }

    async fn outcome(&self, batch: BatchId) -> Result<Option<LogHead>, StoreError> {
        self.store.outcome(batch).await
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        self.store.record_uses(uses).await
    }

    fn replicas(&self) -> Option<&dyn ReplicaStore> {
        None
    }
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_that_come_while_a_batch_is_committed_share_the_next_one() {
    let store = Arc::new(Slow::default());
    let process = Process::on(Arc::clone(&store) as _, Clock::manual(BEGIN), MAX_STALENESS);
    let process = Arc::new(process.await.unwrap());
    process.create("a", json!({})).await;
    let mut uses = Vec::new();
    for number in 0..100 {
        let (process, token) = (Arc::clone(&process), token(&process).await);
        let key = format!("k{number}");
        uses.push(tokio::spawn(async move {
            use_up(&process, &token, &key).await.map(drop)
        }));
    }
    for used in uses {
        assert!(used.await.unwrap().is_ok());
    }
    let commits = store.commits.load(Ordering::SeqCst);
    assert!(commits <= 20, "{commits} commits for 100 uses");
}

/// Each caller has its next token used up when the one before is: as many share a commit as there are callers, and
/// none waits for the commits of others after its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_is_answered_when_its_own_batch_is_committed() {
    const CALLERS: usize = 32;
    const ROUNDS: usize = 10;
    let store = Arc::new(Slow::default());
    let process = Process::on(Arc::clone(&store) as _, Clock::manual(BEGIN), MAX_STALENESS);
    let process = Arc::new(process.await.unwrap());
    process.create("a", json!({})).await;
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let mut tokens = Vec::new();
        for _ in 0..ROUNDS {
            tokens.push(token(&process).await);
        }
        let process = Arc::clone(&process);
        callers.push(async move {
            for (round, token) in tokens.iter().enumerate() {
                let used = use_up(&process, token, &format!("{caller}-{round}")).await;
                assert!(used.is_ok());
            }
        });
    }
    let callers: Vec<_> = callers.into_iter().map(tokio::spawn).collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let commits = store.commits.load(Ordering::SeqCst);
    assert!(
        commits <= 4 * ROUNDS,
        "{commits} commits for {ROUNDS} rounds"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_processes_that_race_one_uses_a_token_up() {
    let world = World::new();
    let (one, other) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    other.catch_up().await.unwrap();
    for round in 0..30 {
        let token = token(&one).await;
        let keys = [0, 1, 2, 3].map(|caller| format!("{round}-{caller}"));
        let (a, b, c, d) = tokio::join!(
            use_up(&one, &token, &keys[0]),
            use_up(&other, &token, &keys[1]),
            use_up(&one, &token, &keys[2]),
            use_up(&other, &token, &keys[3]),
        );
        let outcomes = [a, b, c, d];
        let used = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(used, 1);
        for outcome in &outcomes {
            assert!(matches!(
                outcome,
                Ok(_) | Err(ConsumeError::AlreadyConsumed)
            ));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_repeated_for_a_minute_and_a_record_goes_after_its_token() {
    let store = Arc::new(MemoryStore::default());
    let process = Process::on(Arc::clone(&store) as _, Clock::manual(BEGIN), MAX_STALENESS);
    let process = process.await.unwrap();
    process.create("a", json!({})).await;
    let token = token(&process).await;
    let first = use_up(&process, &token, "k1").await.unwrap();
    let pass = |duration: Duration| {
        let clock = &process.clock;
        clock.set(clock.read().wall.after(duration));
    };
    pass(SECOND * 60);
    // The token has expired by now; the consumer that has used it up is told so all the same.
    let again = use_up(&process, &token, "k1").await.unwrap();
    assert_eq!((again.at, again.is_repeated), (first.at, true));
    pass(SECOND);
    let late = use_up(&process, &token, "k1").await;
    assert!(matches!(late, Err(ConsumeError::AlreadyConsumed)));
    let records = || {
        let listed = store.list(Query::all(Kind::UsedToken));
        futures_util::FutureExt::now_or_never(listed)
            .unwrap()
            .unwrap()
            .len()
    };
    let task = tokio::spawn(upkeep::run(Arc::clone(&process)));
    pass(SECOND * 120);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(records(), 1);
    eventually(|| {
        pass(SECOND * 10);
        records() == 0
    })
    .await;
    task.abort();
    let gone = use_up(&process, &token, "k2").await;
    assert!(matches!(gone, Err(ConsumeError::NotActive(_))));
}
