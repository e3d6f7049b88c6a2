//! Three fleets of issuers rotate and revoke while every token that they sign is handed to every
//! verifier twice: at once, and again shortly before it expires.
//!
//! What a lead has to outlast is a verifier's cool-down, if an unknown kid makes it fetch again, and
//! its whole cache, if it does not. The first are 30 s for panva/jose and PyJWT, and none for
//! jwks-rsa; their caches of 5 and 10 minutes are at their defaults everywhere. The crate
//! `jsonwebtoken` has a 5-s cache that never asks early, for the second kind.
//!
//! | fleet | rotates | lead | cool-down |
//! | --- | --- | --- | --- |
//! | steady | by policy, every 16 s | 8 s | 3 s, a tenth of the default |
//! | hurried | by hand, as soon as the service allows it | 6 s | 3 s |
//! | patient | by hand, as soon as the service allows it | 34 s | the default, 30 s |
//!
//! A rotation by hand meets a successor that was published for one lead and no longer; a scheduled
//! one a successor that was published one interval earlier still. Whatever the machine is doing,
//! a key is known before it signs: how long a fetch may take, and no more than that, is what the
//! leads exceed cool-down and cache by. (In production the lead is 24 h, which is 2,880
//! cool-downs.)

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Server, start};
use crate::verifiers::{self, AUDIENCE, CoolDown, Verifier};
use crate::{create_issuer, events, key, kid, now_millis, report};

const ALGORITHMS: [&str; 2] = ["ES256", "RS256"];

/// What has to have happened to each algorithm before the test ends.
const ROTATIONS_BY_POLICY: usize = 10;
const ROTATIONS_IN_A_HURRY: usize = 6;
/// Two issuers rotate at once, after one lead and after two: 68 s.
const ROTATIONS_IN_PATIENCE: usize = 6;

/// Nothing hangs for longer than that, on however slow a machine; 90 s are enough on a good one.
const DEADLINE: Duration = Duration::from_secs(180);

/// The pause between two tokens of one issuer and algorithm.
const PACE: Duration = Duration::from_millis(500);

/// How long before its expiry a token is verified again.
const BEFORE_EXPIRY_MILLIS: u64 = 1500;

fn steady() -> Value {
    json!({
        "algorithms": ALGORITHMS, "rotation": { "every": "16s" }, "lead": "8s",
        "jwks_max_age": "4s", "stale_if_error": "2s", "clock_skew": "1s",
        "default_token_ttl": "12s", "max_token_ttl": "12s",
    })
}

fn hurried() -> Value {
    json!({
        "algorithms": ALGORITHMS, "rotation": { "every": "1h" }, "lead": "6s",
        "jwks_max_age": "4s", "stale_if_error": "1s", "clock_skew": "1s",
        "default_token_ttl": "12s", "max_token_ttl": "12s",
    })
}

fn patient() -> Value {
    json!({
        "algorithms": ALGORITHMS, "rotation": { "every": "1h" }, "lead": "34s",
        "jwks_max_age": "20s", "stale_if_error": "10s", "clock_skew": "1s",
        "default_token_ttl": "12s", "max_token_ttl": "12s",
    })
}

/// An issuer under test.
struct Issuer {
    name: String,
    url: String,
}

/// One token on its way to the verifiers, earliest second look first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    again_at_millis: std::cmp::Reverse<u64>,
    expires_at_millis: u64,
    kid: String,
    issuer: String,
    token: String,
}

/// What one verifier said.
#[derive(Default)]
struct Tally {
    name: &'static str,
    is_cacheless: bool,
    accepted_at_once: usize,
    accepted_before_expiry: usize,
    /// The answer came when the token had expired: the machine was too slow, no verifier was wrong.
    late: usize,
    /// Refusals of tokens whose key had been revoked, by key.
    revoked: BTreeMap<String, usize>,
    refusals: Vec<String>,
}

/// What all threads know.
#[derive(Default)]
struct Course {
    ended: AtomicBool,
    tokens: AtomicU64,
    /// Keys whose revocation was asked for: their tokens may be refused from then on.
    revoking: Mutex<BTreeSet<String>>,
    /// Keys whose revocation was answered: they must not sign, and no fresh set has them.
    revoked: Mutex<BTreeSet<String>>,
    wrongs: Mutex<Vec<String>>,
}

impl Course {
    fn runs(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    fn wrong(&self, what: String) {
        report(&what);
        self.wrongs.lock().unwrap().push(what);
    }
}

#[test]
fn no_live_token_is_refused_while_keys_rotate_and_are_revoked() {
    let began = Instant::now();
    let server = start("");
    let found = |name: &str, policy| {
        let url = create_issuer(&server, name, policy);
        Issuer {
            name: name.to_owned(),
            url,
        }
    };
    let patients = ["patient-1", "patient-2"].map(|name| found(name, patient()));
    let steadies = ["steady-1", "steady-2", "steady-3"].map(|name| found(name, steady()));
    let hurrieds = [found("hurried", hurried())];
    let course = Course::default();

    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let mut verifying = Vec::new();
        for (issuers, cool_down) in [
            (&patients[..], CoolDown::Default),
            (&steadies, CoolDown::Tenth),
            (&hurrieds, CoolDown::Tenth),
        ] {
            let mut queues = Vec::new();
            for verifier in verifiers::all(cool_down) {
                let (queue, jobs) = channel();
                queues.push(queue);
                let course = &course;
                verifying.push(scope.spawn(move || verify_all(course, verifier, &jobs)));
            }
            for issuer in issuers {
                for algorithm in ALGORITHMS {
                    let queues = queues.clone();
                    let (server, course) = (&server, &course);
                    scope.spawn(move || sign_steadily(server, course, issuer, algorithm, &queues));
                }
            }
        }
        let (server, course) = (&server, &course);
        for algorithm in ALGORITHMS {
            for issuer in &patients {
                scope.spawn(move || rotate_when_ready(server, course, issuer, algorithm, None));
            }
            let hurried = &hurrieds[0];
            scope.spawn(move || rotate_when_ready(server, course, hurried, algorithm, Some(3)));
            let steady = &steadies[1];
            scope.spawn(move || revoke_when_ready(server, course, steady, algorithm, 12));
        }
        while began.elapsed() < DEADLINE && course.wrongs.lock().unwrap().is_empty() {
            let enough = ALGORITHMS.iter().all(|algorithm| {
                rotations(server, &steadies, algorithm, "scheduler") >= ROTATIONS_BY_POLICY
                    && rotations(server, &hurrieds, algorithm, "client") >= ROTATIONS_IN_A_HURRY
                    && rotations(server, &patients, algorithm, "client") >= ROTATIONS_IN_PATIENCE
            });
            if enough {
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        course.ended.store(true, Ordering::Relaxed);
        verifying
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });

    report(&format!(
        "{} tokens in {:?}",
        course.tokens.into_inner(),
        began.elapsed()
    ));
    for algorithm in ALGORITHMS {
        let scheduled = rotations(&server, &steadies, algorithm, "scheduler");
        let hurried = rotations(&server, &hurrieds, algorithm, "client");
        let patient = rotations(&server, &patients, algorithm, "client");
        report(&format!(
            "{algorithm}: {scheduled} rotations by policy, {hurried} in a hurry, {patient} in \
             patience"
        ));
        assert!(
            scheduled >= ROTATIONS_BY_POLICY,
            "{algorithm}: too few rotations by policy"
        );
        assert!(
            hurried >= ROTATIONS_IN_A_HURRY,
            "{algorithm}: too few rotations in a hurry"
        );
        assert!(
            patient >= ROTATIONS_IN_PATIENCE,
            "{algorithm}: too few rotations in patience"
        );
    }
    let revoked = course.revoked.into_inner().unwrap();
    assert_eq!(revoked.len(), 4, "one key of each algorithm and fleet");
    for tally in &tallies {
        let Tally {
            name,
            accepted_at_once,
            accepted_before_expiry,
            late,
            refusals,
            ..
        } = tally;
        let of_revoked: usize = tally.revoked.values().sum();
        report(&format!(
            "{name}: accepted {accepted_at_once} at once and {accepted_before_expiry} before \
             expiry; {late} too late to tell; refused {} live, {of_revoked} of revoked keys",
            refusals.len()
        ));
        assert_eq!(refusals, &Vec::<String>::new(), "{name}");
        let told = accepted_at_once + accepted_before_expiry;
        assert!(told > 100, "{name} has verified hardly anything");
        assert!(late * 10 < told, "{name} was too slow for a judgement");
    }
    // The alarm works: a key that left the set is refused by a verifier that looks at the set.
    for kid in &revoked {
        let refused = |tally: &&Tally| tally.is_cacheless && tally.revoked.contains_key(kid);
        assert_eq!(
            tallies.iter().filter(refused).count(),
            1,
            "no verifier refused revoked {kid}"
        );
    }
    assert_eq!(course.wrongs.into_inner().unwrap(), Vec::<String>::new());
}

/// Signs at a steady pace, whatever happens to the keys, and hands each token to every verifier.
fn sign_steadily(
    server: &Server,
    course: &Course,
    issuer: &Issuer,
    algorithm: &str,
    queues: &[Sender<Job>],
) {
    let path = format!("/v1/issuers/{}/tokens", issuer.name);
    let body = json!({ "claims": { "sub": "user-1", "aud": AUDIENCE }, "alg": algorithm });
    while course.runs() {
        let tick = Instant::now();
        let revoked = course.revoked.lock().unwrap().clone();
        let answer = server.call("POST", &path, Some(&body));
        let answered = answer.json();
        if answer.status == 201 {
            let token = answered["token"].as_str().expect("a token").to_owned();
            let kid = kid(&token);
            if revoked.contains(&kid) {
                course.wrong(format!(
                    "{} signed with {kid} after its revocation",
                    issuer.name
                ));
            }
            let expires_at_millis = answered["expires_at"].as_u64().expect("a time") * 1000;
            let job = Job {
                again_at_millis: std::cmp::Reverse(expires_at_millis - BEFORE_EXPIRY_MILLIS),
                expires_at_millis,
                kid,
                issuer: issuer.url.clone(),
                token,
            };
            course.tokens.fetch_add(1, Ordering::Relaxed);
            for queue in queues {
                let _ = queue.send(job.clone());
            }
        } else {
            course.wrong(format!("{} did not sign: {answered}", issuer.name));
        }
        std::thread::sleep(PACE.saturating_sub(tick.elapsed()));
    }
}

/// Verifies tokens as they come, and each again before it expires, until none is left.
fn verify_all(course: &Course, mut verifier: Verifier, jobs: &Receiver<Job>) -> Tally {
    let mut tally = Tally {
        name: verifier.name,
        is_cacheless: verifier.is_cacheless,
        ..Tally::default()
    };
    let mut later: BinaryHeap<Job> = BinaryHeap::new();
    let mut more = true;
    while more || !later.is_empty() {
        let until_next = later.peek().map_or(Duration::from_secs(1), |job| {
            Duration::from_millis(job.again_at_millis.0.saturating_sub(now_millis()))
        });
        if until_next.is_zero() {
            let job = later.pop().expect("it was just looked at");
            if verify(course, &mut verifier, &job, &mut tally) {
                tally.accepted_before_expiry += 1;
            }
            continue;
        }
        match jobs.recv_timeout(until_next) {
            Ok(job) => {
                if verify(course, &mut verifier, &job, &mut tally) {
                    tally.accepted_at_once += 1;
                }
                later.push(job);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                more = false;
                std::thread::sleep(until_next.min(Duration::from_millis(100)));
            }
        }
    }
    tally
}

/// Whether the token was accepted; everything else is noted.
fn verify(course: &Course, verifier: &mut Verifier, job: &Job, tally: &mut Tally) -> bool {
    let was_revoked = course.revoked.lock().unwrap().contains(&job.kid);
    let outcome = verifier.verify(&job.token, &job.issuer);
    let left_millis = job.expires_at_millis.saturating_sub(now_millis());
    match outcome {
        Ok(()) => {
            if was_revoked && verifier.is_cacheless {
                course.wrong(format!("{} accepted revoked {}", verifier.name, job.kid));
            }
            return true;
        }
        Err(_) if course.revoking.lock().unwrap().contains(&job.kid) => {
            *tally.revoked.entry(job.kid.clone()).or_default() += 1;
        }
        Err(_) if left_millis == 0 => tally.late += 1,
        Err(refusal) => {
            let refusal = format!(
                "{}: {refusal}: a token of {} by {} that lives for {left_millis} ms",
                verifier.name, job.issuer, job.kid
            );
            report(&refusal);
            tally.refusals.push(refusal);
        }
    }
    false
}

/// Rotates one algorithm of an issuer as soon as that is allowed, again and again. After so many
/// turns as are given the active key is revoked instead, when the successor is as ready.
fn rotate_when_ready(
    server: &Server,
    course: &Course,
    issuer: &Issuer,
    algorithm: &str,
    turns_to_revocation: Option<usize>,
) {
    let path = format!("/v1/issuers/{}/rotate", issuer.name);
    let body = json!({ "algorithm": algorithm });
    let mut turns = 0;
    while course.runs() {
        if turns_to_revocation == Some(turns) {
            revoke_when_ready(server, course, issuer, algorithm, 5);
            turns += 1;
            continue;
        }
        let answer = server.call("POST", &path, Some(&body));
        let answered = answer.json();
        match answer.status {
            200 if answered["forced"] == false => turns += 1,
            409 if answered["code"] == "successor-not-ready" => {}
            _ => course.wrong(format!("{} did not rotate: {answered}", issuer.name)),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Revokes the active key as soon as it has signed for so many seconds and its successor is ready.
fn revoke_when_ready(
    server: &Server,
    course: &Course,
    issuer: &Issuer,
    algorithm: &str,
    seconds: u64,
) {
    while course.runs() {
        let time = |key: Option<Value>, name: &str| key.and_then(|key| key[name].as_u64());
        let successor = key(server, &issuer.name, algorithm, "pending");
        let active = key(server, &issuer.name, algorithm, "active");
        let ready_at = time(successor, "ready_at");
        let activated_at = time(active, "activated_at");
        if ready_at.is_some_and(|at| at * 1000 <= now_millis())
            && activated_at.is_some_and(|at| (at + 1 + seconds) * 1000 <= now_millis())
        {
            return revoke(server, course, issuer, algorithm);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn revoke(server: &Server, course: &Course, issuer: &Issuer, algorithm: &str) {
    let active = key(server, &issuer.name, algorithm, "active").expect("an active key");
    let kid = active["kid"].as_str().expect("a kid").to_owned();
    course.revoking.lock().unwrap().insert(kid.clone());
    let path = format!("/v1/issuers/{}/keys/{kid}/revoke", issuer.name);
    let answer = server.call(
        "POST",
        &path,
        Some(&json!({ "reason": "leaked in a test" })),
    );
    let answered = answer.json();
    if (answer.status, &answered["forced"]) != (200, &json!(false)) {
        course.wrong(format!(
            "{} did not revoke {kid} as it should: {answered}",
            issuer.name
        ));
    }
    course.revoked.lock().unwrap().insert(kid);
}

/// How often a key of the algorithm has handed over to its successor, on whose account.
fn rotations(server: &Server, issuers: &[Issuer], algorithm: &str, actor: &str) -> usize {
    let handed_over = |event: &&Value| {
        event["event"] == "key-retired"
            && event["algorithm"] == algorithm
            && event["actor"]["kind"] == actor
    };
    issuers
        .iter()
        .map(|issuer| {
            events(server, &issuer.name)
                .iter()
                .filter(handed_over)
                .count()
        })
        .sum()
}
