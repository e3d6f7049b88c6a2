//! Variables that are settings, that are misspelt, and that others have set.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::CLIENT_VARIABLES;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = TempDir::new().unwrap();
    Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn print(environment: &[(&str, &str)]) -> String {
    let output = run(&["config", "print"], environment);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{environment:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(environment: &[(&str, &str)]) -> String {
    let output = run(&["config", "print"], environment);
    assert_eq!(output.status.code(), Some(1), "{environment:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn links_of_kubernetes_and_docker_are_no_settings() {
    let plain = print(&[]);
    for service in ["", "INTERNAL_", "PUBLIC_", "STORE_", "DATA_", "LOG_"] {
        for (name, value) in [
            ("PORT", "tcp://10.0.0.1:8080"),
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "8080"),
            ("SERVICE_PORT_HTTP", "8080"),
            ("PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("PORT_8080_TCP_PROTO", "tcp"),
            ("PORT_8080_TCP_PORT", "8080"),
            ("PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("PORT_53_UDP", "udp://10.0.0.1:53"),
        ] {
            let variable = format!("KEYWRIGHT_{service}{name}");
            assert_eq!(print(&[(&variable, value)]), plain, "{variable}");
        }
    }
    // A setting in the same environment is one still.
    let both = [
        ("KEYWRIGHT_PORT", "tcp://10.0.0.1:8080"),
        ("KEYWRIGHT_PUBLIC__LISTEN", "127.0.0.1:9090"),
    ];
    assert!(print(&both).contains("127.0.0.1:9090"));
}

#[test]
fn what_only_looks_like_a_link_is_refused_by_its_whole_name() {
    for (variable, value) in [
        ("KEYWRIGHT_PORT", "8080"),
        ("KEYWRIGHT_PORT", "http://127.0.0.1:8080"),
        ("KEYWRIGHT_INTERNAL_PORT", "8081"),
        ("KEYWRIGHT_SERVICE_HOST", "keys.example"),
        ("KEYWRIGHT_SERVICE_PORT", "http"),
        ("KEYWRIGHT_HOST", "10.0.0.1"),
    ] {
        let said = refused(&[(variable, value)]);
        assert!(said.contains(variable), "{said}");
    }
}

#[test]
fn a_misspelt_variable_is_named_with_the_right_one() {
    for (variable, right) in [
        ("KEYWRIGHT_DATA_DRI", "KEYWRIGHT_DATA_DIR"),
        ("KEYWRIGHT_PUBLIC_LISTEN", "KEYWRIGHT_PUBLIC__LISTEN"),
        ("KEYWRIGHT_INTERNAL__LISTNE", "KEYWRIGHT_INTERNAL__LISTEN"),
        ("KEYWRIGHT_STORE_URL", "KEYWRIGHT_STORE__URL"),
        ("KEYWRIGHT_LOG_FILTER", "KEYWRIGHT_LOG__FILTER"),
        (
            "KEYWRIGHT_DEFAULT_ISSUER_URL",
            "KEYWRIGHT_DEFAULT_ISSUER__URL",
        ),
        ("KEYWRIGHT_INTERNAL_TLS_KEY", "KEYWRIGHT_INTERNAL__TLS__KEY"),
        ("KEYWRIGHT_MASTERKEY_FILE", "KEYWRIGHT_MASTER_KEY_FILE"),
        ("KEYWRIGHT_LOG___FORMAT", "KEYWRIGHT_LOG__FORMAT"),
    ] {
        let said = refused(&[(variable, "x")]);
        for part in [
            format!("the environment variable {variable};"),
            format!("did you mean {right} "),
        ] {
            assert!(said.contains(&part), "{said}\nlacks {part}");
        }
    }
    for variable in ["KEYWRIGHT_", "KEYWRIGHT_LOG__FORMAT__X", "KEYWRIGHT_QUUX"] {
        let said = refused(&[(variable, "x")]);
        assert!(
            said.contains(&format!("the environment variable {variable}")),
            "{said}"
        );
    }
}

#[test]
fn a_value_that_does_not_read_is_refused_by_the_whole_name_of_its_variable() {
    for (variable, value) in [
        ("KEYWRIGHT_PUBLIC__LISTEN", "localhost"),
        ("KEYWRIGHT_LOG__FORMAT", "xml"),
        ("KEYWRIGHT_STORE__MAX_CONNECTIONS", "0"),
        (
            "KEYWRIGHT_STORE__URL",
            "postgres://me:hunter2@db/keys?sslcrl=x",
        ),
    ] {
        let said = refused(&[(variable, value)]);
        let named = format!("the environment variable {variable} does not read");
        assert!(said.contains(&named) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn set_and_empty_is_not_set() {
    let plain = print(&[]);
    for variable in [
        "KEYWRIGHT_DATA_DIR",
        "KEYWRIGHT_PUBLIC__LISTEN",
        "KEYWRIGHT_INTERNAL__LISTEN",
        "KEYWRIGHT_INTERNAL__AUDIENCE",
        "KEYWRIGHT_INTERNAL__TLS__CERTIFICATE",
        "KEYWRIGHT_MASTER_KEY_FILE",
        "KEYWRIGHT_MASTER_KEY_COMMAND",
        "KEYWRIGHT_STORE__URL",
        "KEYWRIGHT_STORE__MAX_STALENESS",
        "KEYWRIGHT_ISSUANCE_LOG__TO",
        "KEYWRIGHT_LOG__FILTER",
        "KEYWRIGHT_MASTER_KEY",
        "KEYWRIGHT_FURTHER_MASTER_KEY",
        "KEYWRIGHT_PORT",
        "KEYWRIGHT_NO_SUCH_SETTING",
        "CREDENTIALS_DIRECTORY",
    ] {
        assert_eq!(print(&[(variable, "")]), plain, "{variable}");
        let checked = run(&["config", "check"], &[(variable, "")]);
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success(), "{variable}: {said}");
    }
}

#[test]
fn an_empty_variable_of_the_command_line_is_not_set() {
    let unset = run(&["keys", "list"], &[]);
    let unset = String::from_utf8(unset.stderr).unwrap();
    assert!(unset.contains("keys/listen.json"), "{unset}");
    for variable in CLIENT_VARIABLES {
        let output = run(&["keys", "list"], &[(variable, "")]);
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            unset,
            "{variable}"
        );
    }
    // A certificate without its key is wrong, and so is an empty flag.
    let alone = run(
        &["keys", "list", "--url", "http://127.0.0.1:1", "--token", ""],
        &[],
    );
    assert!(String::from_utf8_lossy(&alone.stderr).contains("no credential"));
}
