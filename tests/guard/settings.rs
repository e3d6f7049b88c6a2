//! Settings that cannot be meant, and TLS on both sides.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::authority::{Authority, Files};
use crate::support::{end_of, start as start_service};
use crate::world::{command, create_issuer, settings, start, start_with, token};

/// The exit code and the error of a guard that does not start.
fn refused(settings: &str, arguments: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guard.toml");
    std::fs::write(&file, settings).unwrap();
    let child = command(&["--config", file.to_str().unwrap()])
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    end_of(child)
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_setting_and_the_rule() {
    let issuer = "https://id.example";
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("listen = \"{}\"", taken.local_addr().unwrap());
    let with = |more: &str| settings(issuer, more);
    let after = |more: &str| format!("{}{more}\n", settings(issuer, "listen = \"127.0.0.1:0\""));
    for (file, named) in [
        (String::new(), "no issuer is named"),
        (
            with("listen = \"0.0.0.0:0\""),
            "listen = \"0.0.0.0:0\" is not a loopback address",
        ),
        (with(&taken), "cannot listen on listen = "),
        (with("listen = \"9000\""), "listen"),
        (
            with("audience = \"orders\""),
            "unknown setting \"audience\"",
        ),
        (with("scopes = [\"a b\"]"), "\"a b\" is not a scope"),
        (
            with("headers = { Authorization = \"sub\" }"),
            "\"Authorization\" must begin with x-",
        ),
        (
            with("[[requirements]]\npath = \"/a/b\""),
            "not a path of one segment",
        ),
        (with("tls = { certificate = \"a\", key = \"b\" }"), "tls: "),
        (with("[log]\nfilter = \"a=b=c\""), "log.filter"),
        (after("algorithms = [\"none\"]"), "none"),
        (after("leeway = \"301s\""), "leeway of 301 s"),
        (after("ca = \"/nowhere.pem\""), "cannot read /nowhere.pem"),
        (
            after("danger_without_bound = true\nvouched_within = \"9s\""),
            "exclude one another",
        ),
        (after("vouched_within = \"0s\""), "vouched_within"),
        (
            after("ignore_revocations = true"),
            "danger_ignore_revocations",
        ),
        (after(&settings(issuer, "")), "has rules already"),
        (
            "[[issuers]]\nissuer = \"https://a\"\naudiences = []\n".to_owned(),
            "audiences is empty",
        ),
        (settings("http://id.example", ""), "http"),
    ] {
        let (code, error) = refused(&file, &[]);
        assert!(
            code == 1 && error.contains(named),
            "{file}\n{code}: {error}"
        );
    }
    let flags = ["--issuer", issuer, "--audience", "orders"];
    let (code, error) = refused(&with(""), &flags);
    assert!(
        code == 1 && error.contains("name all issuers in the file"),
        "{error}"
    );
    for flags in [&flags[..2], &flags[2..]] {
        let (code, error) = refused("", flags);
        assert!(code == 2 && error.contains("required"), "{error}");
    }
}

/// The issuer is trusted by a file of roots, and the guard has a certificate of its own, with which it may
/// listen on every address.
#[test]
fn certificates_are_checked_on_both_sides() {
    let authority = Authority::new();
    let files = Files::new(&authority.server());
    let pair = files.path("server.pem");
    let roots = files.add("roots.pem", &authority.pem);
    let tls = format!(
        "tls = {{ certificate = \"{0}\", key = \"{0}\" }}",
        pair.display()
    );
    let server = start_service(&format!("public.{tls}\n"));
    let issuer = create_issuer(&server, "shop", json!({}));
    assert!(issuer.starts_with("https://"), "{issuer}");

    let ca = roots.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--issuer", &issuer, "--audience", "orders", "--ca", ca];
    let plain = start_with(folder, &flags).ready();
    let good = token(&server, "shop", json!({}));
    assert_eq!(plain.verdict(&good).0, 200);
    // Without the roots there are no keys.
    let stranger = start(&settings(&issuer, ""));
    assert_eq!(
        stranger.verdict(&good),
        (503, "keys-unavailable".to_owned())
    );

    let guard = start(&format!("{}ca = \"{ca}\"\n", settings(&issuer, &tls))).ready();
    let root = Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(
            TlsConfig::builder()
                .root_certs(RootCerts::new_with_certs(&[root]))
                .build(),
        )
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let bearer = format!("Bearer {good}");
    let answer = agent
        .get(&guard.url)
        .header("authorization", bearer)
        .call()
        .unwrap();
    assert_eq!(answer.headers()["x-auth-subject"], "user-1");
    let expiry = "keywright_tls_certificate_expiry_seconds{listener=\"guard\"}";
    assert!(guard.metric(expiry).is_some());
}
