//! A whole store, out and in.

use std::time::Duration;

use keywright::store::chain::{HeadSource, LogHead, StoredEvent, Verification, line};
use keywright::store::memory::MemoryStore;
use keywright::store::transfer::{self, DumpError, Entry, FillError};
use keywright::store::{CommitError, Content, Kind, LastUse, Query, SealedChange, Store, Write};

use super::paging::indexed;
use super::{Everything, assert_whole, everything, kids};
use crate::rows::{
    StoreCalls as _, approval, batch, change, client, commit, event, set, silent as silent_batch,
};

/// Something of everything, with what is easily lost: bytes that are no text, an empty sealed half,
/// hostile text, keys whose order is not the alphabet's, an issuer whose last commit had no event.
async fn furnish(store: &dyn Store) {
    for (issuer, kids) in [("b", ["z", "a", "m"]), ("a", ["2", "1", "3"])] {
        let mut created = commit(issuer, 1);
        created.keys = vec![
            change(kids[0], "{\"\\u0000\": \"é\u{7f}\"}", set(&[0, 255, 10])),
            change(kids[1], "", set(&[])),
            change(kids[2], "third", SealedChange::Erase),
        ];
        created.event(event(None, "no { JSON"));
        store.commit(created).await.unwrap();
    }
    let mut silent = commit("a", 2);
    silent.batch.events.clear();
    store.commit(silent).await.unwrap();
    store.create_setting("check", &[1, 0, 255]).await.unwrap();
    store.create_setting("absent", &[]).await.unwrap();
    for id in ["y", "x"] {
        let create = |key, document: String| [Write::Create(key, Content::of(document))];
        let added = batch(create(client(id), format!("client {id}")), "client");
        store.write(added).await.unwrap();
        let waiting = create(approval("a", id), format!("approval {id}"));
        store.write(batch(waiting, "approval")).await.unwrap();
        let last_use = LastUse {
            client: id.to_owned(),
            credential: "c".to_owned(),
            at: 1_800_000_000_001,
        };
        store.record_uses(&[last_use]).await.unwrap();
    }
    let grants = ["2", "1"].map(|id| indexed("a", id, "user", "login", 7));
    store.write(silent_batch(grants)).await.unwrap();
}

async fn furnished() -> MemoryStore {
    let store = MemoryStore::default();
    furnish(&store).await;
    store
}

async fn dump(store: &dyn Store) -> Vec<Entry> {
    let (sink, mut entries) = transfer::channel();
    let taken = async move {
        let mut taken = Vec::new();
        while let Some(entry) = entries.recv().await {
            taken.push(entry);
        }
        taken
    };
    let given = async {
        transfer::dump(store, &sink).await.unwrap();
        drop(sink);
    };
    tokio::join!(given, taken).1
}

async fn fill(store: &dyn Store, entries: Vec<Entry>) -> Result<(), FillError> {
    let (sink, receiver) = transfer::channel();
    let given = async move {
        for entry in entries {
            let _ = sink.send(entry).await;
        }
    };
    tokio::join!(given, store.fill(receiver)).1
}

pub(super) async fn everything_comes_out_of_a_dump(store: &dyn Store) {
    furnish(store).await;
    let copy = MemoryStore::default();
    fill(&copy, dump(store).await).await.unwrap();
    assert_eq!(everything(&copy).await, everything(store).await);
    assert_eq!(copy.setting("check").await.unwrap(), Some(vec![1, 0, 255]));
    assert_eq!(dump(&copy).await, dump(store).await);
}

pub(super) async fn everything_goes_in_by_a_dump(store: &dyn Store) {
    let original = furnished().await;
    fill(store, dump(&original).await).await.unwrap();
    assert_eq!(everything(store).await, everything(&original).await);
    assert_eq!(store.setting("absent").await.unwrap(), Some(Vec::new()));
    assert_eq!(dump(store).await, dump(&original).await);
    assert_whole(store).await;
}

pub(super) async fn an_empty_store_is_dumped_as_one(store: &dyn Store) {
    assert_eq!(dump(store).await, [Entry::End]);
    assert!(store.rows().await.unwrap().is_empty());
    fill(store, vec![Entry::End]).await.unwrap();
    furnish(store).await;
    assert_whole(store).await;
}

pub(super) async fn a_filled_store_goes_on_where_the_other_ended(store: &dyn Store) {
    fill(store, dump(&furnished().await).await).await.unwrap();
    let before = store.log_head().await.unwrap();
    let mut next = commit("b", 2);
    next.keys = vec![change("b", "fourth", set(b"fresh"))];
    store.commit(next).await.unwrap();
    assert_eq!(kids(store, "b").await, ["z", "a", "m", "b"]);
    let after = store.log_head().await.unwrap();
    assert_eq!(after.sequence, before.sequence + 1);
    assert_whole(store).await;
    let stale = store.commit(commit("b", 2)).await;
    assert!(matches!(stale, Err(CommitError::Conflict)));
    let mut taken = commit("c", 1);
    taken.path = "/a".to_owned();
    let taken = store.commit(taken).await;
    assert!(matches!(taken, Err(CommitError::NotUnique)));
}

pub(super) async fn a_store_that_is_not_empty_is_not_filled(store: &dyn Store) {
    let entries = dump(&furnished().await).await;
    store.create_setting("one", b"value").await.unwrap();
    let refused = fill(store, entries.clone()).await;
    assert!(matches!(refused, Err(FillError::NotEmpty)), "{refused:?}");
    store.commit(commit("c", 1)).await.unwrap();
    let before = everything(store).await;
    let refused = fill(store, entries).await;
    assert!(matches!(refused, Err(FillError::NotEmpty)), "{refused:?}");
    assert_eq!(everything(store).await, before);
}

/// What another process decided on before the move still holds after it, or is refused as before.
pub(super) async fn a_filled_store_has_the_tokens_that_it_was_given(store: &dyn Store) {
    let original = furnished().await;
    let last = Write::Create(
        client("final"),
        Content {
            is_final: true,
            unique: Some("text".to_owned()),
            ..Content::default()
        },
    );
    original.write(silent_batch([last])).await.unwrap();
    fill(store, dump(&original).await).await.unwrap();
    let queries = Kind::ALL.map(Query::all);
    let records = store.read(&queries).await.unwrap().concat();
    assert_eq!(records, original.read(&queries).await.unwrap().concat());
    for record in records {
        let before = original.token(&record.key).await;
        assert_eq!(before, record.token);
        let content = Content {
            document: "next".to_owned(),
            ..Content::default()
        };
        let next = silent_batch([Write::Replace(record.key.clone(), before, content)]);
        let after = before.followed_by(next.id);
        match store.write(next).await {
            Ok(_) => {
                let stored = store.get(&record.key).await.unwrap().unwrap();
                assert_eq!((stored.token, stored.version), (after, record.version + 1));
            }
            Err(refused) => {
                assert!(matches!(refused, CommitError::Final), "{refused:?}");
                assert!(record.is_final);
            }
        }
    }
    let taken = Content {
        unique: Some("text".to_owned()),
        ..Content::default()
    };
    let taken = store
        .write(silent_batch([Write::Create(client("c"), taken)]))
        .await;
    assert!(matches!(taken, Err(CommitError::NotUnique)), "{taken:?}");
}

/// More entries than the way to the store holds: its sender must not wait for a reader that has gone.
pub(super) async fn a_fill_that_is_refused_early_ends_its_sender(store: &dyn Store) {
    let original = furnished().await;
    for version in 3..1000 {
        original.commit(commit("a", version)).await.unwrap();
    }
    store.create_setting("one", b"value").await.unwrap();
    let (sink, receiver) = transfer::channel();
    // As the copy of a store does it.
    let given = async {
        let outcome = transfer::dump(&original, &sink).await;
        drop(sink);
        outcome
    };
    let both = async { tokio::join!(given, store.fill(receiver)) };
    let ended = tokio::time::timeout(Duration::from_secs(60), both).await;
    let (given, filled) = ended.expect("both end");
    assert!(matches!(filled, Err(FillError::NotEmpty)), "{filled:?}");
    // A store that takes everything before it looks is as good.
    assert!(
        matches!(given, Ok(()) | Err(DumpError::Abandoned)),
        "{given:?}"
    );
}

pub(super) async fn a_dump_that_is_cut_off_writes_nothing(store: &dyn Store) {
    let entries = dump(&furnished().await).await;
    for length in 0..entries.len() {
        let refused = fill(store, entries[..length].to_vec()).await;
        assert!(matches!(refused, Err(FillError::CutOff)), "{length}");
        assert!(store.rows().await.unwrap().is_empty(), "{length}");
    }
    fill(store, entries).await.unwrap();
}

/// Each commit writes one event, so that a set's version is the number of its events. A dump in
/// which they differ, or whose events do not lead to its head, never was a state of the store.
pub(super) async fn a_dump_under_commits_is_a_state_that_was_there(store: &dyn Store) {
    let commits = async {
        for version in 1..=150 {
            for issuer in ["a", "b"] {
                store.commit(commit(issuer, version)).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let dumps = async {
        let mut heads = Vec::new();
        for _ in 0..20 {
            heads.push(check(&dump(store).await));
        }
        heads
    };
    let ((), heads) = tokio::join!(commits, dumps);
    assert!(heads.is_sorted(), "{heads:?}");
    assert_eq!(check(&dump(store).await), 300);
    let Everything { events, .. } = everything(store).await;
    assert_eq!(events.len(), 300);
}

/// Checks that a dump is one state, and answers with the number of its last event.
fn check(entries: &[Entry]) -> u64 {
    let Some(Entry::Head(head)) = entries.first() else {
        assert_eq!(entries, [Entry::End]);
        return 0;
    };
    let head = LogHead::of_stored(head.sequence, &head.hash, 0);
    let events = entries.iter().filter_map(|entry| match entry {
        Entry::Event(event) => Some(event.clone().read()),
        _ => None,
    });
    let events: Vec<_> = events.collect();
    let mut log = Verification::begin(LogHead::BEGINNING, [(HeadSource::Service, head)]).unwrap();
    for event in &events {
        log.read(line(event).as_bytes()).unwrap();
    }
    assert_eq!(log.finish(), Ok(head));
    for entry in entries {
        if let Entry::Record(record) = entry
            && record.key.kind == Kind::Issuer
        {
            let own = events.iter().filter(|one| {
                let issuer = one.event.issuer.as_ref();
                issuer.is_some_and(|issuer| issuer.as_str() == record.key.id)
            });
            assert_eq!(own.count() as u64, record.version, "{}", record.key.id);
        }
    }
    head.sequence
}

#[test]
fn an_event_is_stored_as_it_is_read() {
    let mut head = LogHead::BEGINNING;
    for event in [event(Some("a"), "{}"), event(None, "é")] {
        let numbered = head.append(event);
        assert_eq!(StoredEvent::from(numbered.clone()).read(), numbered);
    }
}
