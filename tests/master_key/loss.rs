//! The master key is gone, and with it every private key.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use keywright::store::seal::MasterKeys;
use serde_json::{Value, json};

use crate::support::Server;
use crate::world::{
    Key, create_issuer, events, folder, keywright, named, ok, refused, replace, rows, serve,
    setting, sign, state, verifies,
};

/// The kids of an issuer's keys by their state.
fn keys(server: &Server, issuer: &str) -> BTreeMap<String, Vec<Value>> {
    let path = format!("/v1/issuers/{issuer}/keys");
    let mut by_state: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for key in ok(server.call("GET", &path, None))["keys"]
        .as_array()
        .unwrap()
    {
        let state = key["state"].as_str().unwrap().to_owned();
        by_state.entry(state).or_default().push(key["kid"].clone());
    }
    by_state
}

fn said(output: &std::process::Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn tokens_go_on_verifying_and_fresh_keys_sign_under_a_new_master_key() {
    let folder = folder();
    let (lost, new) = (Key::new(1), Key::new(2));
    let server = serve(&folder, &[&lost]);
    create_issuer(&server, "orders");
    create_issuer(&server, "over");
    let tokens = ["default", "orders"].map(|issuer| (issuer, sign(&server, issuer)));
    let before: Vec<_> = ["default", "orders"]
        .map(|issuer| keys(&server, issuer))
        .into();
    ok(server.call(
        "POST",
        "/v1/issuers/over/delete",
        Some(&json!({ "reason": "over" })),
    ));
    server.terminate();

    let rest = setting(folder.path());
    let refusal = refused(folder.path(), &named(folder.path(), &[&new]), &[]);
    assert!(
        refusal.contains("keywright master-key replace"),
        "{refusal}"
    );
    let done = replace(folder.path());
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(
        said(&done).contains("default: lost 4 private keys"),
        "{}",
        said(&done)
    );
    assert!(
        said(&done).contains("orders: lost 2 private keys"),
        "{}",
        said(&done)
    );
    assert!(!said(&done).contains("over"), "{}", said(&done));
    assert_ne!(setting(folder.path()), rest);

    let new_key = MasterKeys::of(new.master());
    assert!(rows(folder.path()).iter().all(|row| row.opens(&new_key)));
    assert_eq!(rows(folder.path()).len(), 6);
    let server = serve(&folder, &[&new]);
    assert_eq!(server.fetch("/readyz").status, 200);
    for ((issuer, token), before) in tokens.iter().zip(before) {
        verifies(&server, issuer, token).unwrap();
        let fresh = sign(&server, issuer);
        verifies(&server, issuer, &fresh).unwrap();
        let after = keys(&server, issuer);
        assert_eq!(after["retired"], before["active"]);
        assert_eq!(after["removed"], before["pending"]);
        assert_eq!(after["active"].len(), before["active"].len());
        assert_eq!(after["pending"].len(), before["pending"].len());
    }
    assert_eq!(state(&server)["sealing"], new.fingerprint());

    let told = events(&server);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["event"], "master-key-replaced");
    assert_eq!(
        (&told[0]["from"], &told[0]["to"]),
        (&json!(lost.fingerprint()), &json!(new.fingerprint()))
    );
    let page = ok(server.call("GET", "/v1/audit?issuer=orders&limit=1000", None));
    let by_hand: Vec<&Value> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["actor"]["kind"] == "operator")
        .collect();
    let activated: Vec<_> = by_hand
        .iter()
        .filter(|event| event["event"] == "key-activated")
        .collect();
    assert_eq!(activated.len(), 1);
    assert_eq!(activated[0]["forced"], true);
    for event in by_hand.into_iter().chain(&told) {
        assert_eq!(event["reason"], "the key was in a fire");
        assert!(event["actor"]["user"].is_u64(), "{event}");
    }
    server.terminate();
    let again = replace(folder.path());
    assert!(
        said(&again).contains("nothing was replaced"),
        "{}",
        said(&again)
    );
}

#[test]
fn a_replacement_that_is_killed_anywhere_is_finished_by_the_next() {
    let folder = folder();
    let (lost, new) = (Key::new(1), Key::new(2));
    let server = serve(&folder, &[&lost]);
    let names: Vec<String> = (0..12).map(|number| format!("a-{number}")).collect();
    for name in &names {
        create_issuer(&server, name);
    }
    let tokens: Vec<String> = names.iter().map(|name| sign(&server, name)).collect();
    server.terminate();
    std::fs::write(
        folder.path().join("config.toml"),
        named(folder.path(), &[&new]),
    )
    .unwrap();
    let new_key = MasterKeys::of(new.master());
    let replaced = || {
        let rows = rows(folder.path());
        rows.iter().filter(|row| row.opens(&new_key)).count()
    };
    let mut in_the_middle = 0;
    for attempt in 0..60 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keywright"))
            .args([
                "master-key",
                "replace",
                "--yes",
                "--reason",
                "a test",
                "--config",
            ])
            .arg(folder.path().join("config.toml"))
            .arg("--data-dir")
            .arg(folder.path().join("keys"))
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(20 + 15 * attempt));
        let ended = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        child.wait().unwrap();
        let count = replaced();
        in_the_middle += usize::from(count > 0 && count < rows(folder.path()).len());
        if ended {
            break;
        }
    }
    assert!(in_the_middle > 0, "no kill came in the middle");
    let done = replace(folder.path());
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_eq!(replaced(), rows(folder.path()).len());
    let server = serve(&folder, &[&new]);
    for (name, token) in names.iter().zip(&tokens) {
        verifies(&server, name, token).unwrap();
        sign(&server, name);
        // What one call has made was not thrown away by the next.
        assert_eq!(keys(&server, name)["retired"].len(), 1);
    }
}

#[test]
fn what_some_key_still_opens_stays() {
    let folder = folder();
    let (kept, lost, new) = (Key::new(1), Key::new(2), Key::new(3));
    // `orders` is sealed with a key that is there, everything else with one that is lost.
    let server = serve(&folder, &[&kept, &lost]);
    create_issuer(&server, "orders");
    let sealed = rows(folder.path());
    ok(server.call("POST", "/v1/master-key/rotate", None));
    server.terminate();
    let orders: Vec<_> = sealed
        .into_iter()
        .filter(|row| row.issuer == "orders")
        .collect();
    crate::world::database(folder.path(), async |connection| {
        for row in &orders {
            sqlx::query("UPDATE records SET sealed = ?2 WHERE kind = 'key' AND id = ?1")
                .bind(&row.kid)
                .bind(&row.sealed)
                .execute(&mut *connection)
                .await
                .unwrap();
        }
    });
    refused(folder.path(), &named(folder.path(), &[&new, &kept]), &[]);
    let done = replace(folder.path());
    assert!(said(&done).contains("default: lost 4") && !said(&done).contains("orders"));
    let server = serve(&folder, &[&new, &kept]);
    assert_eq!(keys(&server, "orders").get("retired"), None);
    sign(&server, "orders");
    let after: Vec<_> = rows(folder.path())
        .into_iter()
        .filter(|row| row.issuer == "orders")
        .collect();
    assert_eq!(after, orders);
}

#[test]
fn nothing_is_replaced_while_a_service_runs_or_without_a_store_or_a_reason() {
    let folder = folder();
    let key = Key::new(1);
    let server = serve(&folder, &[&key]);
    let before = (rows(folder.path()), setting(folder.path()));
    let refused = replace(folder.path());
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("in use by another keywright process"),
        "{}",
        said(&refused)
    );
    sign(&server, "default");
    server.terminate();
    let wrong = keywright(folder.path(), &["master-key", "replace"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    assert!((rows(folder.path()), setting(folder.path())) == before);
    let empty = crate::world::folder();
    std::fs::write(empty.path().join("config.toml"), "").unwrap();
    let refused = replace(empty.path());
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("nothing is lost"),
        "{}",
        said(&refused)
    );
    assert!(!empty.path().join("keys/master.key").exists());
}
