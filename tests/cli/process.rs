//! What a case file cannot say: the environment, pipes, and scripts too long to repeat.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::CLIENT_VARIABLES;

fn keywright() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywright"));
    for variable in CLIENT_VARIABLES {
        command.env_remove(variable);
    }
    command
}

fn text(output: &Output) -> String {
    let streams = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&streams).into_owned()
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = keywright().args(["completions", shell]).output().unwrap();
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            script.contains("keywright") && script.contains("revoke"),
            "{shell}"
        );
    }
}

#[test]
fn a_credential_from_the_environment_appears_in_no_error() {
    for (token, url) in [
        ("s3cret with spaces", "http://127.0.0.1:1"),
        ("s3cret", "http://127.0.0.1:1"),
        ("s3cret", "http://s3cret:s3cret@127.0.0.1:1"),
    ] {
        let output = keywright()
            .args(["keys", "list"])
            .env("KEYWRIGHT_TOKEN", token)
            .env("KEYWRIGHT_URL", url)
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert!(!text(&output).contains("s3cret"), "{}", text(&output));
    }
}

// A thumbprint begins with a hyphen once in 64, with two once in 4,096, and with the letter of a
// flag as often. An operator should not have to know that at three in the morning.
#[test]
fn a_kid_may_begin_with_hyphens() {
    for kid in [
        "-KxJ9f8T2aB7cD3eF6gH1iK4lM5nO0pQrStUvWxYz_-",
        "--xJ9f8T2aB7cD3eF6gH1iK4lM5nO0pQrStUvWxYz_-",
        "-hxJ9f8T2aB7cD3eF6gH1iK4lM5nO0pQrStUvWxYz_-",
    ] {
        for arguments in [
            &["keys", "show", kid][..],
            &["keys", "revoke", kid, "--reason", "leaked"],
            &["keys", "revoke", "--reason", "leaked", kid, "--issuer", "a"],
        ] {
            let output = keywright()
                .args(arguments)
                .env("KEYWRIGHT_TOKEN", "t")
                .env("KEYWRIGHT_URL", "http://127.0.0.1:1")
                .output()
                .unwrap();
            let said = text(&output);
            assert!(said.contains("http://127.0.0.1:1"), "{kid}: {said}");
        }
    }
}

#[test]
fn help_shows_no_value_of_the_environment() {
    let output = keywright()
        .arg("--help")
        .env("KEYWRIGHT_TOKEN", "s3cret")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(!text(&output).contains("s3cret"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = keywright()
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output), "");
}

#[test]
fn a_dash_reads_the_token_from_standard_input() {
    let mut child = keywright()
        .args(["token", "inspect", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // {"alg":"ES256"}.{"sub":"a"}
    let token = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln\n";
    child.stdin.take().unwrap().write_all(token).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(text(&output).contains("\"sub\": \"a\""));
    assert!(!text(&output).contains("c2ln"));
}

#[test]
fn a_token_cannot_act_on_the_terminal() {
    // {"alg":"ES256"}.{"sub":"\u001b[2Jroot\u202e"}, the second character as it is.
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJcdTAwMWJbMkpyb2904oCuIn0.c2ln";
    for flags in [&[][..], &["--json"]] {
        let output = keywright()
            .args(["token", "inspect", token])
            .args(flags)
            .output()
            .unwrap();
        let shown = text(&output);
        assert!(output.status.success(), "{shown}");
        assert!(shown.contains("\\u001b[2Jroot\\u202e"), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
    }
}

#[test]
fn short_help_is_short_and_long_help_has_examples() {
    let help = |arguments: &[&str]| {
        let output = keywright()
            .args(arguments)
            .env("COLUMNS", "80")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        text(&output)
    };
    for command in [
        &[][..],
        &["keys", "revoke"],
        &["audit"],
        &["clients", "list"],
        &["token", "verify"],
    ] {
        let short = help(&[command, &["-h"]].concat());
        let long = help(&[command, &["--help"]].concat());
        assert!(!short.contains("--client-certificate"), "{short}");
        assert!(short.contains("--help has examples"), "{short}");
        assert!(long.contains("--client-certificate"), "{long}");
        assert!(short.lines().count() < long.lines().count());
    }
    let revoke = help(&["keys", "revoke", "--help"]);
    for part in ["Examples:", "--dry-run", "docs/leaked-key.md"] {
        assert!(revoke.contains(part), "{revoke}\nlacks {part}");
    }
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let written = keywright()
        .args(["man", "--output"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(written.status.success(), "{}", text(&written));
    for page in [
        "keywright.1",
        "keywright-keys-revoke.1",
        "keywright-audit.1",
        "keywright-status.1",
    ] {
        let page = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(page.contains(".TH") && page.contains(".SH"), "{page}");
    }
    let printed = keywright().arg("man").output().unwrap();
    assert!(text(&printed).contains(".TH keywright 1"));
}
