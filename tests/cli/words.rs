//! What errors say: the value, the rule, the time as people read it, and what to do.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{done, run, said};
use crate::support::{start, start_in};

fn text(output: &Output) -> String {
    let streams = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(streams).unwrap()
}

/// Whether a text has a number as long as the seconds since 1970.
fn has_unix_seconds(text: &str) -> bool {
    let numbers = text.split(|character: char| !character.is_ascii_digit());
    numbers.into_iter().any(|number| number.len() == 10)
}

#[test]
fn a_wrong_scheme_and_the_public_listener_are_told_from_an_outage() {
    let server = start("");
    let https = server.internal.replace("http://", "https://");
    for (url, parts) in [
        (
            https.as_str(),
            ["does not speak TLS", "begins with http://"],
        ),
        (
            &server.public,
            ["nothing at this path", "internal listener"],
        ),
        (
            &format!("{}/v1", server.internal),
            ["nothing at this path", "--url takes"],
        ),
        (
            "http://127.0.0.1:1",
            ["onnection refused", "is the service running"],
        ),
    ] {
        let (code, text) = said(&server, &["keys", "list", "--url", url]);
        assert_eq!(code, 1, "{text}");
        for part in parts {
            assert!(text.contains(part), "{url}: {text}\nlacks {part}");
        }
        assert!(
            !text.contains("os error") && !text.contains("io:"),
            "{text}"
        );
    }
}

#[test]
fn a_misspelt_issuer_or_event_is_named_with_the_nearest() {
    let server = start("");
    for arguments in [
        &["keys", "list", "--issuer", "defalt"][..],
        &["keys", "show", "a", "--issuer", "defalt"],
        &["keys", "rotate", "--issuer", "defalt"],
        &["keys", "revoke", "a", "--reason", "a", "--issuer", "defalt"],
        &["keys", "history", "--at", "1", "--issuer", "defalt"],
        &["token", "sign", "--issuer", "defalt"],
        &["plan", "defalt"],
        &["issuers", "show", "defalt"],
        &["issuers", "delete", "defalt", "--reason", "a"],
        &["audit", "--issuer", "defalt"],
    ] {
        let (code, text) = said(&server, arguments);
        assert_eq!(code, 1, "{arguments:?}: {text}");
        assert!(
            text.contains("no issuer defalt; did you mean default?"),
            "{arguments:?}: {text}"
        );
    }
    for (event, parts) in [
        (
            "key-revokd",
            "no event key-revokd; did you mean key-revoked?",
        ),
        ("client_created", "did you mean client-created?"),
        ("xyz", "no event xyz"),
    ] {
        let (code, text) = said(&server, &["audit", "--event", event]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(parts), "{text}");
    }
    // Every event that there is may be asked for.
    let events = server.call("GET", "/v1/audit", None).json();
    for event in events["events"].as_array().unwrap() {
        let event = event["event"].as_str().unwrap();
        done(&server, &["audit", "--event", event]);
    }
    // A client is told no name of an issuer that it may not call.
    let body = json!({"name": "a", "roles": ["auditor"], "limits": {"issuers": ["other"]}});
    let client = server.call("POST", "/v1/clients", Some(&body)).json();
    let token = client["credential"].as_str().unwrap();
    let limited = ["keys", "list", "--issuer", "defalt", "--token", token];
    let (_, text) = said(&server, &limited);
    assert!(!text.contains("default"), "{text}");
}

#[test]
fn a_listener_that_cannot_be_had_is_named_with_its_address_before_keys_are_made() {
    let folder = TempDir::new().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    for (listener, public, internal) in [
        ("public", taken.as_str(), free),
        ("internal", free, taken.as_str()),
        ("public", "192.0.2.1:80", free),
        ("public", "no.such.name.invalid:80", free),
    ] {
        let serve = [
            "serve",
            "--public-listen",
            public,
            "--internal-listen",
            internal,
        ];
        let output = run(folder.path(), &serve);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let address = if listener == "public" {
            public
        } else {
            internal
        };
        assert!(
            text.contains(&format!("{listener}.listen = \"{address}\"")),
            "{text}"
        );
        for made in ["master.key", "admin.token", "keywright.db", "listen.json"] {
            let file = folder.path().join("keys").join(made);
            assert!(!file.exists(), "{address}: {made} was made");
        }
    }
    drop(holder);
}

#[test]
fn a_listener_may_be_named() {
    let folder = std::sync::Arc::new(TempDir::new().unwrap());
    let server = start_in(folder, "").unwrap();
    let (_, folder) = server.terminate();
    let config = folder.path().join("named.toml");
    fs::write(&config, "internal.listen = \"localhost:0\"\n").unwrap();
    let config = config.to_str().unwrap();
    let checked = run(folder.path(), &["config", "check", "--config", config]);
    assert!(checked.status.success(), "{}", text(&checked));
    let printed = run(folder.path(), &["config", "print", "--config", config]);
    assert!(text(&printed).contains("listen = \"localhost:0\""));
    let named = run(
        folder.path(),
        &["config", "check", "--config", "absent.toml"],
    );
    assert!(
        text(&named).contains("absent.toml: No such file"),
        "{}",
        text(&named)
    );
    // A name stands for what it leads to: credentials do not cross a network in the clear.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let address = format!("{}:0", host.trim());
    let leads_here = std::net::ToSocketAddrs::to_socket_addrs(&address)
        .is_ok_and(|mut found| found.all(|address| !address.ip().is_loopback()));
    if leads_here {
        fs::write(config, format!("internal.listen = \"{address}\"\n")).unwrap();
        let refused = run(folder.path(), &["config", "check", "--config", config]);
        assert!(
            text(&refused).contains("is not a loopback address"),
            "{}",
            text(&refused)
        );
    }
}

#[test]
fn a_configuration_that_does_not_read_is_one_line() {
    let folder = TempDir::new().unwrap();
    for (content, parts) in [
        (
            "public.listen = \"a\n",
            ["bad.toml is not TOML", "line 1, column 19"],
        ),
        ("[a]\n[a]\n", ["bad.toml is not TOML", "line 2"]),
        (
            "public.listen = \"x\"\n",
            ["public.listen in bad.toml", "IP:PORT or NAME:PORT"],
        ),
        (
            "log.format = 1\n",
            ["log.format in bad.toml", "does not read"],
        ),
        (
            "log.fromat = \"json\"\n",
            ["unknown setting \"log.fromat\" in bad.toml", "did you mean"],
        ),
    ] {
        fs::write(folder.path().join("bad.toml"), content).unwrap();
        let output = run(folder.path(), &["config", "check", "--config", "bad.toml"]);
        let text = text(&output);
        assert_eq!(text.lines().count(), 2, "{text}");
        for part in parts {
            assert!(text.contains(part), "{text}\nlacks {part}");
        }
        assert!(
            !text.contains("\\u00") && !text.contains("os error"),
            "{text}"
        );
    }
}

#[test]
fn people_read_times_and_no_seconds_since_1970() {
    let server = start("");
    let key = |state: &str| {
        let keys = server.call("GET", "/v1/issuers/default/keys", None).json();
        let keys = keys["keys"].as_array().unwrap().clone();
        let found = keys.into_iter().find(|key| key["state"] == state).unwrap();
        found["kid"].as_str().unwrap().to_owned()
    };
    let active = key("active");
    done(&server, &["keys", "rotate"]);
    crate::support::eventually("a successor", || {
        let text = said(&server, &["keys", "list"]).1;
        text.contains("pending").then_some(())
    });
    for (arguments, expected) in [
        (&["keys", "rotate"][..], 1),
        (&["keys", "history", "--at", "2020-01-01T00:00:00Z"], 1),
        (&["keys", "history", "--at", "2099-01-01T00:00:00Z"], 1),
        (&["keys", "list"], 0),
        (&["keys", "show", &active], 0),
        (&["keys", "revoke", &active, "--reason", "a"], 0),
        (&["keys", "revoke", &active, "--reason", "a"], 0),
        (&["audit"], 0),
        (&["plan"], 0),
        (&["issuers", "list"], 0),
        (&["clients", "list"], 0),
        (&["clients", "show", "bootstrap"], 0),
    ] {
        let (code, text) = said(&server, arguments);
        assert_eq!(code, expected, "{arguments:?}: {text}");
        assert!(!has_unix_seconds(&text), "{arguments:?}: {text}");
    }
    // Also those of the API, whose details people read.
    let early = server.call("GET", "/v1/issuers/default/history?at=1", None);
    let detail = early.json()["detail"].as_str().unwrap().to_owned();
    assert!(!has_unix_seconds(&detail), "{detail}");
}

#[test]
fn a_token_of_two_keys_is_not_said_to_name_none() {
    let server = start("");
    let token = server.sign("default", &json!({"claims": {}}));
    let mut jwks = server.fetch("/.well-known/jwks.json").json();
    let keys = jwks["keys"].as_array_mut().unwrap();
    let header = done(&server, &["token", "inspect", &token, "--json"]);
    let header: Value =
        serde_json::from_str(&header[header.find('{').unwrap()..=header.rfind('}').unwrap()])
            .unwrap();
    for key in keys.iter_mut() {
        if key["alg"] == "ES256" {
            key["kid"] = header["header"]["kid"].clone();
        }
    }
    let file = server.folder().path().join("jwks.json");
    fs::write(&file, jwks.to_string()).unwrap();
    let (code, text) = said(&server, &["token", "verify", &token, "--jwks", "jwks.json"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("several keys of the set fit") && !text.contains("names no key"),
        "{text}"
    );
}
