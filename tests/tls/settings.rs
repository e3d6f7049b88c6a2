//! Settings of TLS: what is refused and how it is said, and the command line as a caller.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::authority::{Authority, Files, replace};
use crate::client::{Client, eventually, get};
use crate::support::start;

fn keywright() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywright"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    let streams = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&streams).into_owned()
}

/// What `serve` and `config check` say about settings that neither of them accepts.
fn refused(folder: &Path, settings: &str) -> Vec<String> {
    let config = folder.join("refused.toml");
    std::fs::write(&config, settings).unwrap();
    let data = folder.join("keys");
    [&["serve"][..], &["config", "check"]]
        .iter()
        .map(|command| {
            let mut child = keywright()
                .args(*command)
                .arg("--config")
                .arg(&config)
                .arg("--data-dir")
                .arg(&data)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            while child.try_wait().unwrap().is_none() {
                if Instant::now() > deadline {
                    // A service that serves would never end.
                    child.kill().unwrap();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let output = child.wait_with_output().unwrap();
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
            assert!(!data.exists(), "{command:?} made something");
            said
        })
        .collect()
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_cause_and_nothing_of_a_key() {
    let own = Authority::new();
    let (pair, other) = (own.server(), own.server());
    let files = Files::new(&pair);
    let certificate = files.add("a.crt", &pair.certificate);
    let key = files.add("a.key", &pair.key);
    let torn = pair.key.replacen("END", "END OF", 1);
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let encrypted = pair.key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    for (name, content) in [
        ("empty", ""),
        ("other.key", other.key.as_str()),
        ("torn.key", &torn),
        ("encrypted.key", &encrypted),
        ("torn.crt", &pair.certificate.replace(end, "")),
        ("no.crt", &format!("{begin}\nAAAA\n{end}\n")),
        ("large.crt", &"x".repeat(1024 * 1024 + 1)),
    ] {
        files.add(name, content);
    }
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    for (certificate, key, cause) in [
        (certificate, path("absent").as_str(), "absent: No such file"),
        (certificate, &path("empty"), "empty has no private key"),
        (certificate, certificate, "a.crt has no private key"),
        (
            certificate,
            &path("torn.key"),
            "torn.key has no private key",
        ),
        (
            certificate,
            &path("encrypted.key"),
            "encrypted.key has no private key",
        ),
        (
            certificate,
            &path("other.key"),
            "is not the one of the certificate",
        ),
        (&path("absent"), key, "absent: No such file"),
        (&path("empty"), key, "empty has no certificate"),
        (&path("torn.crt"), key, "torn.crt does not read"),
        (
            &path("no.crt"),
            key,
            "no.crt has a certificate that does not read",
        ),
        (&path("large.crt"), key, "large.crt is larger than"),
    ] {
        for listener in ["public", "internal"] {
            let settings = format!(
                "{listener}.tls.certificate = {certificate:?}\n{listener}.tls.key = {key:?}\n"
            );
            for said in refused(files.folder.path(), &settings) {
                for part in [cause, &format!("{listener}.tls: ")] {
                    assert!(said.contains(part), "{said}\nlacks {part}");
                }
                for line in pair.key.lines().chain(other.key.lines()) {
                    assert!(!said.contains(line), "{said}");
                }
                assert!(!said.contains("panicked"), "{said}");
            }
        }
    }
}

#[test]
fn settings_that_do_not_fit_together_are_refused() {
    let own = Authority::new();
    let files = Files::new(&own.server());
    let tls = files.settings();
    files.add("empty", "");
    let empty = files.path("empty");
    for (settings, parts) in [
        (
            format!("{tls}internal.tls.client_certificates = \"required\"\n"),
            ["client_certificates", "client_ca"],
        ),
        (
            format!("{tls}internal.tls.client_ca = {empty:?}\n"),
            ["internal.tls", "empty has no"],
        ),
        (
            format!("{tls}public.tls.client_ca = {empty:?}\n"),
            ["client_ca", "public"],
        ),
        (
            "public.tls.certificate = \"a.pem\"\n".to_owned(),
            ["key", "public.tls"],
        ),
        (
            "internal.listen = \"0.0.0.0:0\"\n".to_owned(),
            ["0.0.0.0:0", "internal.tls.certificate"],
        ),
        (
            "public.max_connections = 0\n".to_owned(),
            ["max_connections", "0"],
        ),
        (
            "internal.max_requests = -1\n".to_owned(),
            ["max_requests", "-1"],
        ),
        (
            "public.idle_timeout = \"0s\"\n".to_owned(),
            ["idle_timeout", "1s"],
        ),
        (
            "internal.request_timeout = \"30\"\n".to_owned(),
            ["request_timeout", "90s"],
        ),
        (
            "internal.request_timeout = 30\n".to_owned(),
            ["request_timeout", "30"],
        ),
    ] {
        for said in refused(files.folder.path(), &settings) {
            for part in parts {
                assert!(said.contains(part), "{settings}: {said}\nlacks {part}");
            }
        }
    }
}

#[test]
fn the_internal_listener_leaves_the_machine_with_tls() {
    let own = Authority::new();
    let files = Files::new(&own.server());
    let settings = files.settings();
    let config = files.add(
        "good.toml",
        &format!("internal.listen = \"0.0.0.0:0\"\n{settings}"),
    );
    let output = keywright()
        .args(["config", "check", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let printed = keywright()
        .args(["config", "print", "--config"])
        .arg(&config)
        .env("KEYWRIGHT_INTERNAL__TLS__CLIENT_CA", "callers.pem")
        .env("KEYWRIGHT_PUBLIC__IDLE_TIMEOUT", "5s")
        // These belong to the command line alone.
        .env("KEYWRIGHT_CA", "ca.pem")
        .env("KEYWRIGHT_CLIENT_CERTIFICATE", "a.pem")
        .env("KEYWRIGHT_CLIENT_KEY", "a.pem")
        .output()
        .unwrap();
    let printed = said(&printed);
    for line in [
        "max_connections = 4096",
        "idle_timeout = \"5s\"",
        "idle_timeout = \"30s\"",
        "max_requests = 2048",
        "request_timeout = \"30s\"",
        "client_ca = \"callers.pem\"",
        "client_certificates = \"optional\"",
    ] {
        assert!(printed.contains(line), "{printed}\nlacks {line}");
    }
    // What is printed is a configuration.
    let again = files.add("again.toml", &printed);
    let again = keywright()
        .args(["config", "print", "--config"])
        .arg(again)
        .output()
        .unwrap();
    assert_eq!(said(&again), printed);

    let mut service = keywright()
        .args(["serve", "--public-listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .arg("--data-dir")
        .arg(files.path("keys"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let listen = files.path("keys/listen.json");
    let listen = eventually("a start", || std::fs::read_to_string(&listen).ok());
    service.kill().unwrap();
    service.wait().unwrap();
    assert!(
        listen.contains("\"internal\":\"https://0.0.0.0:"),
        "{listen}"
    );
}

#[test]
fn no_log_has_a_private_key_even_when_it_has_everything() {
    let (own, callers) = (Authority::new(), Authority::new());
    let pair = own.server();
    let files = Files::new(&pair);
    let settings = files.settings_with(&callers, "optional");
    let server = start(&format!("log.filter = \"trace\"\n{settings}"));
    let client = Client::new(&own, Some(&callers.caller("orders.internal")));
    let request = get("/v1/issuers", None);
    assert_eq!(client.send(&server.internal, &request).unwrap().status, 401);
    replace(&files.path("server.pem"), &pair.key);
    eventually("a complaint", || {
        server
            .log()
            .contains("certificate not replaced")
            .then_some(())
    });
    let log = server.log();
    for line in pair.key.lines() {
        assert!(!log.contains(line), "{line}");
    }
}

#[test]
fn the_command_line_knows_the_service_by_its_root_and_shows_a_certificate() {
    let (own, callers) = (Authority::new(), Authority::new());
    let files = Files::new(&own.server());
    let server = start(&files.settings_with(&callers, "required"));
    let roots = files.add("roots.pem", &own.pem);
    let (caller, other) = (
        callers.caller("orders.internal"),
        callers.caller("b.internal"),
    );
    let certificate = files.add("caller.crt", &caller.certificate);
    let key = files.add("caller.key", &caller.key);
    let wrong = files.add("other.key", &other.key);
    let run = |arguments: &[&str], variables: &[(&str, &Path)]| {
        let output = keywright()
            .args(arguments)
            .arg("--data-dir")
            .arg(server.data())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        (output.status.code(), said(&output))
    };
    let (ca, shown) = (
        ("KEYWRIGHT_CA", roots.as_path()),
        "KEYWRIGHT_CLIENT_CERTIFICATE",
    );
    let list = ["issuers", "list"];
    // The root is not one that browsers trust.
    let pair = [
        (shown, certificate.as_path()),
        ("KEYWRIGHT_CLIENT_KEY", key.as_path()),
    ];
    let (code, said) = run(&list, &pair);
    assert!(code == Some(1) && said.contains("UnknownIssuer"), "{said}");
    let (code, said) = run(&list, &[ca]);
    assert!(
        code == Some(1) && said.contains("CertificateRequired"),
        "{said}"
    );
    // The certificate speaks for the caller, and belongs to no client: the bootstrap credential is not sent
    // beside it.
    let (code, said) = run(&list, &[ca, pair[0], pair[1]]);
    assert!(
        code == Some(1) && said.contains("credential-invalid"),
        "{said}"
    );
    let token = server.data().join("admin.token");
    let with_both = [
        "issuers",
        "list",
        "--token-file",
        token.to_str().unwrap(),
        "--json",
    ];
    let (code, said) = run(&with_both, &[ca, pair[0], pair[1]]);
    assert_eq!(code, Some(0), "{said}");
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(answer["issuers"][0]["name"], "default");
    // Half a pair, and halves of two.
    let (code, said) = run(&list, &[ca, pair[0]]);
    assert!(code == Some(2) && said.contains("--client-key"), "{said}");
    let (code, said) = run(&list, &[ca, pair[0], ("KEYWRIGHT_CLIENT_KEY", &wrong)]);
    assert!(code == Some(1) && said.contains("other.key"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let (code, said) = run(&list, &[("KEYWRIGHT_CA", &key)]);
    assert!(
        code == Some(1) && said.contains("no certificate in PEM"),
        "{said}"
    );

    // The root counts for key sets, too, and nothing is shown to the servers that publish them.
    let jwks = format!("{}/.well-known/jwks.json", server.public);
    let token = ["token", "sign", "--token-file", token.to_str().unwrap()];
    let (code, token) = run(&token, &[ca, pair[0], pair[1]]);
    assert_eq!(code, Some(0), "{token}");
    let verify = ["token", "verify", token.trim(), "--jwks", &jwks];
    let (code, said) = run(&verify, &[ca]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&verify, &[]);
    assert!(code == Some(1) && said.contains("UnknownIssuer"), "{said}");
}
