//! A replica whose database is far away keeps up with one that commits all the time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::proxy::Line;
use crate::support::postgres::Postgres;
use crate::support::report;
use crate::world::Fleet;

/// For how long, which is several times what a replica may use what it has read, and how long a busy
/// machine has for enough commits.
const DURATION: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// How many commits tell something.
const ENOUGH: usize = 50;

/// How many commit at a time: each answer waits for all replicas, for up to a second.
const WRITERS: usize = 12;

/// Sets the policy of an issuer of one's own until it is over, and counts the commits.
fn commit(fleet: &Fleet<'_>, writer: usize, over: &AtomicBool, commits: &AtomicUsize) {
    let name = format!("busy-{writer}");
    for number in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let policy = json!({
            "url": format!("http://127.0.0.1/{name}"), "algorithms": ["ES256"],
            "max_token_bytes": 2048 + number % 1000,
        });
        let set = fleet.call(0, "PUT", &format!("/v1/issuers/{name}"), Some(&policy));
        // One that the machine was too slow for is no commit.
        let is_commit = set.is_ok_and(|set| [200, 201].contains(&set.status));
        commits.fetch_add(usize::from(is_commit), Ordering::SeqCst);
    }
}

#[test]
fn a_replica_far_from_the_database_signs_while_another_one_commits_all_the_time() {
    let _turn = crate::turn();
    let Some(postgres) = Postgres::start("") else {
        return;
    };
    let fleet = Fleet::start(&postgres);
    fleet.proxies[1].set(Line::Long);
    let (over, commits) = (AtomicBool::new(false), AtomicUsize::new(0));
    let began = Instant::now();
    let (mut signed, mut refused) = (0, 0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (fleet, over, commits) = (&fleet, &over, &commits);
            scope.spawn(move || commit(fleet, writer, over, commits));
        }
        let is_told = |commits: usize| commits > ENOUGH || began.elapsed() > PATIENCE;
        while began.elapsed() < DURATION || !is_told(commits.load(Ordering::SeqCst)) {
            let body = json!({ "claims": {} });
            let answer = fleet.call(1, "POST", "/v1/issuers/default/tokens", Some(&body));
            match answer.unwrap().status {
                201 => signed += 1,
                _ => refused += 1,
            }
            thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::SeqCst);
    });
    let commits = commits.into_inner();
    report(&format!(
        "5 ms away each way, {commits} commits elsewhere: {signed} signed, {refused} refused"
    ));
    assert!(commits > ENOUGH, "{commits} commits are too few to tell");
    // A machine may stand still for as long as a replica may use what it has read, but not often.
    assert!(refused * 10 < signed, "{refused} refused, {signed} signed");
}
