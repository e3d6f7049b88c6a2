//! Databases of earlier versions, which are brought up to date when they are opened.

use std::path::Path;
use std::time::Duration;

use keywright::clock::Clock;
use keywright::lifecycle::IssuerName;
use keywright::store::chain::LogHead;
use keywright::store::sqlite::SqliteStore;
use keywright::store::{
    CommitError, Content, Kind, LastUse, NumberedEvent, Query, Record, RecordKey, SealedChange,
    Store, Token, Write,
};
use ring::digest::{Digest, SHA384, digest};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::conformance::{assert_whole, open_database};
use crate::rows::{StoreCalls as _, batch, commit, event, name};
use crate::support::postgres::shared;

/// The migrations of the versions that had a table for each kind.
const FIRST: &str = include_str!("../../src/store/migrations/sqlite/0001_first.sql");
const TABLES: [&str; 3] = [
    FIRST,
    include_str!("../../src/store/migrations/sqlite/0002_access.sql"),
    include_str!("../../src/store/migrations/sqlite/0003_chain.sql"),
];

/// Runs what an earlier version of keywright would have run, and what it would have noted of it.
async fn found_old(path: &Path, migrations: &[&str], contents: &str) {
    let mut connection: SqliteConnection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    let noted = "PRAGMA application_id = 0x6b777274; CREATE TABLE _sqlx_migrations (\
         version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
         installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
         success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)";
    run(&mut connection, noted).await;
    for (version, migration) in (1_i64..).zip(migrations) {
        run(&mut connection, migration).await;
        sqlx::query("INSERT INTO _sqlx_migrations VALUES (?1, 'old', '2026-01-01', TRUE, ?2, 1)")
            .bind(version)
            .bind(checksum(migration).as_ref())
            .execute(&mut connection)
            .await
            .unwrap();
    }
    run(&mut connection, contents).await;
    connection.close().await.unwrap();
}

async fn run(connection: &mut SqliteConnection, script: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(script))
        .execute(connection)
        .await
        .unwrap();
}

fn checksum(migration: &str) -> Digest {
    digest(&SHA384, migration.as_bytes())
}

const CONTENTS: &str = "
    INSERT INTO issuers VALUES ('a', '/a', 3, 'issuer');
    INSERT INTO keys VALUES (1, 'a', 'k', 'key', x'00ff');
    INSERT INTO events (at, issuer, document) VALUES
        (1800000000123, 'a', 'one'), (1800000000123, NULL, 'two'), (1800000000123, 'a', 'three');
    INSERT INTO clients VALUES ('b', 'client b'), ('a', 'client a');
    INSERT INTO settings VALUES ('s', x'01');
";

#[tokio::test]
async fn a_database_of_the_first_version_keeps_everything() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keywright.db");
    found_old(&path, &[FIRST], CONTENTS).await;
    let mut heads = Vec::new();
    // The second time there is nothing left to bring up to date.
    for _ in 0..2 {
        let store = SqliteStore::open(&path, Clock::system()).await.unwrap();
        let set = store.load(&name("a")).await.unwrap().unwrap();
        assert_eq!((set.issuer.version, set.keys.len()), (3, 1));
        let events = store.events(None, 0, 100).await.unwrap();
        let events: Vec<_> = events.into_iter().map(|row| row.event).collect();
        assert_eq!(
            events,
            [
                event(Some("a"), "one"),
                event(None, "two"),
                event(Some("a"), "three")
            ]
        );
        let clients = store.clients().await.unwrap();
        let clients: Vec<_> = clients
            .iter()
            .map(|client| (&*client.key.id, client.version, &*client.document))
            .collect();
        assert_eq!(clients, [("a", 1, "client a"), ("b", 1, "client b")]);
        assert_eq!(store.approvals().await.unwrap(), []);
        let setting = store.setting("s").await.unwrap();
        assert_eq!(setting.as_deref(), Some([1].as_slice()));
        assert_whole(&store).await;
        heads.push(store.log_head().await.unwrap());
        store.close().await;
    }
    assert_eq!(heads[0], heads[1]);
    let store = SqliteStore::open(&path, Clock::system()).await.unwrap();
    store.commit(commit("b", 1)).await.unwrap();
    assert_whole(&store).await;
}

// Documents that no version has written, and more of them than are chained at a time.
#[tokio::test]
async fn a_long_log_of_the_first_version_is_chained_whatever_is_in_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keywright.db");
    let contents = "
        WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 2500)
        INSERT INTO events (at, issuer, document) SELECT n, NULL, '{\"n\":' || n || '}' FROM number;
        UPDATE events SET issuer = 'No Name' WHERE sequence = 1000;
        UPDATE events SET at = -1 WHERE sequence = 2000;
        UPDATE events SET document = CAST(x'ff' AS TEXT) WHERE sequence = 2001;
    ";
    found_old(&path, &[FIRST], contents).await;
    let store = SqliteStore::open(&path, Clock::system()).await.unwrap();
    assert_whole(&store).await;
    assert_eq!(store.log_head().await.unwrap().sequence, 2500);
}

const ACTIVE: &str = r#"{"state":{"name":"active"}}"#;
const REVOKED: &str =
    r#"{"state":{"name":"revoked","reason":"\u0000\u0000 \"leak\" \\u0000 \\\u0000\\"}}"#;
const PENDING: &str = r#"{"state":{"name":"pending","reason":"revoked"}}"#;
const SEALED: &[u8] = b"<the sealed half of z>";

/// What a version with a table for each kind has written, for a database that writes bytes so, and
/// where its log ends. Documents are what a store has to look into. One key was revoked for a reason
/// with a NUL.
fn of_each_kind(bytes: fn(&[u8]) -> String) -> (String, LogHead) {
    let mut head = LogHead::BEGINNING;
    let events = [
        event(Some("b"), "one"),
        event(None, "two"),
        event(Some("a"), "three"),
    ];
    let mut script = format!(
        r#"
        INSERT INTO issuers (name, path, version, document) VALUES
            ('b', '/b', 3, 'issuer b'), ('a', '/moved', 1, 'issuer a');
        INSERT INTO keys (issuer, kid, document, sealed) VALUES
            ('b', 'z', '{ACTIVE}', {sealed}), ('a', 'k', 'no JSON', NULL),
            ('b', 'a', '{REVOKED}', NULL), ('b', 'm', '{PENDING}', {empty});
        INSERT INTO clients (id, version, document) VALUES
            ('y', 1, 'client y'), ('x', 7, 'client x');
        INSERT INTO approvals (id, document) VALUES
            ('q', '{{"issuer":"b","reason":"\u0000"}}'), ('p', '{{"issuer":"a"}}');
        INSERT INTO settings (name, value) VALUES ('master-key-check', {setting});
        INSERT INTO last_uses (client, credential, at) VALUES ('x', 'c', 1800000000001);
        "#,
        sealed = bytes(SEALED),
        empty = bytes(b""),
        setting = bytes(b"<sealed>"),
    );
    for event in events {
        let NumberedEvent {
            sequence,
            event,
            hash,
        } = head.append(event);
        let issuer = event
            .issuer
            .map_or("NULL".to_owned(), |issuer| format!("'{issuer}'"));
        let (at, document, hash) = (event.at, event.document, bytes(hash.as_bytes()));
        script += &format!(
            "INSERT INTO events (sequence, at, issuer, document, hash) \
             VALUES ({sequence}, {at}, {issuer}, '{document}', {hash});\n"
        );
    }
    let hash = bytes(head.hash.as_bytes());
    script += &format!(
        "INSERT INTO audit_head VALUES (1, {}, {hash});\n",
        head.sequence
    );
    (script, head)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Owner, id, version, document, sealed bytes, and whether it is final.
type Shown<'a> = (
    Option<&'a str>,
    &'a str,
    u64,
    &'a str,
    Option<&'a [u8]>,
    bool,
);

fn shown(record: &Record) -> Shown<'_> {
    assert_eq!(record.token, Token::UNWRITTEN);
    (
        record.key.owner.as_ref().map(IssuerName::as_str),
        &record.key.id,
        record.version,
        &record.document,
        record.sealed.as_deref(),
        record.is_final,
    )
}

fn assert_records(records: &[Record], expected: &[Shown<'_>]) {
    let shown: Vec<_> = records.iter().map(shown).collect();
    assert_eq!(shown, expected);
}

/// Asserts that everything of [`of_each_kind`] is there, and can be changed from here on.
async fn assert_kept(store: &dyn Store, head: LogHead) {
    let records = store.read(&Kind::ALL.map(Query::all)).await.unwrap();
    // There were no revocations of tokens then, and no grants.
    let [settings, issuers, keys, clients, approvals, new @ ..] = &records[..] else {
        panic!("{records:?}");
    };
    assert!(new.iter().all(Vec::is_empty), "{new:?}");
    assert_records(
        settings,
        &[(None, "master-key-check", 1, "", Some(b"<sealed>"), false)],
    );
    assert_records(
        issuers,
        &[
            (None, "a", 1, "issuer a", None, false),
            (None, "b", 3, "issuer b", None, false),
        ],
    );
    let paths: Vec<_> = issuers
        .iter()
        .map(|issuer| issuer.unique.as_deref())
        .collect();
    assert_eq!(paths, [Some("/moved"), Some("/b")]);
    assert_records(
        keys,
        &[
            (Some("a"), "k", 1, "no JSON", None, false),
            (Some("b"), "z", 1, ACTIVE, Some(SEALED), false),
            (Some("b"), "a", 1, REVOKED, None, true),
            (Some("b"), "m", 1, PENDING, Some(b""), false),
        ],
    );
    assert_records(
        clients,
        &[
            (None, "x", 7, "client x", None, false),
            (None, "y", 1, "client y", None, false),
        ],
    );
    assert_records(
        approvals,
        &[
            (Some("a"), "p", 1, r#"{"issuer":"a"}"#, None, false),
            (
                Some("b"),
                "q",
                1,
                r#"{"issuer":"b","reason":"\u0000"}"#,
                None,
                false,
            ),
        ],
    );
    let used = LastUse {
        client: "x".to_owned(),
        credential: "c".to_owned(),
        at: 1_800_000_000_001,
    };
    assert_eq!(store.last_uses().await.unwrap(), [used]);
    assert_eq!(store.log_head().await.unwrap(), head);
    assert_whole(store).await;

    // A revoked key stays revoked; what is not final changes, and has a token then.
    let key = |kid| RecordKey::signing_key(&name("b"), kid);
    let content = || Content {
        sealed: SealedChange::Erase,
        ..Content::default()
    };
    let brought_back = Write::Replace(key("a"), Token::UNWRITTEN, content());
    let refused = store.write(batch([brought_back], "refused")).await;
    assert!(matches!(refused, Err(CommitError::Final)), "{refused:?}");
    let erased = batch(
        [Write::Replace(key("z"), Token::UNWRITTEN, content())],
        "erased",
    );
    let token = Token::UNWRITTEN.followed_by(erased.id);
    store.write(erased).await.unwrap();
    assert_eq!(store.token(&key("z")).await, token);
    let mut taken = commit("c", 1);
    taken.path = "/moved".to_owned();
    let refused = store.commit(taken).await;
    assert!(
        matches!(refused, Err(CommitError::NotUnique)),
        "{refused:?}"
    );
    // A new key comes after those that were there.
    let create = Write::Create(key("0"), Content::default());
    store.write(batch([create], "created")).await.unwrap();
    let kids: Vec<_> = store
        .list(Query::owned(Kind::Key, &name("b")))
        .await
        .unwrap();
    let kids: Vec<_> = kids.iter().map(|key| key.key.id.as_str()).collect();
    assert_eq!(kids, ["z", "a", "m", "0"]);
    assert_whole(store).await;
}

#[tokio::test]
async fn a_file_with_a_table_for_each_kind_keeps_everything_and_nothing_sealed_beside_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keywright.db");
    let (contents, head) = of_each_kind(|bytes| format!("x'{}'", hex(bytes)));
    found_old(&path, &TABLES, &contents).await;
    let count = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes
            .windows(SEALED.len())
            .filter(|part| *part == SEALED)
            .count()
    };
    assert_eq!(count(&path), 1);
    let store = SqliteStore::open(&path, Clock::system()).await.unwrap();
    // It is where it belongs, and not where it was before.
    let log = folder.path().join("keywright.db-wal");
    assert_eq!((count(&path), count(&log)), (1, 0));
    assert_kept(&store, head).await;
    store.clear_erased().await;
    assert_eq!((count(&path), count(&log)), (0, 0));
    store.close().await;
    assert_eq!(count(&path), 0);
}

const SHARED: &str = include_str!("../../src/store/migrations/postgres/0001_first.sql");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_a_table_for_each_kind_keeps_everything_and_waits_for_old_replicas() {
    let Some(server) = shared() else { return };
    let database = server.create_database();
    let (contents, head) = of_each_kind(|bytes| format!("'\\x{}'::bytea", hex(bytes)));
    let checksum = hex(checksum(SHARED).as_ref());
    let script = format!(
        "CREATE TABLE keywright_migrations (version BIGINT PRIMARY KEY, \
         description TEXT NOT NULL, installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), \
         success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL); \
         INSERT INTO keywright_migrations VALUES (1, 'first', now(), TRUE, '\\x{checksum}', 1); \
         {SHARED} {contents} \
         INSERT INTO settings VALUES ('max-staleness', convert_to('30000', 'UTF8')); \
         INSERT INTO replicas VALUES ('live', 3, '{{}}', now()), ('new', 0, '{{}}', now()), \
         ('dead', 3, '{{}}', now() - interval '31 seconds');"
    );
    server.psql(&database, &script);
    // Its tables are the role's that opens them.
    let store = open_database(&server.url(&database)).await.unwrap();
    let list = store.replicas().unwrap().replicas().await.unwrap();
    assert_eq!(list.max_staleness, Some(Duration::from_secs(30)));
    assert_eq!(list.replicas.len(), 3);
    let live: Vec<_> = list.live().map(|one| &*one.heartbeat.replica).collect();
    assert_eq!(live, ["live", "new"]);
    // No change counts as taken over by what cannot read it any more.
    assert!(list.live().all(|replica| !replica.has(1)));
    assert_kept(&store, head).await;
    // An old build that still runs writes no heartbeat any more, and begins no more.
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' \
                  AND tablename IN ('replicas', 'issuers', 'keys', 'clients', 'settings')";
    assert_eq!(server.psql(&database, tables).trim(), "0");
}
