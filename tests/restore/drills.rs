//! A service is backed up under load, lost, and restored elsewhere.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tempfile::TempDir;

use crate::site::{
    Token, assert_restored, assert_verifies, done, elsewhere, jwks, kids, revoke, rotate, sign,
    start_restored, try_sign,
};
use crate::support::postgres::shared;
use crate::support::{Server, start};

/// A lost service: what was kept of it, and what it has signed.
struct Lost {
    folder: Arc<TempDir>,
    /// Signed before the backup began.
    before: Vec<Token>,
    /// Signed after it.
    after: Vec<Token>,
    /// Revoked before, while and after the backup was taken.
    revoked: Vec<String>,
}

impl Lost {
    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("keys")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// Signers, rotations, revocations and changes of the policy go on while the backup is taken.
fn lose_one_under_load() -> Lost {
    let server = start("");
    let mut before = vec![sign(&server, "ES256"), sign(&server, "RS256")];
    rotate(&server);
    before.extend([sign(&server, "ES256"), sign(&server, "RS256")]);
    let mut revoked = Vec::new();
    let leaked = sign(&server, "ES256").kid;
    revoke(&server, &leaked);
    revoked.push(leaked);
    let ended = AtomicBool::new(false);
    let load = || {
        let mut tokens = Vec::new();
        while !ended.load(Ordering::SeqCst) {
            tokens.extend(
                ["ES256", "RS256"]
                    .iter()
                    .filter_map(|one| try_sign(&server, one)),
            );
        }
        tokens
    };
    let changes = || {
        for round in 0..4 {
            rotate(&server);
            let policy = json!({
                "url": "http://127.0.0.1:8080",
                "max_token_ttl": format!("{}m", 61 + round),
            });
            let set = server.call("PUT", "/v1/issuers/default", Some(&policy));
            assert_eq!(set.status, 200);
        }
        let leaked = sign(&server, "ES256").kid;
        revoke(&server, &leaked);
        ended.store(true, Ordering::SeqCst);
        leaked
    };
    let folder = server.folder();
    let mut after = std::thread::scope(|scope| {
        let signers = [scope.spawn(load), scope.spawn(load)];
        let changes = scope.spawn(changes);
        done(folder.path(), &["backup", "--output", "store.backup"]);
        revoked.push(changes.join().unwrap());
        let tokens = signers.map(|signer| signer.join().unwrap());
        tokens.concat()
    });
    rotate(&server);
    let leaked = sign(&server, "RS256").kid;
    revoke(&server, &leaked);
    revoked.push(leaked);
    after.extend([sign(&server, "ES256"), sign(&server, "RS256")]);
    done(
        folder.path(),
        &["register", "export", "--output", "register.json"],
    );
    server.kill();
    let is_live = |token: &Token| !revoked.contains(&token.kid);
    before.retain(is_live);
    after.retain(is_live);
    assert!(!before.is_empty() && !after.is_empty());
    Lost {
        folder,
        before,
        after,
        revoked,
    }
}

fn check(lost: &Lost, restored: &Server, tokens: &[&Token]) {
    let published = jwks(restored);
    for token in tokens {
        assert_verifies(token, &published);
    }
    let text = String::from_utf8(published.clone()).unwrap();
    let revoked = kids(restored, "revoked");
    for kid in &lost.revoked {
        assert!(!text.contains(kid.as_str()), "{kid} is published again");
        let known = restored.call("GET", &format!("/v1/issuers/default/keys/{kid}"), None);
        assert!(known.status == 404 || revoked.contains(kid), "{kid}");
    }
    for algorithm in ["ES256", "RS256"] {
        let token = sign(restored, algorithm);
        assert!(!lost.revoked.contains(&token.kid));
        assert_verifies(&token, &jwks(restored));
    }
    // Nobody knows which tokens were taken back since, so that all are.
    let all = restored.call("GET", "/v1/issuers/default/revocations?issuer=true", None);
    assert_eq!(all.json()["revocations"][0]["state"], "closed");
    assert_restored(restored);
}

fn with_a_register(lost: &Lost, folder: &Path) {
    let answer = done(
        folder,
        &[
            "restore",
            "--config",
            "config.toml",
            "--from",
            &lost.path("store.backup"),
            "--register",
            &lost.path("register.json"),
        ],
    );
    assert_eq!(answer["issuers"][0]["name"], "default");
    assert_eq!(answer["broken"], json!(null));
}

#[test]
fn with_a_fresh_register_every_live_token_verifies_and_nothing_revoked_returns() {
    let lost = lose_one_under_load();
    let folder = elsewhere(&lost.data());
    std::fs::write(folder.path().join("config.toml"), "").unwrap();
    with_a_register(&lost, folder.path());
    let restored = start_restored(&folder, &lost.data(), "");
    let tokens: Vec<&Token> = lost.before.iter().chain(&lost.after).collect();
    check(&lost, &restored, &tokens);
}

#[test]
fn a_backup_of_sqlite_is_restored_to_postgresql() {
    let Some(server) = shared() else {
        return;
    };
    let lost = lose_one_under_load();
    let folder = elsewhere(&lost.data());
    let store = format!("store.url = \"{}\"\n", server.database());
    std::fs::write(folder.path().join("config.toml"), &store).unwrap();
    with_a_register(&lost, folder.path());
    let restored = start_restored(&folder, &lost.data(), &store);
    let tokens: Vec<&Token> = lost.before.iter().chain(&lost.after).collect();
    check(&lost, &restored, &tokens);
}

#[test]
fn without_a_register_what_signed_before_the_backup_verifies_and_what_is_named_stays_revoked() {
    let lost = lose_one_under_load();
    let folder = elsewhere(&lost.data());
    let backup = lost.path("store.backup");
    // Keys that were made after the backup are not in it, and need not be named.
    let (mut named, mut arguments) = (Vec::new(), Vec::new());
    for kid in &lost.revoked {
        let alone = ["restore", "--from", &backup, "--revoked-since", kid];
        let trial = elsewhere(&lost.data());
        if crate::site::run(trial.path(), &alone).status.success() {
            named.push(kid.as_str());
        }
    }
    assert!(!named.is_empty());
    arguments.extend(["restore", "--from", &backup]);
    for kid in named {
        arguments.extend(["--revoked-since", kid]);
    }
    let answer = done(folder.path(), &arguments);
    assert!(!answer["forced"].as_array().unwrap().is_empty());
    let restored = start_restored(&folder, &lost.data(), "");
    let tokens: Vec<&Token> = lost.before.iter().collect();
    check(&lost, &restored, &tokens);
}
