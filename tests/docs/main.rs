//! Runs the shell examples of the documentation against a real service.
//!
//! A fenced block whose info string is `sh run` is executed. The blocks of one page run in order in
//! one shell, as a reader would paste them, so that a variable of one block is there in the next.
//! Each must exit with 0. A `json` block right after one must have the shape of what it printed:
//! the same member names and types, whatever the values. Blocks that are only `sh` are shown to
//! the reader and not run.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]
#![allow(
    unreachable_pub,
    reason = "the support module is shared by test targets"
)]

mod links;
mod named_tests;
mod newcomer;
mod problems;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::page::blocks;

/// Stands between the output of two blocks; the RFC 7464 record separator.
const SEPARATOR: char = '\u{1e}';

struct Example {
    line: usize,
    script: String,
    answer: Option<Value>,
}

/// Runs the examples of each page, in a service of its own.
macro_rules! pages {
    ($($test:ident: $page:literal,)*) => {
        $(
            #[test]
            fn $test() {
                run_page($page);
            }
        )*

        const PAGES: &[&str] = &[$($page),*];
    };
}

pages! {
    readme: "README.md",
    http_api: "docs/http-api.md",
    install: "docs/install.md",
    revocation: "docs/revocation.md",
    status_lists: "docs/status-lists.md",
    approvals: "docs/approvals.md",
    audit: "docs/audit.md",
    backup: "docs/backup.md",
    clients: "docs/clients.md",
    configuration: "docs/configuration.md",
    declared: "docs/declared.md",
    issuers: "docs/issuers.md",
    leaked_key: "docs/leaked-key.md",
    master_key: "docs/master-key.md",
    migration: "docs/migration.md",
    grants: "docs/grants.md",
    oauth: "docs/oauth.md",
    single_use: "docs/single-use.md",
    token_exchange: "docs/token-exchange.md",
    replicas: "docs/replicas.md",
    rotation: "docs/rotation.md",
    tls: "docs/tls.md",
    troubleshooting: "docs/troubleshooting.md",
    webhooks: "docs/webhooks.md",
    security_event_streams: "docs/security-event-streams.md",
}

#[test]
fn every_page_with_examples_is_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(root.join("docs")).expect("docs") {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = std::fs::read_to_string(&path).expect("a page");
            let page = path
                .strip_prefix(root)
                .expect("a page of ours")
                .display()
                .to_string();
            let has_examples = !examples(&text).is_empty();
            assert_eq!(has_examples, PAGES.contains(&page.as_str()), "{page}");
        }
    }
}

/// What a page asks its reader to set before its examples.
fn configuration_of(page: &str) -> &'static str {
    match page {
        "docs/grants.md"
        | "docs/oauth.md"
        | "docs/security-event-streams.md"
        | "docs/single-use.md"
        | "docs/token-exchange.md" => "oauth.enabled = true\n",
        _ => "",
    }
}

/// Whether the examples are to be left out, which is said where `scripts/test` finds it.
#[expect(
    clippy::disallowed_methods,
    reason = "scripts/test says here what the machine lacks"
)]
fn are_skipped(page: &str) -> bool {
    let skipped = std::env::var("KEYWRIGHT_SKIP_EXAMPLES").is_ok_and(|value| value == "1");
    if skipped {
        eprintln!("SKIPPED: examples of {page}: KEYWRIGHT_SKIP_EXAMPLES=1");
    }
    skipped
}

fn run_page(page: &str) {
    if are_skipped(page) {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let examples = examples(&text);
    assert!(!examples.is_empty(), "{page} has no example that is run");
    let server = support::start(configuration_of(page));
    let run = run_all(&server, &examples);
    for (example, output) in examples.iter().zip(&run.outputs) {
        let Some(expected) = &example.answer else {
            continue;
        };
        let place = format!("{page}:{}", example.line);
        let actual: Value = serde_json::from_str(output)
            .unwrap_or_else(|error| panic!("{place}: no JSON ({error}): {output}"));
        if let Err(difference) = same_shape(expected, &actual, "$") {
            panic!("{place}: {difference}\nactual: {actual}");
        }
    }
    if !run.succeeded {
        let failed = &examples[run.outputs.len() - 1];
        panic!(
            "{page}:{}: the example failed\n{}\n{}\n{}",
            failed.line,
            failed.script,
            run.outputs.last().expect("a block began"),
            run.errors
        );
    }
}

struct Run {
    /// What each block printed, up to the one that failed.
    outputs: Vec<String>,
    errors: String,
    succeeded: bool,
}

/// Runs every block in one shell, in the folder that contains the service's `keys`.
fn run_all(server: &support::Server, examples: &[Example]) -> Run {
    // What an example has started ends with the shell, also when a later one fails.
    let mut script =
        String::from("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n");
    for example in examples {
        script.push_str(&format!("printf '\\036'\n{}\n", example.script));
    }
    let script = script
        // Without a path it is the default issuer's URL, which is the same everywhere.
        .replace("http://127.0.0.1:8080/", &format!("{}/", server.public))
        .replace("http://127.0.0.1:8081", &server.internal);
    let output = bash(server, &script);
    let printed = String::from_utf8(output.stdout).expect("the examples print UTF-8");
    Run {
        outputs: printed
            .split(SEPARATOR)
            .skip(1)
            .map(str::to_owned)
            .collect(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        succeeded: output.status.success(),
    }
}

/// Runs a script in the folder that contains the service's `keys`, with keywright on its path and
/// nothing else of this environment.
fn bash(server: &support::Server, script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_keywright"));
    let folder = program.parent().expect("a folder").display();
    Command::new("bash")
        .args(["-c", script])
        .current_dir(server.folder().path())
        .env_clear()
        .env("PATH", format!("{folder}:/usr/local/bin:/usr/bin:/bin"))
        .env("HOME", server.folder().path())
        .output()
        .expect("bash runs")
}

fn examples(text: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut answered_from = 0;
    for block in blocks(text) {
        match block.info {
            "sh run" => {
                answered_from = block.end;
                examples.push(Example {
                    line: block.line,
                    script: block.body,
                    answer: None,
                });
            }
            // At most a blank line stands between a command and its answer.
            "json" if block.line - answered_from <= 2 => {
                let answer = serde_json::from_str(&block.body)
                    .unwrap_or_else(|error| panic!("line {}: no JSON: {error}", block.line));
                examples.last_mut().expect("a command stands above").answer = Some(answer);
            }
            _ => {}
        }
    }
    examples
}

/// Whether `actual` has the member names and types of `expected`. An empty object stands for any
/// object; each element of an array must look like one of the documented elements.
fn same_shape(expected: &Value, actual: &Value, at: &str) -> Result<(), String> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            if expected.is_empty() {
                return Ok(());
            }
            for (name, value) in expected {
                let found = actual
                    .get(name)
                    .ok_or_else(|| format!("{at}.{name} is documented and missing"))?;
                same_shape(value, found, &format!("{at}.{name}"))?;
            }
            match actual.keys().find(|name| !expected.contains_key(*name)) {
                Some(name) => Err(format!("{at}.{name} is not documented")),
                None => Ok(()),
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            if actual.is_empty() && !expected.is_empty() {
                return Err(format!("{at} is empty"));
            }
            for (index, element) in actual.iter().enumerate() {
                let place = format!("{at}[{index}]");
                let outcomes: Vec<Result<(), String>> = expected
                    .iter()
                    .map(|expected| same_shape(expected, element, &place))
                    .collect();
                if !outcomes.iter().any(Result::is_ok) {
                    let reasons: Vec<String> =
                        outcomes.into_iter().filter_map(Result::err).collect();
                    return Err(format!("{place} is not documented: {}", reasons.join("; ")));
                }
            }
            Ok(())
        }
        _ if kind(expected) == kind(actual) => Ok(()),
        _ => Err(format!(
            "{at} is {} and not {}",
            kind(actual),
            kind(expected)
        )),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[test]
fn a_shape_is_its_names_and_types() {
    let shape = |expected: &str, actual: &str| {
        let parse = |text| serde_json::from_str(text).expect("JSON");
        same_shape(&parse(expected), &parse(actual), "$").is_ok()
    };
    assert!(shape(
        r#"{"a": 1, "b": [{"c": "x"}, {"d": true}]}"#,
        r#"{"a": 2, "b": [{"d": false}]}"#
    ));
    assert!(!shape(r#"{"a": 1}"#, r#"{"a": "1"}"#));
    assert!(!shape(r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#));
    assert!(!shape(r#"{"a": 1, "b": 2}"#, r#"{"a": 1}"#));
    assert!(!shape(r#"{"a": [1]}"#, r#"{"a": []}"#));
}
