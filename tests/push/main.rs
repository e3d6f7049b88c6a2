//! Copies of key sets, pushed by a real service to real places: what a reader of a copy finds, what waits for
//! it, and what a crash, a wrong configuration or another writer does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in the functions around it"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "nothing outside this target sees it"
)]

mod config_map;
mod file;
mod s3;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};

use support::{Server, eventually};

/// An issuer whose whole life takes seconds, pushed to these targets.
fn create(server: &Server, issuer: &str, targets: &[&str]) {
    let answer = server.call(
        "PUT",
        &format!("/v1/issuers/{issuer}"),
        Some(&policy(issuer, targets)),
    );
    assert!([200, 201].contains(&answer.status), "{}", text(&answer));
}

fn policy(issuer: &str, targets: &[&str]) -> Value {
    json!({
        "url": format!("https://id.example.com/{issuer}"), "algorithms": ["ES256"],
        "rotation": {"every": "30d"}, "lead": "2s", "jwks_max_age": "1s", "stale_if_error": "0s",
        "clock_skew": "1s", "push": targets
    })
}

fn keys(server: &Server, issuer: &str) -> Vec<Value> {
    let answer = server.call("GET", &format!("/v1/issuers/{issuer}/keys"), None);
    answer.json()["keys"].as_array().unwrap().clone()
}

fn in_state(server: &Server, issuer: &str, state: &str) -> Option<Value> {
    let mut keys = keys(server, issuer).into_iter();
    keys.find(|key| key["state"] == state)
}

/// The successor, once it is there.
fn successor(server: &Server, issuer: &str) -> Value {
    eventually("a successor", || in_state(server, issuer, "pending"))
}

/// Rotates, by force where that is needed: the successor then is one that no set had before.
fn rotate(server: &Server, issuer: &str, force: bool) -> support::Answer {
    let path = format!("/v1/issuers/{issuer}/rotate");
    server.call("POST", &path, Some(&json!({"force": force})))
}

/// Lets the real process live for a while.
fn pass(seconds: u64) {
    let end = support::now_millis() + seconds * 1000;
    eventually("the time", || (support::now_millis() >= end).then_some(()));
}

/// The body of an answer.
fn text(answer: &support::Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// The kids of a key set.
fn kids(set: &str) -> Vec<String> {
    let set: Value = serde_json::from_str(set).unwrap();
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// What the health report says of copies.
fn unhealthy_copies(server: &Server) -> Vec<Value> {
    let report = server.call("GET", "/v1/health", None).json();
    report["copies"].as_array().cloned().unwrap_or_default()
}

/// Events of this kind, oldest first.
fn events(server: &Server, kind: &str) -> Vec<Value> {
    let path = format!("/v1/audit?limit=1000&event={kind}");
    let page = server.call("GET", &path, None).json();
    page["events"].as_array().unwrap().clone()
}
