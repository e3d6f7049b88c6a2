//! A copy or a restore of which one side ends early: the other side ends, too, with the error of the
//! one that ended.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keywright::clock::Clock;
use keywright::service::{CopyError, copy_store};
use keywright::store::chain::StoredEvent;
use keywright::store::memory::MemoryStore;
use keywright::store::postgres::PostgresSettings;
use keywright::store::transfer::{Entry, FillError, StoredHead};
use keywright::store::{Kind, Record, RecordKey, Store, StoreError, StoreLocation, open};
use serde_json::json;
use tempfile::TempDir;

use crate::site::{done, elsewhere, refused_in_time};
use crate::support::mounted::Mounted;
use crate::support::postgres::{Postgres, shared};
use crate::support::start;
use crate::wrapped_store::wrapped_store;

/// More than waits on the way to a store, and more than one page of events.
const RECORDS: usize = 600;
const EVENTS: i64 = 2600;

/// A store whose dump and whose fill a test can break.
struct Breakable {
    store: Arc<dyn Store>,
    /// Called before each page of events, with its number.
    before_page: Box<dyn Fn(usize) -> Result<(), StoreError> + Send + Sync>,
    pages: AtomicUsize,
    /// How many entries a fill takes before it fails.
    takes: Option<usize>,
}

impl Breakable {
    fn whole(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            before_page: Box::new(|_| Ok(())),
            pages: AtomicUsize::new(0),
            takes: None,
        }
    }

    fn failing_at_page(store: Arc<dyn Store>, last: usize) -> Self {
        let fail = move |page| if page == last { Err(broken()) } else { Ok(()) };
        Self {
            before_page: Box::new(fail),
            ..Self::whole(store)
        }
    }
}

fn broken() -> StoreError {
    StoreError("broken on purpose".into())
}

wrapped_store!(Breakable, own transfer {
    async fn writer(&self) -> Result<Box<dyn Writer + '_>, StoreError> {
        self.store.writer().await
    }

    async fn outcome(&self, batch: BatchId) -> Result<Option<LogHead>, StoreError> {
        self.store.outcome(batch).await
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        self.store.record_uses(uses).await
    }

    async fn stored_events(
        &self,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        (self.before_page)(self.pages.fetch_add(1, Ordering::SeqCst))?;
        self.store.stored_events(after, through, limit).await
    }

    async fn fill(&self, mut entries: Receiver<Entry>) -> Result<(), FillError> {
        let Some(takes) = self.takes else {
            return self.store.fill(entries).await;
        };
        for _ in 0..takes {
            entries.recv().await;
        }
        Err(broken().into())
    }

    fn replicas(&self) -> Option<&dyn ReplicaStore> {
        self.store.replicas()
    }
});

/// A full store's entries.
fn entries() -> Vec<Entry> {
    let head = StoredHead {
        sequence: EVENTS,
        hash: vec![7; 32],
    };
    let records = (0..RECORDS).map(|number| {
        let key = RecordKey::unowned(Kind::Client, format!("client-{number}"));
        Entry::Record(Record::unwritten(key, 1, "{}".to_owned()))
    });
    let events = (1..=EVENTS).map(|sequence| {
        Entry::Event(StoredEvent {
            sequence,
            at: 1_800_000_000_123,
            issuer: None,
            document: format!("{{\"text\":\"{}\"}}", "x".repeat(300)).into_bytes(),
            hash: Some(vec![7; 32]),
        })
    });
    std::iter::once(Entry::Head(head))
        .chain(records)
        .chain(events)
        .chain([Entry::End])
        .collect()
}

async fn fill(store: &dyn Store) {
    let (sink, receiver) = keywright::store::transfer::channel();
    let send = async move {
        for entry in entries() {
            sink.send(entry).await.unwrap();
        }
    };
    let (filled, ()) = tokio::join!(store.fill(receiver), send);
    filled.unwrap();
}

async fn sqlite(path: &Path) -> Arc<dyn Store> {
    let location = StoreLocation::Sqlite(path.to_owned());
    open(&location, &Clock::system(), &Arc::default())
        .await
        .unwrap()
}

async fn postgres(server: &Postgres) -> Arc<dyn Store> {
    let settings = PostgresSettings {
        url: server.database().parse().unwrap(),
        listen_url: None,
        max_connections: NonZeroU32::new(4).unwrap(),
        statement_timeout: Duration::from_secs(2),
    };
    let location = StoreLocation::Postgres(Box::new(settings));
    open(&location, &Clock::system(), &Arc::default())
        .await
        .unwrap()
}

/// A store of each kind that can be copied into.
async fn targets(folder: &Path) -> Vec<(&'static str, Arc<dyn Store>)> {
    let mut targets: Vec<(&'static str, Arc<dyn Store>)> = vec![
        ("sqlite", sqlite(&folder.join("target.db")).await),
        ("memory", Arc::new(MemoryStore::default())),
    ];
    if let Some(server) = shared() {
        targets.push(("postgres", postgres(server).await));
    }
    targets
}

/// A copy that ends in time.
async fn copied(from: &dyn Store, to: &dyn Store) -> Result<(), CopyError> {
    let copied = tokio::time::timeout(Duration::from_secs(30), copy_store(from, to)).await;
    copied.expect("the copy hangs").map(drop)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

#[test]
fn a_target_that_is_not_empty_ends_a_large_copy() {
    runtime().block_on(async {
        let folder = TempDir::new().unwrap();
        let source = sqlite(&folder.path().join("source.db")).await;
        fill(&*source).await;
        for (name, target) in targets(folder.path()).await {
            fill(&*target).await;
            let refused = copied(&*source, &*target).await;
            let error = CopyError::Target(FillError::NotEmpty).to_string();
            assert_eq!(refused.unwrap_err().to_string(), error, "{name}");
        }
    });
}

#[test]
fn a_source_that_fails_half_way_ends_the_copy_and_leaves_the_target_empty() {
    runtime().block_on(async {
        let folder = TempDir::new().unwrap();
        let source = sqlite(&folder.path().join("source.db")).await;
        fill(&*source).await;
        for page in [0, 2, 5] {
            let source = Breakable::failing_at_page(Arc::clone(&source), page);
            for (name, target) in targets(folder.path()).await {
                source.pages.store(0, Ordering::SeqCst);
                let refused = copied(&source, &*target).await.unwrap_err();
                assert!(matches!(refused, CopyError::Source(_)), "{name}: {refused}");
                assert!(refused.to_string().contains("on purpose"), "{refused}");
                assert!(target.rows().await.unwrap().is_empty(), "{name}");
            }
        }
    });
}

#[test]
fn a_target_that_fails_half_way_ends_the_copy() {
    runtime().block_on(async {
        let folder = TempDir::new().unwrap();
        let source = sqlite(&folder.path().join("source.db")).await;
        fill(&*source).await;
        for takes in [0, 1, 700, 3000] {
            let target = Breakable {
                takes: Some(takes),
                ..Breakable::whole(Arc::new(MemoryStore::default()))
            };
            let refused = copied(&*source, &target).await.unwrap_err();
            assert!(matches!(refused, CopyError::Target(_)), "{refused}");
            assert!(refused.to_string().contains("on purpose"), "{refused}");
        }
    });
}

// The pages of the first reading are those of the dump, the later ones those of the comparison.
#[test]
fn what_fails_while_the_two_are_compared_is_named_and_not_what_it_ended() {
    runtime().block_on(async {
        let folder = TempDir::new().unwrap();
        let source = sqlite(&folder.path().join("source.db")).await;
        fill(&*source).await;
        let pages = 7;
        for page in [0, 3] {
            let target = sqlite(&folder.path().join(format!("target-{page}.db"))).await;
            let target = Breakable::failing_at_page(target, page);
            let refused = copied(&*source, &target).await.unwrap_err();
            assert!(matches!(refused, CopyError::Unreadable(_)), "{refused}");
            let target = sqlite(&folder.path().join(format!("other-{page}.db"))).await;
            let source = Breakable::failing_at_page(Arc::clone(&source), pages + page);
            let refused = copied(&source, &*target).await.unwrap_err();
            assert!(matches!(refused, CopyError::Source(_)), "{refused}");
            assert!(refused.to_string().contains("on purpose"), "{refused}");
        }
    });
}

#[test]
fn a_database_that_is_gone_half_way_ends_the_copy() {
    let Some(server) = Postgres::start("") else {
        return;
    };
    let server = Arc::new(server);
    for frozen in [false, true] {
        runtime().block_on(async {
            let folder = TempDir::new().unwrap();
            let store = postgres(&server).await;
            fill(&*store).await;
            let doomed = Arc::clone(&server);
            let end = move |page| {
                match (page, frozen) {
                    (2, true) => doomed.freeze(),
                    (2, false) => doomed.kill(),
                    _ => {}
                }
                Ok(())
            };
            let source = Breakable {
                before_page: Box::new(end),
                ..Breakable::whole(store)
            };
            let target = sqlite(&folder.path().join("target.db")).await;
            let refused = copied(&source, &*target).await.unwrap_err();
            assert!(matches!(refused, CopyError::Source(_)), "{refused}");
            assert!(target.rows().await.unwrap().is_empty());
        });
        if frozen {
            server.thaw();
        } else {
            server.resume();
        }
    }
}

#[test]
fn a_command_ends_in_time_when_a_file_is_damaged_or_a_disk_is_full_or_read_only() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("source")).unwrap();
    runtime().block_on(async {
        let store = sqlite(&path.join("source/whole.db")).await;
        fill(&*store).await;
        store.close().await;
    });
    let whole = std::fs::read(path.join("source/whole.db")).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 100_000].fill(0x5a);
    std::fs::write(path.join("source/damaged.db"), damaged).unwrap();
    std::fs::write(path.join("source/short.db"), &whole[..whole.len() / 2]).unwrap();
    for source in ["damaged", "short"] {
        let from = format!("sqlite:source/{source}.db");
        let to = format!("sqlite:{source}/target.db");
        let error = refused_in_time(path, &["store", "copy", "--from", &from, "--to", &to]);
        assert!(error.contains("malformed"), "{source}: {error}");
    }
    let full = Mounted::at(&path.join("full"), "size=400k");
    let read_only = Mounted::at(&path.join("read-only"), "ro");
    if full.is_none() || read_only.is_none() {
        return;
    }
    for (target, part) in [("full", "full"), ("read-only", "Read-only")] {
        let to = format!("sqlite:{target}/target.db");
        let copy = [
            "store",
            "copy",
            "--from",
            "sqlite:source/whole.db",
            "--to",
            &to,
        ];
        let error = refused_in_time(path, &copy);
        assert!(error.contains(part), "{target}: {error}");
    }
}

#[test]
fn a_large_restore_ends_in_time_whatever_ends_it() {
    let server = start("");
    for number in 0..160 {
        let client = json!({ "name": format!("client-{number}"), "roles": ["issuer"] });
        assert_eq!(
            server.call("POST", "/v1/clients", Some(&client)).status,
            201
        );
    }
    let folder = server.folder();
    done(folder.path(), &["backup", "--output", "backup"]);
    let backup = folder.path().join("backup");
    let data = server.data();
    server.terminate();
    let bytes = std::fs::read(&backup).unwrap();
    assert!(bytes.len() > 65_536, "more than a chunk");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    for (name, content, part) in [
        ("damaged", &damaged[..], "altered"),
        ("short", &bytes[..bytes.len() / 2], "cut off"),
    ] {
        let site = elsewhere(&data);
        std::fs::write(site.path().join("backup"), content).unwrap();
        let restore = ["restore", "--from", "backup", "--nothing-revoked-since"];
        let error = refused_in_time(site.path(), &restore);
        assert!(error.contains(part), "{name}: {error}");
    }
    let from = backup.display().to_string();
    let restore = ["restore", "--from", &from, "--nothing-revoked-since"];
    let other = start("");
    let stranger = elsewhere(&other.data());
    let error = refused_in_time(stranger.path(), &restore);
    assert!(error.contains("master key"), "{error}");
    if let Some(database) = shared() {
        let site = elsewhere(&data);
        let store = format!("store.url = \"{}\"\n", database.database());
        std::fs::write(site.path().join("config.toml"), store).unwrap();
        let restore = [&restore[..], &["--config", "config.toml"]].concat();
        done(site.path(), &restore);
        let error = refused_in_time(site.path(), &restore);
        assert!(error.contains("not empty"), "{error}");
    }
    for (options, part) in [("size=200k", "full"), ("size=1m,ro", "Read-only")] {
        let site = TempDir::new().unwrap();
        let Some(_mounted) = Mounted::at(&site.path().join("keys"), options) else {
            return;
        };
        let key = data.join("master.key").display().to_string();
        let config = format!("master_key_file = {key:?}\n");
        std::fs::write(site.path().join("config.toml"), config).unwrap();
        let restore = [&restore[..], &["--config", "config.toml"]].concat();
        let error = refused_in_time(site.path(), &restore);
        assert!(error.contains(part), "{options}: {error}");
    }
}
