//! Clients of the internal API that generators have made of docs/openapi.json: in Python
//! (openapi-python-client), TypeScript (openapi-typescript, openapi-fetch) and Go (oapi-codegen). Each
//! signs, lists keys, is refused and creates a client.
//!
//! A generator that has a warning or a compiler that finds a wrong type fails the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::{Server, start};
use crate::verifiers::available;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

fn program(language: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/generated");
    folder.join(language)
}

/// A folder with a copy of a language's program, into which its client is generated.
fn workshop(language: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(program(language)).expect("a program") {
        let entry = entry.expect("a file");
        if entry.file_type().expect("a type").is_file() {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
        }
    }
    folder
}

fn run(what: &str, command: &mut Command) -> Output {
    // A proxy has no business between two ends of one machine.
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    let output = command.output().expect(what);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{what}:\n{printed}\n{errors}");
    output
}

/// Runs a program that has its client, and checks what it got.
fn check(server: &Server, language: &str, command: &mut Command) {
    command
        .env("KEYWRIGHT_URL", &server.internal)
        .env("KEYWRIGHT_TOKEN", &server.admin);
    let output = run(language, command);
    let got: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    let kids = got["kids"].as_array().expect("kids");
    assert!(kids.contains(&got["kid"]), "{language}: {got}");
    let token = got["token"].as_str().expect("a token");
    assert_eq!(crate::kid(token), got["kid"].as_str().expect("a kid"));
    let payload = token.split('.').nth(1).expect("a payload");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    let claims: Value = serde_json::from_slice(&payload).expect("claims");
    assert_eq!(
        (&claims["sub"], &claims["tenant"]),
        (&"user-1".into(), &"a".into())
    );
    assert_eq!(got["status"], 400, "{language}: {got}");
    assert_eq!(got["code"], "ttl-over-maximum", "{language}: {got}");
    assert_eq!(got["maximum"], 3600, "{language}: {got}");
    let path = format!("/v1/clients/{}", got["client"].as_str().expect("a client"));
    let client = server.call("GET", &path, None).json();
    assert_eq!(client["name"], format!("generated-{language}"));
    let credential = got["credential"].as_str().expect("a credential");
    let body = serde_json::json!({"claims": {"sub": "a"}});
    let tokens = "/v1/issuers/default/tokens";
    let body = Some(("application/json", body.to_string().into_bytes()));
    let signed = server.call_as(Some(credential), "POST", tokens, body);
    assert_eq!(signed.status, 201, "{language}: {}", signed.json());
}

#[test]
fn a_generated_python_client_calls_the_service() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/generators/bin");
    let generator = python.join("openapi-python-client");
    let variable = "KEYWRIGHT_SKIP_GENERATED_PYTHON";
    if !available(variable, "openapi-python-client", generator.exists()) {
        return;
    }
    let folder = workshop("python");
    let generate = run(
        "openapi-python-client",
        Command::new(generator)
            .current_dir(&folder)
            .args(["generate", "--meta", "none", "--output-path", "generated"])
            .args(["--config", "config.yaml", "--path", DOCUMENT]),
    );
    let printed = String::from_utf8_lossy(&generate.stdout);
    // Three answers are lines of text that are read as they come.
    for warning in printed.split("WARNING parsing ").skip(1) {
        let mut of_text = ["/metrics", "/audit/export", "/v1/events"].into_iter();
        let is_text = of_text.any(|path| warning.contains(path));
        assert!(is_text, "{warning}");
    }
    let mut call = Command::new(python.join("python"));
    check(
        &start(""),
        "python",
        call.current_dir(&folder).arg("call.py"),
    );
}

#[test]
fn a_generated_typescript_client_calls_the_service() {
    let modules = program("node").join("node_modules");
    let installed = modules.join("openapi-typescript").is_dir();
    let names = "openapi-typescript, openapi-fetch";
    if !available("KEYWRIGHT_SKIP_GENERATED_NODE", names, installed) {
        return;
    }
    let folder = workshop("node");
    std::os::unix::fs::symlink(&modules, folder.path().join("node_modules")).expect("a link");
    let tool = |name: &str| {
        let mut command = Command::new("node");
        command
            .current_dir(&folder)
            .arg(modules.join(".bin").join(name));
        command
    };
    let generator = &mut tool("openapi-typescript");
    run(
        "openapi-typescript",
        generator.args([DOCUMENT, "--output", "schema.d.ts"]),
    );
    run("tsc", &mut tool("tsc"));
    let mut call = Command::new("node");
    check(
        &start(""),
        "typescript",
        call.current_dir(&folder).arg("call.js"),
    );
}

#[test]
fn a_generated_go_client_calls_the_service() {
    if std::env::var("KEYWRIGHT_SKIP_GENERATED_GO").is_ok_and(|value| value == "1") {
        crate::report("SKIPPED: oapi-codegen: KEYWRIGHT_SKIP_GENERATED_GO=1");
        return;
    }
    if Command::new("go").arg("version").output().is_err() {
        crate::report("SKIPPED: oapi-codegen: go is missing");
        return;
    }
    let folder = workshop("go");
    let client = folder.path().join("generated");
    std::fs::create_dir(&client).expect("a folder");
    let go = || {
        let mut command = Command::new("go");
        command.current_dir(&folder).env("GOTOOLCHAIN", "local");
        command
    };
    let generator = &mut go();
    let generator = generator
        .args(["tool", "oapi-codegen", "-generate", "types,client"])
        .args(["-package", "generated", "-o", "generated/generated.go"]);
    run("oapi-codegen", generator.arg(DOCUMENT));
    check(&start(""), "go", go().args(["run", "."]));
}
