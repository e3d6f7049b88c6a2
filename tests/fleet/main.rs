//! Three real processes on one real PostgreSQL while everything around them fails: processes are
//! killed and frozen, the database is stopped, connections are cut, a clock jumps. Meanwhile tokens
//! are signed at all three and verified by what any of them publishes, at once and again shortly
//! before they expire; and subjects are revoked at all three under a verifier that follows the feed. What is counted must be zero where the service makes a promise.
//!
//! `KEYWRIGHT_FLEET_SECONDS` says for how long; `scripts/soak` runs it for an hour.

#![allow(
    clippy::disallowed_methods,
    reason = "processes under test have no clock but the real one"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in the functions around it"
)]

mod audit;
mod balancer;
mod distance;
mod fail_over;
mod faults;
mod followers;
mod hanging_commit;
mod hostile;
mod proxy;
mod status_lists;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod world;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use support::postgres::Postgres;
use support::report;

use followers::Followers;
use hostile::Hostile;
use traffic::Traffic;
use world::{Fleet, REPLICAS};

/// For how long the faults go on, unless `KEYWRIGHT_FLEET_SECONDS` says otherwise.
const SECONDS: u64 = 70;

/// Each test has the machine to itself: the hostile client of one would take it from the others.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn duration() -> Duration {
    let seconds = std::env::var("KEYWRIGHT_FLEET_SECONDS");
    Duration::from_secs(seconds.map_or(SECONDS, |text| text.parse().unwrap()))
}

#[test]
fn whatever_fails_no_live_token_is_refused_and_no_revoked_key_signs() {
    let _turn = turn();
    let Some(postgres) = Postgres::start("") else {
        return;
    };
    let mut fleet = Fleet::start(&postgres);
    let traffic = Traffic::begin(&fleet);
    let hostile = Hostile::begin(&fleet);
    let followers = Followers::begin(&fleet);
    let began = Instant::now();
    let mut rounds = BTreeMap::<&str, u32>::new();
    while began.elapsed() < duration() {
        for fault in faults::ALL {
            traffic.names(fault.name);
            followers.names(fault.name);
            (fault.happens)(&mut fleet, &traffic);
            fleet.recovers();
            traffic.names("calm");
            followers.names("calm");
            thread::sleep(Duration::from_millis(500));
            *rounds.entry(fault.name).or_default() += 1;
            if began.elapsed() >= duration() {
                break;
            }
        }
    }
    let hostile = hostile.ends();
    report(&format!("a hostile client got: {hostile:?}"));
    hostile::hold(&hostile);
    let followed = followers.ends();
    let audit = audit::read(&fleet);
    let counts = traffic.ends(&audit.forced());
    report(&format!("faults: {rounds:?}"));
    for line in counts.lines() {
        report(&line);
    }
    for line in followed.lines() {
        report(&line);
    }
    let double = audit.double_activations();
    let lost = audit.lost(&counts.acknowledged);
    report(&format!(
        "double activations {}, acknowledged changes lost {} of {}",
        double.len(),
        lost.len(),
        counts.acknowledged.len()
    ));
    counts.hold();
    followed.hold();
    assert_eq!(double, [""; 0]);
    assert_eq!(lost, [""; 0]);
}

#[test]
fn of_three_that_rotate_at_once_one_does_and_the_others_are_told_why() {
    const TIMES: usize = 200;
    let _turn = turn();
    let Some(postgres) = Postgres::start("") else {
        return;
    };
    let fleet = Fleet::start(&postgres);
    let mut refusals = BTreeMap::<String, usize>::new();
    for number in 0..TIMES {
        let name = format!("issuer-{number}");
        let policy = json!({ "url": format!("http://127.0.0.1/{name}"), "algorithms": ["ES256"] });
        let answer = fleet.call(0, "PUT", &format!("/v1/issuers/{name}"), Some(&policy));
        assert_eq!(answer.unwrap().status, 201);
        let path = format!("/v1/issuers/{name}/rotate");
        let answers: Vec<_> = thread::scope(|scope| {
            let ask = |index| {
                let (fleet, path) = (&fleet, &path);
                scope.spawn(move || fleet.call(index, "POST", path, Some(&json!({}))).unwrap())
            };
            let threads: Vec<_> = (0..REPLICAS).map(ask).collect();
            threads.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1, "{name}");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            let code = answer.json()["code"].as_str().unwrap().to_owned();
            // A machine may stand still for as long as a replica may use what it has read.
            let is_told = answer.status == 409 || code == "snapshot-stale";
            assert!(is_told, "{}", answer.json());
            *refusals.entry(code).or_default() += 1;
        }
    }
    report(&format!(
        "{TIMES} rotations of three at once: refused {refusals:?}"
    ));
    assert_eq!(audit::read(&fleet).double_activations(), [""; 0]);
}
