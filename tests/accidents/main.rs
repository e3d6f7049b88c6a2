//! The machine on a bad day: a disk that is full, files that go away, a log without a reader.

#![allow(
    clippy::disallowed_methods,
    reason = "an accident has no clock; it happens to a real process"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in the functions around it"
)]

mod full_disk;
mod lost_log;
mod moved_store;
mod new_store;
mod refusals;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};

use support::{Answer, Server};

fn ok(answer: Answer) -> Value {
    assert!((200..300).contains(&answer.status), "{}", answer.json());
    match answer.body.is_empty() {
        true => Value::Null,
        false => answer.json(),
    }
}

fn create_client(server: &Server, name: &str, roles: &[&str]) -> Value {
    let body = json!({ "name": name, "roles": roles });
    ok(server.call("POST", "/v1/clients", Some(&body)))
}

fn create_issuer(server: &Server, name: &str, changes: Value) {
    let mut policy = json!({
        "url": format!("http://127.0.0.1:8080/{name}"), "algorithms": ["ES256"],
    });
    let members = policy.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    ok(server.call("PUT", &format!("/v1/issuers/{name}"), Some(&policy)));
}

fn kid(server: &Server, issuer: &str, state: &str) -> Option<String> {
    let keys = ok(server.call("GET", &format!("/v1/issuers/{issuer}/keys"), None));
    let keys = keys["keys"].as_array().unwrap().clone();
    let mut of = keys.into_iter().filter(|key| key["state"] == state);
    of.next().map(|key| key["kid"].as_str().unwrap().to_owned())
}

fn revoke(server: &Server, issuer: &str, kid: &str) -> Answer {
    let path = format!("/v1/issuers/{issuer}/keys/{kid}/revoke");
    server.call("POST", &path, Some(&json!({ "reason": "a test" })))
}

/// A number in `/metrics`; `None` when it is not there.
fn metric(server: &Server, name: &str) -> Option<u64> {
    let text = server.call("GET", "/metrics", None).body;
    let text = String::from_utf8(text).unwrap();
    let mut values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.strip_prefix("{}").unwrap_or(rest).strip_prefix(' ')
    });
    values.next().map(|value| value.parse().unwrap())
}

fn health(server: &Server) -> Value {
    ok(server.call("GET", "/v1/health", None))
}
