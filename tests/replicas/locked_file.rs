//! A file whose write lock another process holds, such as a shell: a change waits for it, and what it
//! says of the time is true when it is committed.

use keywright::authority::audit::Actor;
use keywright::clock::Clock;
use keywright::lifecycle::IssuerName;
use keywright::store::sqlite::SqliteStore;
use keywright_verifier::Algorithm;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::sync::Arc;
use std::time::Duration;

use crate::world::{BEGIN, MAX_STALENESS, Process, SECOND, policy};

const MAX_AGE: Duration = Duration::from_secs(10);

/// Verifiers keep sets for ten seconds, and nothing is added to that.
fn strict(algorithms: &Value) -> Value {
    json!({
        "algorithms": algorithms, "default_algorithm": "RS256",
        "jwks_max_age": "10s", "lead": "10s", "clock_skew": "0s", "stale_if_error": "0s",
        "rotation": { "every": "10m" }, "default_token_ttl": "10s", "max_token_ttl": "10s",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_waited_for_the_file_is_known_before_it_signs_and_signing_goes_on_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywright.db");
    let clock = Clock::manual(BEGIN);
    let store = SqliteStore::open(&path, clock.clone()).await.unwrap();
    let process = Process::on(Arc::new(store), clock.clone(), MAX_STALENESS);
    let process = Arc::new(process.await.unwrap());
    let issuer = process.create("a", strict(&json!(["RS256"]))).await;

    let mut other: SqliteConnection = SqliteConnectOptions::new()
        .filename(&path)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    // Publishes a key of another algorithm, in one commit.
    let changing = tokio::spawn({
        let process = Arc::clone(&process);
        async move {
            let name = IssuerName::parse("a").unwrap();
            let policy = policy("a", strict(&json!(["RS256", "ES256"])));
            let set = process.set_issuer(&name, policy, None, Actor::Bootstrap);
            set.await.map(drop)
        }
    });
    // The lock is held for less than a change waits, and the clock is ahead of it.
    let held = Duration::from_millis(4300);
    for step in 1..=20 {
        tokio::time::sleep(SECOND / 10).await;
        clock.set(BEGIN.after(held * step / 20));
        process.sign("a").await.unwrap();
        let (kids, kept) = process.serve("a");
        assert_eq!((kids.len(), &*kept), (2, "public, max-age=10"));
    }
    assert!(!changing.is_finished());
    let last_served_without_it = process.now();
    other.close().await.unwrap();
    changing.await.unwrap().unwrap();

    let set = issuer.snapshot();
    let set = set.set();
    assert_eq!(set.active(Algorithm::Es256), None);
    let pending = set.successors(Algorithm::Es256)[0];
    let ready_at = pending.ready_at(set.policy()).unwrap();
    let stale_at = last_served_without_it.after(MAX_AGE);
    assert!(ready_at >= stale_at, "{ready_at:?} {stale_at:?}");
}
