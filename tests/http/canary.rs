//! The canary of a real process: a successor that signs a share of the tokens first, and how it is taken back.

use std::time::SystemTime;

use keywright_verifier::{Algorithm, JwkSet, Jws, Rules, Verifier};
use serde_json::{Value, json};

use crate::support::{Server, eventually, start};

/// Rotations come every fourteen seconds, and a canary signs a quarter of the tokens for eight.
fn policy(server: &Server, name: &str) -> Value {
    json!({
        "url": format!("{}/{name}", server.public), "algorithms": ["ES256"],
        "rotation": {"every": "14s"}, "lead": "2s", "jwks_max_age": "1s", "stale_if_error": "0s",
        "clock_skew": "0s", "default_token_ttl": "60s", "max_token_ttl": "60s",
        "canary": {"share": 0.25, "for": "8s"},
    })
}

fn call(server: &Server, method: &str, path: &str, body: Option<&Value>) -> Value {
    let answer = server.call(method, path, body);
    assert!(answer.status < 300, "{path}: {}", answer.json());
    answer.json()
}

fn of_issuer(issuer: &str, rest: &str) -> String {
    format!("/v1/issuers/{issuer}/{rest}")
}

fn kid_in(server: &Server, issuer: &str, state: &str) -> Option<String> {
    let keys = call(server, "GET", &of_issuer(issuer, "keys"), None);
    let mut keys = keys["keys"].as_array().unwrap().iter();
    let key = keys.find(|key| key["state"] == state)?;
    Some(key["kid"].as_str().unwrap().to_owned())
}

fn canary_begins(server: &Server, issuer: &str) -> String {
    eventually("a canary", || kid_in(server, issuer, "canary"))
}

fn kid_of(token: &str) -> String {
    Jws::parse(token, 4096).unwrap().kid().unwrap().to_string()
}

/// So many tokens in one batch.
fn sign_batch(server: &Server, issuer: &str, count: usize) -> Vec<String> {
    let requests = vec![json!({"claims": {"sub": "user-1", "aud": "orders"}}); count];
    let body = json!({ "requests": requests });
    let answer = call(
        server,
        "POST",
        &of_issuer(issuer, "tokens/batch"),
        Some(&body),
    );
    let results = answer["results"].as_array().unwrap().iter();
    let token = |result: &Value| result["token"].as_str().unwrap().to_owned();
    results.map(token).collect()
}

/// Verifies tokens as a verifier does that fetches the key set now.
fn verify(server: &Server, issuer: &str, tokens: &[String]) {
    let set = server.fetch(&format!("/{issuer}/.well-known/jwks.json"));
    let set = JwkSet::parse(&set.body).unwrap();
    let url = format!("{}/{issuer}", server.public);
    let verifier = Verifier::new(Rules::new(&url, "orders", [Algorithm::Es256]), set).unwrap();
    for token in tokens {
        let verified = verifier.verify_with_held_keys::<Value>(token, SystemTime::now());
        assert_eq!(verified.unwrap().claims["sub"], "user-1");
    }
}

fn events(server: &Server, issuer: &str, event: &str) -> Vec<Value> {
    let path = format!("/v1/audit?issuer={issuer}&event={event}");
    call(server, "GET", &path, None)["events"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn a_canary_signs_about_its_share_and_is_taken_back_by_one_call() {
    let server = start("");
    for issuer in ["stopped", "goes-on"] {
        let created = call(
            &server,
            "PUT",
            &format!("/v1/issuers/{issuer}"),
            Some(&policy(&server, issuer)),
        );
        assert_eq!(
            created["policy"]["canary"],
            json!({"share": 0.25, "for": "8s"})
        );
    }
    let stop = |body: &Value| {
        call(
            &server,
            "POST",
            &of_issuer("stopped", "canary/stop"),
            Some(body),
        )
    };
    assert_eq!(stop(&json!({}))["stopped"], json!([]), "none signs yet");
    let first = kid_in(&server, "stopped", "active").unwrap();

    let canary = canary_begins(&server, "stopped");
    let tokens = sign_batch(&server, "stopped", 1000);
    verify(&server, "stopped", &tokens);
    let (by_canary, by_active): (Vec<_>, Vec<_>) = tokens
        .into_iter()
        .partition(|token| kid_of(token) == canary);
    // Fourteen per cent and thirty-six are eight standard deviations away.
    assert!((140..360).contains(&by_canary.len()), "{}", by_canary.len());
    assert!(by_active.iter().all(|token| kid_of(token) == first));
    let single = eventually("a single token of the canary", || {
        let claims = json!({"claims": {"sub": "user-1", "aud": "orders"}});
        let token = server.sign("stopped", &claims);
        (kid_of(&token) == canary).then_some(token)
    });
    verify(&server, "stopped", &[single]);

    // One call, and every token is the active key's again; those of the canary stay valid.
    let stopped = stop(&json!({"algorithm": "ES256", "reason": "orders refuses its tokens"}));
    let told = &stopped["stopped"][0];
    assert_eq!(
        (&told["kid"], &told["active"]),
        (&json!(canary), &json!(first)),
        "{stopped}"
    );
    let tokens = sign_batch(&server, "stopped", 1000);
    assert!(tokens.iter().all(|token| kid_of(token) == first));
    verify(&server, "stopped", &by_canary);
    assert_eq!(kid_in(&server, "stopped", "retired"), Some(canary.clone()));
    let event = &events(&server, "stopped", "key-canary-stopped")[0];
    assert_eq!(
        (&event["kid"], &event["reason"]),
        (&json!(canary), &json!("orders refuses its tokens"))
    );
    assert_eq!(stop(&json!({}))["stopped"], json!([]));

    // The next one is another key.
    assert_ne!(canary_begins(&server, "stopped"), canary);

    // The canary of the other issuer has become active meanwhile, as its event said.
    let started = events(&server, "goes-on", "key-canary-started")[0].clone();
    assert_eq!(started["share"], 0.25);
    let activated = eventually("the end of the phase", || {
        let activated = events(&server, "goes-on", "key-activated");
        let of_it = |event: &&Value| event["kid"] == started["kid"];
        activated.iter().find(of_it).cloned()
    });
    assert!(activated["at"].as_f64().unwrap() + 1.0 >= started["until"].as_f64().unwrap());
    assert_eq!(activated["forced"], false);
}

#[test]
fn a_phase_that_is_none_is_refused() {
    let server = start("");
    for (canary, told) in [
        (json!({"share": 0, "for": "8s"}), "a share is a number"),
        (
            json!({"share": 1, "for": "0s"}),
            "canary.for must be at least 1s",
        ),
        (json!({"share": 1, "for": "11s"}), "14s < 2 × 2s + 0s + 11s"),
        (json!({"share": 1}), "for"),
    ] {
        let mut policy = policy(&server, "a");
        policy["canary"] = canary;
        let answer = server.call("PUT", "/v1/issuers/a", Some(&policy)).json();
        let detail = answer["detail"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"));
        assert!(detail.contains(told), "{detail}");
    }
}
