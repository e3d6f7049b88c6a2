//! The audit log from outside: looked through, exported, and verified after it was tampered with.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Server, start, start_in};
use crate::world::{create_client, create_issuer, credential, edit, kid, ok};

/// Runs the command line with an auditor's credential.
fn keywright(server: &Server, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(arguments)
        .env_clear()
        .env("KEYWRIGHT_URL", &server.internal)
        .env("KEYWRIGHT_TOKEN", server.admin.trim())
        .current_dir(server.folder().path())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let streams = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(streams).unwrap()
}

/// `SEQUENCE:HASH`, as the service names it.
fn head(server: &Server) -> String {
    let head = ok(server.call("GET", "/v1/audit/head", None));
    format!("{}:{}", head["sequence"], head["hash"].as_str().unwrap())
}

fn export(server: &Server, after: u64) -> String {
    let path = format!("/v1/audit/export?after={after}");
    let answer = server.call("GET", &path, None);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/jsonl"));
    String::from_utf8(answer.body).unwrap()
}

/// A stopped service with a log of a few events, and its head.
fn stopped() -> (Arc<TempDir>, String) {
    let server = start("");
    create_issuer(&server, "orders", json!({}));
    create_client(&server, "orders", &["issuer"]);
    let head = head(&server);
    let (code, folder) = server.terminate();
    assert_eq!(code, Some(0));
    (folder, head)
}

/// A copy of a stopped service's folder, to be tampered with.
fn copy(folder: &Path) -> Arc<TempDir> {
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .args(["-a".as_ref(), folder.join("keys").as_os_str()])
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    Arc::new(copy)
}

#[test]
fn whatever_was_done_to_the_log_of_a_stopped_service_is_named() {
    let (folder, head) = stopped();
    let last: u64 = head.split_once(':').unwrap().0.parse().unwrap();
    let swap = "UPDATE events SET document = CASE sequence \
                WHEN 3 THEN (SELECT document FROM events WHERE sequence = 4) \
                ELSE (SELECT document FROM events WHERE sequence = 3) END \
                WHERE sequence IN (3, 4)";
    let remove_last = format!("DELETE FROM events WHERE sequence = {last}");
    let change = "UPDATE events SET document = replace(document, 'false', 'true ') \
                  WHERE sequence = 2";
    for (statement, named) in [
        (
            "DELETE FROM events WHERE sequence = 1",
            "event 1 is missing".to_owned(),
        ),
        (
            "DELETE FROM events WHERE sequence = 5",
            "event 5 is missing".to_owned(),
        ),
        (&remove_last, format!("event {last} is missing")),
        (swap, "event 3 was altered".to_owned()),
        (change, "event 2 was altered".to_owned()),
        (
            "UPDATE audit_head SET hash = randomblob(32)",
            format!("event {last} is not the one that the service's head names"),
        ),
        (
            "UPDATE audit_head SET sequence = sequence - 1",
            format!(
                "event {} is not the one that the service's head names",
                last - 1
            ),
        ),
    ] {
        let folder = copy(folder.path());
        edit(folder.path(), statement);
        let server = start_in(folder, "").unwrap();
        let output = keywright(&server, &["audit", "verify"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{statement}: {said}");
        assert!(
            said.contains("audit-log-broken") && said.contains(&named),
            "{statement}: {said}"
        );
        // What was found is evidence: the export writes it all the same.
        let output = keywright(&server, &["audit", "export", "--output", "log.jsonl"]);
        assert_eq!(output.status.code(), Some(1), "{statement}");
        let written = std::fs::read_to_string(server.folder().path().join("log.jsonl")).unwrap();
        assert_eq!(written, export(&server, 0), "{statement}");
    }
    // A log that was cut off together with its head is whole in itself.
    let copied = copy(folder.path());
    let cut = format!("DELETE FROM events WHERE sequence > {}", last - 2);
    edit(copied.path(), &cut);
    edit(
        copied.path(),
        "UPDATE audit_head SET (sequence, hash) = \
         (SELECT sequence, hash FROM events ORDER BY sequence DESC LIMIT 1)",
    );
    let server = start_in(copied, "").unwrap();
    assert!(keywright(&server, &["audit", "verify"]).status.success());
    let output = keywright(&server, &["audit", "verify", "--head", &head]);
    let named = format!("the pinned head is event {last}");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&named), "{}", said(&output));
}

#[test]
fn a_whole_log_is_verified_here_and_from_a_file() {
    let server = start("");
    create_issuer(&server, "orders", json!({}));
    let pinned = head(&server);
    let output = keywright(&server, &["audit", "export", "--output", "log.jsonl"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap().trim(),
        format!("head: {pinned}")
    );
    let path = server.folder().path().join("log.jsonl");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), export(&server, 0));

    create_client(&server, "more", &["auditor"]);
    let now = head(&server);
    for arguments in [
        &["audit", "verify"][..],
        &["audit", "verify", "--head", &pinned],
        &["audit", "verify", "--head", &now],
    ] {
        let output = keywright(&server, arguments);
        assert!(output.status.success(), "{}", said(&output));
        assert!(
            said(&output).contains(&format!("head: {now}")),
            "{}",
            said(&output)
        );
    }
    let old = &["audit", "verify", "--file", "log.jsonl", "--head", &now];
    assert_eq!(keywright(&server, old).status.code(), Some(1));
    // The file goes on where it ends.
    let more = keywright(&server, &["audit", "export", "--after", &pinned]);
    assert!(more.status.success(), "{}", said(&more));
    let whole =
        std::fs::read_to_string(&path).unwrap() + std::str::from_utf8(&more.stdout).unwrap();
    assert_eq!(whole, export(&server, 0));
    std::fs::write(&path, &whole).unwrap();
    assert!(keywright(&server, old).status.success());
    let output = keywright(&server, &["audit", "verify", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        answer["head"],
        ok(server.call("GET", "/v1/audit/head", None))
    );

    let twice = whole.clone() + whole.lines().last().unwrap() + "\n";
    std::fs::write(&path, twice).unwrap();
    let output = keywright(&server, &["audit", "verify", "--file", "log.jsonl"]);
    assert!(said(&output).contains("a second time"), "{}", said(&output));
    let other = format!("{}:{:064}", now.split_once(':').unwrap().0, 0);
    let output = keywright(&server, &["audit", "export", "--after", &other]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

fn found(server: &Server, query: &str) -> (Vec<Value>, Value) {
    let answer = ok(server.call("GET", &format!("/v1/audit?{query}"), None));
    (
        answer["events"].as_array().unwrap().clone(),
        answer["next"].clone(),
    )
}

#[test]
fn events_are_found_by_time_client_kind_and_key() {
    let server = start("");
    create_issuer(&server, "orders", json!({}));
    let operator = create_client(&server, "operator", &["security"]);
    let body = json!({ "force": true }).to_string().into_bytes();
    let active = kid(&server, "orders", "active");
    let rotated = server.call_as(
        Some(&credential(&operator)),
        "POST",
        "/v1/issuers/orders/rotate",
        Some(("application/json", body)),
    );
    assert_eq!(rotated.status, 200);
    let (all, next) = found(&server, "limit=1000");
    assert_eq!(next, Value::Null);
    let expect = |query: &str, wanted: &dyn Fn(&Value) -> bool| {
        let expected: Vec<Value> = all.iter().filter(|event| wanted(event)).cloned().collect();
        assert!(
            !expected.is_empty() && expected.len() < all.len(),
            "{query}"
        );
        assert_eq!(
            found(&server, query),
            (expected.clone(), Value::Null),
            "{query}"
        );
        // The same, an event at a time.
        let mut paged = Vec::new();
        let mut after = Value::from(0);
        while after != Value::Null {
            let (mut page, next) = found(&server, &format!("{query}&limit=1&after={after}"));
            paged.append(&mut page);
            after = next;
        }
        assert_eq!(paged, expected, "{query}");
    };
    let id = operator["id"].as_str().unwrap();
    expect(&format!("client={id}"), &|event| event["actor"]["id"] == id);
    expect("event=key-retired", &|event| {
        event["event"] == "key-retired"
    });
    expect(&format!("kid={active}"), &|event| {
        event["kid"] == active.as_str()
    });
    expect(
        &format!("kid={active}&event=key-activated&issuer=orders"),
        &|event| event["kid"] == active.as_str() && event["event"] == "key-activated",
    );
    assert_eq!(found(&server, "client=nobody").0, Vec::<Value>::new());
    let times: Vec<u64> = all
        .iter()
        .map(|event| event["at"].as_u64().unwrap())
        .collect();
    let (first, last) = (times[0], times[times.len() - 1]);
    assert_eq!(found(&server, &format!("since={first}")).0, all);
    assert_eq!(
        found(&server, &format!("since={}", last + 1)).0,
        Vec::<Value>::new()
    );
    assert_eq!(
        found(&server, &format!("until={first}")).0,
        Vec::<Value>::new()
    );
    assert_eq!(found(&server, &format!("until={}", last + 1)).0, all);
    let (since, until) = (
        found(&server, &format!("since={last}")).0,
        found(&server, &format!("until={last}")).0,
    );
    assert_eq!([until, since].concat(), all);

    let table = keywright(
        &server,
        &["audit", "list", "--event", "key-retired", "--kid", &active],
    );
    assert!(
        said(&table).contains(&active) && said(&table).lines().count() == 2,
        "{}",
        said(&table)
    );
}

#[test]
fn a_search_looks_at_so_many_events_and_says_where_to_go_on() {
    let (folder, _) = stopped();
    edit(
        folder.path(),
        "INSERT INTO events (at, document) \
         WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 25000) \
         SELECT 1, '{\"event\":\"made-up\"}' FROM number",
    );
    let server = start_in(folder, "").unwrap();
    let (mut events, mut after, mut calls) = (Vec::new(), Value::from(0), 0);
    while after != Value::Null {
        let (mut page, next) = found(&server, &format!("event=client-created&after={after}"));
        events.append(&mut page);
        calls += 1;
        assert!(next == Value::Null || next.as_u64() > after.as_u64());
        after = next;
    }
    assert_eq!((events.len(), calls), (2, 3));
    let lines = export(&server, 0);
    let last = lines.lines().last().unwrap();
    assert_eq!(lines.lines().count() as u64, sequence(last));
    assert_eq!(export(&server, sequence(last) - 1), format!("{last}\n"));
    assert_eq!(export(&server, sequence(last)), "");
    assert_eq!(export(&server, i64::MAX.unsigned_abs()), "");
}

fn sequence(line: &str) -> u64 {
    let line: Value = serde_json::from_str(line).unwrap();
    line["event"]["sequence"].as_u64().unwrap()
}
