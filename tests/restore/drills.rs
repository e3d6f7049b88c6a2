//! A service is backed up under load, lost, and restored elsewhere.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::site::{
    Token, assert_restored, assert_verifies, done, elsewhere, jwks, kids, revoke, rotate, sign,
    start_restored, try_sign,
};
use crate::support::postgres::shared;
use crate::support::{Server, start};

/// The identifier of a ban, what it refuses, and for how long.
type Ban = [Value; 3];

/// A lost service: what was kept of it, and what it has signed.
struct Lost {
    folder: Arc<TempDir>,
    /// Signed before the backup began.
    before: Vec<Token>,
    /// Signed after it.
    after: Vec<Token>,
    /// Revoked before, while and after the backup was taken.
    revoked: Vec<String>,
    /// Banned before and after the backup, and what is known of each.
    banned: [(&'static str, Vec<Ban>); 2],
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
    let lifted = ban(&server, "lifted-since");
    ban(&server, "banned-before");
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
    ban(&server, "banned-since");
    let lifted = format!(
        "/v1/issuers/default/revocations/{}",
        lifted["id"].as_str().unwrap()
    );
    assert_eq!(server.call("DELETE", &lifted, None).status, 204);
    let banned = ["banned-before", "banned-since"].map(|one| (one, bans(&server, one)));
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
        banned,
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
    assert_restored(restored);
}

/// Who was banned is, and whose ban was lifted is not.
fn check_bans(lost: &Lost, restored: &Server) {
    let sign = |subject: &str| {
        let body = json!({ "claims": { "sub": subject } });
        restored.call("POST", "/v1/issuers/default/tokens", Some(&body))
    };
    for (subject, known) in &lost.banned {
        assert_eq!(&bans(restored, subject), known, "{subject}");
        assert_eq!(sign(subject).json()["code"], "banned", "{subject}");
    }
    assert_eq!(sign("lifted-since").status, 201);
}

/// Whether every token of before is taken back.
fn everything_is_taken_back(restored: &Server) -> bool {
    let all = restored.call("GET", "/v1/issuers/default/revocations?issuer=true", None);
    match all.json()["revocations"].as_array().unwrap().as_slice() {
        [] => false,
        [one] => {
            assert_eq!(one["state"], "closed");
            true
        }
        several => panic!("{several:?}"),
    }
}

fn ban(server: &Server, subject: &str) -> Value {
    let body = json!({ "subject": subject, "ban": true, "reason": "fraud" });
    let answer = server.call("POST", "/v1/issuers/default/revocations", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

/// What is known of a subject's bans, without what follows from the present time.
fn bans(server: &Server, subject: &str) -> Vec<Ban> {
    let path = format!("/v1/issuers/default/revocations?subject={subject}");
    let found = server.call("GET", &path, None).json();
    let found = found["revocations"].as_array().unwrap().iter();
    let ban = |one: &Value| ["id", "issued_before", "ban"].map(|name| one[name].clone());
    found.map(ban).collect()
}

fn with_a_register(lost: &Lost, folder: &Path, since: &[&str]) {
    let (backup, register) = (lost.path("store.backup"), lost.path("register.json"));
    let arguments = [
        "restore",
        "--config",
        "config.toml",
        "--from",
        &backup,
        "--register",
        &register,
    ];
    let answer = done(folder, &[&arguments, since].concat());
    assert_eq!(answer["issuers"][0]["name"], "default");
    assert_eq!(answer["broken"], json!(null));
    let taken_back = match since {
        [] => json!(["default"]),
        _ => json!([]),
    };
    assert_eq!(answer["tokens_taken_back"], taken_back);
}

#[test]
fn with_a_fresh_register_every_live_token_verifies_and_nothing_revoked_returns() {
    let lost = lose_one_under_load();
    let folder = elsewhere(&lost.data());
    std::fs::write(folder.path().join("config.toml"), "").unwrap();
    with_a_register(&lost, folder.path(), &[]);
    let restored = start_restored(&folder, &lost.data(), "");
    let tokens: Vec<&Token> = lost.before.iter().chain(&lost.after).collect();
    check(&lost, &restored, &tokens);
    check_bans(&lost, &restored);
    // It is not known what was taken back after the register.
    assert!(everything_is_taken_back(&restored));
}

#[test]
fn with_a_complete_register_only_what_was_taken_back_is_refused() {
    let lost = lose_one_under_load();
    let register = std::fs::read_to_string(lost.path("register.json")).unwrap();
    assert!(!register.contains("banned-"), "the register names people");
    let folder = elsewhere(&lost.data());
    std::fs::write(folder.path().join("config.toml"), "").unwrap();
    with_a_register(&lost, folder.path(), &["--nothing-revoked-since"]);
    let restored = start_restored(&folder, &lost.data(), "");
    let tokens: Vec<&Token> = lost.before.iter().chain(&lost.after).collect();
    check(&lost, &restored, &tokens);
    check_bans(&lost, &restored);
    assert!(!everything_is_taken_back(&restored));
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
    with_a_register(&lost, folder.path(), &[]);
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
    assert!(everything_is_taken_back(&restored));
}
