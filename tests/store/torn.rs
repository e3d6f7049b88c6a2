//! A write-ahead log whose end was torn or garbled, as by a disk that lost its last writes: what is
//! left is the store as it was after one of its commits, whole.

use std::fs;
use std::path::Path;

use keywright::clock::Clock;
use keywright::store::sqlite::SqliteStore;
use keywright::store::{SealedChange, Store as _};
use tempfile::TempDir;

use crate::conformance::assert_whole;
use crate::rows::{StoreCalls as _, change, commit, name, set};
use crate::support::{report, since_epoch};

const COMMITS: u64 = 12;

/// What a commit writes: an issuer, a key that comes, a key whose private half goes, an event.
async fn fill(store: &SqliteStore) {
    for version in 1..=COMMITS {
        let mut written = commit("a", version);
        written.keys = vec![change(&format!("k{version}"), "key", set(b"sealed"))];
        if version > 1 {
            let before = format!("k{}", version - 1);
            written
                .keys
                .push(change(&before, "retired", SealedChange::Keep));
        }
        store.commit(written).await.unwrap();
    }
}

/// The files as they are while the store is in use.
fn copy(from: &Path, to: &Path) {
    for name in ["keywright.db", "keywright.db-wal"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// How many commits a copy has, each of them whole.
async fn commits_of(folder: &Path) -> u64 {
    let store = SqliteStore::open(&folder.join("keywright.db"), Clock::system())
        .await
        .unwrap();
    let Some(stored) = store.load(&name("a")).await.unwrap() else {
        assert_eq!(store.events(None, 0, 100).await.unwrap(), []);
        return 0;
    };
    let version = stored.issuer.version;
    assert_eq!(stored.issuer, commit("a", version).issuer_at(version));
    let documents: Vec<_> = stored
        .keys
        .iter()
        .map(|key| key.document.as_str())
        .collect();
    let (last, before) = documents.split_last().unwrap();
    assert_eq!((*last, stored.keys.len() as u64), ("key", version));
    assert!(before.iter().all(|document| *document == "retired"));
    let events = store.events(None, 0, 100).await.unwrap();
    assert_eq!(events.len() as u64, version);
    assert_whole(&store).await;
    // It goes on from there.
    store.commit(commit("a", version + 1)).await.unwrap();
    store.close().await;
    version
}

#[tokio::test]
async fn a_log_that_was_cut_or_garbled_holds_the_commits_before() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("keywright.db"), Clock::system())
        .await
        .unwrap();
    fill(&store).await;
    let log = fs::read(folder.path().join("keywright.db-wal")).unwrap();
    let mut seed = u64::from(since_epoch().subsec_nanos()) << 20 | 1;
    report(&format!("torn logs: seed {seed}"));
    let mut below = |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize % bound
    };
    // By where the damage begins: the further on, the more is left.
    let mut left: Vec<(usize, u64)> = Vec::new();
    for round in 0..60 {
        let damaged = TempDir::new().unwrap();
        copy(folder.path(), damaged.path());
        let at = below(log.len());
        let mut bytes = log.clone();
        match round % 3 {
            0 => bytes.truncate(at),
            // A block that was never written, and a bit that was written wrong.
            1 => bytes[at..].fill(0),
            _ => bytes[at] ^= 1 << below(8),
        }
        fs::write(damaged.path().join("keywright.db-wal"), bytes).unwrap();
        left.push((at, commits_of(damaged.path()).await));
    }
    left.sort_unstable();
    assert!(left.is_sorted_by_key(|(_, commits)| commits), "{left:?}");
    let some = |wanted: &dyn Fn(u64) -> bool| left.iter().any(|(_, commits)| wanted(*commits));
    assert!(some(&|commits| commits < COMMITS / 2), "{left:?}");
    assert!(some(&|commits| commits > COMMITS / 2), "{left:?}");

    let untouched = TempDir::new().unwrap();
    copy(folder.path(), untouched.path());
    assert_eq!(commits_of(untouched.path()).await, COMMITS);
}
