//! The past as the service tells it, held against what it served.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::{Answer, Server, now_millis, request, start, start_in};
use crate::world::{create_issuer, jwks_path, keys, ok, p256_jwk, p256_pem, policy};

/// One key set for as long as it was served without another one in between.
struct Served {
    etag: String,
    body: Vec<u8>,
    /// When each answer that had it was asked for; the first, when it had arrived.
    at: Vec<u64>,
}

/// How long before it was served a set may have been decided, in milliseconds: a commit to the disk.
/// In between the new set is told already.
const COMMIT: u64 = 700;

fn record(public: &str, path: &str, stop: &AtomicBool) -> Vec<Served> {
    let mut served: Vec<Served> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let asked = now_millis();
        let answer = request("GET", &format!("{public}{path}"), &[], None);
        assert_eq!(answer.status, 200);
        let etag = answer.header("etag").unwrap().to_owned();
        match served.last_mut().filter(|last| last.etag == etag) {
            Some(last) => last.at.push(asked),
            None => served.push(Served {
                etag,
                body: answer.body,
                at: vec![now_millis()],
            }),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    served
}

#[derive(Deserialize)]
struct History {
    jwks: Box<RawValue>,
    keys: Vec<Value>,
}

fn history(server: &Server, issuer: &str, millis: u64) -> Answer {
    let at = format!("{}.{:03}", millis / 1000, millis % 1000);
    server.call(
        "GET",
        &format!("/v1/issuers/{issuer}/history?at={at}"),
        None,
    )
}

fn told(server: &Server, issuer: &str, millis: u64) -> History {
    let answer = history(server, issuer, millis);
    assert_eq!(answer.status, 200, "{}", answer.json());
    serde_json::from_slice(&answer.body).unwrap()
}

/// Whether this set was told until less than a commit's time before: what is served now was decided
/// then, and what has been decided since is being written.
fn was_told_lately(server: &Server, issuer: &str, at: u64, body: &[u8]) -> bool {
    (at - COMMIT..at)
        .rev()
        .any(|millis| told(server, issuer, millis).jwks.get().as_bytes() == body)
}

/// What a key lives through by itself, in seconds.
fn brief(ttl: u64, skew: u64) -> Value {
    json!({
        "jwks_max_age": "1s", "stale_if_error": "0s", "clock_skew": format!("{skew}s"),
        "lead": "2s", "rotation": { "every": "4s" },
        "default_token_ttl": "1s", "max_token_ttl": format!("{ttl}s"),
    })
}

/// One change of a kind that chance picks; what is refused is no change.
fn change(server: &Server, chance: &mut SmallRng, issuer: &str) {
    let path = format!("/v1/issuers/{issuer}");
    let body = json!({ "reason": "chance" });
    let answer = match chance.random_range(0..10) {
        0..4 => server.call(
            "POST",
            &format!("{path}/rotate"),
            Some(&json!({ "force": true })),
        ),
        4..7 => {
            let keys = keys(server, issuer);
            let key = &keys[chance.random_range(0..keys.len())];
            let kid = key["kid"].as_str().unwrap();
            server.call("POST", &format!("{path}/keys/{kid}/revoke"), Some(&body))
        }
        7 => {
            let changes = brief(chance.random_range(1..5), chance.random_range(0..2));
            server.call("PUT", &path, Some(&policy(issuer, changes)))
        }
        8 => {
            let kid = format!("theirs-{}", chance.random::<u32>());
            let jwk = p256_jwk(&p256_pem().0, &kid);
            let import = json!({ "algorithm": "ES256", "public_key": jwk, "state": "retired" });
            server.call("POST", &format!("{path}/keys"), Some(&import))
        }
        _ => {
            let (_, pem) = p256_pem();
            let import = json!({ "algorithm": "ES256", "private_key": pem, "state": "pending" });
            server.call("POST", &format!("{path}/keys"), Some(&import))
        }
    };
    assert!(answer.status < 500, "{}", answer.json());
}

#[test]
fn the_told_past_is_byte_for_byte_what_was_served() {
    let seed = now_millis();
    println!("seed {seed}");
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut server = start("");
    create_issuer(&server, "brief", brief(1, 0));
    let mut served = Vec::new();
    for _ in 0..2 {
        let stop = Arc::new(AtomicBool::new(false));
        let recorder = std::thread::spawn({
            let (public, stop) = (server.public.clone(), Arc::clone(&stop));
            move || record(&public, &jwks_path("brief"), &stop)
        });
        for _ in 0..25 {
            change(&server, &mut chance, "brief");
            std::thread::sleep(Duration::from_millis(chance.random_range(0..400)));
        }
        // Retired keys leave by themselves, also while no request comes.
        std::thread::sleep(Duration::from_secs(4));
        stop.store(true, Ordering::Relaxed);
        served.extend(recorder.join().unwrap());
        let (_, folder) = server.terminate();
        server = start_in(folder, "").unwrap();
    }
    let (mut asked, mut early) = (0, 0);
    for one in &served {
        let settled = one.at.last().unwrap().saturating_sub(COMMIT);
        for at in one.at.iter().step_by(7) {
            let told = told(&server, "brief", *at);
            asked += 1;
            if told.jwks.get().as_bytes() != one.body {
                early += 1;
                assert!(
                    settled < *at && was_told_lately(&server, "brief", *at, &one.body),
                    "seed {seed}: at {at}, of {}..{}: {} and not {}",
                    one.at[0],
                    one.at[one.at.len() - 1],
                    told.jwks.get(),
                    String::from_utf8_lossy(&one.body)
                );
                continue;
            }
            let published: Value = serde_json::from_slice(&one.body).unwrap();
            for key in published["keys"].as_array().unwrap() {
                let shown = told.keys.iter().find(|shown| shown["kid"] == key["kid"]);
                let state = shown.unwrap()["state"].as_str().unwrap();
                assert!(["pending", "active", "retired"].contains(&state), "{state}");
            }
            let active = told.keys.iter().filter(|key| key["state"] == "active");
            assert_eq!(active.count(), 1);
        }
    }
    let different: BTreeSet<&str> = served.iter().map(|one| one.etag.as_str()).collect();
    let told = format!(
        "{} sets, {asked} questions, {early} told early",
        different.len()
    );
    println!("{told}");
    assert!(
        different.len() > 25 && asked > 100 && early * 4 < asked,
        "{told}"
    );
}

#[test]
fn neither_the_time_before_the_issuer_nor_the_future_is_told() {
    let server = start("");
    let before = now_millis() / 1000 - 60;
    create_issuer(&server, "orders", json!({}));
    let problem = history(&server, "orders", before * 1000);
    assert_eq!(
        (problem.status, &problem.json()["code"]),
        (404, &json!("before-issuer"))
    );
    let created_at = problem.json()["created_at"].as_u64().unwrap();
    let first = told(&server, "orders", now_millis());
    assert_eq!(
        first.jwks.get().as_bytes(),
        server.fetch(&jwks_path("orders")).body
    );
    assert!((before..=before + 120).contains(&created_at));
    let ahead = history(&server, "orders", now_millis() + 60_000);
    assert_eq!(
        (ahead.status, &ahead.json()["code"]),
        (400, &json!("invalid-query"))
    );
    let nobody = history(&server, "nobody", now_millis());
    assert_eq!(
        (nobody.status, &nobody.json()["code"]),
        (404, &json!("unknown-issuer"))
    );
    ok(history(&server, "default", now_millis()));
}
