//! What a person reads when something has happened: the audit log, the issuance log, the state of
//! everything, tables that fit.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::command::{done, said};
use crate::support::{self, Server, eventually, start};

fn sequences(text: &str) -> Vec<u64> {
    let lines = text.lines().skip(1);
    let first = lines.filter_map(|line| line.split_whitespace().next()?.parse().ok());
    first.collect()
}

fn head(server: &Server) -> u64 {
    let head = server.call("GET", "/v1/audit/head", None).json();
    head["sequence"].as_u64().unwrap()
}

#[test]
fn the_end_of_the_audit_log_is_shown_in_either_order() {
    let server = start("");
    for number in 0..12 {
        let name = format!("client-{number}");
        done(&server, &["clients", "create", &name, "--role", "issuer"]);
    }
    let end = head(&server);
    let last = |count: u64| (end + 1 - count..=end).collect::<Vec<_>>();
    let tail = sequences(&done(&server, &["audit", "--tail", "3"]));
    assert_eq!(tail, last(3));
    let reversed = sequences(&done(&server, &["audit", "--tail", "3", "--reverse"]));
    assert_eq!(reversed, last(3).into_iter().rev().collect::<Vec<_>>());
    let all = sequences(&done(&server, &["audit", "list", "--reverse"]));
    assert_eq!(all, (1..=end).rev().collect::<Vec<_>>());
    // A filter counts what it lets through, however far back that is.
    let first = ["audit", "--tail", "1", "--event", "issuer-created"];
    let found = done(&server, &first);
    assert_eq!(sequences(&found).len(), 1, "{found}");
    let json = done(&server, &["audit", "--tail", "2", "--reverse", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["events"][0]["sequence"], end);
    for nothing in [
        &["audit", "--client", "client-1"][..],
        &["audit", "--kid", "none", "--tail", "5"],
    ] {
        assert!(done(&server, nothing).contains("no event fits"));
    }
    for wrong in [
        &["audit", "--tail", "1", "--limit", "1"][..],
        &["audit", "--reverse", "--follow"],
        &["audit", "--until", "1h", "--follow"],
        &["audit", "--tail", "0"],
    ] {
        assert_eq!(said(&server, wrong).0, 2, "{wrong:?}");
    }
}

#[test]
fn the_audit_log_is_asked_by_how_long_ago_and_by_day() {
    let server = start("");
    let count = |arguments: &[&str]| {
        let text = done(&server, &[&["audit"], arguments].concat());
        sequences(&text).len()
    };
    let all = usize::try_from(head(&server)).unwrap();
    for since in [
        "2h",
        "1d",
        "2020-01-01",
        "2020-01-01T00:00:00Z",
        "1577836800",
    ] {
        assert_eq!(count(&["--since", since]), all, "{since}");
        assert_eq!(count(&["--until", since]), 0, "{since}");
    }
    for (wrong, code) in [("yesterday", 2), ("2026-13-40", 2), ("-2h", 2)] {
        assert_eq!(
            said(&server, &["audit", "--since", wrong]).0,
            code,
            "{wrong}"
        );
    }
}

#[test]
fn the_audit_log_is_followed() {
    let server = start("");
    for flags in [&[][..], &["--json"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keywright"))
            .args(["audit", "--follow", "--tail", "1"])
            .args(flags)
            .current_dir(server.folder().path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let body = json!({"name": "later", "roles": ["issuer"]});
        assert_eq!(server.call("POST", "/v1/clients", Some(&body)).status, 201);
        let next = lines.next().unwrap().unwrap();
        assert!(
            next.contains("client-created") && next != first,
            "{first}\n{next}"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_token_leads_to_its_client_by_the_issuance_log() {
    let server = start("[issuance_log]\nto = \"file\"\n");
    let token = server.sign("default", &json!({"claims": {"sub": "user-1"}}));
    let log = server.folder().path().join("keys-issuance.jsonl");
    eventually("the entry", || {
        fs::read_to_string(&log)
            .ok()?
            .contains("user-1")
            .then_some(())
    });
    let found = done(&server, &["audit", "token", &token]);
    assert!(
        found.contains("bootstrap (bootstrap)") && found.contains("user-1"),
        "{found}"
    );
    let json = done(&server, &["audit", "token", &token, "--json"]);
    let entry: Value = serde_json::from_str(&json).unwrap();
    let jti = entry["jti"].as_str().unwrap();
    done(
        &server,
        &["audit", "token", jti, "--log", "keys-issuance.jsonl"],
    );
    // Also in a file that the log was renamed to.
    fs::rename(&log, log.with_extension("jsonl.1")).unwrap();
    fs::write(&log, "not an entry\n").unwrap();
    done(&server, &["audit", "token", jti]);
    let (code, text) = said(&server, &["audit", "token", "no-such-jti"]);
    assert_eq!(code, 1);
    assert!(text.contains("token-not-found"), "{text}");
}

#[test]
fn the_status_names_what_needs_attention() {
    let server = start("");
    let text = done(&server, &["status"]);
    for part in [
        "ready",
        "1 issuer",
        "single process",
        "no approval waits",
        "Nothing needs attention",
    ] {
        assert!(text.contains(part), "{text}\nlacks {part}");
    }
    assert!(
        text.contains("default") && text.contains("ok") && text.contains("in "),
        "{text}"
    );
    let json = done(&server, &["status", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["health"]["ready"], true);
    assert!(json["issuers"][0]["algorithms"][0]["next_rotation_at"].is_u64());
    // Faults are played by a service that reports one of each kind.
    let issuer = server.call("GET", "/v1/issuers/default", None).json();
    let key = server.call("GET", "/v1/issuers/default/keys", None).json()["keys"][0].take();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = vec![0; 65_536];
            let length = stream.read(&mut request).unwrap();
            let path = String::from_utf8_lossy(&request[..length]).into_owned();
            let body = match path.split(' ').nth(1).unwrap() {
                "/v1/health" => json!({
                    "ready": false, "reason": "the store does not answer", "issuer_count": 1,
                    "store": {"shared": false, "answers": false, "disk_reserve": false},
                    "issuers": [{"issuer": "shop", "state": "rotation-overdue", "since": 1_795_290_000,
                                 "detail": "the rotation of the ES256 key is overdue"}],
                    "log_lines_lost": 3,
                    "tasks": [{"name": "scheduler", "state": "restarting", "restarts": 1}],
                }),
                "/v1/issuers" => json!({"issuers": [
                    {"name": "shop", "version": 1, "policy": issuer["policy"]}]}),
                "/v1/approvals" => json!({"approvals": [
                    {"id": "a", "issuer": "shop", "operation": "revoke", "requested_by": {},
                     "requested_at": 1_795_290_000, "expires_at": 1_795_290_000}]}),
                "/v1/replicas" => json!({"max_staleness": "30s", "head": 4, "replicas": [
                    {"id": "r1", "host": "h1", "seen_at": 1_795_290_000, "live": false, "through": 4}]}),
                path if path.contains("/plan") => json!({
                    "now": 1_795_290_000, "until": 1_795_290_000, "warnings": [], "waiting": [], "occurrences": []}),
                _ => json!({ "keys": [key] }),
            };
            let body = body.to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let (code, text) = said(&server, &["status", "--url", &url, "--token", "t"]);
    assert_eq!(code, 1, "{text}");
    for part in [
        "not ready; 1 issuer; 0 of 1 replicas live; 1 wait",
        "rotation-overdue",
        "the service is not ready: the store does not answer",
        "issuer shop: the rotation of the ES256 key is overdue (since 2026-",
        "disk reserve is given up",
        "background task scheduler is restarting",
        "3 lines of the service's log were lost",
        "replica r1 on h1 is silent",
        "7 things need attention",
    ] {
        assert!(text.contains(part), "{text}\nlacks {part}");
    }
}

#[test]
fn a_client_is_called_by_its_name() {
    let server = start("");
    done(
        &server,
        &["clients", "create", "checkout", "--role", "issuer"],
    );
    let shown = done(&server, &["clients", "show", "checkout"]);
    assert!(shown.contains("checkout"), "{shown}");
    done(
        &server,
        &["clients", "set", "checkout", "--role", "auditor"],
    );
    done(
        &server,
        &["clients", "rotate", "checkout", "--overlap", "1h"],
    );
    done(&server, &["clients", "create", "twin", "--role", "issuer"]);
    done(&server, &["clients", "create", "twin", "--role", "issuer"]);
    let (code, text) = said(&server, &["clients", "show", "twin"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("several clients"), "{text}");
    done(&server, &["clients", "revoke", "checkout", "--yes"]);
    assert_eq!(said(&server, &["clients", "show", "checkout"]).0, 1);
}

#[test]
fn a_verified_token_shows_its_claims() {
    let server = start("");
    let token = server.sign(
        "default",
        &json!({"claims": {"sub": "user-1", "shop": "a"}}),
    );
    let jwks = format!("{}/.well-known/jwks.json", server.public);
    let text = done(&server, &["token", "verify", &token, "--jwks", &jwks]);
    for part in ["valid", "CLAIMS", "user-1", "shop", "exp"] {
        assert!(text.contains(part), "{text}\nlacks {part}");
    }
}

#[test]
fn tables_fit_80_columns_and_states_are_coloured_on_a_terminal() {
    let server = start("");
    done(
        &server,
        &[
            "clients",
            "create",
            "operators",
            "--role",
            "security,auditor,admin",
        ],
    );
    let long = "the key was found in a public repository of an engineer who had left years ago";
    done(&server, &["keys", "rotate", "--algorithm", "ES256"]);
    let keys = server.call("GET", "/v1/issuers/default/keys", None).json();
    let retired = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["state"] == "retired");
    let retired = retired.unwrap()["kid"].as_str().unwrap();
    done(&server, &["keys", "revoke", retired, "--reason", long]);
    for arguments in [
        &["keys", "list"][..],
        &["keys", "find", retired],
        &["clients", "list"],
        &["issuers", "list"],
        &["audit"],
        &["plan"],
        &["status"],
        &["replicas"],
        &["keys", "show", retired],
        &["issuers", "show", "default"],
    ] {
        let program = env!("CARGO_BIN_EXE_keywright");
        let command = format!("stty cols 80; {program} {}", arguments.join(" "));
        let output = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .current_dir(server.folder().path())
            .env_remove("COLUMNS")
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .output();
        let Ok(output) = output else {
            support::report("SKIPPED: there is no `script`, which makes a terminal");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in text.lines() {
            let plain = without_colours(line);
            assert!(
                plain.trim_end().chars().count() <= 80,
                "{arguments:?}: {plain}"
            );
        }
        if arguments == ["keys", "list"] {
            assert!(text.contains("\u{1b}[32mactive"), "{text:?}");
            assert!(text.contains("\u{1b}[31mrevoked"), "{text:?}");
        }
        // In a pipe there are no colours.
        let piped = done(&server, arguments);
        assert!(!piped.contains('\u{1b}'), "{piped:?}");
    }
}

fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}
