//! What cannot be undone asks first, does not wait where there is no terminal to answer, and may be repeated.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::command::{done, run, said};
use crate::support::{self, Server, start};

/// The same on a terminal of its own, with something typed; `None` where nothing makes a terminal.
fn typed(server: &Server, arguments: &[&str], answer: &str) -> Option<String> {
    let quoted: Vec<String> = arguments.iter().map(|one| format!("'{one}'")).collect();
    let program = env!("CARGO_BIN_EXE_keywright");
    let command = format!("{program} {}; echo exit code $?", quoted.join(" "));
    let child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(server.folder().path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        support::report("SKIPPED: there is no `script`, which makes a terminal");
        return None;
    };
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{answer}").unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn key(server: &Server, issuer: &str, state: &str) -> String {
    let path = format!("/v1/issuers/{issuer}/keys");
    let keys = server.call("GET", &path, None).json();
    let keys = keys["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["state"] == state).unwrap();
    key["kid"].as_str().unwrap().to_owned()
}

fn state(server: &Server, issuer: &str, kid: &str) -> String {
    let path = format!("/v1/issuers/{issuer}/keys/{kid}");
    let key = server.call("GET", &path, None).json();
    key["state"].as_str().unwrap().to_owned()
}

fn issuer(server: &Server, name: &str) {
    let url = format!("url=https://{name}.example/{name}");
    done(server, &["issuers", "set", name, "--set", &url]);
    support::eventually("a successor", || {
        let keys = server.call("GET", &format!("/v1/issuers/{name}/keys"), None);
        let keys = keys.json()["keys"].as_array().unwrap().clone();
        keys.iter()
            .any(|key| key["state"] == "pending")
            .then_some(())
    });
}

#[test]
fn without_a_terminal_what_cannot_be_undone_needs_yes() {
    let server = start("");
    issuer(&server, "shop");
    let client = done(
        &server,
        &["clients", "create", "api", "--role", "issuer", "--json"],
    );
    let client: Value = serde_json::from_str(&client[..=client.rfind('}').unwrap()]).unwrap();
    let id = client["id"].as_str().unwrap();
    let credential = client["credentials"][0]["id"].as_str().unwrap();
    let active = key(&server, "shop", "active");
    for arguments in [
        &["issuers", "delete", "shop", "--reason", "a"][..],
        &["clients", "revoke", id],
        &["clients", "revoke", id, "--credential", credential],
        &["clients", "rotate", id, "--overlap", "0s"],
        &["clock", "correct", "--reason", "a"],
        &["keys", "rotate", "--issuer", "shop", "--force"],
        &[
            "keys",
            "revoke",
            &active,
            "--issuer",
            "shop",
            "--reason",
            "a",
            "--discard-successor",
        ],
        &["master-key", "replace", "--reason", "a"],
    ] {
        let head = || {
            server.call("GET", "/v1/audit/head", None).json()["sequence"]
                .as_u64()
                .unwrap()
        };
        let before = head();
        let (code, text) = said(&server, arguments);
        assert_eq!(code, 2, "{arguments:?}: {text}");
        assert!(
            text.contains("cannot be undone") && text.contains("--yes"),
            "{text}"
        );
        assert_eq!(head(), before, "{arguments:?}");
    }
}

#[test]
fn on_a_terminal_the_name_is_typed() {
    let server = start("");
    issuer(&server, "shop");
    let delete = ["issuers", "delete", "shop", "--reason", "a"];
    let Some(refused) = typed(&server, &delete, "yes") else {
        return;
    };
    assert!(
        refused.contains("Type shop to continue") && refused.contains("exit code 1"),
        "{refused}"
    );
    assert!(refused.contains("nothing was changed"), "{refused}");
    let shown = server.call("GET", "/v1/issuers/shop", None).json();
    assert!(shown.get("deleted_at").is_none());
    let deleted = typed(&server, &delete, "shop").unwrap();
    assert!(deleted.contains("exit code 0"), "{deleted}");
    let shown = server.call("GET", "/v1/issuers/shop", None).json();
    assert!(shown.get("deleted_at").is_some());
}

#[test]
fn a_dry_run_says_whose_tokens_would_stop_working() {
    let server = start("issuance_log.to = \"file\"\n");
    let active = key(&server, "default", "active");
    let claims = json!({ "claims": { "sub": "alice", "aud": "orders" } });
    server.sign("default", &claims);
    let dry_run = ["keys", "revoke", &active, "--dry-run"];
    let (clients, audiences) = ("; clients: bootstrap (1)", "; audiences: orders (1)");
    let counted = format!("issuance log: 1{clients}{audiences}; there may be more before ");
    // The line is on its way to the file.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (code, said) = said(&server, &dry_run);
        assert_eq!(code, 0, "{said}");
        if said.contains(&counted) {
            break;
        }
        assert!(Instant::now() < deadline, "{said}");
    }
}

#[test]
fn a_plain_revocation_does_not_ask_and_a_dry_run_changes_nothing() {
    let server = start("");
    let (active, successor) = (
        key(&server, "default", "active"),
        key(&server, "default", "pending"),
    );
    let head = server.call("GET", "/v1/audit/head", None).json();
    let imagined = done(&server, &["keys", "revoke", &active, "--dry-run"]);
    assert!(imagined.contains("Nothing was changed"), "{imagined}");
    assert!(
        imagined.contains(&format!("would be signed by {successor}")),
        "{imagined}"
    );
    let json = done(&server, &["keys", "revoke", &active, "--dry-run", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["signs_now"], successor.as_str());
    assert_eq!(server.call("GET", "/v1/audit/head", None).json(), head);
    assert_eq!(state(&server, "default", &active), "active");
    // The first set's successor is known to every verifier.
    let text = done(&server, &["keys", "revoke", &active, "--reason", "leaked"]);
    assert!(
        text.contains(&format!("now signed by {successor}")),
        "{text}"
    );
    // The next one is not: the answer would be forced.
    let next = ["keys", "revoke", &successor, "--reason", "leaked"];
    let (code, text) = said(&server, &next);
    assert_eq!(code, 2, "{text}");
    assert_eq!(state(&server, "default", &successor), "active");
    done(&server, &[&next[..], &["--yes"]].concat());
    assert_eq!(state(&server, "default", &successor), "revoked");
}

#[test]
fn repeating_what_is_done_says_by_whom_and_succeeds() {
    let server = start("");
    issuer(&server, "shop");
    let client = server.call(
        "POST",
        "/v1/clients",
        Some(&json!({"name": "api", "roles": ["issuer"], "credential": {}})),
    );
    let client = client.json();
    let id = client["id"].as_str().unwrap();
    let credential = client["credentials"][0]["id"].as_str().unwrap();
    let active = key(&server, "shop", "active");
    let revoke = [
        "keys", "revoke", &active, "--issuer", "shop", "--reason", "a", "--yes",
    ];
    for arguments in [
        &revoke[..],
        &revoke[..7],
        &["clients", "revoke", id, "--credential", credential, "--yes"],
        &["clients", "revoke", id, "--yes"],
        &["issuers", "delete", "shop", "--reason", "a", "--yes"],
    ] {
        let first = said(&server, arguments);
        let again = done(&server, arguments);
        assert!(
            again.contains("already") && again.contains(" by bootstrap"),
            "{first:?} {again}"
        );
    }
    let again = server.call(
        "POST",
        &format!("/v1/issuers/shop/keys/{active}/revoke"),
        Some(&json!({"reason": "a"})),
    );
    assert_eq!(again.status, 409);
    // What never was is an error still.
    assert_eq!(said(&server, &["clients", "revoke", "none", "--yes"]).0, 1);
    let nothing = ["keys", "revoke", "none", "--reason", "a", "--yes"];
    assert_eq!(said(&server, &nothing).0, 1);
}

#[test]
fn what_was_confirmed_or_rejected_may_be_so_again_and_not_the_opposite() {
    let server = start("");
    let policy = "confirmation=second-person";
    done(&server, &["issuers", "set", "default", "--set", policy]);
    let second = server.call(
        "POST",
        "/v1/clients",
        Some(&json!({"name": "ben", "roles": ["security", "auditor"]})),
    );
    let token = second.json()["credential"].as_str().unwrap().to_owned();
    let ask = || {
        let body = json!({"force": true});
        let asked = server.call("POST", "/v1/issuers/default/rotate", Some(&body));
        assert_eq!(asked.status, 202);
        asked.json()["approval"]["id"].as_str().unwrap().to_owned()
    };
    let (confirmed, rejected) = (ask(), ask());
    let confirm = ["approvals", "confirm", &confirmed, "--token", &token];
    let (code, text) = said(&server, &confirm);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("force-rotation of issuer default"), "{text}");
    let confirm = [&confirm[..], &["--yes"]].concat();
    done(&server, &["approvals", "reject", &rejected]);
    done(&server, &confirm);
    assert!(done(&server, &confirm).contains("already confirmed"));
    assert!(done(&server, &["approvals", "reject", &rejected]).contains("already rejected"));
    assert_eq!(said(&server, &["approvals", "reject", &confirmed]).0, 1);
    let other = [
        "approvals",
        "confirm",
        &rejected,
        "--yes",
        "--token",
        &token,
    ];
    assert_eq!(said(&server, &other).0, 1);
}

#[test]
fn a_change_between_reading_and_writing_is_not_overwritten() {
    // The service is played by two answers: the one that is read, and the one to the write.
    let read = start("").call("GET", "/v1/issuers/default", None);
    let read = String::from_utf8(read.body).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = std::thread::spawn(move || {
        let tag = "ETag: \"00112233445566778899aabbccddeeff\"";
        let problem = serde_json::json!({
            "type": "urn:keywright:problem:precondition-failed", "title": "Precondition Failed",
            "status": 412, "code": "precondition-failed", "detail": "changed",
        });
        let answers = [
            (format!("HTTP/1.1 200 OK\r\n{tag}\r\n"), read),
            (
                "HTTP/1.1 412 Precondition Failed\r\n".to_owned(),
                problem.to_string(),
            ),
        ];
        answers.map(|(head, body)| {
            use std::io::Read as _;
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 65_536];
            let length = stream.read(&mut request).unwrap();
            let text = format!(
                "{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(text.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).to_lowercase()
        })
    });
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        folder.path(),
        &[
            "issuers", "set", "a", "--set", "lead=2h", "--url", &url, "--token", "t",
        ],
    );
    let [_, written] = service.join().unwrap();
    assert!(
        written.contains("if-match: \"00112233445566778899aabbccddeeff\""),
        "{written}"
    );
    assert_eq!(output.status.code(), Some(1));
}
