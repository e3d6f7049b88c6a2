//! Copies that are files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{self, Server, end_of, eventually, spawn_in, start, start_in};
use super::{
    create, events, in_state, kids, pass, policy, rotate, successor, text, unhealthy_copies,
};

fn configuration(folder: &Path) -> String {
    let file = folder.join("{issuer}.json");
    format!("push.cdn = {{ file = {file:?} }}\n")
}

/// A folder for copies, and a service that pushes there.
fn pushing() -> (TempDir, Server) {
    let copies = tempfile::tempdir().unwrap();
    let server = start(&configuration(copies.path()));
    (copies, server)
}

fn copy_in(folder: &Path, issuer: &str) -> PathBuf {
    folder.join(format!("{issuer}.json"))
}

/// The copy, once it has this key.
fn wait_for_key(path: &Path, kid: &str) -> String {
    eventually("the copy has the key", || {
        let copy = fs::read_to_string(path).ok()?;
        kids(&copy).contains(&kid.to_owned()).then_some(copy)
    })
}

#[test]
fn copy_is_what_is_served_and_a_successor_is_ready_a_lead_after_all_have_it() {
    let (copies, server) = pushing();
    create(&server, "orders", &["cdn"]);
    assert_eq!(
        rotate(&server, "orders", false).status,
        200,
        "of the first set"
    );
    let key = successor(&server, "orders");
    let kid = key["kid"].as_str().unwrap();
    let copy = wait_for_key(&copy_in(copies.path(), "orders"), kid);
    assert_eq!(copy, text(&server.fetch("/orders/.well-known/jwks.json")));
    let confirmed = eventually("a confirmation", || events(&server, "key-confirmed").pop());
    assert_eq!(confirmed["kid"], kid);
    let ready_at = confirmed["ready_at"].as_u64().unwrap();
    assert!(ready_at >= confirmed["at"].as_u64().unwrap() + 2);
    eventually("a rotation", || {
        (rotate(&server, "orders", false).status == 200).then_some(())
    });
    // It is shown rounded up.
    assert!(support::now_millis() / 1000 + 1 >= ready_at);
    let signs = in_state(&server, "orders", "active").unwrap();
    assert_eq!(signs["kid"], kid);
    assert!(unhealthy_copies(&server).is_empty());
    let metrics = text(&server.call("GET", "/metrics", None));
    assert!(
        metrics.contains("push_attempts_total{target=\"cdn\",outcome=\"pushed\"}"),
        "{metrics}"
    );
    assert!(
        metrics.contains("push_behind_seconds{issuer=\"orders\",target=\"cdn\"} 0"),
        "{metrics}"
    );
}

#[test]
fn successor_waits_while_no_copy_can_be_written_and_goes_on_once_one_can() {
    let parent = tempfile::tempdir().unwrap();
    let copies = parent.path().join("not-mounted");
    let server = start(&configuration(&copies));
    create(&server, "orders", &["cdn"]);
    assert_eq!(rotate(&server, "orders", false).status, 200);
    let key = successor(&server, "orders");
    assert!(
        key["unconfirmed_since"].is_u64() && key.get("ready_at").is_none(),
        "{key}"
    );
    let unhealthy = eventually("a report", || unhealthy_copies(&server).pop());
    assert_eq!(unhealthy["issuer"], "orders");
    assert_eq!(unhealthy["target"], "cdn");
    let reason = unhealthy["reason"].as_str().unwrap();
    assert!(
        reason.contains("not-mounted") && reason.contains("No such file"),
        "{reason}"
    );
    // Twice its lead.
    pass(4);
    let refused = rotate(&server, "orders", false);
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (409, &json!("successor-not-ready"))
    );
    assert!(
        refused.json().get("ready_at").is_none(),
        "{}",
        text(&refused)
    );
    assert!(server.log().contains("a key set was not pushed"));

    fs::create_dir(&copies).unwrap();
    wait_for_key(&copy_in(&copies, "orders"), key["kid"].as_str().unwrap());
    eventually("a rotation", || {
        (rotate(&server, "orders", false).status == 200).then_some(())
    });
    assert!(unhealthy_copies(&server).is_empty());
}

#[test]
fn answer_to_a_revocation_claims_nothing_of_a_copy_that_still_has_the_key() {
    let parent = tempfile::tempdir().unwrap();
    let copies = parent.path().join("mounted");
    fs::create_dir(&copies).unwrap();
    let server = start(&configuration(&copies));
    create(&server, "orders", &["cdn"]);
    let revoke = |server: &Server| {
        let kid = in_state(server, "orders", "active").unwrap()["kid"].clone();
        let path = format!("/v1/issuers/orders/keys/{}/revoke", kid.as_str().unwrap());
        let answer = server.call("POST", &path, Some(&json!({"reason": "leaked"})));
        assert_eq!(answer.status, 200, "{}", text(&answer));
        (kid.as_str().unwrap().to_owned(), answer.json())
    };
    wait_for_key(
        &copy_in(&copies, "orders"),
        successor(&server, "orders")["kid"].as_str().unwrap(),
    );
    let (kid, exposure) = revoke(&server);
    let copy = &exposure["copies"][0];
    assert_eq!(copy["target"], "cdn");
    assert!(
        copy["cached_until"].as_u64() > exposure["revoked_at"].as_u64(),
        "{exposure}"
    );
    let held = fs::read_to_string(copy_in(&copies, "orders")).unwrap();
    assert!(
        !kids(&held).contains(&kid),
        "it was pushed before the answer"
    );

    fs::rename(&copies, parent.path().join("gone")).unwrap();
    let (kid, exposure) = revoke(&server);
    assert_eq!(
        exposure["copies"][0],
        json!({"target": "cdn", "cached_until": null})
    );
    let held = parent.path().join("gone/orders.json");
    assert!(kids(&fs::read_to_string(&held).unwrap()).contains(&kid));
    fs::rename(parent.path().join("gone"), &copies).unwrap();
    eventually("the revocation in the copy", || {
        let held = fs::read_to_string(copy_in(&copies, "orders")).ok()?;
        (!kids(&held).contains(&kid)).then_some(())
    });
}

#[test]
fn reader_never_finds_a_part_of_a_copy() {
    let (copies, server) = pushing();
    create(&server, "orders", &["cdn"]);
    let path = copy_in(copies.path(), "orders");
    wait_for_key(&path, successor(&server, "orders")["kid"].as_str().unwrap());
    let ends = Arc::new(AtomicBool::new(false));
    let (until, file) = (Arc::clone(&ends), path.clone());
    let reader = thread::spawn(move || {
        let mut reads = 0;
        let mut versions = std::collections::BTreeSet::new();
        while !until.load(Ordering::Relaxed) {
            let copy = fs::read_to_string(&file).expect("there is always a copy");
            let set: Value = serde_json::from_str(&copy).expect("a whole one");
            versions.insert(set["keys"].as_array().expect("keys").len());
            reads += 1;
        }
        (reads, versions)
    });
    for _ in 0..8 {
        let before = fs::read_to_string(&path).unwrap();
        assert_eq!(rotate(&server, "orders", true).status, 200);
        eventually("a push", || {
            (fs::read_to_string(&path).unwrap() != before).then_some(())
        });
    }
    ends.store(true, Ordering::Relaxed);
    let (reads, versions) = reader.join().unwrap();
    assert!(
        reads > 100 && versions.len() > 3,
        "{reads} reads, {versions:?}"
    );
}

#[test]
fn crash_between_the_write_and_the_rename_leaves_the_copy_and_is_made_up_for() {
    let (copies, server) = pushing();
    create(&server, "orders", &["cdn"]);
    let path = copy_in(copies.path(), "orders");
    let before = wait_for_key(&path, successor(&server, "orders")["kid"].as_str().unwrap());
    let folder = server.kill();
    // What such a crash leaves: a part of the next copy, and the mark of it.
    let mark = copies.path().join(".orders.json.keywright");
    let mut next: Value = serde_json::from_str(&fs::read_to_string(&mark).unwrap()).unwrap();
    next["version"] = json!(next["version"].as_u64().unwrap());
    next["body"] = json!("another");
    next["digest"] = json!("another");
    fs::write(&mark, next.to_string()).unwrap();
    fs::write(copies.path().join(".orders.json.next"), "{\"keys\":[{").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    let server = start_in(folder, &configuration(copies.path())).unwrap();
    assert_eq!(rotate(&server, "orders", true).status, 200);
    wait_for_key(&path, successor(&server, "orders")["kid"].as_str().unwrap());
    assert!(!copies.path().join(".orders.json.next").exists());
}

#[test]
fn copy_that_another_hand_has_changed_is_pushed_again_and_its_successors_wait_again() {
    let (copies, server) = pushing();
    create(&server, "orders", &["cdn"]);
    let path = copy_in(copies.path(), "orders");
    let old = wait_for_key(&path, successor(&server, "orders")["kid"].as_str().unwrap());
    assert_eq!(rotate(&server, "orders", false).status, 200);
    let kid = successor(&server, "orders")["kid"]
        .as_str()
        .unwrap()
        .to_owned();
    wait_for_key(&path, &kid);
    eventually("a confirmation", || events(&server, "key-confirmed").pop());
    let folder = server.kill();
    fs::write(&path, &old).unwrap();
    let server = start_in(folder, &configuration(copies.path())).unwrap();
    wait_for_key(&path, &kid);
    let doubted = eventually("a doubt", || events(&server, "key-unconfirmed").pop());
    assert_eq!(doubted["kid"], kid.as_str());
    eventually("another confirmation", || {
        (events(&server, "key-confirmed").len() == 2).then_some(())
    });
    assert!(server.log().contains("a copy is not what was pushed"));
}

#[test]
fn copy_that_is_newer_than_the_store_is_left_alone() {
    let (copies, server) = pushing();
    create(&server, "orders", &["cdn"]);
    let path = copy_in(copies.path(), "orders");
    wait_for_key(&path, successor(&server, "orders")["kid"].as_str().unwrap());
    let folder = server.kill();
    // As if a process with a store that went on had pushed last.
    let newer = "{\"keys\":[]}";
    fs::write(&path, newer).unwrap();
    let mark = copies.path().join(".orders.json.keywright");
    let mut next: Value = serde_json::from_str(&fs::read_to_string(&mark).unwrap()).unwrap();
    next["version"] = json!(next["version"].as_u64().unwrap() + 100);
    next["changed_at"] = json!(next["changed_at"].as_u64().unwrap() + 86_400_000);
    fs::write(&mark, next.to_string()).unwrap();
    let server = start_in(folder, &configuration(copies.path())).unwrap();
    let unhealthy = eventually("a report", || unhealthy_copies(&server).pop());
    let reason = unhealthy["reason"].as_str().unwrap();
    assert!(reason.contains("newer"), "{reason}");
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[test]
fn policy_names_targets_of_the_configuration_alone() {
    let elsewhere = "push.other = { file = \"/tmp/payments.json\", issuer = \"payments\" }\n";
    let copies = tempfile::tempdir().unwrap();
    let server = start(&format!("{}{elsewhere}", configuration(copies.path())));
    for target in ["nowhere", "other"] {
        let answer = server.call(
            "PUT",
            "/v1/issuers/orders",
            Some(&policy("orders", &[target])),
        );
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("invalid-policy"))
        );
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains(target) && detail.ends_with("it has cdn"),
            "{detail}"
        );
    }
}

#[test]
fn deleted_issuers_copy_is_left_without_keys() {
    let (copies, server) = pushing();
    create(&server, "orders", &["cdn"]);
    let path = copy_in(copies.path(), "orders");
    wait_for_key(&path, successor(&server, "orders")["kid"].as_str().unwrap());
    let answer = server.call(
        "POST",
        "/v1/issuers/orders/delete",
        Some(&json!({"reason": "over"})),
    );
    assert!(answer.status < 300, "{}", text(&answer));
    eventually("an empty copy", || {
        let copy = fs::read_to_string(&path).ok()?;
        (copy == "{\"keys\":[]}").then_some(())
    });
}

#[test]
fn targets_that_cannot_be_are_refused_at_the_start() {
    let shared = "store.url = \"postgres://keywright@127.0.0.1:1/keys\"\n";
    for (extra, reason) in [
        (
            "push.cdn = { file = \"keys.json\" }\n",
            "push.cdn: file must be an absolute path",
        ),
        (
            "push.cdn = { file = \"/srv/keys.json\" }\n",
            "push.cdn: the place must have {issuer}",
        ),
        (
            "push.CDN = { file = \"/srv/{issuer}.json\" }\n",
            "push.CDN: its name must have",
        ),
        (
            "push.cdn = {}\n",
            "push.cdn: it must have one of file, s3 and config_map",
        ),
        (
            &format!("push.cdn = {{ file = \"/srv/{{issuer}}.json\" }}\n{shared}"),
            "push.cdn: a file of one replica is not the others' file: set shared_volume = true",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (code, log) = end_of(spawn_in(folder.path(), extra));
        assert_ne!(code, 0);
        assert!(log.contains(reason), "{log}");
    }
}
