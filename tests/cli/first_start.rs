//! What a start tells people, programs and the service manager.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::support::start_with;

const LISTENERS: [&str; 4] = [
    "--public-listen",
    "127.0.0.1:0",
    "--internal-listen",
    "127.0.0.1:0",
];

fn service(program: &mut Command, folder: &Path) -> Child {
    program
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Ends it, and answers with what it wrote to standard output.
fn end(mut child: Child) -> String {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
    assert!(sent.unwrap().success());
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(child.wait().unwrap().success());
    text
}

#[test]
fn a_program_reads_one_line_of_a_first_start_and_none_of_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let serve = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_keywright"));
        service(program.arg("serve").args(LISTENERS), folder.path())
    };
    let mut first = serve();
    let mut output = BufReader::new(first.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let made: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(made["event"], "first-start");
    let made = &made["made"];
    assert_eq!(made["database"], "keys/keywright.db");
    assert_eq!(made["master_key_file"], "keys/master.key");
    let credential = made["admin_token_file"].as_str().unwrap();
    let credential = std::fs::read_to_string(folder.path().join(credential)).unwrap();
    assert!(!line.contains(credential.trim()), "the credential is shown");
    let keys = ureq::get(made["jwks"].as_str().unwrap()).call().unwrap();
    assert_eq!(keys.status(), 200);
    first.stdout = Some(output.into_inner());
    assert_eq!(end(first), "");

    let second = serve();
    let listen = folder.path().join("keys/listen.json");
    crate::support::eventually("a second start", || {
        let addresses: Value = serde_json::from_slice(&std::fs::read(&listen).ok()?).ok()?;
        let ready = format!("{}/readyz", addresses["public"].as_str()?);
        ureq::get(&ready).call().ok()
    });
    assert_eq!(end(second), "");
}

#[test]
fn a_person_is_told_what_is_where_and_what_to_do_next() {
    let folder = tempfile::tempdir().unwrap();
    let serve = format!(
        "exec {} serve {}",
        env!("CARGO_BIN_EXE_keywright"),
        LISTENERS.join(" ")
    );
    // It gives the command a terminal.
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &serve, "/dev/null"]);
    let mut child = service(&mut script, folder.path());
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines = output.lines().map_while(Result::ok);
    let mut text = String::new();
    for line in lines {
        text.push_str(line.trim_end());
        text.push('\n');
        if line.contains("expect_store") {
            break;
        }
    }
    for shown in [
        "keys/admin.token",
        "keys/keywright.db",
        "keys/master.key",
        "/.well-known/jwks.json",
        "keywright token sign",
        "keywright backup --output FILE",
    ] {
        assert!(text.contains(shown), "no {shown} in {text}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_service_manager_is_told_when_it_serves_and_when_it_ends() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let told = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let socket = path.to_str().unwrap();
    let server = start_with(Arc::clone(&folder), "", &[("NOTIFY_SOCKET", socket)]).unwrap();
    assert_eq!(told().trim_end(), "READY=1");
    assert_eq!(server.fetch("/readyz").status, 200);
    assert_eq!(server.terminate().0, Some(0));
    assert_eq!(told().trim_end(), "STOPPING=1");
}
