//! A replica whose database is far away keeps up with one that commits all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::proxy::Line;
use crate::support::postgres::Postgres;
use crate::support::report;
use crate::world::Fleet;

/// For how long, which is several times what a replica may use what it has read.
const DURATION: Duration = Duration::from_secs(10);

/// How many commit at a time: each answer waits for all replicas, for up to a second.
const WRITERS: usize = 12;

/// Sets the policy of an issuer of one's own until it is over.
fn commits(fleet: &Fleet<'_>, writer: usize, over: &AtomicBool) -> usize {
    let name = format!("busy-{writer}");
    let mut commits = 0;
    while !over.load(Ordering::SeqCst) {
        let policy = json!({
            "url": format!("http://127.0.0.1/{name}"), "algorithms": ["ES256"],
            "max_token_bytes": 2048 + commits % 1000,
        });
        let set = fleet.call(0, "PUT", &format!("/v1/issuers/{name}"), Some(&policy));
        // One that the machine was too slow for is no commit.
        commits += usize::from(set.is_ok_and(|set| [200, 201].contains(&set.status)));
    }
    commits
}

#[test]
fn a_replica_far_from_the_database_signs_while_another_one_commits_all_the_time() {
    let Some(postgres) = Postgres::start("") else {
        return;
    };
    let fleet = Fleet::start(&postgres);
    fleet.proxies[1].set(Line::Long);
    let over = AtomicBool::new(false);
    let began = Instant::now();
    let (commits, (signed, refused)) = thread::scope(|scope| {
        let (fleet, over) = (&fleet, &over);
        let commit = |writer| scope.spawn(move || commits(fleet, writer, over));
        let writers: Vec<_> = (0..WRITERS).map(commit).collect();
        let (mut signed, mut refused) = (0, 0);
        while began.elapsed() < DURATION {
            let body = json!({ "claims": {} });
            let answer = fleet.call(1, "POST", "/v1/issuers/default/tokens", Some(&body));
            match answer.unwrap().status {
                201 => signed += 1,
                _ => refused += 1,
            }
            thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::SeqCst);
        let commits = writers.into_iter().map(|writer| writer.join().unwrap());
        (commits.sum::<usize>(), (signed, refused))
    });
    report(&format!(
        "5 ms away each way, {commits} commits elsewhere: {signed} signed, {refused} refused"
    ));
    assert!(commits > 50, "{commits} commits are too few to tell");
    // A machine may stand still for as long as a replica may use what it has read, but not often.
    assert!(refused * 10 < signed, "{refused} refused, {signed} signed");
}
