//! Grants with several processes on one store, and what time does to them.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keywright::access::approval::Operation;
use keywright::authority::audit::Actor;
use keywright::authority::grants::{GrantDraft, GrantError, IssuedGrant, RenewalRequest};
use keywright::authority::issuer::Issuer;
use keywright::authority::request::Request;
use keywright::authority::revocations::RevocationDraft;
use keywright::authority::upkeep;
use keywright::clock::Clock;
use keywright::oauth::{Grant, GrantEndCause, GrantHolder, GrantState, RequestProof};
use keywright::store::memory::MemoryStore;
use keywright::store::{Kind, Query, Record, Store, StoreError};
use keywright_verifier::revocation::{Selector, SelectorKind};
use serde_json::json;

use crate::world::{BEGIN, MAX_STALENESS, Process, SECOND, World, anyone, eventually};
use crate::wrapped_store::wrapped_store;

const HOUR: Duration = Duration::from_secs(3600);

fn draft(subject: &str) -> GrantDraft {
    GrantDraft {
        claims: json!({"sub": subject, "aud": "orders"})
            .as_object()
            .unwrap()
            .clone(),
        holder: GrantHolder::Public,
        expires_in: None,
        idle: HOUR * 48,
        absolute: HOUR * 24 * 30,
        binding: None,
    }
}

async fn open(process: &Process, subject: &str) -> IssuedGrant {
    let issuer = process.issuer("a").unwrap();
    let opened = process.open_grant(&issuer, &anyone(), draft(subject)).await;
    opened.unwrap_or_else(|error| panic!("{error}"))
}

async fn renew(process: &Process, token: &str) -> Result<IssuedGrant, GrantError> {
    let issuer = process.issuer("a").unwrap();
    let presented = process.presented_grant(&issuer, token).await?;
    let view = process.snapshot_for(&issuer, &presented.stored.grant);
    let view = view.await?;
    let request = RenewalRequest {
        scope: None,
        target: None,
        proof: RequestProof::default(),
        actor: Actor::Holder { address: None },
    };
    process
        .renew(&issuer, &view, &anyone(), &presented, &request)
        .await
}

async fn stored(process: &Process, issuer: &Issuer, id: &str) -> Grant {
    process.grant(issuer, id).await.unwrap().grant
}

/// A process that has its store for itself.
async fn alone() -> (Arc<MemoryStore>, Process) {
    let store = Arc::new(MemoryStore::default());
    let process = Process::on(Arc::clone(&store) as _, Clock::manual(BEGIN), MAX_STALENESS);
    let process = process.await.unwrap();
    process.create("a", json!({})).await;
    (store, process)
}

/// What a call answers that waits for other processes.
async fn while_time_passes<T>(
    world: &World,
    process: &Process,
    call: impl Future<Output = T>,
) -> T {
    tokio::pin!(call);
    loop {
        tokio::select! {
            answer = &mut call => return answer,
            () = tokio::time::sleep(Duration::from_millis(1)) => {
                world.pass(Duration::from_millis(10), &[process]);
            }
        }
    }
}

fn pass(process: &Process, duration: Duration) {
    let clock = &process.clock;
    clock.set(clock.read().wall.after(duration));
}

fn records(store: &MemoryStore, kind: Kind) -> usize {
    let listed = futures_util::FutureExt::now_or_never(store.list(Query::all(kind)));
    listed.unwrap().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_processes_that_race_for_one_token_each_has_the_same_successor() {
    let world = World::new();
    let (one, other) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    other.catch_up().await.unwrap();
    let mut token = open(&one, "user-1").await.refresh.reveal();
    for number in 1..=30 {
        let (mine, theirs, again) = tokio::join!(
            renew(&one, &token),
            renew(&other, &token),
            renew(&other, &token)
        );
        let renewed =
            [mine, theirs, again].map(|renewed| renewed.unwrap_or_else(|error| panic!("{error}")));
        let successor = renewed[0].refresh.reveal();
        for renewed in &renewed {
            assert_eq!(renewed.refresh.number(), number);
            assert_eq!(*renewed.refresh.reveal(), *successor);
        }
        token = successor;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_has_lost_a_renewal_ends_the_grant_and_never_mints_a_second_line() {
    let world = World::new();
    let one = world.process().await;
    let issuer = one.create("a", json!({})).await;
    let opened = open(&one, "user-1").await;
    let before = world.store.copy();
    let first = opened.refresh.reveal();
    let renewed = renew(&one, &first).await.unwrap().refresh.reveal();
    world.store.lose_commits(&before);
    let _ = one.catch_up().await;
    let ahead = while_time_passes(&world, &one, renew(&one, &renewed)).await;
    assert!(
        matches!(ahead, Err(GrantError::Reused)),
        "{:?}",
        ahead.err()
    );
    let grant = stored(&one, &issuer, &opened.grant.id).await;
    let state = grant.state(world.clock.read().wall);
    assert_eq!(state, GrantState::Ended(GrantEndCause::StoreWentBack));
    let old = renew(&one, &first).await;
    assert!(matches!(
        old,
        Err(GrantError::Ended(GrantEndCause::StoreWentBack))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_has_ended_is_deleted_a_day_later() {
    let (store, process) = alone().await;
    let opened = open(&process, "user-1").await;
    let task = tokio::spawn(upkeep::run(Arc::clone(&process)));
    let token = opened.refresh.reveal();
    pass(&process, HOUR * 48);
    let expired = renew(&process, &token).await;
    assert!(
        matches!(expired, Err(GrantError::Expired)),
        "{:?}",
        expired.err()
    );
    for _ in 0..23 {
        pass(&process, HOUR);
        tokio::task::yield_now().await;
    }
    assert_eq!(records(&store, Kind::Grant), 1);
    pass(&process, HOUR * 2);
    eventually(|| {
        pass(&process, SECOND);
        records(&store, Kind::Grant) == 0
    })
    .await;
    let gone = renew(&process, &token).await;
    assert!(matches!(gone, Err(GrantError::NeverIssued)));
    task.abort();
}

/// Revocations are forgotten when the last token that they refuse has expired. Grants live for weeks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_stays_taken_back_when_its_revocation_is_forgotten() {
    let (store, process) = alone().await;
    let issuer = process.issuer("a").unwrap();
    let (taken, other) = (
        open(&process, "user-1").await,
        open(&process, "user-2").await,
    );
    let draft = RevocationDraft {
        selector: Selector::new(SelectorKind::Subject, &["user-1"]).unwrap(),
        ban: None,
        reason: None,
    };
    let request = Request::by(Actor::Bootstrap);
    process
        .take_tokens_back(&issuer, vec![draft], request)
        .await
        .unwrap();
    let token = taken.refresh.reveal();
    let revoked = renew(&process, &token).await;
    assert!(matches!(
        revoked,
        Err(GrantError::Ended(GrantEndCause::Revoked))
    ));
    // Nothing says so in its record yet.
    assert_eq!(stored(&process, &issuer, &taken.grant.id).await.ended, None);
    let task = tokio::spawn(upkeep::run(Arc::clone(&process)));
    pass(&process, HOUR * 3);
    eventually(|| {
        pass(&process, SECOND);
        records(&store, Kind::Revocation) == 0
    })
    .await;
    task.abort();
    let revoked = renew(&process, &token).await;
    assert!(matches!(
        revoked,
        Err(GrantError::Ended(GrantEndCause::Revoked))
    ));
    let ended = stored(&process, &issuer, &taken.grant.id)
        .await
        .ended
        .unwrap();
    assert_eq!(ended.cause, GrantEndCause::Revoked);
    assert_eq!(stored(&process, &issuer, &other.grant.id).await.ended, None);
    // Its clock has just jumped, and is believed again after a while.
    pass(&process, SECOND * 20);
    eventually(|| {
        pass(&process, SECOND);
        process.clock.is_believed()
    })
    .await;
    renew(&process, &other.refresh.reveal()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_grants_of_an_issuer_go_with_it() {
    let (store, process) = alone().await;
    process.create("b", json!({})).await;
    let kept = open(&process, "user-1").await;
    let b = process.issuer("b").unwrap();
    let opened = process.open_grant(&b, &anyone(), draft("user-1")).await;
    assert!(opened.is_ok());
    assert_eq!(records(&store, Kind::Grant), 2);
    let request = Request::by(Actor::Bootstrap);
    process.ask(&b, Operation::Delete, request).await.unwrap();
    let task = tokio::spawn(upkeep::run(Arc::clone(&process)));
    eventually(|| {
        pass(&process, SECOND);
        records(&store, Kind::Grant) == 1
    })
    .await;
    task.abort();
    let live = "keywright_grants{issuer=\"a\"} 1\n";
    assert!(process.metrics().render().contains(live));
    let a = process.issuer("a").unwrap();
    assert_eq!(stored(&process, &a, &kept.grant.id).await.ended, None);
}

/// A store that remembers of which issuers all grants were asked for.
#[derive(Default)]
struct Watched {
    store: WatchedReads,
}

#[derive(Default)]
struct WatchedReads {
    store: MemoryStore,
    asked: Mutex<BTreeSet<String>>,
}

impl Deref for WatchedReads {
    type Target = MemoryStore;

    fn deref(&self) -> &MemoryStore {
        &self.store
    }
}

impl WatchedReads {
    async fn read(&self, queries: &[Query]) -> Result<Vec<Vec<Record>>, StoreError> {
        let of_grants = queries.iter().filter(|query| query.kind == Kind::Grant);
        let whole = of_grants.filter(|query| query.ids.is_none());
        let owners = whole.flat_map(|query| query.owners.iter().flatten().flatten());
        let names = owners.map(|owner| owner.as_str().to_owned());
        self.asked.lock().unwrap().extend(names);
        self.store.read(queries).await
    }
}

wrapped_store!(Watched {
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
        None
    }
});

/// Names of deleted issuers are kept for good: a query for each of them would cost more every year.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_issuers_without_grants_are_not_asked_for_any() {
    let store = Arc::new(Watched::default());
    let process = Process::on(Arc::clone(&store) as _, Clock::manual(BEGIN), MAX_STALENESS);
    let process = process.await.unwrap();
    let delete = async |name: &str| {
        let issuer = process.issuer(name).unwrap();
        let request = Request::by(Actor::Bootstrap);
        let deleted = process.ask(&issuer, Operation::Delete, request).await;
        deleted.unwrap();
    };
    for name in ["empty-1", "empty-2", "empty-3"] {
        process.create(name, json!({})).await;
        delete(name).await;
    }
    let task = tokio::spawn(upkeep::run(Arc::clone(&process)));
    // When the second is swept, the round of the first has ended.
    for name in ["first", "second"] {
        let issuer = process.create(name, json!({})).await;
        let opened = process
            .open_grant(&issuer, &anyone(), draft("user-1"))
            .await;
        assert!(opened.is_ok());
        delete(name).await;
        eventually(|| {
            pass(&process, SECOND);
            records(&store.store, Kind::Grant) == 0
        })
        .await;
    }
    task.abort();
    let asked = store.store.asked.lock().unwrap().clone();
    assert_eq!(asked.iter().collect::<Vec<_>>(), ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_altered_or_moved_in_the_store_renews_nothing() {
    let (store, process) = alone().await;
    let (one, other) = (
        open(&process, "user-1").await,
        open(&process, "user-2").await,
    );
    let find = |id: &str| {
        let query = Query {
            ids: Some(vec![id.to_owned()]),
            ..Query::all(Kind::Grant)
        };
        let listed = futures_util::FutureExt::now_or_never(store.list(query));
        listed.unwrap().unwrap().pop().unwrap()
    };
    let (mine, theirs) = (find(&one.grant.id), find(&other.grant.id));
    // The key of one grant in the record of another.
    let mut batch = keywright::store::Batch::new(keywright::store::BatchId([1; 16]));
    batch.writes.push(keywright::store::Write::Replace(
        mine.key.clone(),
        mine.token,
        keywright::store::Content {
            document: mine.document.clone(),
            sealed: keywright::store::SealedChange::Set(theirs.sealed.clone().unwrap()),
            index: mine.index.clone(),
            ..keywright::store::Content::default()
        },
    ));
    keywright::store::commit(&*store, batch).await.unwrap();
    assert!(renew(&process, &one.refresh.reveal()).await.is_err());
    renew(&process, &other.refresh.reveal()).await.unwrap();
}
