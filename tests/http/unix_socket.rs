//! The internal listener at a file, for callers on the same machine.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Server, end_of, spawn_with, start_with};

fn folder() -> (Arc<TempDir>, PathBuf) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("internal.sock");
    (folder, path)
}

const LISTEN: &str = "KEYWRIGHT_INTERNAL__LISTEN";

fn unix(path: &Path) -> String {
    format!("unix://{}", path.display())
}

fn start_at(folder: &Arc<TempDir>, path: &Path, extra: &str) -> Result<Server, String> {
    start_with(Arc::clone(folder), extra, &[(LISTEN, &unix(path))])
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A token that curl has asked for.
fn sign(server: &Server, path: &Path) -> Value {
    let curl = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--unix-socket"])
        .arg(path)
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", server.admin))
        .args(["--json", r#"{"claims":{"sub":"a"}}"#])
        .arg("http://localhost/v1/issuers/default/tokens")
        .output()
        .unwrap();
    assert!(curl.status.success(), "{curl:?}");
    serde_json::from_slice(&curl.stdout).unwrap()
}

fn keywright(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn curl_and_the_commands_reach_the_service_by_its_file() {
    let (folder, path) = folder();
    let server = start_at(&folder, &path, "").unwrap();
    assert_eq!(server.internal, unix(&path));
    assert_eq!(mode(&path), 0o600);
    assert_eq!(
        sign(&server, &path)["token"]
            .as_str()
            .unwrap()
            .split('.')
            .count(),
        3
    );

    let data = server.data();
    let data = data.to_str().unwrap();
    for place in [
        &["--data-dir", data][..],
        &["--data-dir", data, "--url", &unix(&path)],
    ] {
        let listed = keywright(&[&["issuers", "list", "--json"], place].concat());
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(
            listed.status.success() && text.contains("default"),
            "{text}"
        );
    }
    let nowhere = keywright(&[
        "issuers",
        "list",
        "--data-dir",
        data,
        "--url",
        "unix:///nowhere",
    ]);
    let said = String::from_utf8(nowhere.stderr).unwrap();
    assert!(
        !nowhere.status.success() && said.contains("unix:///nowhere"),
        "{said}"
    );

    let (code, _) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(!path.exists(), "an end removes the file");
}

#[test]
fn the_file_is_for_whom_the_setting_says() {
    for (access, expected) in [("owner", 0o600), ("group", 0o660), ("everyone", 0o666)] {
        let (folder, path) = folder();
        let setting = format!("internal.socket_access = \"{access}\"\n");
        let server = start_at(&folder, &path, &setting).unwrap();
        assert_eq!(mode(&path), expected, "{access}");
        drop(server);
    }
}

#[test]
fn a_file_that_a_killed_process_has_left_is_replaced_and_no_other() {
    let (folder, path) = folder();
    let folder = start_at(&folder, &path, "").unwrap().kill();
    assert!(path.exists());
    let server = start_at(&folder, &path, "").unwrap();
    sign(&server, &path);

    let other = tempfile::tempdir().unwrap();
    let listen = unix(&path);
    let (code, said) = end_of(spawn_with(other.path(), "", &[(LISTEN, &listen)]));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("internal.listen") && said.contains("another process listens there"));
    sign(&server, &path);

    let text = other.path().join("notes.txt");
    std::fs::write(&text, "keep").unwrap();
    let (code, said) = end_of(spawn_with(other.path(), "", &[(LISTEN, &unix(&text))]));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no socket"), "{said}");
    assert_eq!(std::fs::read_to_string(&text).unwrap(), "keep");
}

#[test]
fn a_file_takes_no_certificate_and_needs_a_folder() {
    let (folder, path) = folder();
    let tls = "internal.tls.certificate = \"a.pem\"\ninternal.tls.key = \"a.key\"\n";
    let (code, said) = end_of(spawn_with(folder.path(), tls, &[(LISTEN, &unix(&path))]));
    assert_eq!(code, 1);
    assert!(said.contains("internal.tls is for a network"), "{said}");
    let missing = unix(&folder.path().join("missing/a.sock"));
    let (code, said) = end_of(spawn_with(folder.path(), "", &[(LISTEN, &missing)]));
    assert_eq!(code, 1);
    assert!(said.contains("internal.listen = \"unix:"), "{said}");
    assert!(!folder.path().join("keys").exists(), "nothing was made");
}

// RFC 9112 §9.3.2.
#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    const REQUESTS: usize = 16;
    let (folder, path) = folder();
    let server = start_at(&folder, &path, "").unwrap();
    let body = r#"{"claims":{},"alg":"ES256"}"#;
    let requests: Vec<String> = (0..REQUESTS)
        .map(|number| {
            let last = if number + 1 == REQUESTS { "Connection: close\r\n" } else { "" };
            format!(
                "POST /v1/issuers/default/tokens HTTP/1.1\r\nHost: a\r\nX-Request-Id: r{number}.\r\n\
                 Authorization: Bearer {}\r\nContent-Type: application/json\r\n{last}\
                 Content-Length: {}\r\n\r\n{body}",
                server.admin,
                body.len()
            )
        })
        .collect();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(requests.concat().as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 201 Created").count(), REQUESTS);
    let places = (0..REQUESTS).map(|number| answers.find(&format!("x-request-id: r{number}.\r\n")));
    assert!(places.map(Option::unwrap).is_sorted());
}
