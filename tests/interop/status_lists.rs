//! Status lists with a library that keywright did not write: it reads ours while tokens are taken back and
//! keys are revoked, and we read its.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use keywright_verifier::{
    Algorithm, FetchFuture, JwkSet, Rules, StatusListFetcher, StatusLists, Verifier,
};
use serde_json::{Value, json};

use crate::support::{Server, eventually, start};
use crate::verifiers::{Dialogue, available, node, node_script};
use crate::{create_issuer, key, report};

/// The program that has the library.
struct Library(Dialogue);

impl Library {
    fn start() -> Option<Self> {
        let folder = node()?;
        let name = "@sd-jwt/jwt-status-list";
        let installed = folder.join("node_modules").join(name).is_dir();
        if !available("KEYWRIGHT_SKIP_NODE", name, installed) {
            return None;
        }
        let script = node_script(&folder, "status-list.mjs");
        Some(Self(Dialogue::start(name, script)))
    }

    fn ask(&mut self, command: &Value) -> Value {
        let said = self.0.ask(command);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    fn status(&mut self, issuer: &str, token: &str) -> Value {
        self.ask(&json!({"read": {"issuer": issuer, "token": token}}))
    }
}

fn sign(server: &Server, subject: &str) -> Value {
    let request = json!({"claims": {"sub": subject, "aud": "orders"}});
    let path = "/v1/issuers/listed/tokens";
    server.call("POST", path, Some(&request)).json()
}

#[test]
fn a_library_of_others_reads_our_lists_while_tokens_are_taken_back_and_keys_are_revoked() {
    let Some(mut library) = Library::start() else {
        return;
    };
    let server = start("");
    let policy = json!({"algorithms": ["ES256"], "status": "tracked"});
    let issuer = create_issuer(&server, "listed", policy);
    let (kept, taken) = (sign(&server, "user-1"), sign(&server, "user-2"));
    let token = |answer: &Value| answer["token"].as_str().unwrap().to_owned();
    let valid = json!({"type": "application/statuslist+jwt", "ttl": 5, "status": 0});
    for one in [&kept, &taken] {
        assert_eq!(library.status(&issuer, &token(one)), valid);
    }
    let revocation = json!({"jti": taken["jti"]});
    let path = "/v1/issuers/listed/revocations";
    let began = Instant::now();
    let answer = server.call("POST", path, Some(&revocation));
    assert_eq!(answer.status, 201, "{}", answer.json());
    eventually("the library sees the token taken back", || {
        (library.status(&issuer, &token(&taken))["status"] == 1).then_some(())
    });
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    report(&format!(
        "status list: in force after {} ms",
        took.as_millis()
    ));
    assert_eq!(library.status(&issuer, &token(&kept)), valid);

    // A ban of a user finds the tokens that were tracked.
    let banned = sign(&server, "user-4");
    assert_eq!(library.status(&issuer, &token(&banned)), valid);
    let ban = json!({"subject": "user-4", "ban": true});
    let answer = server.call("POST", path, Some(&ban));
    assert_eq!(answer.status, 201, "{}", answer.json());
    eventually("the library sees the user banned", || {
        (library.status(&issuer, &token(&banned))["status"] == 1).then_some(())
    });
    assert_eq!(library.status(&issuer, &token(&kept)), valid);

    // The key that has signed list and tokens is revoked: what its successor signs reads at once.
    let active = key(&server, "listed", "ES256", "active").unwrap();
    let path = format!(
        "/v1/issuers/listed/keys/{}/revoke",
        active["kid"].as_str().unwrap()
    );
    let answer = server.call("POST", &path, Some(&json!({"reason": "a drill"})));
    assert_eq!(answer.status, 200, "{}", answer.json());
    let fresh = sign(&server, "user-3");
    assert_eq!(library.status(&issuer, &token(&fresh)), valid);
}

/// What the library has signed, at its address.
struct Page(HashMap<String, String>);

impl StatusListFetcher for Page {
    fn fetch<'f>(&'f self, uri: &'f str) -> FetchFuture<'f> {
        let page = self.0.get(uri).map(|text| text.clone().into_bytes());
        Box::pin(async move { page.ok_or_else(|| "404".into()) })
    }
}

#[tokio::test]
async fn we_read_the_lists_of_a_library_of_others() {
    let Some(mut library) = Library::start() else {
        return;
    };
    for (bits, statuses) in [
        (1, vec![0, 1, 1, 0, 0, 0, 0, 1]),
        (2, vec![0, 1, 2, 3]),
        (4, vec![0, 1, 2, 15]),
        (8, vec![0, 1, 2, 255]),
    ] {
        let issuer = "https://library.example";
        let write = json!({"write": {"issuer": issuer, "statuses": statuses, "bits": bits}});
        let said = library.ask(&write);
        let text = |value: &Value| {
            value
                .as_str()
                .unwrap_or_else(|| panic!("{said}"))
                .to_owned()
        };
        let page = Page(HashMap::from([(text(&said["uri"]), text(&said["list"]))]));
        let keys = JwkSet::parse(said["jwks"].to_string().as_bytes()).unwrap();
        let rules = Rules::new(issuer, "orders", [Algorithm::Es256]);
        let verifier = Verifier::new(rules, keys)
            .unwrap()
            .with_status_lists(StatusLists::new().fetched_by(page).required())
            .unwrap();
        for (status, token) in statuses.iter().zip(said["tokens"].as_array().unwrap()) {
            let verdict = verifier.verify::<Value>(token.as_str().unwrap()).await;
            let code = verdict.map_or_else(|error| error.code(), |_| "good");
            let expected = match status {
                0 => "good",
                1 => "status-invalid",
                2 => "status-suspended",
                _ => "status-unknown",
            };
            assert_eq!(code, expected, "{bits} bits, {status}");
        }
    }
}
