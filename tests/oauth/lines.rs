//! Lines of refresh tokens at three real replicas, of which one is killed again and again.
//!
//! Owners lose answers, repeat, and renew twice at the same time; thieves present copies that are too old.
//! What the rules say in every interleaving is a property beside the code (`src/oauth/refresh/tests.rs`);
//! here it is true of processes, a database and the crashes between any two of their steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::grants::opened;
use crate::support::postgres::shared;
use crate::support::{Answer, Server, report, start_in, try_request};
use crate::world::escape;

const REPLICAS: usize = 3;

/// So many owners renew all the time, and so many grants at a time have a thief.
const OWNERS: u64 = 8;
const THIEVES: u64 = 3;

/// How often a replica is killed.
const KILLS: usize = 6;

/// Less than the grace of 30 s in which a lost answer is given again.
const PATIENCE: Duration = Duration::from_secs(25);

/// The replicas as they are reached now, and every refresh token that they have answered.
struct Fleet {
    urls: [Mutex<String>; REPLICAS],
    has_ended: AtomicBool,
    /// By grant and number.
    lines: Mutex<BTreeMap<(String, u64), BTreeSet<String>>>,
}

impl Fleet {
    fn goes_on(&self) -> bool {
        !self.has_ended.load(Ordering::SeqCst)
    }

    /// Presents a token at one replica. `None` if the outcome is not known.
    fn present(&self, replica: usize, token: &str) -> Option<Answer> {
        let url = format!("{}/token", self.urls[replica].lock().unwrap());
        let form = format!("grant_type=refresh_token&refresh_token={}", escape(token));
        let form = ("application/x-www-form-urlencoded", form.into_bytes());
        let answer = try_request("POST", &url, &[], Some(form)).ok()?;
        if answer.status == 200 {
            self.note(next_of(&answer));
        }
        (answer.status < 429).then_some(answer)
    }

    fn note(&self, token: String) {
        let mut parts = token.split('.').skip(1);
        let grant = parts.next().unwrap().to_owned();
        let number = parts.next().unwrap().parse().unwrap();
        let mut lines = self.lines.lock().unwrap();
        lines.entry((grant, number)).or_default().insert(token);
    }

    /// Presents a token until it is answered, each time at any replica.
    fn insist(&self, random: &mut StdRng, token: &str) -> Answer {
        let began = Instant::now();
        loop {
            if let Some(answer) = self.present(random.random_range(0..REPLICAS), token) {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE, "no replica answers");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The same for an owner, who may lose two answers, and is never refused.
    fn renew(&self, random: &mut StdRng, token: &str) -> String {
        let losses = random.random_range(0..5_u32).saturating_sub(2);
        for _ in 0..losses {
            assert_renewed(&self.insist(random, token));
        }
        let answer = self.insist(random, token);
        assert_renewed(&answer);
        next_of(&answer)
    }
}

fn next_of(answer: &Answer) -> String {
    answer.json()["refresh_token"].as_str().unwrap().to_owned()
}

fn assert_renewed(answer: &Answer) {
    assert_eq!(answer.status, 200, "logged out: {}", answer.json());
}

fn assert_refused(answer: &Answer) {
    let document = answer.json();
    assert_eq!(
        (answer.status, &document["error"]),
        (400, &json!("invalid_grant")),
        "{document}"
    );
}

fn first_token(grant: &Value) -> String {
    grant["refresh_token"].as_str().unwrap().to_owned()
}

/// An owner renews until the end, sometimes twice at the same time. Answers how often.
fn own(fleet: &Fleet, seed: u64, first: String) -> u32 {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut token, mut count) = (first, 0);
    while fleet.goes_on() {
        if random.random_bool(0.3) {
            let at = random.random_range(0..REPLICAS);
            thread::scope(|scope| {
                for replica in [at, (at + 1) % REPLICAS] {
                    let token = &token;
                    scope.spawn(move || {
                        if let Some(answer) = fleet.present(replica, token) {
                            assert_renewed(&answer);
                        }
                    });
                }
            });
        }
        token = fleet.renew(&mut random, &token);
        count += 1;
        thread::sleep(Duration::from_millis(random.random_range(0..60)));
    }
    count
}

/// A thief copies a token, and presents it when its owner is so many renewals ahead. One renewal ahead, it
/// gets what the owner has. Later, the grant ends for both, at every replica.
fn steal(fleet: &Fleet, random: &mut StdRng, first: String) {
    let mut token = first;
    for _ in 0..random.random_range(0..3) {
        token = fleet.renew(random, &token);
    }
    let stolen = token.clone();
    let ahead = random.random_range(1..4);
    // No repeats here: the thief's is one of the five.
    for _ in 0..ahead {
        let answer = fleet.insist(random, &token);
        assert_renewed(&answer);
        token = next_of(&answer);
    }
    let answer = fleet.insist(random, &stolen);
    if ahead == 1 {
        assert_renewed(&answer);
        assert_eq!(next_of(&answer), token);
        return;
    }
    assert_refused(&answer);
    for held in [&token, &stolen] {
        assert_refused(&fleet.insist(random, held));
    }
}

pub fn folder_like(first: &Server) -> Arc<TempDir> {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    for file in ["master.key", "admin.token"] {
        let to = folder.path().join("keys").join(file);
        std::fs::copy(first.data().join(file), to).unwrap();
    }
    folder
}

#[test]
fn at_three_replicas_that_are_killed_each_grant_is_one_line_and_no_owner_is_logged_out() {
    let Some(postgres) = shared() else {
        return;
    };
    let url = postgres.database();
    let settings =
        format!("oauth.enabled = true\nstore.url = \"{url}\"\nstore.max_staleness = \"3s\"\n");
    let first = start_in(Arc::new(tempfile::tempdir().unwrap()), &settings).unwrap();
    let grants: Vec<Value> = (0..OWNERS).map(|_| opened(&first, json!({}))).collect();
    let mut servers = vec![Some(first)];
    for _ in 1..REPLICAS {
        let folder = folder_like(servers[0].as_ref().unwrap());
        servers.push(Some(start_in(folder, &settings).unwrap()));
    }
    let to_steal: Vec<Value> = (0..THIEVES * 40)
        .map(|_| opened(servers[0].as_ref().unwrap(), json!({})))
        .collect();
    let urls = |index: usize| Mutex::new(servers[index].as_ref().unwrap().public.clone());
    let fleet = Fleet {
        urls: [urls(0), urls(1), urls(2)],
        has_ended: AtomicBool::new(false),
        lines: Mutex::default(),
    };
    let (renewals, thefts) = thread::scope(|scope| {
        let fleet = &fleet;
        let owners: Vec<_> = (0..)
            .zip(&grants)
            .map(|(seed, grant)| scope.spawn(move || own(fleet, seed, first_token(grant))))
            .collect();
        let each = to_steal.chunks(to_steal.len() / usize::try_from(THIEVES).unwrap());
        let thieves: Vec<_> = (0..)
            .zip(each)
            .map(|(seed, grants)| {
                scope.spawn(move || {
                    let mut random = StdRng::seed_from_u64(1000 + seed);
                    let mut left = grants.iter();
                    let mut count = 0;
                    while fleet.goes_on()
                        && let Some(grant) = left.next()
                    {
                        steal(fleet, &mut random, first_token(grant));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let mut random = StdRng::seed_from_u64(2000);
        for _ in 0..KILLS {
            thread::sleep(Duration::from_millis(random.random_range(500..2000)));
            let index = random.random_range(0..REPLICAS);
            let folder = servers[index].take().unwrap().kill();
            let server = start_in(folder, &settings).unwrap();
            *fleet.urls[index].lock().unwrap() = server.public.clone();
            servers[index] = Some(server);
        }
        fleet.has_ended.store(true, Ordering::SeqCst);
        let renewals: u32 = owners.into_iter().map(|owner| owner.join().unwrap()).sum();
        let thefts: u32 = thieves.into_iter().map(|thief| thief.join().unwrap()).sum();
        (renewals, thefts)
    });
    let lines = fleet.lines.into_inner().unwrap();
    for ((grant, number), tokens) in &lines {
        assert_eq!(tokens.len(), 1, "{grant} has several tokens {number}");
        assert!(
            *number == 1 || lines.contains_key(&(grant.clone(), number - 1)),
            "{grant}: {number} follows nothing"
        );
    }
    assert!(renewals > 50 && thefts > 5, "{renewals}, {thefts}");
    report(&format!(
        "{renewals} renewals of owners, {thefts} thefts, {KILLS} kills"
    ));
}
