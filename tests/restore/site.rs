//! A service with its tokens, and commands that are run beside it.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Server, start_in};

/// A folder in which a service is restored: the master key is there, and nothing else.
pub(crate) fn elsewhere(original: &Path) -> Arc<TempDir> {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let data = folder.path().join("keys");
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(original.join("master.key"), data.join("master.key")).unwrap();
    folder
}

/// Runs a command in a folder, with its `keys` as the data folder.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywright"));
    command
        .args(arguments)
        .args(["--data-dir", "keys"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    command
}

/// Runs a command that must fail and not hang, and answers with what it said.
pub(crate) fn refused_in_time(folder: &Path, arguments: &[&str]) -> String {
    let mut child = command(folder, arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = crate::support::eventually("the end of the command", || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(1), "{arguments:?}");
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

/// Runs a command that must succeed, and answers with what it printed.
pub(crate) fn done(folder: &Path, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let output = run(folder, &arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// Runs a command that must be refused, and answers with why.
pub(crate) fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Starts the service in a folder, with the credential of another one.
pub(crate) fn start_restored(folder: &Arc<TempDir>, original: &Path, extra: &str) -> Server {
    let token = folder.path().join("keys/admin.token");
    std::fs::copy(original.join("admin.token"), token).unwrap();
    start_in(Arc::clone(folder), extra).unwrap()
}

/// A token that was handed out.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kid: String,
    text: String,
}

/// Signs for the default issuer; `None` where the service was about to switch keys.
pub(crate) fn try_sign(server: &Server, algorithm: &str) -> Option<Token> {
    let body = json!({ "claims": { "sub": "user-1" }, "alg": algorithm, "expires_in": 900 });
    let answer = server.call("POST", "/v1/issuers/default/tokens", Some(&body));
    let answer = (answer.status == 201).then(|| answer.json())?;
    Some(Token {
        kid: answer["kid"].as_str().unwrap().to_owned(),
        text: answer["token"].as_str().unwrap().to_owned(),
    })
}

pub(crate) fn sign(server: &Server, algorithm: &str) -> Token {
    crate::support::eventually("a signature", || try_sign(server, algorithm))
}

pub(crate) fn jwks(server: &Server) -> Vec<u8> {
    let answer = server.fetch("/.well-known/jwks.json");
    assert_eq!(answer.status, 200);
    answer.body
}

/// Fails unless the published set has the key of the token, and the signature is right.
pub(crate) fn assert_verifies(token: &Token, jwks: &[u8]) {
    let set: JwkSet = serde_json::from_slice(jwks).unwrap();
    let jwk = set.find(&token.kid);
    let jwk = jwk.unwrap_or_else(|| panic!("{} is not published", token.kid));
    let header = jsonwebtoken::decode_header(&token.text).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.validate_aud = false;
    let key = DecodingKey::from_jwk(jwk).unwrap();
    jsonwebtoken::decode::<Value>(&token.text, &key, &validation).unwrap();
}

/// The state of every key of the default issuer that is in a state.
pub(crate) fn kids(server: &Server, state: &str) -> Vec<String> {
    let keys = server.call("GET", "/v1/issuers/default/keys", None).json();
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.filter(|key| key["state"] == state)
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// Rotates, once there is a key to rotate to: one that a change wanted comes after it.
pub(crate) fn rotate(server: &Server) {
    let force = json!({ "force": true });
    crate::support::eventually("a successor", || {
        let answer = server.call("POST", "/v1/issuers/default/rotate", Some(&force));
        match answer.status {
            200 => Some(()),
            _ => {
                assert_eq!(answer.json()["code"], "no-successor", "{}", answer.json());
                None
            }
        }
    });
}

pub(crate) fn revoke(server: &Server, kid: &str) {
    let path = format!("/v1/issuers/default/keys/{kid}/revoke");
    let answer = server.call("POST", &path, Some(&json!({ "reason": "leaked" })));
    assert_eq!(answer.status, 200, "{}", answer.json());
}

/// The log is whole, and its events are those of the restore at its end.
pub(crate) fn assert_restored(server: &Server) {
    let folder = server.folder();
    let verified = done(folder.path(), &["audit", "verify"]);
    assert!(verified["events"].as_u64().unwrap() > 0);
    let events = server.call("GET", "/v1/audit?event=restored", None).json();
    let events = events["events"].as_array().unwrap().clone();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["actor"]["kind"], "operator");
}
