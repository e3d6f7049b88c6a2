//! The README's programs in Node and Python, as a newcomer pastes them.

use std::path::Path;
use std::process::Command;

use keywright_verifier::Jws;
use serde_json::json;

use crate::create_issuer;
use crate::support::page::blocks;
use crate::support::start;
use crate::verifiers::{available, node, python};

#[test]
fn the_programs_of_the_readme_verify_the_tokens_of_its_first_example() {
    let server = start("");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let request = json!({"claims": {"sub": "user-1", "aud": "orders"}});
    let signed = server.call("POST", "/v1/issuers/default/tokens", Some(&request));
    let signed = signed.json();
    let token = signed["token"].as_str().expect("a token");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("README.md")).expect("the README");
    let program = |language: &str, token_file: &str| {
        let mut found = blocks(&page)
            .into_iter()
            .filter(|block| block.info == language);
        let text = found.next().expect("a program").body;
        assert!(found.next().is_none(), "two programs in {language}");
        let file = folder.path().join("token");
        std::fs::write(&file, format!("{token}\n")).expect("a file");
        assert!(text.contains(token_file), "{text}");
        // Without a path it is the issuer's URL, which is the same everywhere.
        text.replace("http://127.0.0.1:8080/", &format!("{}/", server.public))
            .replace(token_file, &file.display().to_string())
    };
    let mut commands = Vec::new();
    if let Some(installed) = node() {
        let modules = folder.path().join("node_modules");
        std::os::unix::fs::symlink(installed.join("node_modules"), modules).expect("a link");
        let file = folder.path().join("verify.mjs");
        std::fs::write(&file, program("js", "/tmp/second.jwt")).expect("a file");
        let mut command = Command::new("node");
        command.arg(file);
        commands.push(command);
    }
    if let Some(python) = python() {
        let mut command = Command::new(python);
        command.arg("-c").arg(program("python", "/tmp/first.jwt"));
        commands.push(command);
    }
    for mut command in commands {
        let output = command.output().expect("the program runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(printed.contains("user-1"), "{printed}");
    }
}

#[test]
fn the_program_of_the_readme_gets_a_token_with_an_oauth_library() {
    let Some(installed) = node() else { return };
    let is_there = installed.join("node_modules/openid-client").is_dir();
    if !available("KEYWRIGHT_SKIP_NODE", "openid-client", is_there) {
        return;
    }
    let server = start("oauth.enabled = true\n");
    let issuer = create_issuer(&server, "shop", json!({}));
    let client = json!({
        "name": "billing", "roles": ["issuer"],
        "limits": {"audiences": ["orders"], "scopes": ["orders:read"]},
    });
    let client = server.call("POST", "/v1/clients", Some(&client)).json();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("README.md")).expect("the README");
    let mut programs = blocks(&page).into_iter();
    let program = programs.find(|block| block.info == "js oauth");
    let program = program.expect("a program").body;
    assert!(program.contains("http://127.0.0.1:8080"), "{program}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let modules = folder.path().join("node_modules");
    std::os::unix::fs::symlink(installed.join("node_modules"), modules).expect("a link");
    let file = folder.path().join("token.mjs");
    std::fs::write(&file, program.replace("http://127.0.0.1:8080", &issuer)).expect("a file");
    let output = Command::new("node")
        .arg(file)
        .env("ID", client["id"].as_str().expect("an id"))
        .env(
            "SECRET",
            client["credential"].as_str().expect("a credential"),
        )
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8_lossy(&output.stdout);
    let token = Jws::parse(printed.trim(), 8192).expect("a token");
    assert_eq!(token.typ(), Some("at+jwt"));
}
