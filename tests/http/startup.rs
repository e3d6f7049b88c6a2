//! How the process begins and ends, and what it does with a folder that is not as it should be.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keywright_verifier::{Algorithm, JwkSet, Jws};
use serde_json::json;
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::exchange::{connect, head, parse, read_to_end};
use crate::support::mounted::Mounted;
use crate::support::postgres::{self, PASSWORD, ROLE};
use crate::support::{Server, end_of, spawn_in, start, start_in, start_with};
use crate::world::{self, create_issuer, edit, eventually, kid, ok};

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// A folder with a store that has served: the default issuer and `orders`, and a token of each.
fn used_folder() -> (Arc<TempDir>, Vec<(String, String)>) {
    let server = start("");
    create_issuer(&server, "orders", json!({}));
    let sign = |name: &str| (name.to_owned(), server.sign(name, &json!({ "claims": {} })));
    let tokens = vec![sign("default"), sign("orders")];
    let (code, folder) = server.terminate();
    assert_eq!(code, Some(0));
    (folder, tokens)
}

fn verifies(server: &Server, issuer: &str, token: &str) {
    let set = server.fetch(&world::jwks_path(issuer));
    let set = JwkSet::parse(&set.body).unwrap();
    Jws::parse(token, 4096)
        .unwrap()
        .verify(&set, &Algorithm::ALL)
        .unwrap();
}

/// A process that must not come up: its exit code and everything that it said.
fn refused(folder: &Path, extra: &str) -> (i32, String) {
    end_of(spawn_in(folder, extra))
}

/// Every file in the data folder, byte for byte, without the lock and what SQLite keeps beside an
/// open database.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let beside = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !name.ends_with("-wal") && !name.ends_with("-shm") && name != "keywright.lock"
    };
    std::fs::read_dir(folder.join("keys"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(beside)
        .map(|path| (path.clone(), std::fs::read(&path).unwrap_or_default()))
        .collect()
}

fn signal(server: &Server, signal: &str) {
    let process = server.process().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &process])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_first_start_finds_free_ports_and_leaves_its_secrets_to_its_owner_alone() {
    let server = start("");
    let listen = std::fs::read_to_string(server.data().join("listen.json")).unwrap();
    let listen: serde_json::Value = serde_json::from_str(&listen).unwrap();
    assert_eq!(
        listen,
        json!({ "public": server.public, "internal": server.internal })
    );
    for url in [&server.public, &server.internal] {
        assert!(
            url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"),
            "{url}"
        );
        assert!(server.log().contains(url.as_str()), "the log names {url}");
    }
    assert_eq!(server.fetch("/healthz").status, 200);
    assert_eq!(server.fetch("/readyz").status, 200);
    assert_eq!(server.call("GET", "/v1/issuers", None).status, 200);

    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server.data()), 0o700);
    for entry in std::fs::read_dir(server.data()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let names = |name: &str| server.data().join(name).is_file();
    assert!(
        ["admin.token", "master.key", "keywright.db"]
            .into_iter()
            .all(names)
    );
    // The credential is one line that a shell substitutes as it is, and it has every role.
    assert!(server.admin.starts_with("kw_") && !server.admin.contains(char::is_whitespace));
    let clients = ok(server.call("GET", "/v1/clients", None));
    assert_eq!(clients["clients"].as_array().unwrap().len(), 1);
    assert_eq!(
        clients["clients"][0]["roles"],
        json!([
            "issuer",
            "security",
            "auditor",
            "admin",
            "revoker",
            "introspector",
            "exchanger",
            "consumer",
            "receiver"
        ])
    );
}

#[test]
fn a_second_process_in_the_same_folder_is_refused_and_the_first_goes_on() {
    let server = start("");
    let before = world::state(&server);
    let token = server.sign("default", &json!({ "claims": {} }));
    let held = files(server.folder().path());
    let (code, said) = refused(server.folder().path(), "");
    assert_eq!(code, 1, "{said}");
    let data = server.data().display().to_string();
    assert!(
        said.contains("in use by another keywright process") && said.contains(&data),
        "{said}"
    );
    assert!(
        files(server.folder().path()) == held,
        "the second process wrote something"
    );
    before.assert_same(&world::state(&server));
    verifies(&server, "default", &token);
    // A lock outlives neither a kill nor its file.
    let folder = server.kill();
    verifies(&start_in(folder, "").unwrap(), "default", &token);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = folder();
    let Some(mounted) = Mounted::at(&folder.path().join("keys"), "size=4m") else {
        return;
    };
    let expect = |(code, said): (i32, String)| {
        assert_eq!(code, 1, "{said}");
        let data = folder.path().join("keys").display().to_string();
        assert!(
            said.contains(&data) && said.contains("Read-only file system"),
            "{said}"
        );
    };
    mounted.remount("ro");
    expect(refused(folder.path(), ""));
    mounted.remount("rw");
    let server = start_in(Arc::clone(&folder), "").unwrap();
    let token = server.sign("default", &json!({ "claims": {} }));
    let (code, _) = server.terminate();
    assert_eq!(code, Some(0));
    let before = files(folder.path());
    mounted.remount("ro");
    expect(refused(folder.path(), ""));
    assert!(files(folder.path()) == before);
    mounted.remount("rw");
    verifies(
        &start_in(Arc::clone(&folder), "").unwrap(),
        "default",
        &token,
    );
}

#[test]
fn a_master_key_that_does_not_fit_stops_the_start_and_overwrites_nothing() {
    let (folder, tokens) = used_folder();
    let path = folder.path().join("keys/master.key");
    let right = std::fs::read(&path).unwrap();
    let one_off = {
        let mut text = right.clone();
        text[0] = if text[0] == b'A' { b'B' } else { b'A' };
        text
    };
    let malformed = "does not have a master key: 32 random bytes in base64";
    for (contents, expected) in [
        (Some(one_off), "sealed with another one"),
        (
            Some(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_vec()),
            "sealed with another one",
        ),
        (
            Some(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==".to_vec()),
            malformed,
        ),
        (
            Some(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_vec()),
            malformed,
        ),
        (Some(Vec::new()), malformed),
        (Some(b"a secret that is no base64".to_vec()), malformed),
        (Some(vec![0xff; 32]), "master key"),
        (None, "put that key back"),
    ] {
        match &contents {
            Some(contents) => std::fs::write(&path, contents).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let before = files(folder.path());
        let (code, said) = refused(folder.path(), "");
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(expected), "{said}\nlacks {expected}");
        let secret = contents.map(|contents| String::from_utf8_lossy(&contents).into_owned());
        let secret = secret.filter(|secret| secret.len() > 8);
        assert!(
            secret.is_none_or(|secret| !said.contains(secret.trim())),
            "{said}"
        );
        assert!(files(folder.path()) == before, "something was overwritten");
    }
    // A key file elsewhere that does not exist is not made up either.
    std::fs::write(&path, &right).unwrap();
    let elsewhere = folder.path().join("elsewhere.key");
    let (code, said) = refused(folder.path(), &format!("master_key_file = {elsewhere:?}\n"));
    assert_eq!(
        (code, said.contains("elsewhere.key"), elsewhere.exists()),
        (1, true, false),
        "{said}"
    );

    let server = start_in(folder, "").unwrap();
    for (issuer, token) in tokens {
        verifies(&server, &issuer, &token);
    }
}

#[test]
fn an_issuer_whose_rows_are_corrupt_is_refused_by_name_and_the_others_sign() {
    let (folder, _) = used_folder();
    let database = folder.path().join("keys/keywright.db");
    let good = std::fs::read(&database).unwrap();
    for statement in [
        "UPDATE records SET document = '{' WHERE kind = 'key' AND owner = 'orders'",
        "UPDATE records SET document = replace(document, 'ES256', 'none') WHERE kind = 'key' AND owner = 'orders'",
        "UPDATE records SET document = replace(document, '\"active\"', '\"signing\"') WHERE kind = 'key' AND owner = 'orders'",
        "UPDATE records SET id = 'other' WHERE kind = 'key' AND owner = 'orders' AND position = \
         (SELECT min(position) FROM records WHERE kind = 'key' AND owner = 'orders')",
        "UPDATE records SET sealed = NULL WHERE kind = 'key' AND owner = 'orders'",
        "UPDATE records SET sealed = x'01' WHERE kind = 'key' AND owner = 'orders'",
        "UPDATE records SET sealed = zeroblob(200) WHERE kind = 'key' AND owner = 'orders'",
        // A sealed record of another key, from the same store.
        "UPDATE records SET sealed = \
         (SELECT sealed FROM records WHERE kind = 'key' AND owner = 'default' LIMIT 1) \
         WHERE kind = 'key' AND owner = 'orders'",
        "UPDATE records SET document = '' WHERE kind = 'issuer' AND id = 'orders'",
        "UPDATE records SET document = replace(document, '\"format\":1', '\"format\":9') WHERE kind = 'issuer' AND id = 'orders'",
        "UPDATE records SET unique_text = '/elsewhere' WHERE kind = 'issuer' AND id = 'orders'",
        "UPDATE records SET version = 0 WHERE kind = 'issuer' AND id = 'orders'",
    ] {
        std::fs::write(&database, &good).unwrap();
        edit(folder.path(), statement);
        let server = start_in(Arc::clone(&folder), "log.format = \"json\"\n")
            .unwrap_or_else(|log| panic!("{statement}\n{log}"));
        let refusals: Vec<String> = server
            .log()
            .lines()
            .filter(|line| line.contains("issuer refused"))
            .map(str::to_owned)
            .collect();
        assert_eq!(refusals.len(), 1, "{statement}\n{refusals:?}");
        assert!(
            refusals[0].contains("orders") && refusals[0].contains("ERROR"),
            "{refusals:?}"
        );

        server.sign("default", &json!({ "claims": {} }));
        // The others are served, so that the process is; the report names the one that is not.
        assert_eq!(server.fetch("/readyz").status, 200, "{statement}");
        assert_eq!(server.fetch("/healthz").status, 200);
        let report = world::ok(server.call("GET", "/v1/health", None));
        let faults = &report["issuers"];
        assert_eq!(faults.as_array().unwrap().len(), 1, "{statement}\n{faults}");
        assert_eq!(faults[0]["issuer"], "orders", "{statement}");
        assert_eq!(faults[0]["state"], "unusable", "{statement}");
        let rows = || world::ok(server.call("GET", "/v1/audit?issuer=orders", None));
        let before = rows();
        let policy = world::policy("orders", json!({}));
        for (method, path, body) in [
            (
                "POST",
                "/v1/issuers/orders/tokens",
                Some(json!({ "claims": {} })),
            ),
            ("GET", "/v1/issuers/orders", None),
            ("GET", "/v1/issuers/orders/keys", None),
            ("PUT", "/v1/issuers/orders", Some(policy)),
            (
                "POST",
                "/v1/issuers/orders/rotate",
                Some(json!({ "force": true })),
            ),
        ] {
            let answer = server.call(method, path, body.as_ref());
            let code = answer.json()["code"].clone();
            assert_eq!(
                (answer.status, code),
                (503, json!("issuer-unusable")),
                "{method} {path}"
            );
        }
        // No other issuer gets its path in the meantime.
        let thief = world::policy("thief", json!({ "url": "http://127.0.0.1:8080/orders" }));
        if !statement.contains("SET unique_text") {
            assert_eq!(
                server.call("PUT", "/v1/issuers/thief", Some(&thief)).status,
                409
            );
        }
        assert_eq!(rows(), before);
        assert_eq!(server.terminate().0, Some(0));
    }
    std::fs::write(&database, &good).unwrap();
    let server = start_in(folder, "").unwrap();
    server.sign("orders", &json!({ "claims": {} }));
    assert_eq!(server.fetch("/readyz").status, 200);
}

#[test]
fn a_file_that_is_no_database_of_ours_stops_the_start_and_is_left_as_it_is() {
    let (folder, _) = used_folder();
    let database = folder.path().join("keys/keywright.db");
    let good = std::fs::read(&database).unwrap();
    let garbage: Vec<u8> = (0..8192_u32)
        .map(|number| (number * 31 % 251) as u8)
        .collect();
    let mut torn = good.clone();
    torn[..4096].fill(0x5a);
    let text = b"not a database, but a person's notes\n".to_vec();
    for contents in [garbage, torn, text] {
        std::fs::write(&database, &contents).unwrap();
        let before = files(folder.path());
        let (code, said) = refused(folder.path(), "");
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("keywright.db"), "{said}");
        assert!(files(folder.path()) == before, "something was overwritten");
    }
    std::fs::write(&database, &good).unwrap();
    start_in(folder, "").unwrap();
}

#[test]
fn the_internal_listener_leaves_the_machine_only_when_told_to() {
    let folder = folder();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8081"] {
        let (code, said) = set("internal.listen", &format!("\"{address}\""), folder.path());
        assert_eq!(code, 1, "{said}");
        for part in [
            address,
            "not a loopback address",
            "internal.allow_plaintext",
        ] {
            assert!(said.contains(part), "{said}\nlacks {part}");
        }
        assert!(!folder.path().join("keys").exists(), "nothing was made");
    }
    let mut child = command(folder.path())
        .args(["--internal-listen", "0.0.0.0:0"])
        .env("KEYWRIGHT_INTERNAL__ALLOW_PLAINTEXT", "true")
        .spawn()
        .unwrap();
    let listen = folder.path().join("keys/listen.json");
    let listen = eventually("a start", || std::fs::read_to_string(&listen).ok());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(listen.contains("http://0.0.0.0:"), "{listen}");
}

/// The service with a configuration that is free ports and nothing else.
fn command(folder: &Path) -> Command {
    let config = folder.join("config.toml");
    let ports = "public.listen = \"127.0.0.1:0\"\ninternal.listen = \"127.0.0.1:0\"\n";
    std::fs::write(&config, ports).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywright"));
    command
        .args(["serve", "--config"])
        .arg(&config)
        .arg("--data-dir")
        .arg(folder.join("keys"))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// One setting in a file of its own.
fn set(name: &str, value: &str, folder: &Path) -> (i32, String) {
    let config = folder.join("one.toml");
    std::fs::write(&config, format!("{name} = {value}\n")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(["serve", "--config"])
        .arg(&config)
        .arg("--data-dir")
        .arg(folder.join("keys"))
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    end_of(child.unwrap())
}

#[test]
fn a_setting_that_does_not_exist_is_named_with_the_nearest_that_does() {
    let folder = folder();
    for (name, unknown, nearest) in [
        ("data_dri", None, "data_dir"),
        ("internal.listne", None, "listen"),
        ("internal.allow_plaintxt", None, "allow_plaintext"),
        ("log.fromat", None, "format"),
        ("interval.listen", Some("interval"), "internal"),
        ("default_issuer.uri", None, "url"),
    ] {
        let (code, said) = set(name, "\"x\"", folder.path());
        assert_eq!(code, 1, "{said}");
        let unknown = format!("unknown setting \"{}\"", unknown.unwrap_or(name));
        for part in [unknown.as_str(), nearest, "did you mean", "one.toml"] {
            assert!(said.contains(part), "{name}: {said}\nlacks {part}");
        }
    }
    for (name, unknown, nearest) in [
        ("KEYWRIGHT_DATA_DRI", "data_dri", "data_dir"),
        ("KEYWRIGHT_INTERNAL__LISTNE", "internal.listne", "listen"),
        ("KEYWRIGHT_STORE__UR", "store.ur", "url"),
    ] {
        let (code, said) = end_of(command(folder.path()).env(name, "x").spawn().unwrap());
        assert_eq!(code, 1, "{said}");
        for part in [unknown, nearest, "did you mean", "environment"] {
            assert!(said.contains(part), "{name}: {said}\nlacks {part}");
        }
    }
    assert!(!folder.path().join("keys").exists(), "nothing was made");
}

#[test]
fn a_setting_that_does_not_read_is_named_with_its_place() {
    let folder = folder();
    for (name, value, parts) in [
        (
            "public.listen",
            "\"localhost\"",
            ["public.listen", "IP:PORT or NAME:PORT"],
        ),
        ("public.listen", "8080", ["listen", "one.toml"]),
        (
            "internal.allow_plaintext",
            "\"yes\"",
            ["allow_plaintext", "one.toml"],
        ),
        ("log.format", "\"xml\"", ["xml", "json"]),
        ("log.filter", "\"=\"", ["", ""]),
        (
            "store.url",
            "\"mysql://user:hunter2@db/keywright\"",
            ["store.url", "mysql"],
        ),
        (
            "store.url",
            "\"postgres://user:hunter2@db/keywright?sslcrl=x\"",
            ["store.url", "sslcrl"],
        ),
        (
            "store.url",
            "\"postgres://user:hunter2@127.0.0.1:1/keys\"",
            ["\"keys\"", "127.0.0.1:1"],
        ),
        (
            "store.url",
            "\"postgres://user@127.0.0.1:1/keys?password=hunter2&sslmode=require\"",
            ["\"keys\"", "127.0.0.1:1"],
        ),
        (
            "default_issuer.url",
            "\"http://id.example\"",
            ["default_issuer.url", "https"],
        ),
        ("public", "[", ["one.toml", ""]),
    ] {
        let (code, said) = set(name, value, folder.path());
        assert_eq!(code, 1, "{name}: {said}");
        for part in parts {
            assert!(
                said.contains(part),
                "{name} = {value}: {said}\nlacks {part}"
            );
        }
        assert!(!said.contains("hunter2"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        assert!(
            !folder.path().join("keys/keywright.db").exists(),
            "{name}: a store was made"
        );
    }
    let missing = command(folder.path())
        .args(["--config", "/nowhere/keywright.toml"])
        .spawn();
    assert_ne!(end_of(missing.unwrap()).0, 0);
    // A port that is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let _holder = std::net::TcpListener::bind(taken).ok();
    if let Some(holder) = _holder {
        let address = holder.local_addr().unwrap().to_string();
        let child = command(folder.path())
            .args(["--public-listen", &address])
            .spawn();
        let (code, said) = end_of(child.unwrap());
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("cannot listen on public.listen"), "{said}");
    }
}

#[test]
fn a_request_in_progress_ends_well_when_the_process_is_told_to_end() {
    let server = start("");
    let credential = format!("Bearer {}", server.admin);
    let body = json!({ "claims": { "sub": "user-1" } }).to_string();
    let length = body.len().to_string();
    let headers = [
        ("Authorization", credential.as_str()),
        ("Content-Type", "application/json"),
        ("Content-Length", &length),
    ];
    let mut slow = connect(&server.internal);
    slow.write_all(head("POST", "/v1/issuers/default/tokens", &headers).as_bytes())
        .unwrap();
    slow.write_all(&body.as_bytes()[..10]).unwrap();
    // Connections that ask for nothing hold no other one up: one that never spoke, one that did.
    let _silent = (connect(&server.public), connect(&server.internal));
    let mut idle = connect(&server.public);
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    signal(&server, "-TERM");
    eventually("draining", || {
        server.log().contains("keywright drains").then_some(())
    });
    let internal = server.internal.strip_prefix("http://").unwrap().to_owned();
    eventually("a closed port", || {
        TcpStream::connect(&internal).is_err().then_some(())
    });
    slow.write_all(&body.as_bytes()[10..]).unwrap();
    let answer = parse(&read_to_end(&mut slow));
    assert_eq!(answer.status, 201, "{}", answer.json());

    let begin = Instant::now();
    let (code, folder) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    verifies(&start_in(folder, "").unwrap(), "default", &token);
}

#[test]
fn sigterm_and_sigint_end_the_process_with_zero_from_its_first_moment_on() {
    let (mut folder, _) = used_folder();
    for name in ["-TERM", "-INT", "-TERM"] {
        let server = start_in(Arc::clone(&folder), "").unwrap();
        signal(&server, name);
        let code;
        (code, folder) = server.terminate();
        assert_eq!(code, Some(0), "{name}");
    }
    let wal = folder.path().join("keys/keywright.db-wal");
    assert!(!wal.exists(), "the write-ahead log is folded in");
}

#[test]
fn a_restart_keeps_every_kid_and_tokens_verify() {
    let (folder, tokens) = used_folder();
    let mut before = None;
    let mut folder = folder;
    for _ in 0..3 {
        let server = start_in(Arc::clone(&folder), "").unwrap();
        let state = world::state(&server);
        let same = before.get_or_insert_with(|| state.clone());
        same.assert_same(&state);
        for (issuer, token) in &tokens {
            verifies(&server, issuer, token);
        }
        let again = server.sign("orders", &json!({ "claims": {} }));
        let again = Jws::parse(&again, 4096).unwrap().kid().unwrap().clone();
        assert_eq!(again.as_str(), kid(&server, "orders", "active"));
        // Once by its own will, then by force.
        folder = server.kill();
    }
}

#[test]
fn a_full_disk_refuses_changes_and_keeps_signing() {
    let folder = folder();
    let Some(mounted) = Mounted::at(&folder.path().join("keys"), "size=1m") else {
        return;
    };
    let server = start_in(Arc::clone(&folder), "").unwrap();
    create_issuer(&server, "orders", json!({}));
    let filler = mounted.path().join("filler");
    let fill = || {
        let mut file = std::fs::File::create(&filler).unwrap();
        for size in [4096, 64, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    };
    fill();
    let before = world::state(&server);
    let pem = world::p256_pem().1;
    let imported = json!({ "algorithm": "ES256", "state": "pending", "private_key": pem });
    let widened = world::policy("orders", json!({ "default_token_ttl": "10m" }));
    for (method, path, body) in [
        (
            "POST",
            "/v1/issuers/orders/rotate",
            json!({ "force": true }),
        ),
        (
            "POST",
            "/v1/issuers/orders/rotate",
            json!({ "force": true }),
        ),
        ("POST", "/v1/issuers/orders/keys", imported),
        ("PUT", "/v1/issuers/orders", widened),
        ("PUT", "/v1/issuers/new", world::policy("new", json!({}))),
        (
            "POST",
            "/v1/clients",
            json!({ "name": "a", "roles": ["issuer"] }),
        ),
    ] {
        let answer = server.call(method, path, Some(&body));
        let problem = answer.json();
        assert_eq!(
            (answer.status, &problem["code"]),
            (503, &json!("store-unavailable")),
            "{path}"
        );
        assert_eq!(answer.header("retry-after"), Some("2"));
        let told = problem.to_string();
        for inward in ["sqlite", "SQL", "disk", "keywright.db", "space"] {
            assert!(!told.contains(inward), "{told}");
        }
        before.assert_same(&world::state(&server));
    }
    assert!(server.log().contains("full"), "the log has the cause");
    // The store may be gone for longer than a switch-over lasts.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(6) {
        let token = server.sign("orders", &json!({ "claims": {} }));
        verifies(&server, "orders", &token);
        std::thread::sleep(Duration::from_millis(200));
    }
    before.assert_same(&world::state(&server));

    std::fs::remove_file(&filler).unwrap();
    let rotated = server.call(
        "POST",
        "/v1/issuers/orders/rotate",
        Some(&json!({ "force": true })),
    );
    assert_eq!(rotated.status, 200, "{}", rotated.json());
    let now = rotated.json()["rotations"][0]["activated"].clone();
    assert_eq!(now, kid(&server, "orders", "active"));
    verifies(
        &server,
        "orders",
        &server.sign("orders", &json!({ "claims": {} })),
    );
    assert_eq!(server.fetch("/readyz").status, 200);
    // What memory says is what the disk has.
    let state = world::state(&server);
    drop(server);
    let server = start_in(Arc::clone(&folder), "").unwrap();
    state.assert_same(&world::state(&server));
}

#[test]
fn a_store_that_somebody_holds_refuses_changes_and_keeps_signing() {
    let server = start("");
    create_issuer(&server, "orders", json!({}));
    let before = world::state(&server);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let url = format!("sqlite://{}", server.data().join("keywright.db").display());
    let mut holder = runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let begin = sqlx::query("BEGIN IMMEDIATE");
        begin.execute(&mut connection).await.unwrap();
        connection
    });
    let rotate = || {
        let body = json!({ "force": true });
        server.call("POST", "/v1/issuers/orders/rotate", Some(&body))
    };
    // The answer comes when the store has waited for as long as a switch-over may last: had the
    // snapshot not been told that none happens, it would sign no more.
    let answer = rotate();
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &json!("store-unavailable"))
    );
    for _ in 0..20 {
        let token = server.sign("orders", &json!({ "claims": {} }));
        verifies(&server, "orders", &token);
    }
    before.assert_same(&world::state(&server));
    runtime.block_on(async {
        let end = sqlx::query("ROLLBACK");
        end.execute(&mut holder).await.unwrap();
        holder.close().await.unwrap();
    });
    assert_eq!(rotate().status, 200);
}

#[test]
fn a_password_from_a_file_opens_a_database() {
    let Some(database) = postgres::shared() else {
        return;
    };
    let folder = folder();
    let file = folder.path().join("passwords");
    std::fs::write(&file, format!("*:*:*:{ROLE}:{PASSWORD}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let name = database.create_database();
    let url = format!("postgres://{ROLE}@127.0.0.1:{}/{name}", database.port());
    let environment = [("PGPASSFILE", file.to_str().unwrap())];
    let settings = format!("store.url = \"{url}\"\n");
    let server = start_with(folder, &settings, &environment).unwrap();
    assert_eq!(server.fetch("/readyz").status, 200);
    assert!(!server.data().join("keywright.db").exists());
    assert!(!server.log().contains(PASSWORD), "{}", server.log());
    assert_eq!(server.terminate().0, Some(0));
}
