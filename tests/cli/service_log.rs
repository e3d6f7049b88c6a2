//! The service's log as programs read it: every member has a stable name and no Rust in its value.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::command::{done, said};
use crate::support::{eventually, start};

/// The names that docs/monitoring.md lists for members of a line.
fn documented() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split("## The service log").nth(1).expect("a section");
    let section = section
        .split("\n## ")
        .next()
        .unwrap()
        .split("\n### ")
        .next()
        .unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2));
    names.map(str::to_owned).collect()
}

/// The arguments of every call of tracing in a source file.
fn calls(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (start, _) in source.match_indices("tracing::") {
        let rest = &source[start..];
        let Some(open) = rest.find('(') else { continue };
        if !rest[..open].ends_with('!') {
            continue;
        }
        let (mut depth, mut in_text, mut escaped) = (0, false, false);
        for (at, character) in rest[open..].char_indices() {
            match character {
                '"' if !escaped => in_text = !in_text,
                '(' if !in_text => depth += 1,
                ')' if !in_text => depth -= 1,
                _ => {}
            }
            escaped = character == '\\' && !escaped;
            if depth == 0 {
                found.push(&rest[open + 1..open + at]);
                break;
            }
        }
    }
    found
}

/// The members of a call: what stands between commas before its message, up to `=`.
fn members(call: &str) -> Vec<String> {
    let (mut depth, mut in_text, mut part) = (0, false, String::new());
    let mut parts = Vec::new();
    for character in call.chars().chain([',']) {
        match character {
            '"' => in_text = !in_text,
            '(' | '{' | '[' if !in_text => depth += 1,
            ')' | '}' | ']' if !in_text => depth -= 1,
            ',' if !in_text && depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    let parts = parts.iter().map(|part| part.trim());
    let members = parts.take_while(|part| !part.starts_with('"'));
    members
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn sources(folder: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn no_call_logs_debug_text_and_every_member_is_documented() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let documented = documented();
    let mut count = 0;
    for file in &files {
        for call in calls(file) {
            count += 1;
            for member in members(call) {
                // The name of a span comes first, and is a text.
                let name = member.split('=').next().unwrap().trim();
                assert!(
                    !member.starts_with('?') && !member.contains("= ?"),
                    "{call}"
                );
                assert!(!call.contains(":?}"), "{call}");
                let name = name.trim_start_matches('%').rsplit('.').next().unwrap();
                assert!(
                    documented.contains(name),
                    "{name} is not documented: {call}"
                );
            }
        }
    }
    assert!(count > 60, "{count} calls");
}

/// Whether a value was written by Rust's `Debug`.
fn is_debug(text: &str) -> bool {
    [
        "{ ", "Some(", "None", "String(", "Object {", "Array [", "\\\"",
    ]
    .iter()
    .any(|sign| text.contains(sign))
        || text.starts_with('"')
}

fn check(value: &Value, line: &str) {
    match value {
        Value::Object(members) => members.values().for_each(|value| check(value, line)),
        Value::Array(values) => values.iter().for_each(|value| check(value, line)),
        Value::String(text) => assert!(!is_debug(text), "{line}"),
        _ => {}
    }
}

#[test]
fn json_lines_have_flat_members_with_the_names_of_the_audit_log() {
    let server = start("log.format = \"json\"\nlog.filter = \"keywright=debug,info\"\n");
    let policy = [
        "issuers",
        "set",
        "default",
        "--set",
        "default_token_ttl=10m",
    ];
    done(&server, &policy);
    done(
        &server,
        &[
            "issuers",
            "set",
            "shop",
            "--set",
            "url=https://shop.example/shop",
        ],
    );
    done(
        &server,
        &[
            "clients",
            "create",
            "api",
            "--role",
            "issuer",
            "--expires-in",
            "90d",
        ],
    );
    done(&server, &["clients", "set", "api", "--role", "auditor"]);
    done(&server, &["clients", "rotate", "api"]);
    done(&server, &["clients", "revoke", "api", "--yes"]);
    done(
        &server,
        &[
            "keys",
            "rotate",
            "--algorithm",
            "ES256",
            "--reason",
            "exercise",
        ],
    );
    let kid = done(&server, &["keys", "list", "--json"]);
    let kid: Value = serde_json::from_str(&kid).unwrap();
    let kid = kid["keys"][0]["kid"].as_str().unwrap().to_owned();
    done(
        &server,
        &["keys", "revoke", &kid, "--reason", "leaked", "--yes"],
    );
    done(
        &server,
        &["issuers", "delete", "shop", "--reason", "over", "--yes"],
    );
    done(&server, &["backup", "--output", "backup"]);
    said(&server, &["clock", "correct", "--reason", "a", "--yes"]);
    let leaky = format!("{}/v1/issuers?access_token=a", server.internal);
    crate::support::request("GET", &leaky, &[], None);
    eventually("the last line", || {
        server.log().contains("credential in its URL").then_some(())
    });
    let log = server.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    for (value, line) in lines.iter().zip(log.lines()) {
        check(value, line);
        for member in value.as_object().unwrap().keys() {
            let known = ["timestamp", "level", "fields", "target", "span", "spans"];
            assert!(known.contains(&member.as_str()), "{line}");
        }
    }
    let find = |members: Value| {
        let members = members.as_object().unwrap();
        let is_meant = |line: &&Value| {
            let fields = &line["fields"];
            members.iter().all(|(name, value)| fields[name] == *value)
        };
        let found = lines.iter().find(is_meant);
        found.unwrap_or_else(|| panic!("no line has {members:?}:\n{log}"))
    };
    for members in [
        json!({"event": "client-created", "actor": "client", "actor_id": "bootstrap",
               "actor_name": "bootstrap", "actor_via": "credential", "message": "access changed"}),
        json!({"event": "credential-created"}),
        json!({"event": "client-deleted"}),
        json!({"event": "policy-changed", "issuer": "default", "message": "key set changed"}),
        json!({"event": "key-activated", "issuer": "default", "algorithm": "ES256", "forced": false}),
        json!({"event": "key-revoked", "kid": kid, "actor_id": "bootstrap"}),
        json!({"event": "issuer-created", "issuer": "shop"}),
        json!({"event": "issuer-deleted", "issuer": "shop"}),
        json!({"message": "a backup is taken"}),
    ] {
        find(members);
    }
    let revoked = find(json!({"event": "key-revoked", "kid": kid}));
    assert!(revoked["fields"]["tokens_until"].is_u64(), "{revoked}");
    assert!(revoked["fields"]["version"].is_u64(), "{revoked}");
    let answered = find(json!({"message": "answered", "method": "POST", "status": 200}));
    let request_id = answered["fields"]["request_id"].as_str().unwrap();
    assert!(!request_id.contains('"'), "{answered}");
}
