//! A file whose write lock another process holds, such as a shell: a change waits for it, and what it
//! says of the time is true when it is committed.

use keywright::authority::audit::Actor;
use keywright::clock::Clock;
use keywright::engine::software::SoftwareEngine;
use keywright::engine::{SigningEngine as _, Urgency};
use keywright::lifecycle::{ImportAs, KeySpecification};
use keywright::store::sqlite::SqliteStore;
use keywright_verifier::Algorithm;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

use crate::other_process::OtherProcess;
use crate::world::{BEGIN, MAX_STALENESS, Process, SECOND};

const MAX_AGE: Duration = Duration::from_secs(10);

/// Verifiers keep sets for ten seconds, and nothing is added to that.
fn strict() -> Value {
    json!({
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
    let issuer = process.create("a", strict()).await;

    let other = OtherProcess::writes(&path);
    // A key that is there already: one commit publishes it.
    let wanted = KeySpecification {
        algorithm: Algorithm::Es256,
        rsa_bits: 2048,
    };
    let engine = SoftwareEngine::start().unwrap();
    let pair = engine.generate(wanted, Urgency::Immediate).await.unwrap();
    let importing = tokio::spawn({
        let (process, issuer) = (Arc::clone(&process), Arc::clone(&issuer));
        async move {
            let actor = Actor::Bootstrap;
            let imported = process.import_private(&issuer, pair, ImportAs::Pending, actor);
            imported.await
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
    assert!(!importing.is_finished());
    let last_served_without_it = process.now();
    other.ends();
    let kid = importing.await.unwrap().unwrap();

    let snapshot = issuer.snapshot();
    let set = snapshot.set();
    let pending = set.key(&kid).unwrap();
    let ready_at = pending.ready_at(set.policy()).unwrap();
    let stale_at = last_served_without_it.after(MAX_AGE);
    assert!(ready_at >= stale_at, "{ready_at:?} {stale_at:?}");
}
