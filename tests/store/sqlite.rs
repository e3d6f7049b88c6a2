//! What the embedded store promises about its file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keywright::clock::Clock;
use keywright::lifecycle::Timestamp;
use keywright::store::sqlite::SqliteStore;
use keywright::store::{
    CommitError, Content, RecordKey, SealedChange, Store as _, StoreError, Write,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::rows::{StoreCalls as _, change, commit, event, name, set, setting, silent, token};
use crate::support::since_epoch;

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("keywright.db")
}

async fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(&file(folder), Clock::system())
        .await
        .unwrap()
}

/// A connection of another process.
async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap()
}

/// The names of the files in `folder` that contain `bytes`.
fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let contents = fs::read(&path).unwrap();
        if contents.windows(bytes.len()).any(|window| window == bytes) {
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    names
}

#[tokio::test]
async fn a_reopened_file_has_everything() {
    let folder = folder();
    let store = open(folder.path()).await;
    for version in 1..=2 {
        let mut written = commit("a", version);
        written.keys = vec![change(&format!("k{version}"), "key", set(b"sealed"))];
        store.commit(written).await.unwrap();
    }
    store.create_setting("s", b"value").await.unwrap();
    let before = (
        store.load(&name("a")).await.unwrap(),
        store.events(None, 0, 100).await.unwrap(),
    );
    store.close().await;
    drop(store);

    let reopened = open(folder.path()).await;
    let after = (
        reopened.load(&name("a")).await.unwrap(),
        reopened.events(None, 0, 100).await.unwrap(),
    );
    assert_eq!(after, before);
    assert_eq!(after.1.len(), 2);
    let setting = reopened.setting("s").await.unwrap();
    assert_eq!(setting.as_deref(), Some(b"value".as_slice()));
    reopened.commit(commit("a", 3)).await.unwrap();
}

// A crash: nothing is closed, and the process that comes next finds what was answered in the log.
#[tokio::test]
async fn a_commit_is_in_the_files_as_soon_as_it_is_answered() {
    let folder = folder();
    let store = open(folder.path()).await;
    store.commit(commit("a", 1)).await.unwrap();
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let survivor = open(copy.path()).await;
    assert!(survivor.load(&name("a")).await.unwrap().is_some());
}

#[tokio::test]
async fn the_file_is_in_write_ahead_mode_and_sound() {
    let folder = folder();
    let store = open(folder.path()).await;
    store.commit(commit("a", 1)).await.unwrap();
    let mut other = connect(&file(folder.path())).await;
    for (pragma, expected) in [
        ("PRAGMA journal_mode", "wal"),
        ("PRAGMA integrity_check", "ok"),
    ] {
        let (value,): (String,) = sqlx::query_as(pragma).fetch_one(&mut other).await.unwrap();
        assert_eq!(value, expected, "{pragma}");
    }
}

// Invariant 6. The small half shares a page with its row, the large one has pages of its own.
#[tokio::test]
async fn an_erased_private_half_is_in_no_file_any_more() {
    let folder = folder();
    let store = open(folder.path()).await;
    let small = b"<the small sealed private half>";
    let large: Vec<u8> = (0..9000_u32)
        .flat_map(|index| index.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    let large_parts = [&large[100..132], &large[20_000..20_032], &large[35_900..]];
    let mut created = commit("a", 1);
    created.keys = vec![
        change("k1", "key", set(small)),
        change("k2", "key", set(&large)),
        change("k3", "key", set(b"<one that stays>")),
    ];
    store.commit(created).await.unwrap();
    assert_ne!(files_with(folder.path(), small), Vec::<String>::new());
    assert_ne!(
        files_with(folder.path(), large_parts[1]),
        Vec::<String>::new()
    );

    let mut erased = commit("a", 2);
    erased.keys = vec![
        change("k1", "key", SealedChange::Erase),
        change("k2", "key", SealedChange::Erase),
    ];
    store.commit(erased).await.unwrap();
    store.clear_erased().await;
    for (moment, close) in [("while the store is open", false), ("once closed", true)] {
        if close {
            store.close().await;
        }
        for part in large_parts.into_iter().chain([small.as_slice()]) {
            assert_eq!(
                files_with(folder.path(), part),
                Vec::<String>::new(),
                "{moment}"
            );
        }
        assert_ne!(
            files_with(folder.path(), b"<one that stays>"),
            Vec::<String>::new()
        );
    }
}

// The next reader of the files must not find what another master key has sealed.
#[tokio::test]
async fn what_was_sealed_before_is_in_no_file_any_more() {
    let folder = folder();
    let store = open(folder.path()).await;
    let before = b"<sealed with the master key of before>";
    let after = b"<sealed with the master key of now, which takes more room>";
    let mut created = commit("a", 1);
    created.keys = vec![change("k", "key", set(before))];
    store.commit(created).await.unwrap();
    assert_ne!(files_with(folder.path(), before), Vec::<String>::new());
    let content = Content {
        document: "key".to_owned(),
        sealed: set(after),
        ..Content::default()
    };
    let key = RecordKey::signing_key(&name("a"), "k");
    let resealed = Write::Replace(key, token("a", 1), content);
    store.write(silent([resealed])).await.unwrap();
    store.clear_erased().await;
    for (moment, close) in [("while the store is open", false), ("once closed", true)] {
        if close {
            store.close().await;
        }
        assert_eq!(
            files_with(folder.path(), before),
            Vec::<String>::new(),
            "{moment}"
        );
        assert_ne!(files_with(folder.path(), after), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_commit_is_late_after_its_deadline() {
    let folder = folder();
    let deadline = Timestamp::from_seconds(1_800_000_000);
    let clock = Clock::manual(deadline);
    let path = file(folder.path());
    let store = SqliteStore::open(&path, clock.clone()).await.unwrap();
    let at = |version| {
        let mut written = commit("a", version);
        written.keys = vec![change(&format!("k{version}"), "key", set(b"sealed"))];
        written.batch.not_after = Some(deadline);
        written
    };
    store.commit(at(1)).await.unwrap();
    let before = (
        store.key_set(&name("a")).await.unwrap(),
        store.log_head().await.unwrap(),
    );
    clock.set(deadline.after(Duration::from_millis(1)));
    let late = store.commit(at(2)).await;
    assert!(matches!(late, Err(CommitError::Late)), "{late:?}");
    let after = (
        store.key_set(&name("a")).await.unwrap(),
        store.log_head().await.unwrap(),
    );
    assert_eq!(after, before);
    let mut unlimited = at(2);
    unlimited.batch.not_after = None;
    store.commit(unlimited).await.unwrap();
}

/// A reader of another process, such as a shell or a backup tool, in the middle of a transaction.
async fn reader(folder: &Path) -> SqliteConnection {
    let mut reader = connect(&file(folder)).await;
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM records")
        .execute(&mut reader)
        .await
        .unwrap();
    reader
}

/// A tenth of the time for which a connection waits for another process.
const AT_ONCE: Duration = Duration::from_millis(500);

// The write-ahead log cannot be emptied while a reader of it is there. No caller pays for that.
#[tokio::test]
async fn a_reader_that_holds_the_file_open_delays_neither_a_commit_nor_what_follows() {
    let folder = folder();
    let store = open(folder.path()).await;
    let sealed = b"<the sealed private half>";
    let mut created = commit("a", 1);
    created.keys = vec![change("k", "key", set(sealed))];
    store.commit(created).await.unwrap();
    let reader = reader(folder.path()).await;
    for version in (2..=8).step_by(3) {
        let mut erased = commit("a", version);
        erased.keys = vec![change("k", "key", SealedChange::Erase)];
        // It is tried again for a while, and no writer waits for it meanwhile.
        let at_once = async {
            for written in [erased, commit("a", version + 1), commit("a", version + 2)] {
                let began = since_epoch();
                store.commit(written).await.unwrap();
                let took = since_epoch().saturating_sub(began);
                assert!(took < AT_ONCE, "{took:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::join!(at_once, store.clear_erased());
        store.clear_erased().await;
    }
    assert_ne!(files_with(folder.path(), sealed), Vec::<String>::new());
    // It is made up for as soon as the reader has gone.
    reader.close().await.unwrap();
    store.clear_erased().await;
    assert_eq!(files_with(folder.path(), sealed), Vec::<String>::new());
}

// A crash before the log was emptied: the next start does it.
#[tokio::test]
async fn what_was_erased_before_a_crash_is_gone_after_the_next_start() {
    let folder = folder();
    let store = open(folder.path()).await;
    let sealed = b"<the sealed private half>";
    let mut created = commit("a", 1);
    created.keys = vec![change("k", "key", set(sealed))];
    store.commit(created).await.unwrap();
    let mut erased = commit("a", 2);
    erased.keys = vec![change("k", "key", SealedChange::Erase)];
    store.commit(erased).await.unwrap();
    let copy = TempDir::new().unwrap();
    for name in ["keywright.db", "keywright.db-wal"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    assert_ne!(files_with(copy.path(), sealed), Vec::<String>::new());
    let _survivor = open(copy.path()).await;
    assert_eq!(files_with(copy.path(), sealed), Vec::<String>::new());
}

#[tokio::test]
async fn the_right_to_write_comes_when_another_process_has_let_go_of_the_file() {
    let folder = folder();
    let store = open(folder.path()).await;
    store.commit(commit("a", 1)).await.unwrap();
    let mut other = connect(&file(folder.path())).await;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let held = Duration::from_millis(1500);
    let began = since_epoch();
    let release = async {
        tokio::time::sleep(held).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    };
    let write = async {
        // What is read meanwhile is answered at once.
        assert!(store.key_set(&name("a")).await.unwrap().is_some());
        assert!(since_epoch().saturating_sub(began) < held);
        let writer = store.writer().await.unwrap();
        let locked = since_epoch().saturating_sub(began);
        assert!(locked >= held, "{locked:?}");
        // From here on no other process is in the way.
        let batch = silent([Write::Create(setting("s"), Content::default())]);
        writer.commit(batch).await.unwrap();
        let took = since_epoch().saturating_sub(began).saturating_sub(locked);
        assert!(took < AT_ONCE, "{took:?}");
    };
    tokio::join!(release, write);
}

// A writer that holds the right to write and does not use it gives it back.
#[tokio::test]
async fn a_right_to_write_that_is_dropped_is_free_again() {
    let folder = folder();
    let store = open(folder.path()).await;
    for version in 1..=3 {
        drop(store.writer().await.unwrap());
        store.commit(commit("a", version)).await.unwrap();
    }
}

#[tokio::test]
async fn two_handles_see_and_respect_each_other() {
    let folder = folder();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    one.commit(commit("a", 1)).await.unwrap();
    assert_eq!(
        two.load(&name("a")).await.unwrap(),
        one.load(&name("a")).await.unwrap()
    );
    two.commit(commit("a", 2)).await.unwrap();
    let stale = one.commit(commit("a", 2)).await;
    assert!(matches!(stale, Err(CommitError::Conflict)), "{stale:?}");
    let (left, right) = tokio::join!(one.commit(commit("a", 3)), two.commit(commit("a", 3)));
    assert!(left.is_ok() != right.is_ok(), "{left:?} {right:?}");
    assert_eq!(one.events(None, 0, 100).await.unwrap().len(), 3);
    one.close().await;
    two.commit(commit("a", 4)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let mut almost = b"SQLite format 3\0".to_vec();
    almost.extend([0x5a; 8192]);
    for contents in [b"a diary".to_vec(), vec![0x5a; 8192], almost] {
        let folder = folder();
        let path = file(folder.path());
        fs::write(&path, &contents).unwrap();
        let refused = SqliteStore::open(&path, Clock::system()).await;
        assert_names_the_file(refused.map(|_| ()), &path);
        assert_eq!(fs::read(&path).unwrap(), contents);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_alone() {
    for statement in [
        "CREATE TABLE diary (entry TEXT)",
        "CREATE TABLE issuers (name TEXT)",
        "PRAGMA application_id = 7",
    ] {
        let folder = folder();
        let path = file(folder.path());
        let mut other = connect(&path).await;
        sqlx::query(statement).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let contents = fs::read(&path).unwrap();
        let refused = SqliteStore::open(&path, Clock::system()).await;
        assert_names_the_file(refused.map(|_| ()), &path);
        assert_eq!(fs::read(&path).unwrap(), contents, "{statement}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let folder = folder();
    fs::write(file(folder.path()), b"").unwrap();
    open(folder.path())
        .await
        .commit(commit("a", 1))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_an_error_that_names_the_file() {
    let folder = folder();
    let path = file(&folder.path().join("nowhere"));
    let refused = SqliteStore::open(&path, Clock::system()).await;
    assert_names_the_file(refused.map(|_| ()), &path);
}

fn assert_names_the_file(outcome: Result<(), StoreError>, path: &Path) {
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
}

/// A small file system in memory; it goes when this is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, with a line that says so, where this process may not mount.
    fn mount(options: &str) -> Option<Self> {
        let folder = folder();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            refused => {
                println!("SKIPPED: a tmpfs cannot be mounted here: {refused:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn make_read_only(&self) {
        let remounted = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(self.path())
            .status();
        assert!(remounted.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A busy file system goes as soon as its last file is closed.
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.unwrap().success());
    }
}

#[tokio::test]
async fn a_read_only_folder_is_an_error_that_names_the_file() {
    let Some(disk) = SmallDisk::mount("size=1m") else {
        return;
    };
    disk.make_read_only();
    let path = file(disk.path());
    let refused = SqliteStore::open(&path, Clock::system()).await;
    assert_names_the_file(refused.map(|_| ()), &path);
}

#[tokio::test]
async fn a_store_on_a_disk_that_has_become_read_only_is_refused_when_it_is_opened() {
    let Some(disk) = SmallDisk::mount("size=1m") else {
        return;
    };
    let store = open(disk.path()).await;
    store.commit(commit("a", 1)).await.unwrap();
    store.close().await;
    disk.make_read_only();
    let path = file(disk.path());
    let refused = SqliteStore::open(&path, Clock::system()).await;
    assert_names_the_file(refused.map(|_| ()), &path);
}

#[tokio::test]
async fn a_full_disk_fails_commits_and_nothing_else() {
    let Some(disk) = SmallDisk::mount("size=1m") else {
        return;
    };
    let store = open(disk.path()).await;
    let mut created = commit("a", 1);
    created.keys = vec![change("k", "key", set(b"sealed"))];
    store.commit(created).await.unwrap();
    let before = store.load(&name("a")).await.unwrap();

    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 2 << 20]).unwrap_err();
    let mut large = commit("a", 2);
    large.keys = vec![
        change("k", "key", SealedChange::Erase),
        change("l", &"large ".repeat(50_000), set(b"other")),
    ];
    // More often than the store has connections: none of them may be left broken.
    for _ in 0..5 {
        let (one, two) = tokio::join!(store.commit(large.clone()), store.commit(large.clone()));
        for failed in [one, two] {
            assert!(
                matches!(failed, Err(CommitError::Store(_) | CommitError::Unknown(_))),
                "{failed:?}"
            );
        }
        assert_eq!(store.load(&name("a")).await.unwrap(), before);
    }
    assert_eq!(store.events(None, 0, 100).await.unwrap().len(), 1);

    fs::remove_file(&ballast).unwrap();
    store.commit(large.clone()).await.unwrap();
    assert_eq!(
        store.load(&name("a")).await.unwrap().unwrap().issuer,
        large.issuer_at(2)
    );
    for version in 3..10 {
        store.commit(commit("a", version)).await.unwrap();
    }
    store.close().await;
    let reopened = open(disk.path()).await;
    let events = reopened.events(Some(&name("a")), 0, 100).await.unwrap();
    assert_eq!(events.len(), 9);
    assert_eq!(events[1].event, event(Some("a"), "a 2"));
}
