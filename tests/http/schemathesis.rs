//! What a stranger makes of the description: schemathesis (Python) reads the document and tries
//! everything that it can think of against a running service, with every check that it has.
//!
//! A 5xx, an answer that is not documented, one that does not fit its schema, a body that should have
//! been refused or taken: each is a failure. `schemathesis/` says what the tool must be told.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::document::FILE;
use crate::support::{Server, report, start};
use crate::world::{create_client, create_issuer, credential};

/// The same cases in every run, as far as the answers are the same.
const SEED: &str = "20261122";

const PUBLIC: [&str; 4] = ["--include-tag", "documents", "--include-tag", "probes"];
const OAUTH: [&str; 6] = [
    "--include-tag",
    "oauth",
    "--include-tag",
    "signals",
    "--include-tag",
    "security-events",
];
const INTERNAL: [&str; 10] = [
    "--exclude-tag",
    "documents",
    "--exclude-tag",
    "oauth",
    "--exclude-tag",
    "signals",
    "--exclude-tag",
    "security-events",
    "--exclude-tag",
    "probes",
];

/// A caller that may do little is refused before anything of a request is read: the phases that try
/// every edge of every schema are for the one that may do everything.
const REFUSED: [&str; 2] = ["--phases", "examples,fuzzing"];

/// The interpreter; `None` when it is to be skipped.
fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    if std::env::var("KEYWRIGHT_SKIP_PYTHON").is_ok_and(|value| value == "1") {
        report("SKIPPED: schemathesis: KEYWRIGHT_SKIP_PYTHON=1");
        return None;
    }
    assert!(
        python.exists(),
        "schemathesis is not installed: run scripts/test, or set KEYWRIGHT_SKIP_PYTHON=1"
    );
    Some(python)
}

/// Tries a part of the document at a listener, and says how many requests that took.
fn attack(
    name: &str,
    server: &Server,
    base: &str,
    part: &[&str],
    client: Option<&Value>,
    most_examples: u32,
) -> Option<u64> {
    let python = python()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/schemathesis");
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    // A proxy has no business between two ends of one machine.
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    command
        .current_dir(scratch.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONIOENCODING", "utf-8")
        .env("PYTHONPATH", &folder)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(folder.join("schemathesis.toml"))
        .args(["run", "--no-color", "--checks", "all", "--url", base])
        .args(["--seed", SEED, "--generation-database", "none"])
        .args(["--max-examples", &most_examples.to_string()])
        // It answers for as long as it is asked to.
        .args(["--exclude-operation-id", "followEvents"])
        .args(part);
    if let Some(client) = client {
        let credential = credential(client);
        let authorization = match part == OAUTH {
            true => {
                let pair = format!("{}:{credential}", client["id"].as_str().unwrap());
                format!("Basic {}", STANDARD.encode(pair))
            }
            false => format!("Bearer {credential}"),
        };
        command.args(["--header", &format!("Authorization: {authorization}")]);
        let clients = server.call("GET", "/v1/clients", None).json();
        let ids = clients["clients"].as_array().unwrap().iter();
        let ids: Vec<&str> = ids.map(|client| client["id"].as_str().unwrap()).collect();
        command.env("KEYWRIGHT_KEPT_CLIENTS", ids.join(","));
    }
    let output = command.arg(FILE).output().expect("python runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}:\n{printed}\n{errors}");
    let generated = printed.lines().find_map(|line| {
        let (number, _) = line.trim().split_once(" generated")?;
        number.parse().ok()
    });
    let generated = generated.unwrap_or_else(|| panic!("{name}: no count in\n{printed}"));
    report(&format!(
        "schemathesis, {name}: {generated} cases, no finding"
    ));
    Some(generated)
}

fn every_role(server: &Server) -> Value {
    let roles = ["issuer", "security", "auditor", "admin"];
    create_client(server, "everything", &roles)
}

/// The client is still there, and what is changed meanwhile has broken nothing.
fn assert_usable(server: &Server, client: &Value) {
    let call = |path| server.call_as(Some(&credential(client)), "GET", path, None);
    assert_eq!(
        call("/v1/issuers").status,
        200,
        "the run has kept its client"
    );
    assert_eq!(call("/v1/issuers/shop/keys").status, 200);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_stranger_with_every_role_finds_nothing() {
    let server = start("");
    create_issuer(&server, "shop", serde_json::json!({}));
    let client = every_role(&server);
    let tried = attack(
        "every role",
        &server,
        &server.internal,
        &INTERNAL,
        Some(&client),
        10,
    );
    assert!(tried.is_none_or(|cases| cases > 500), "{tried:?}");
    assert_usable(&server, &client);
}

#[test]
fn a_stranger_with_one_role_or_none_finds_nothing() {
    let server = start("");
    create_issuer(&server, "shop", serde_json::json!({}));
    for role in ["issuer", "security", "auditor", "admin"] {
        let client = create_client(&server, role, &[role]);
        attack(
            role,
            &server,
            &server.internal,
            &[&INTERNAL[..], &REFUSED].concat(),
            Some(&client),
            5,
        );
    }
    attack(
        "no credential",
        &server,
        &server.internal,
        &[&INTERNAL[..], &REFUSED].concat(),
        None,
        5,
    );
    assert_usable(&server, &every_role(&server));
}

#[test]
fn a_stranger_at_the_public_listener_finds_nothing() {
    let server = start("");
    create_issuer(&server, "shop", serde_json::json!({}));
    let tried = attack("public", &server, &server.public, &PUBLIC, None, 15);
    assert!(tried.is_none_or(|cases| cases > 100), "{tried:?}");
}

#[test]
fn a_stranger_at_the_oauth_endpoints_finds_nothing() {
    let server = start("oauth.enabled = true\n");
    create_issuer(&server, "shop", serde_json::json!({}));
    let client = create_client(
        &server,
        "oauth",
        &["issuer", "introspector", "revoker", "consumer", "receiver"],
    );
    let tried = attack("oauth", &server, &server.public, &OAUTH, Some(&client), 15);
    assert!(tried.is_none_or(|cases| cases > 100), "{tried:?}");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
