//! Whose live tokens a key has signed: as the log counts them, also after it was renamed.

use std::fs;

use serde_json::{Value, json};

use super::{TO_FILE, ask, lines, log_of};
use crate::support::{Server, start};
use crate::world::{create_client, credential, eventually, ok};

fn live_tokens(server: &Server, kid: &str) -> Value {
    ok(server.call(
        "GET",
        &format!("/v1/issuers/default/keys/{kid}/live-tokens"),
        None,
    ))
}

#[test]
fn live_tokens_are_counted_by_client_and_by_audience_and_name_no_subject() {
    let server = start(TO_FILE);
    let log = log_of(&server);
    let client = create_client(&server, "shop", &["issuer"]);
    let secret = credential(&client);
    let sign = |id: &str, audience: Value| {
        let body = json!({"claims": {"sub": "alice", "aud": audience}, "expires_in": 600});
        ok(ask(
            &server,
            &secret,
            "default/tokens",
            id,
            &body.to_string(),
        ))
    };
    let first = sign("one", json!("orders"));
    let kid = first["kid"].as_str().unwrap();
    let written = |count| {
        eventually("lines", || (lines(&log).len() == count).then_some(()));
    };
    written(1);
    fs::rename(&log, log.with_extension("jsonl.1")).unwrap();
    // Lines go to the renamed file until the service looks, and to a new one then.
    eventually("a new file", || {
        sign("more", json!(["orders", "billing"]));
        log.exists().then_some(())
    });
    let all = eventually("every line", || {
        let renamed = lines(&log.with_extension("jsonl.1")).len();
        let counted = live_tokens(&server, kid);
        let there = renamed + lines(&log).len();
        (counted["tokens"] == there).then_some(counted)
    });
    let tokens = all["tokens"].as_u64().unwrap();
    assert!(tokens > 1);
    assert_eq!(
        all["complete"], false,
        "the key is older than the log's first line: {all}"
    );
    let share = &all["clients"][0];
    assert_eq!(share["client"], client["id"]);
    assert_eq!(share["tokens"], tokens);
    assert!(share["expires_at"].as_u64() >= first["expires_at"].as_u64());
    let audiences = all["audiences"].as_array().unwrap();
    let of = |name: &str| {
        audiences
            .iter()
            .find(|share| share["audience"] == name)
            .unwrap()
    };
    assert_eq!(of("orders")["tokens"], tokens);
    assert_eq!(of("billing")["tokens"], tokens - 1);
    assert!(!all.to_string().contains("alice"), "{all}");

    let unknown = server.call("GET", "/v1/issuers/default/keys/none/live-tokens", None);
    assert_eq!(
        (unknown.status, &unknown.json()["code"]),
        (404, &json!("unknown-key"))
    );
}

#[test]
fn without_a_file_there_is_nothing_to_count() {
    let server = start("");
    let keys = ok(server.call("GET", "/v1/issuers/default/keys", None));
    let kid = keys["keys"][0]["kid"].as_str().unwrap();
    let path = format!("/v1/issuers/default/keys/{kid}/live-tokens");
    let answer = server.call("GET", &path, None);
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (409, &json!("no-issuance-log"))
    );
}
