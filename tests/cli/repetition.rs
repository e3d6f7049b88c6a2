//! A flag with one value comes once; lists collect.

use std::process::Command;

fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_repeated_flag_is_refused_wherever_it_stands() {
    let a_and_b = ["http://127.0.0.1:1", "http://127.0.0.1:2"];
    let [a, b] = a_and_b;
    for arguments in [
        &["keys", "list", "--url", a, "--url", b][..],
        &["--url", a, "keys", "list", "--url", b],
        &["--url", a, "--url", b, "keys", "list"],
        &["keys", "--url", a, "list", "--url", b],
        &["--url", a, "keys", "--url", b, "list"],
        &[
            "--token", "kw_one", "keys", "list", "--token", "kw_two", "--url", a,
        ],
        &["--token-file", "a", "keys", "list", "--token-file", "b"],
        &["--data-dir", "a", "config", "check", "--data-dir", "b"],
        &[
            "--ca", "a", "token", "verify", "--ca", "b", "--jwks", "c", "d",
        ],
        &["--url", a, "audit", "verify", "--url", b],
        &["audit", "--url", a, "verify", "--url", b],
        &["--json", "replicas", "--json"],
        &["serve", "--config", "a", "--config", "b"],
        &[
            "serve",
            "--public-listen",
            "127.0.0.1:0",
            "--public-listen",
            "127.0.0.1:0",
        ],
        &["keys", "revoke", "kid", "--reason", "a", "--reason", "b"],
        &["token", "sign", "--alg", "ES256", "--alg", "RS256"],
        &["backup", "--output", "a", "--output", "b"],
    ] {
        let (code, said) = said(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(
            said.contains("cannot be used multiple times"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_member_that_is_named_twice_is_refused() {
    for arguments in [
        &[
            "issuers", "set", "a", "--set", "lead=24h", "--set", "lead=25h",
        ][..],
        &[
            "issuers",
            "set",
            "a",
            "--set",
            "rotation.every=1d",
            "--set",
            "rotation.every=2d",
        ],
        &["token", "sign", "--claim", "sub=a", "--claim", "sub=b"],
    ] {
        let (code, said) =
            said(&[arguments, &["--url", "http://127.0.0.1:1", "--token", "t"]].concat());
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains("twice"), "{said}");
    }
    let workload = ["clients", "set", "a", "--workload", "cluster:sub=a,sub=b"];
    assert_eq!(said(&workload).0, Some(2));
}

#[test]
fn what_is_a_list_collects_and_a_flag_after_its_like_in_a_value_is_no_repetition() {
    for arguments in [
        &[
            "clients", "create", "a", "--role", "issuer", "--role", "auditor",
        ][..],
        &["token", "sign", "--claim", "sub=a", "--claim", "aud=b"],
        &[
            "issuers",
            "set",
            "a",
            "--policy",
            "/dev/null",
            "--set",
            "lead=24h",
        ],
        &["keys", "revoke", "kid", "--reason=--url"],
    ] {
        let (code, said) =
            said(&[arguments, &["--url", "http://127.0.0.1:1", "--token", "t"]].concat());
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
    }
    // The argument of this command has the name of a global flag.
    let (code, said) = said(&["--token", "kw_one", "token", "inspect", "kw_two"]);
    assert_eq!(code, Some(1), "{said}");
}
