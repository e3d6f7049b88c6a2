//! A key is found by what leaked: its kid, a token, or a file.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::command::{done, said};
use crate::support::{Server, start};

fn state(server: &Server, issuer: &str, kid: &str) -> String {
    let path = format!("/v1/issuers/{issuer}/keys/{kid}");
    let key = server.call("GET", &path, None).json();
    key["state"].as_str().unwrap().to_owned()
}

/// A private key as `openssl` makes it, imported into an issuer as a retired or pending key.
fn imported(server: &Server, issuer: &str, name: &str, kid: Option<&str>) -> String {
    let pem = server.folder().path().join(name);
    let made = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
        ])
        .arg(&pem)
        .output();
    assert!(made.unwrap().status.success());
    let mut arguments = vec![
        "keys",
        "import",
        "--issuer",
        issuer,
        "--private-key",
        name,
        "--algorithm",
        "ES256",
        "--state",
        "pending",
        "--json",
    ];
    if let Some(kid) = kid {
        arguments.extend(["--kid", kid]);
    }
    let key: Value = serde_json::from_str(&done(server, &arguments)).unwrap();
    key["kid"].as_str().unwrap().to_owned()
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

fn two_issuers() -> Server {
    let server = start("");
    let set = [
        "issuers",
        "set",
        "shop",
        "--set",
        "url=https://shop.example/shop",
    ];
    done(&server, &set);
    server
}

/// The issuer and the kid of the one key that is found.
fn found(server: &Server, what: &str) -> (String, String) {
    let text = done(server, &["keys", "find", what, "--json"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    let keys = document["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1, "{what}: {text}");
    let text = |member: &str| keys[0][member].as_str().unwrap().to_owned();
    (text("issuer"), text("kid"))
}

#[test]
fn a_key_is_found_by_kid_token_and_file_in_any_issuer() {
    let server = two_issuers();
    let folder = server.folder();
    let (thumbprint, named) = (
        imported(&server, "shop", "leaked.pem", None),
        imported(&server, "shop", "named.pem", Some("our-key-2024")),
    );
    let write = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).unwrap();
    openssl(
        folder.path(),
        &["pkey", "-in", "leaked.pem", "-pubout", "-out", "public.pem"],
    );
    openssl(
        folder.path(),
        &[
            "req",
            "-x509",
            "-key",
            "leaked.pem",
            "-subj",
            "/CN=a",
            "-days",
            "1",
            "-out",
            "certificate.pem",
        ],
    );
    let pem = fs::read(folder.path().join("leaked.pem")).unwrap();
    write(
        "quoted.txt",
        &[
            b"found this in our chat:\n\n",
            pem.as_slice(),
            b"\nplease look\n",
        ]
        .concat(),
    );
    let jwks = server.fetch("/.well-known/jwks.json").json();
    write("jwk.json", jwks["keys"][0].to_string().as_bytes());
    let token = server.sign("default", &json!({"claims": {"sub": "a"}}));
    write("token.txt", format!("{token}\n").as_bytes());
    let header = done(&server, &["token", "inspect", &token, "--json"]);
    let begin = header.find('{').unwrap();
    let header: Value = serde_json::from_str(&header[begin..=header.rfind('}').unwrap()]).unwrap();
    let signer = header["header"]["kid"].as_str().unwrap().to_owned();
    let published = jwks["keys"][0]["kid"].as_str().unwrap().to_owned();
    for (what, issuer, kid) in [
        (thumbprint.as_str(), "shop", &thumbprint),
        ("leaked.pem", "shop", &thumbprint),
        ("public.pem", "shop", &thumbprint),
        ("certificate.pem", "shop", &thumbprint),
        ("quoted.txt", "shop", &thumbprint),
        ("our-key-2024", "shop", &named),
        ("named.pem", "shop", &named),
        (&token, "default", &signer),
        ("token.txt", "default", &signer),
        ("jwk.json", "default", &published),
    ] {
        assert_eq!(
            found(&server, what),
            (issuer.to_owned(), kid.clone()),
            "{what}"
        );
    }
    // Also when it is revoked, for both ways to name a key.
    for kid in [&thumbprint, &named] {
        done(
            &server,
            &["keys", "revoke", kid, "--issuer", "shop", "--reason", "a"],
        );
    }
    assert_eq!(found(&server, "leaked.pem").1, thumbprint);
    assert_eq!(found(&server, "named.pem").1, named);
    let table = done(&server, &["keys", "find", "named.pem"]);
    assert!(
        table.contains("revoked") && table.contains("shop"),
        "{table}"
    );
    // What is nowhere is an error, and so is what is no key.
    openssl(
        folder.path(),
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            "other.pem",
        ],
    );
    write("text.txt", b"nothing of the kind");
    for (what, code) in [
        ("other.pem", "key-not-found"),
        ("no-such-kid", "key-not-found"),
        ("text.txt", "no-key-in-file"),
    ] {
        let (exit, text) = said(&server, &["keys", "find", what]);
        assert_eq!(exit, 1, "{what}: {text}");
        assert!(text.contains(code), "{text}");
        assert!(!text.contains("PRIVATE KEY-"), "{text}");
    }
}

#[test]
fn what_leaked_is_revoked_without_knowing_its_issuer() {
    let server = two_issuers();
    let thumbprint = imported(&server, "shop", "leaked.pem", None);
    done(
        &server,
        &["keys", "revoke", "leaked.pem", "--reason", "leaked"],
    );
    assert_eq!(state(&server, "shop", &thumbprint), "revoked");
    let again = done(
        &server,
        &["keys", "revoke", "leaked.pem", "--reason", "leaked"],
    );
    assert!(again.contains("already revoked"), "{again}");
    // By a kid of another issuer than the default one.
    let other = imported(&server, "shop", "other.pem", None);
    done(&server, &["keys", "revoke", &other, "--reason", "leaked"]);
    assert_eq!(state(&server, "shop", &other), "revoked");
    // By a token, if the key has signed it: a forged one gets no good key revoked.
    let token = server.sign("default", &json!({"claims": {"sub": "a"}}));
    let (head, signature) = token.rsplit_once('.').unwrap();
    let mut forged: Vec<char> = signature.chars().collect();
    forged[10] = if forged[10] == 'A' { 'B' } else { 'A' };
    let forged = format!("{head}.{}", forged.into_iter().collect::<String>());
    let signer = found(&server, &token).1;
    let (code, text) = said(
        &server,
        &["keys", "revoke", &forged, "--reason", "a", "--yes"],
    );
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("token-not-signed"), "{text}");
    assert!(done(&server, &["keys", "find", &forged]).contains("has not signed it"));
    assert_eq!(state(&server, "default", &signer), "active");
    let text = done(&server, &["keys", "revoke", &token, "--reason", "a"]);
    assert!(text.contains("docs/leaked-key.md"), "{text}");
    assert_eq!(state(&server, "default", &signer), "revoked");
}

#[test]
fn a_security_client_finds_and_reads_what_it_revokes_and_confirms() {
    let server = start("");
    let body = json!({"name": "on-call", "roles": ["security"]});
    let client = server.call("POST", "/v1/clients", Some(&body)).json();
    let token = client["credential"].as_str().unwrap();
    let signed = server.sign("default", &json!({"claims": {}}));
    for arguments in [
        &["keys", "list"][..],
        &["keys", "find", &signed],
        &["keys", "history", "--at", "0s"],
        &["keys", "revoke", &signed, "--dry-run"],
        &["issuers", "list"],
        &["issuers", "show", "default"],
        &["plan"],
        &["status"],
        &["approvals", "list"],
        &["keys", "revoke", &signed, "--reason", "a"],
        &["keys", "revoke", &signed, "--reason", "a"],
    ] {
        done(&server, &[arguments, &["--token", token]].concat());
    }
}
