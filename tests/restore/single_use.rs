//! What a restore does to tokens that count once: all of before count as used.

use std::fs;

use serde_json::{Value, json};

use crate::site::{done, elsewhere, start_restored};
use crate::support::{Answer, Server, eventually, request, start};

fn sign(server: &Server) -> String {
    let body = json!({"claims": {"aud": "orders"}, "single_use": true});
    server.sign("default", &body)
}

fn use_up(server: &Server, client: &Value, token: &str, key: &str) -> Answer {
    let text = |name: &str| client[name].as_str().unwrap();
    let form = format!(
        "token={token}&client_id={}&client_secret={}",
        text("id"),
        text("credential")
    );
    let form = ("application/x-www-form-urlencoded", form.into_bytes());
    let url = format!("{}/consume", server.public);
    request(
        "POST",
        &url,
        &[("idempotency-key", key.to_owned())],
        Some(form),
    )
}

fn assert_used(answer: &Answer) {
    let document = answer.json();
    let description = document["error_description"].as_str().unwrap_or_default();
    assert_eq!(answer.status, 409, "{document}");
    assert!(description.starts_with("already-consumed: "), "{document}");
}

#[test]
fn after_a_restore_only_tokens_that_are_issued_then_count() {
    let oauth = "oauth.enabled = true\n";
    let mut server = start(oauth);
    let body = json!({"name": "orders", "roles": ["consumer"]});
    let client = server.call("POST", "/v1/clients", Some(&body)).json();
    let mut servers = Vec::new();
    // The second time the backup has what the first restore has written.
    for round in 0..2 {
        let (used_before, used_since, unused) = (sign(&server), sign(&server), sign(&server));
        assert_eq!(use_up(&server, &client, &used_before, "k1").status, 200);
        let backup = server.call("POST", "/v1/backup", None);
        assert_eq!(backup.status, 200);
        assert_eq!(use_up(&server, &client, &used_since, "k1").status, 200);
        let folder = elsewhere(&server.data());
        fs::write(folder.path().join("config.toml"), "").unwrap();
        fs::write(folder.path().join("store.backup"), &backup.body).unwrap();
        let restore = [
            "restore",
            "--from",
            "store.backup",
            "--config",
            "config.toml",
        ];
        done(
            folder.path(),
            &[&restore[..], &["--nothing-revoked-since"]].concat(),
        );
        let restored = start_restored(&folder, &server.data(), oauth);
        for token in [&used_before, &used_since, &unused] {
            assert_used(&use_up(&restored, &client, token, "k2"));
        }
        // The clock of the service before may have been ahead of this one by a few seconds.
        let counted = eventually("tokens that are issued now count", || {
            let fresh = sign(&restored);
            let answer = use_up(&restored, &client, &fresh, "k3");
            (answer.status == 200).then_some(fresh)
        });
        assert_used(&use_up(&restored, &client, &counted, "k4"));
        servers.push((folder, std::mem::replace(&mut server, restored)));
        assert_eq!(servers.len(), round + 1);
    }
}
