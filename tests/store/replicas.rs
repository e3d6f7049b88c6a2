//! The contract of [`ReplicaStore`], asked of every store that several processes can use, through
//! two handles as two processes would have them.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use keywright::clock::Clock;
use keywright::lifecycle::Timestamp;
use keywright::store::chain::LogHead;
use keywright::store::memory::MemoryStore;
use keywright::store::replicas::{Changes, Heartbeat, ReplicaList, ReplicaStore};
use keywright::store::{
    Batch, CommitError, Content, Expectation, Kind, Query, RecordKey, Store, Write,
};
use tokio::sync::Semaphore;

use crate::conformance::{assert_whole, open_database};
use crate::rows::{
    StoreCalls as _, approval, batch, batch_id, change, client, commit, name, set, silent,
};
use crate::support::postgres::{Pooler, shared};

/// Two handles on one empty store.
pub(crate) struct Pair {
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
}

impl Pair {
    fn shared(&self) -> [&dyn ReplicaStore; 2] {
        [&self.one, &self.other].map(|store| store.replicas().unwrap())
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
    changes_bring_each_set_once
    changes_bring_the_clients_after_events_without_an_issuer
    a_head_that_is_not_on_the_log_belongs_to_another_past
    a_refused_commit_is_no_change
    the_last_change_of_an_issuer_is_its_own
    a_heartbeat_is_on_the_list_of_every_replica
    a_replica_that_tells_of_an_event_that_is_not_on_the_log_has_nothing
    a_replica_finds_its_own_heartbeat_in_the_answer
    a_replica_that_was_removed_is_on_no_list
    of_ten_first_agreements_one_wins
    of_ten_further_agreements_one_wins
    a_commit_is_late_after_its_deadline
    of_twenty_commits_by_two_handles_one_wins
    of_twenty_batches_without_events_by_two_handles_one_wins
    of_twenty_batches_by_two_handles_no_more_win_than_may_be_there
    two_hundred_commits_of_different_issuers_make_one_chain
    a_replica_that_follows_the_changes_misses_none
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

fn heartbeat(replica: &str, through: LogHead) -> Heartbeat {
    Heartbeat {
        replica: replica.to_owned(),
        through,
        document: format!(
            "{{\"replica\":\"{replica}\",\"through\":{}}}",
            through.sequence
        ),
    }
}

async fn add_client(store: &dyn Store, id: &str) -> LogHead {
    let create = Write::Create(client(id), Content::of("{}".to_owned()));
    store.write(batch([create], "{}")).await.unwrap()
}

/// What changes name: where the log ends, which issuers, and how many clients if any has changed.
fn shown(changes: &Changes) -> (LogHead, bool, Vec<&str>, Option<usize>) {
    let sets = changes.sets.iter();
    (
        changes.head,
        changes.is_continued,
        sets.map(|set| set.issuer.key.id.as_str()).collect(),
        changes.clients.as_ref().map(Vec::len),
    )
}

async fn changes_bring_each_set_once(pair: &Pair) {
    let [one, other] = pair.shared();
    let none = one.changes(LogHead::BEGINNING, &[]).await.unwrap();
    assert_eq!(shown(&none), (LogHead::BEGINNING, true, vec![], None));
    let mut heads = vec![LogHead::BEGINNING];
    for (issuer, version) in [("z", 1), ("a", 1), ("z", 2), ("m", 1), ("a", 2)] {
        let mut written = commit(issuer, version);
        written.keys = vec![change(&format!("k{version}"), "key", set(b"sealed"))];
        heads.push(pair.one.commit(written).await.unwrap());
    }
    for (after, expected) in [
        (0, vec!["a", "m", "z"]),
        (2, vec!["a", "m", "z"]),
        (3, vec!["a", "m"]),
        (4, vec!["a"]),
        (5, vec![]),
    ] {
        for handle in [one, other] {
            let changes = handle.changes(heads[after], &[]).await.unwrap();
            assert_eq!(
                shown(&changes),
                (heads[5], true, expected.clone(), None),
                "{after}"
            );
            // They come as they are, keys and private halves and all.
            for set in changes.sets {
                let issuer = name(&set.issuer.key.id);
                assert_eq!(pair.one.load(&issuer).await.unwrap(), Some(set), "{after}");
            }
        }
    }
}

async fn changes_bring_the_clients_after_events_without_an_issuer(pair: &Pair) {
    let [_, other] = pair.shared();
    let first = pair.one.commit(commit("a", 1)).await.unwrap();
    let second = add_client(&*pair.one, "c").await;
    let last = pair.one.commit(commit("b", 1)).await.unwrap();
    for (after, expected) in [
        (LogHead::BEGINNING, (last, true, vec!["a", "b"], Some(1))),
        (first, (last, true, vec!["b"], Some(1))),
        (second, (last, true, vec!["b"], None)),
    ] {
        let changes = other.changes(after, &[]).await.unwrap();
        assert_eq!(shown(&changes), expected, "{after:?}");
        if let Some(clients) = changes.clients {
            assert_eq!(clients, pair.one.clients().await.unwrap());
        }
    }
}

fn foreign(sequence: u64) -> LogHead {
    LogHead {
        sequence,
        hash: "5a".repeat(32).parse().unwrap(),
    }
}

/// After a fail-over to a database that has lost commits a number may stand for another event.
async fn a_head_that_is_not_on_the_log_belongs_to_another_past(pair: &Pair) {
    let [one, other] = pair.shared();
    let told = one.changes(foreign(7), &[]).await.unwrap();
    let nothing = (LogHead::BEGINNING, false, vec![], Some(0));
    assert_eq!(shown(&told), nothing);
    let first = pair.one.commit(commit("a", 1)).await.unwrap();
    pair.one.commit(commit("b", 1)).await.unwrap();
    let head = add_client(&*pair.one, "c").await;
    for sequence in [0, 1, 2, 3, 4, 1 << 40] {
        for handle in [one, other] {
            let told = handle.changes(foreign(sequence), &[]).await.unwrap();
            let everything = (head, false, vec!["a", "b"], Some(1));
            assert_eq!(shown(&told), everything, "{sequence}");
        }
    }
    // The right hash with another number is another event, too.
    for sequence in [2, 7] {
        let moved = LogHead { sequence, ..first };
        assert!(
            !one.changes(moved, &[]).await.unwrap().is_continued,
            "{sequence}"
        );
    }
    assert!(one.changes(first, &[]).await.unwrap().is_continued);
}

async fn a_refused_commit_is_no_change(pair: &Pair) {
    let [_, other] = pair.shared();
    let head = pair.one.commit(commit("a", 1)).await.unwrap();
    pair.one.commit(commit("a", 1)).await.unwrap_err();
    pair.one.commit(commit("b", 7)).await.unwrap_err();
    let told = other.changes(head, &[]).await.unwrap();
    assert_eq!(shown(&told), (head, true, vec![], None));
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

async fn a_heartbeat_is_on_the_list_of_every_replica(pair: &Pair) {
    let [one, other] = pair.shared();
    let beginning = LogHead::BEGINNING;
    let beat = heartbeat("n", beginning);
    let first = one.write_heartbeat(&beat).await.unwrap();
    assert_eq!((first.head, first.max_staleness), (beginning, None));
    let head = pair.one.commit(commit("a", 1)).await.unwrap();
    other.write_heartbeat(&heartbeat("b", head)).await.unwrap();
    one.write_heartbeat(&heartbeat("z", beginning))
        .await
        .unwrap();
    let last = one.write_heartbeat(&heartbeat("n", head)).await.unwrap();
    assert_eq!(last.head, head);
    let told: Vec<_> = last
        .replicas
        .iter()
        .map(|one| one.heartbeat.clone())
        .collect();
    let expected = [("b", head), ("n", head), ("z", beginning)];
    assert_eq!(
        told,
        expected.map(|(replica, head)| heartbeat(replica, head))
    );
    for list in [&last, &other.replicas().await.unwrap()] {
        assert_eq!(list.replicas, last.replicas);
        assert_eq!(list.live().count(), 3);
        for replica in &list.replicas {
            assert!(first.now <= replica.seen_at && replica.seen_at <= list.now);
        }
    }
    let own = &last.replicas[1];
    assert!(
        first.replicas[0].seen_at <= own.seen_at,
        "{first:?} {last:?}"
    );
    // The store's clock is this machine's: no server tells it what time it is.
    let apart = Clock::system().now().since(last.now);
    assert!(apart < Duration::from_secs(60), "{apart:?}");
}

async fn a_replica_that_tells_of_an_event_that_is_not_on_the_log_has_nothing(pair: &Pair) {
    let [one, other] = pair.shared();
    let head = pair.one.commit(commit("a", 1)).await.unwrap();
    let last = pair.one.commit(commit("a", 2)).await.unwrap();
    for (replica, through) in [
        ("beginning", LogHead::BEGINNING),
        ("first", head),
        ("foreign", foreign(2)),
        ("further", foreign(9)),
        ("last", last),
    ] {
        let beat = heartbeat(replica, through);
        one.write_heartbeat(&beat).await.unwrap();
    }
    let list = other.replicas().await.unwrap();
    let has = |sequence| -> Vec<bool> {
        let replicas = list.replicas.iter();
        replicas.map(|replica| replica.has(sequence)).collect()
    };
    assert_eq!(has(0), [true, true, false, false, true]);
    assert_eq!(has(1), [false, true, false, false, true]);
    assert_eq!(has(2), [false, false, false, false, true]);
    assert_eq!(has(3), [false; 5]);
}

/// By it a replica knows from when on each commit has counted with it.
async fn a_replica_finds_its_own_heartbeat_in_the_answer(pair: &Pair) {
    let [one, other] = pair.shared();
    let beat = heartbeat("a", LogHead::BEGINNING);
    let first = one.write_heartbeat(&beat).await.unwrap();
    let second = other.write_heartbeat(&beat).await.unwrap();
    let seen_at = |list: &ReplicaList| list.of("a").unwrap().seen_at;
    assert!(seen_at(&first) <= seen_at(&second) && seen_at(&second) <= second.now);
    assert_eq!(second.of("b"), None);
    one.remove_replica("a").await.unwrap();
    assert_eq!(other.replicas().await.unwrap().of("a"), None);
}

async fn a_replica_that_was_removed_is_on_no_list(pair: &Pair) {
    let [one, other] = pair.shared();
    for replica in ["a", "b"] {
        let beat = heartbeat(replica, LogHead::BEGINNING);
        one.write_heartbeat(&beat).await.unwrap();
    }
    other.remove_replica("a").await.unwrap();
    other.remove_replica("unknown").await.unwrap();
    let list = one.replicas().await.unwrap();
    let left: Vec<_> = list
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
            let outcome = store
                .replicas()
                .unwrap()
                .set_max_staleness(before, after)
                .await;
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
    assert_eq!(other.replicas().await.unwrap().max_staleness, Some(won[0]));
    won[0]
}

async fn of_ten_first_agreements_one_wins(pair: &Pair) {
    agree_at_once(pair, None).await;
}

async fn of_ten_further_agreements_one_wins(pair: &Pair) {
    let [one, other] = pair.shared();
    let first = Duration::from_secs(30);
    let early = one.set_max_staleness(Some(first), first).await;
    assert!(matches!(early, Err(CommitError::Conflict)), "{early:?}");
    one.set_max_staleness(None, first).await.unwrap();
    agree_at_once(pair, Some(first)).await;
    let stale = other
        .set_max_staleness(Some(first), Duration::from_millis(1500))
        .await;
    assert!(matches!(stale, Err(CommitError::Conflict)), "{stale:?}");
}

async fn a_commit_is_late_after_its_deadline(pair: &Pair) {
    pair.one.commit(commit("a", 1)).await.unwrap();
    let before = pair.one.load(&name("a")).await.unwrap();
    let now = Clock::system().now();
    for deadline in [now.before(Duration::from_secs(1)), Timestamp::default()] {
        let mut late = commit("a", 2);
        late.keys = vec![change("k", "key", set(b"sealed"))];
        late.batch.not_after = Some(deadline);
        let refused = pair.one.commit(late).await;
        assert!(matches!(refused, Err(CommitError::Late)), "{refused:?}");
    }
    assert_eq!(pair.other.load(&name("a")).await.unwrap(), before);
    assert_eq!(pair.other.events(None, 0, 10).await.unwrap().len(), 1);
    let mut in_time = commit("a", 2);
    in_time.batch.not_after = Some(now.after(Duration::from_secs(60)));
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
            attempt.batch.id = batch_id();
            attempt.document = format!("attempt {number}");
            attempt.keys = vec![change(&format!("k{number}"), "key", set(b"sealed"))];
            (number, store.commit(attempt).await)
        })
    });
    let mut won = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            (number, Ok(_)) => won.push(number),
            (_, refused) => assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    let stored = pair.other.load(&name("a")).await.unwrap().unwrap();
    assert_eq!(stored.issuer.document, format!("attempt {}", won[0]));
    assert_eq!(stored.keys.len(), 1);
    assert_eq!(pair.one.events(None, 0, 100).await.unwrap().len(), 2);
}

/// They do not queue for a place in the log: what each write expects stands in the write itself.
async fn of_twenty_batches_without_events_by_two_handles_one_wins(pair: &Pair) {
    let key = RecordKey::signing_key(&name("i"), "k");
    let content = || Content {
        sealed: set(b"sealed"),
        ..Content::default()
    };
    let create = Write::Create(key.clone(), content());
    pair.one.write(silent([create])).await.unwrap();
    for round in 0..5 {
        let before = pair.one.token(&key).await;
        let attempts = (0..20).map(|number| {
            let store = Arc::clone(if number % 2 == 0 {
                &pair.one
            } else {
                &pair.other
            });
            let own = RecordKey::signing_key(&name("i"), &format!("{round}-{number}"));
            let write = match number % 4 {
                0 => Write::Delete(key.clone(), before),
                _ => Write::Replace(key.clone(), before, content()),
            };
            let batch = silent([Write::Create(own.clone(), content()), write]);
            tokio::spawn(async move { (own, store.write(batch).await) })
        });
        let mut won = Vec::new();
        for attempt in attempts.collect::<Vec<_>>() {
            match attempt.await.unwrap() {
                (own, Ok(_)) => won.push(own),
                (_, refused) => {
                    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
                }
            }
        }
        assert_eq!(won.len(), 1);
        // Nothing of the others is there.
        let all = pair
            .other
            .list(Query::owned(Kind::Key, &name("i")))
            .await
            .unwrap();
        let of_round = format!("{round}-");
        let left: Vec<_> = (all.iter())
            .filter(|record| record.key.id.starts_with(&of_round))
            .map(|record| &record.key)
            .collect();
        assert_eq!(left, [&won[0]]);
        if pair.other.get(&key).await.unwrap().is_none() {
            let create = Write::Create(key.clone(), content());
            pair.other.write(silent([create])).await.unwrap();
        }
    }
    assert_eq!(pair.one.log_head().await.unwrap(), LogHead::BEGINNING);
}

/// Each by a commit of its own, from two processes, and never one too many.
async fn of_twenty_batches_by_two_handles_no_more_win_than_may_be_there(pair: &Pair) {
    const MOST: usize = 3;
    let attempts = (0..20).map(|number| {
        let store = Arc::clone(if number % 2 == 0 {
            &pair.one
        } else {
            &pair.other
        });
        let create = Write::Create(approval("i", &number.to_string()), Content::default());
        let batch = Batch {
            expectations: vec![Expectation::AtMost(Query::all(Kind::Approval), MOST - 1)],
            ..batch([create], "asked")
        };
        tokio::spawn(async move { store.write(batch).await })
    });
    let mut won = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(_) => won += 1,
            refused => assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}"),
        }
    }
    assert_eq!(won, MOST);
    let waiting = pair.other.ids(Kind::Approval).await.unwrap();
    assert_eq!(waiting.len(), MOST);
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
async fn a_replica_that_follows_the_changes_misses_none(pair: &Pair) {
    let follower = Arc::clone(&pair.other);
    let following = tokio::spawn(async move {
        let (mut through, mut seen) = (LogHead::BEGINNING, BTreeSet::new());
        while through.sequence < 100 {
            let replicas = follower.replicas().unwrap();
            let changes = replicas.changes(through, &[]).await.unwrap();
            assert!(changes.is_continued && changes.head.sequence >= through.sequence);
            through = changes.head;
            seen.extend(changes.sets.into_iter().map(|set| set.issuer.key.id));
        }
        seen
    });
    commit_many(pair, 100).await;
    assert_eq!(following.await.unwrap().len(), 100);
}

async fn a_commit_is_heard_of_by_another_handle(pair: &Pair) {
    let [_, other] = pair.shared();
    let told = tokio::time::timeout(Duration::from_secs(60), async {
        let mut through = LogHead::BEGINNING;
        while through.sequence < 3 {
            let mut change = pin!(other.wait_for_change());
            tokio::select! {
                biased;
                // It may return for nothing, such as when it begins to listen.
                () = &mut change => continue,
                () = tokio::task::yield_now() => {}
            }
            let next = commit("a", through.sequence + 1);
            pair.one.commit(next).await.unwrap();
            change.await;
            through = other.changes(through, &[]).await.unwrap().head;
        }
    });
    told.await.unwrap();
}
