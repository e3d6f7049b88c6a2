//! Databases of earlier versions, which are brought up to date when they are opened.

use std::path::Path;

use keywright::clock::Clock;
use keywright::store::Store as _;
use keywright::store::sqlite::SqliteStore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::conformance::assert_whole;
use crate::rows::{StoreCalls as _, commit, event, name};

/// The tables of the first version, as its migration made them.
const FIRST: &str = include_str!("../../src/store/migrations/sqlite/0001_first.sql");

/// Runs what the first version of keywright would have run, and what it would have noted of it.
async fn found_old(path: &Path, contents: &str) {
    let mut connection: SqliteConnection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    let noted = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, \
         description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
         success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)";
    for script in ["PRAGMA application_id = 0x6b777274", FIRST, noted, contents] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(script))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let checksum = ring::digest::digest(&ring::digest::SHA384, FIRST.as_bytes());
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (1, 'first', '2026-01-01', TRUE, ?1, 1)")
        .bind(checksum.as_ref())
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
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
    found_old(&path, CONTENTS).await;
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
    found_old(&path, contents).await;
    let store = SqliteStore::open(&path, Clock::system()).await.unwrap();
    assert_whole(&store).await;
    assert_eq!(store.log_head().await.unwrap().sequence, 2500);
}
