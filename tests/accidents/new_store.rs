//! A store that has nothing yet, where there should be one: the start is refused, and makes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::json;

use crate::support::{end_of, eventually, spawn_with, start, start_in, start_with};
use crate::{kid, ok};

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .collect()
}

fn refused(folder: &Path, environment: &[(&str, &str)]) -> String {
    let (code, said) = end_of(spawn_with(folder, "", environment));
    assert_eq!(code, 1, "{said}");
    said
}

#[test]
fn a_store_that_is_gone_is_not_made_anew_beside_what_a_service_left_behind() {
    let lose: [(&str, &[&str]); 4] = [
        ("the database", &[]),
        ("the database and the credential", &["admin.token"]),
        ("the database and the addresses", &["listen.json"]),
        ("the database and the master key", &["master.key"]),
    ];
    for (what, also) in lose {
        let server = start("");
        let data = server.data();
        assert_eq!(kid(&server, "default", "active").map(|_| ()), Some(()));
        let (_, folder) = server.terminate();
        for name in ["keywright.db", "keywright.db-wal", "keywright.db-shm"]
            .iter()
            .chain(also)
        {
            let _ = fs::remove_file(data.join(name));
        }
        let before = names(&data);
        let said = refused(folder.path(), &[]);
        assert!(
            said.contains("the store is new, but a service has run here before"),
            "{said}"
        );
        assert!(said.contains("keywright serve --new"), "{said}");
        assert_eq!(names(&data), before, "{what}: something was made");
    }
}

#[test]
fn an_empty_database_beside_what_a_service_left_behind_is_refused_too() {
    let server = start("");
    let data = server.data();
    let (_, folder) = server.terminate();
    fs::write(data.join("keywright.db"), "").unwrap();
    let said = refused(folder.path(), &[]);
    assert!(said.contains("the store is new"), "{said}");
    assert!(
        !data.join("keywright.db-wal").exists(),
        "nothing spoils what is put back"
    );
}

#[test]
fn a_store_that_is_expected_is_not_made_anew_in_an_empty_folder() {
    for value in ["true", "1"] {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let expected = [("KEYWRIGHT_EXPECT_STORE", value)];
        let said = refused(folder.path(), &expected);
        assert!(said.contains("`expect_store` is set"), "{said}");
        let made = names(&folder.path().join("keys"));
        assert_eq!(made, BTreeSet::from(["keywright.lock".to_owned()]));

        // Where there is one, it is used.
        let server = start_in(Arc::clone(&folder), "").unwrap();
        let (_, folder) = server.terminate();
        start_with(folder, "", &expected).unwrap();
    }
}

#[test]
fn a_new_store_is_begun_where_one_asks_for_it_and_in_an_empty_folder() {
    // An empty folder as it comes with the repository.
    let folder = Arc::new(tempfile::tempdir().unwrap());
    fs::create_dir(folder.path().join("keys")).unwrap();
    fs::write(folder.path().join("keys/.gitignore"), "*\n").unwrap();
    let server = start_in(Arc::clone(&folder), "").unwrap();
    let (data, before) = (server.data(), kid(&server, "default", "active"));
    server.terminate();
    fs::remove_file(data.join("keywright.db")).unwrap();
    refused(folder.path(), &[]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(["serve", "--new", "--public-listen", "127.0.0.1:0"])
        .args(["--internal-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .env_clear()
        .env("KEYWRIGHT_EXPECT_STORE", "true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("a start", || {
        data.join("keywright.db").exists().then_some(())
    });
    eventually("a first issuer", || {
        let token = fs::read_to_string(data.join("admin.token")).ok()?;
        let addresses = fs::read_to_string(data.join("listen.json")).ok()?;
        let addresses: serde_json::Value = serde_json::from_str(&addresses).ok()?;
        let url = format!("{}/v1/issuers", addresses["internal"].as_str()?);
        let headers = [("authorization", format!("Bearer {token}"))];
        let answer = crate::support::try_request("GET", &url, &headers, None).ok()?;
        (answer.status == 200).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    // From then on it is a store like any other.
    let server = start_in(folder, "").unwrap();
    ok(server.call(
        "POST",
        "/v1/issuers/default/rotate",
        Some(&json!({ "force": true })),
    ));
    assert_ne!(kid(&server, "default", "active"), before);
}
