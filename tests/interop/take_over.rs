//! Moving in: keywright continues the keys of a system that verifiers know already.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::start;
use crate::verifiers::{self, AUDIENCE, CoolDown, Dialogue};
use crate::{create_issuer, key, keys, kid, report};

const ISSUER: &str = "moved";

#[test]
fn tokens_of_the_old_system_and_of_keywright_verify_against_one_set() {
    let Some(folder) = verifiers::node() else {
        report("SKIPPED: taking over from a system that uses jose: KEYWRIGHT_SKIP_NODE=1");
        return;
    };
    let mut old = Dialogue::start(
        "old-issuer",
        verifiers::node_script(&folder, "old-issuer.mjs"),
    );
    let described: Value = serde_json::from_str(&old.read()).expect("JSON");
    let old_jwks = described["jwks"].as_str().expect("a URL");
    let old_keys = described["keys"].as_array().expect("a list");
    let server = start("");
    let url = format!("{}/{ISSUER}", server.public);
    let mut sign_there =
        |kid: &str| old.ask(&json!({ "kid": kid, "issuer": url, "audience": AUDIENCE }));
    let sign_here = |algorithm: &str| {
        let claims = json!({ "sub": "user-1", "aud": AUDIENCE });
        server.sign(ISSUER, &json!({ "claims": claims, "alg": algorithm }))
    };
    let import =
        |body: &Value| server.call("POST", &format!("/v1/issuers/{ISSUER}/keys"), Some(body));
    let refused = |body: &Value, status: u16, code: &str| {
        let answer = import(body);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (status, &json!(code))
        );
    };
    let mut tokens: Vec<String> = old_keys
        .iter()
        .map(|key| sign_there(key["kid"].as_str().expect("a kid")))
        .collect();
    let mut verifiers = verifiers::all(CoolDown::Default);
    for verifier in &mut verifiers {
        for token in &tokens {
            let outcome = verifier.verify_with(token, &url, old_jwks);
            assert_eq!(outcome, Ok(()), "{} with the old set", verifier.name);
        }
    }

    let policy = json!({
        "takes_over": true, "algorithms": ["ES256", "RS256"], "rotation": { "every": "1h" },
        "lead": "8s", "jwks_max_age": "4s", "stale_if_error": "2s", "clock_skew": "2s",
        "default_token_ttl": "10m", "max_token_ttl": "10m",
    });
    create_issuer(&server, ISSUER, policy);
    for key in old_keys {
        let (alg, kid) = (&key["alg"], &key["kid"]);
        let as_public = |state| json!({ "algorithm": alg, "public_key": key["jwk"], "kid": kid, "state": state });
        refused(&as_public("active"), 400, "invalid-state");
        refused(&as_public("pending"), 400, "invalid-state");
        let body = if key["signs"] == true {
            json!({ "algorithm": alg, "private_key": key["pem"], "kid": kid, "state": "active" })
        } else {
            as_public("retired")
        };
        let answer = import(&body);
        assert_eq!(answer.status, 201, "{}", answer.json());
        assert_eq!(answer.json()["state"], body["state"]);
        let second = if key["signs"] == true {
            "already-signing"
        } else {
            "key-known"
        };
        refused(&body, 409, second);
    }

    // One set now has the last token of the old system and the first of this one.
    tokens.push(sign_there("es-2025"));
    tokens.push(sign_there("rs-2025"));
    for (algorithm, expected) in [("ES256", "es-2025"), ("RS256", "rs-2025")] {
        let first = sign_here(algorithm);
        assert_eq!(kid(&first), expected);
        tokens.push(first);
    }
    for verifier in &mut verifiers {
        for token in &tokens {
            assert_eq!(verifier.verify(token, &url), Ok(()), "{}", verifier.name);
        }
    }

    // A second signing key is not taken in, and what was generated here waits out its lead.
    let stranger = keys_of_a_stranger(&folder);
    for key in stranger
        .as_array()
        .expect("a list")
        .iter()
        .filter(|key| key["signs"] == true)
    {
        let body = json!({
            "algorithm": key["alg"], "private_key": key["pem"], "kid": "another", "state": "active"
        });
        refused(&body, 409, "already-signing");
    }
    let pending: Vec<Value> = keys(&server, ISSUER)
        .into_iter()
        .filter(|key| key["state"] == "pending")
        .collect();
    assert!(pending.len() >= 2, "{pending:?}");
    for key in &pending {
        let waits = key["ready_at"].as_u64().expect("a time")
            - key["published_at"].as_u64().expect("a time");
        assert!(waits >= 8, "{key}");
    }
    let rotate = || server.call("POST", &format!("/v1/issuers/{ISSUER}/rotate"), None);
    let answer = rotate();
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (409, &json!("successor-not-ready"))
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = rotate();
        if answer.status == 200 {
            assert_eq!(answer.json()["forced"], false);
            break;
        }
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (409, &json!("successor-not-ready"))
        );
        assert!(
            Instant::now() < deadline,
            "the successors are not ready: {}",
            answer.json()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    for algorithm in ["ES256", "RS256"] {
        let retired = key(&server, ISSUER, algorithm, "retired").expect("the imported keys");
        assert!(
            retired["kid"]
                .as_str()
                .is_some_and(|kid| kid.contains("-202")),
            "{retired}"
        );
        tokens.push(sign_here(algorithm));
    }
    for verifier in &mut verifiers {
        for token in &tokens {
            assert_eq!(
                verifier.verify(token, &url),
                Ok(()),
                "{}, rotated",
                verifier.name
            );
        }
    }
    for mut verifier in verifiers::all(CoolDown::Default) {
        for token in &tokens {
            assert_eq!(
                verifier.verify(token, &url),
                Ok(()),
                "{}, started anew",
                verifier.name
            );
        }
    }
    let count = tokens.len();
    report(&format!(
        "taking over: {count} tokens of both systems, {} verifiers",
        verifiers.len()
    ));
}

/// The keys of yet another system.
fn keys_of_a_stranger(folder: &std::path::Path) -> Value {
    let mut other = Dialogue::start(
        "old-issuer",
        verifiers::node_script(folder, "old-issuer.mjs"),
    );
    let described: Value = serde_json::from_str(&other.read()).expect("JSON");
    described["keys"].clone()
}
