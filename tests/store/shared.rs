//! The contract of [`SharedStore`], asked of every store that several processes can use, through
//! two handles as two processes would have them.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use keywright::clock::Clock;
use keywright::lifecycle::{IssuerName, Timestamp};
use keywright::store::memory::MemoryStore;
use keywright::store::shared::{Changes, Heartbeat, SharedStore};
use keywright::store::{ClientChange, ClientRow, CommitError, KeyStore};
use tokio::sync::Semaphore;

use crate::conformance::{assert_whole, open_database};
use crate::rows::{change, commit, event, name, of_client, set};
use crate::support::postgres::{Pooler, shared};

/// Two handles on one empty store.
pub(crate) struct Pair {
    one: Arc<dyn KeyStore>,
    other: Arc<dyn KeyStore>,
}

impl Pair {
    fn shared(&self) -> [&dyn SharedStore; 2] {
        [&self.one, &self.other].map(|store| store.shared().unwrap())
    }
}

macro_rules! conformance {
    ($store:ident, $open:ident, { $($behaviour:ident)* }) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    if let Some(pair) = super::$open().await {
                        super::$behaviour(&pair).await;
                    }
                }
            )*
        }
    };
}

/// One line a store.
macro_rules! stores {
    ($behaviours:tt) => {
        conformance!(memory, open_memory, $behaviours);
        conformance!(postgres, open_postgres, $behaviours);
        conformance!(
            postgres_behind_pgbouncer,
            open_behind_pgbouncer,
            $behaviours
        );
    };
}

stores!({
    changes_name_each_issuer_once
    changes_tell_of_events_without_an_issuer
    a_number_beyond_the_head_belongs_to_another_past
    a_refused_commit_is_no_change
    the_last_change_of_an_issuer_is_its_own
    a_heartbeat_is_on_everyones_roll
    a_replica_that_has_left_is_on_no_roll
    of_ten_first_agreements_one_wins
    of_ten_further_agreements_one_wins
    a_commit_is_late_after_its_deadline
    of_twenty_commits_by_two_handles_one_wins
    two_hundred_commits_of_different_issuers_make_one_chain
    whoever_follows_the_changes_misses_none
    a_commit_is_heard_of_by_another_handle
});

async fn open_memory() -> Option<Pair> {
    let store = Arc::new(MemoryStore::shared_by_all(Clock::system()));
    Some(Pair {
        one: Arc::clone(&store) as _,
        other: store,
    })
}

async fn open_postgres() -> Option<Pair> {
    let url = shared()?.database();
    open_both(&url, &url).await
}

/// One of two is behind a pooler, and listens to the database itself.
async fn open_behind_pgbouncer() -> Option<Pair> {
    static POOLER: OnceLock<Option<Pooler>> = OnceLock::new();
    let server = shared()?;
    let pooler = POOLER.get_or_init(|| Pooler::start(server)).as_ref()?;
    let database = server.create_database();
    open_both(&pooler.url(&database), &server.url(&database)).await
}

async fn open_both(one: &str, other: &str) -> Option<Pair> {
    Some(Pair {
        one: Arc::new(open_database(one).await.unwrap()),
        other: Arc::new(open_database(other).await.unwrap()),
    })
}

fn heartbeat(replica: &str, through: u64) -> Heartbeat {
    Heartbeat {
        replica: replica.to_owned(),
        through,
        document: format!("{{\"replica\":\"{replica}\",\"through\":{through}}}"),
    }
}

async fn add_client(store: &dyn KeyStore, id: &str) {
    let client = ClientRow {
        id: id.to_owned(),
        version: 1,
        document: "{}".to_owned(),
    };
    let change = of_client(store, ClientChange::Create(client)).await;
    store
        .commit_access(change, event(None, "{}"))
        .await
        .unwrap();
}

fn changes(head: u64, issuers: &[&str], access: bool) -> Changes {
    Changes {
        head,
        issuers: issuers.iter().map(|issuer| name(issuer)).collect(),
        access,
    }
}

async fn changes_name_each_issuer_once(pair: &Pair) {
    let [one, other] = pair.shared();
    assert_eq!(one.changes(0).await.unwrap(), changes(0, &[], false));
    for (issuer, version) in [("z", 1), ("a", 1), ("z", 2), ("m", 1), ("a", 2)] {
        pair.one.commit(commit(issuer, version)).await.unwrap();
    }
    for (after, expected) in [
        (0, changes(5, &["a", "m", "z"], false)),
        (2, changes(5, &["a", "m", "z"], false)),
        (3, changes(5, &["a", "m"], false)),
        (4, changes(5, &["a"], false)),
        (5, changes(5, &[], false)),
    ] {
        assert_eq!(other.changes(after).await.unwrap(), expected, "{after}");
        assert_eq!(one.changes(after).await.unwrap(), expected, "{after}");
    }
}

async fn changes_tell_of_events_without_an_issuer(pair: &Pair) {
    let [_, other] = pair.shared();
    pair.one.commit(commit("a", 1)).await.unwrap();
    add_client(&*pair.one, "c").await;
    pair.one.commit(commit("b", 1)).await.unwrap();
    for (after, expected) in [
        (0, changes(3, &["a", "b"], true)),
        (1, changes(3, &["b"], true)),
        (2, changes(3, &["b"], false)),
    ] {
        assert_eq!(other.changes(after).await.unwrap(), expected, "{after}");
    }
}

async fn a_number_beyond_the_head_belongs_to_another_past(pair: &Pair) {
    let [one, _] = pair.shared();
    assert_eq!(one.changes(7).await.unwrap(), changes(0, &[], false));
    pair.one.commit(commit("a", 1)).await.unwrap();
    pair.one.commit(commit("b", 1)).await.unwrap();
    for beyond in [3, u64::MAX] {
        let told = one.changes(beyond).await.unwrap();
        assert_eq!(told, changes(2, &["a", "b"], false), "{beyond}");
    }
}

async fn a_refused_commit_is_no_change(pair: &Pair) {
    let [_, other] = pair.shared();
    pair.one.commit(commit("a", 1)).await.unwrap();
    pair.one.commit(commit("a", 1)).await.unwrap_err();
    pair.one.commit(commit("b", 7)).await.unwrap_err();
    assert_eq!(other.changes(1).await.unwrap(), changes(1, &[], false));
}

async fn the_last_change_of_an_issuer_is_its_own(pair: &Pair) {
    let [_, other] = pair.shared();
    assert_eq!(other.last_change(&name("a")).await.unwrap(), 0);
    pair.one.commit(commit("a", 1)).await.unwrap();
    pair.one.commit(commit("b", 1)).await.unwrap();
    pair.one.commit(commit("a", 2)).await.unwrap();
    add_client(&*pair.one, "c").await;
    for (issuer, last) in [("a", 3), ("b", 2), ("c", 0)] {
        let told = other.last_change(&name(issuer)).await.unwrap();
        assert_eq!(told, last, "{issuer}");
    }
}

async fn a_heartbeat_is_on_everyones_roll(pair: &Pair) {
    let [one, other] = pair.shared();
    let first = one.beat(&heartbeat("n", 0)).await.unwrap();
    assert_eq!((first.head, first.max_staleness), (0, None));
    pair.one.commit(commit("a", 1)).await.unwrap();
    other.beat(&heartbeat("b", 1)).await.unwrap();
    one.beat(&heartbeat("z", 0)).await.unwrap();
    let last = one.beat(&heartbeat("n", 1)).await.unwrap();
    assert_eq!(last.head, 1);
    let told: Vec<_> = last
        .replicas
        .iter()
        .map(|one| one.heartbeat.clone())
        .collect();
    assert_eq!(
        told,
        [heartbeat("b", 1), heartbeat("n", 1), heartbeat("z", 0)]
    );
    for roll in [&last, &other.roll().await.unwrap()] {
        assert_eq!(roll.replicas, last.replicas);
        assert_eq!(roll.live().count(), 3);
        for replica in &roll.replicas {
            assert!(first.now <= replica.seen_at && replica.seen_at <= roll.now);
        }
    }
    let own = &last.replicas[1];
    assert!(
        first.replicas[0].seen_at <= own.seen_at,
        "{first:?} {last:?}"
    );
    // The store's clock is this machine's: nobody tells it what time it is.
    let apart = Clock::system().now().since(last.now);
    assert!(apart < Duration::from_secs(60), "{apart:?}");
}

async fn a_replica_that_has_left_is_on_no_roll(pair: &Pair) {
    let [one, other] = pair.shared();
    for replica in ["a", "b"] {
        one.beat(&heartbeat(replica, 0)).await.unwrap();
    }
    other.leave("a").await.unwrap();
    other.leave("nobody").await.unwrap();
    let roll = one.roll().await.unwrap();
    let left: Vec<_> = roll
        .replicas
        .iter()
        .map(|one| &one.heartbeat.replica)
        .collect();
    assert_eq!(left, ["b"]);
}

/// Asks ten times at once, and answers what was agreed on.
async fn agree_at_once(pair: &Pair, before: Option<Duration>) -> Duration {
    let attempts = (1..=10).map(|seconds| {
        let store = Arc::clone(if seconds % 2 == 0 {
            &pair.one
        } else {
            &pair.other
        });
        tokio::spawn(async move {
            let after = Duration::from_secs(100 + seconds);
            let outcome = store.shared().unwrap().agree(before, after).await;
            (after, outcome)
        })
    });
    let mut won = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            (after, Ok(())) => won.push(after),
            (_, refused) => assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    let [_, other] = pair.shared();
    assert_eq!(other.roll().await.unwrap().max_staleness, Some(won[0]));
    won[0]
}

async fn of_ten_first_agreements_one_wins(pair: &Pair) {
    agree_at_once(pair, None).await;
}

async fn of_ten_further_agreements_one_wins(pair: &Pair) {
    let [one, other] = pair.shared();
    let first = Duration::from_secs(30);
    let early = one.agree(Some(first), first).await;
    assert!(matches!(early, Err(CommitError::Conflict)), "{early:?}");
    one.agree(None, first).await.unwrap();
    agree_at_once(pair, Some(first)).await;
    let stale = other.agree(Some(first), Duration::from_millis(1500)).await;
    assert!(matches!(stale, Err(CommitError::Conflict)), "{stale:?}");
}

async fn a_commit_is_late_after_its_deadline(pair: &Pair) {
    pair.one.commit(commit("a", 1)).await.unwrap();
    let before = pair.one.load(&name("a")).await.unwrap();
    let now = Clock::system().now();
    for deadline in [now.before(Duration::from_secs(1)), Timestamp::default()] {
        let mut late = commit("a", 2);
        late.keys = vec![change("k", "key", set(b"sealed"))];
        late.deadline = deadline;
        let refused = pair.one.commit(late).await;
        assert!(matches!(refused, Err(CommitError::Late)), "{refused:?}");
    }
    assert_eq!(pair.other.load(&name("a")).await.unwrap(), before);
    assert_eq!(pair.other.events(None, 0, 10).await.unwrap().len(), 1);
    let mut in_time = commit("a", 2);
    in_time.deadline = now.after(Duration::from_secs(60));
    pair.one.commit(in_time).await.unwrap();
    assert_whole(&*pair.other).await;
}

async fn of_twenty_commits_by_two_handles_one_wins(pair: &Pair) {
    pair.one.commit(commit("a", 1)).await.unwrap();
    let attempts = (0..20).map(|number| {
        let store = Arc::clone(if number % 2 == 0 {
            &pair.one
        } else {
            &pair.other
        });
        tokio::spawn(async move {
            let mut attempt = commit("a", 2);
            attempt.issuer.document = format!("attempt {number}");
            attempt.keys = vec![change(&format!("k{number}"), "key", set(b"sealed"))];
            (number, store.commit(attempt).await)
        })
    });
    let mut won = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            (number, Ok(())) => won.push(number),
            (_, refused) => assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    let stored = pair.other.load(&name("a")).await.unwrap().unwrap();
    assert_eq!(stored.issuer.document, format!("attempt {}", won[0]));
    assert_eq!(stored.keys.len(), 1);
    assert_eq!(pair.one.events(None, 0, 100).await.unwrap().len(), 2);
}

/// Commits `count` new issuers by both handles, so many at once that all their connections are busy,
/// and not so many that a slow disk keeps one waiting for a connection until its patience ends.
async fn commit_many(pair: &Pair, count: usize) {
    let places = Arc::new(Semaphore::new(24));
    let commits = (0..count).map(|number| {
        let places = Arc::clone(&places);
        let store = Arc::clone(if number % 2 == 0 {
            &pair.one
        } else {
            &pair.other
        });
        tokio::spawn(async move {
            let _place = places.acquire().await.unwrap();
            store.commit(commit(&format!("i{number}"), 1)).await
        })
    });
    for commit in commits.collect::<Vec<_>>() {
        commit.await.unwrap().unwrap();
    }
}

async fn two_hundred_commits_of_different_issuers_make_one_chain(pair: &Pair) {
    commit_many(pair, 200).await;
    let events = pair.other.events(None, 0, 1000).await.unwrap();
    let numbers: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    assert_whole(&*pair.one).await;
    assert_eq!(pair.one.issuers().await.unwrap().len(), 200);
}

// An event that became visible after one with a higher number would never be asked for.
async fn whoever_follows_the_changes_misses_none(pair: &Pair) {
    let follower = Arc::clone(&pair.other);
    let following = tokio::spawn(async move {
        let (mut through, mut seen) = (0, BTreeSet::<IssuerName>::new());
        while through < 100 {
            let changes = follower.shared().unwrap().changes(through).await.unwrap();
            assert!(changes.head >= through);
            for issuer in &changes.issuers {
                assert!(follower.load(issuer).await.unwrap().is_some(), "{issuer}");
            }
            through = changes.head;
            seen.extend(changes.issuers);
        }
        seen
    });
    commit_many(pair, 100).await;
    assert_eq!(following.await.unwrap().len(), 100);
}

async fn a_commit_is_heard_of_by_another_handle(pair: &Pair) {
    let [_, other] = pair.shared();
    let told = tokio::time::timeout(Duration::from_secs(60), async {
        let mut through = 0;
        while through < 3 {
            let mut change = pin!(other.changed());
            tokio::select! {
                biased;
                // It may return for nothing, such as when it begins to listen.
                () = &mut change => continue,
                () = tokio::task::yield_now() => {}
            }
            pair.one.commit(commit("a", through + 1)).await.unwrap();
            change.await;
            through = other.changes(through).await.unwrap().head;
        }
    });
    told.await.unwrap();
}
