//! Verifiers that keywright did not write, with the caches that they come with, against a real
//! service: while it rotates and revokes, when it takes over from another system, and in the words
//! of docs/verifiers.md. `oauth` has clients of the OAuth endpoints that keywright did not write.
//!
//! `scripts/test` installs what the foreign ones need. What cannot be had is left out, and that is
//! said aloud: it sets `KEYWRIGHT_SKIP_NODE` or `KEYWRIGHT_SKIP_PYTHON`, without which a missing one
//! is a failure, or `…_GO`, `…_JAVA`, `…_NGINX`, `…_ENVOY`, which no machine has to have. The generators of
//! API clients have `…_GENERATED_PYTHON`, `…_GENERATED_NODE` and `…_GENERATED_GO`.

#![allow(
    clippy::disallowed_methods,
    reason = "what is measured here is real time, against processes that have no other"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in the functions around it"
)]

mod differential;
mod forced;
mod generated;
mod guide;
mod mutations;
mod oauth;
mod readme;
mod rotation;
mod status_lists;
#[path = "../support/mod.rs"]
mod support;
mod take_over;
mod verifiers;

use serde_json::Value;
use support::{Server, now_millis, report};

/// Creates an issuer and answers its URL.
fn create_issuer(server: &Server, name: &str, mut policy: Value) -> String {
    let url = format!("{}/{name}", server.public);
    policy["url"] = url.as_str().into();
    let answer = server.call("PUT", &format!("/v1/issuers/{name}"), Some(&policy));
    assert_eq!(answer.status, 201, "{}", answer.json());
    url
}

/// The issuer's keys, as the API shows them.
fn keys(server: &Server, issuer: &str) -> Vec<Value> {
    let answer = server.call("GET", &format!("/v1/issuers/{issuer}/keys"), None);
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()["keys"].as_array().expect("a list").clone()
}

/// The first key of an algorithm in a state.
fn key(server: &Server, issuer: &str, algorithm: &str, state: &str) -> Option<Value> {
    let wanted = |key: &Value| key["algorithm"] == algorithm && key["state"] == state;
    keys(server, issuer).into_iter().find(wanted)
}

/// All events of an issuer.
fn events(server: &Server, issuer: &str) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    loop {
        let after = events
            .last()
            .map_or(0, |event| event["sequence"].as_u64().expect("a number"));
        let path = format!("/v1/audit?issuer={issuer}&after={after}&limit=1000");
        let answer = server.call("GET", &path, None).json();
        events.extend(answer["events"].as_array().expect("a list").iter().cloned());
        if answer["next"].is_null() {
            return events;
        }
    }
}

/// The `kid` in a token's header.
fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token)
        .expect("a header")
        .kid
        .expect("a kid")
}
