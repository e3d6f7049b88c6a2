//! Another master key takes the place of the one before.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use keywright::store::seal::MasterKeys;
use serde_json::json;

use crate::support::{files_contain, report, try_request};
use crate::world::{
    Key, create_issuer, events, folder, named, refused, replace, rotate, rows, serve, setting,
    sign, state, verifies,
};

#[test]
fn a_rotation_seals_everything_anew_while_tokens_are_signed() {
    let folder = folder();
    let (before, after) = (Key::new(1), Key::new(2));
    let server = serve(&folder, &[&before, &after]);
    create_issuer(&server, "orders");
    let tokens = [
        ("default", sign(&server, "default")),
        ("orders", sign(&server, "orders")),
    ];
    let old = rows(folder.path());
    assert_eq!(old.len(), 6);
    let old_setting = setting(folder.path());

    let ended = AtomicBool::new(false);
    let (signed, rotation) = std::thread::scope(|scope| {
        let signing = scope.spawn(|| {
            let mut signed = 0;
            while !ended.load(Ordering::Relaxed) {
                sign(&server, "orders");
                signed += 1;
            }
            signed
        });
        let rotation = rotate(&server, &after);
        ended.store(true, Ordering::Relaxed);
        (signing.join().unwrap(), rotation)
    });
    assert!(signed > 0);
    assert_eq!(
        rotation,
        json!({"sealing": after.fingerprint(), "resealed": 6, "left": 0, "unopenable": 0})
    );
    let new = rows(folder.path());
    let places = |rows: &[crate::world::Row]| -> Vec<_> {
        rows.iter()
            .map(|row| (row.issuer.clone(), row.kid.clone()))
            .collect()
    };
    assert_eq!(places(&new), places(&old));
    let (old_key, new_key) = (
        MasterKeys::of(before.master()),
        MasterKeys::of(after.master()),
    );
    for (new, old) in new.iter().zip(&old) {
        assert!(new.opens(&new_key) && !new.opens(&old_key), "{new:?}");
        assert!(old.opens(&old_key));
        assert!(
            !files_contain(&server.data(), &old.sealed),
            "what was sealed before is on disk"
        );
    }
    assert!(!files_contain(&server.data(), &old_setting));

    let told = events(&server);
    let words: Vec<&str> = told
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        words,
        [
            "master-key-rotation-started",
            "master-key-rotation-finished"
        ]
    );
    assert_eq!(told[0]["from"], before.fingerprint());
    assert_eq!(told[0]["to"], after.fingerprint());
    assert_eq!(told[1]["records"], 6);
    for event in &told {
        assert_eq!(
            (&event["actor"]["kind"], &event["reason"]),
            (&json!("client"), &json!("a test"))
        );
    }

    // The keys of the next rotation of signing keys are sealed with the new key at once.
    let forced = json!({ "force": true });
    let path = "/v1/issuers/orders/rotate";
    assert_eq!(server.call("POST", path, Some(&forced)).status, 200);
    assert!(rows(folder.path()).iter().all(|row| row.opens(&new_key)));
    assert_eq!(state(&server)["rotating"], false);
    let (code, _) = server.terminate();
    assert_eq!(code, Some(0));

    let said = refused(folder.path(), &named(folder.path(), &[&before]), &[]);
    assert!(said.contains(&after.fingerprint()), "{said}");
    let server = serve(&folder, &[&after]);
    for (issuer, token) in &tokens {
        verifies(&server, issuer, token).unwrap();
        sign(&server, issuer);
    }
    assert_eq!(server.fetch("/readyz").status, 200);
}

#[test]
fn without_a_name_the_one_other_key_is_meant_and_it_goes_back_as_well() {
    let folder = folder();
    let keys = [Key::new(1), Key::new(2)];
    let server = serve(&folder, &[&keys[0], &keys[1]]);
    for to in [&keys[1], &keys[0]] {
        let answer = server.call("POST", "/v1/master-key/rotate", None);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["sealing"], to.fingerprint());
        assert_eq!(answer.json()["resealed"], 4);
        // What is so already is left alone.
        assert_eq!(rotate(&server, to)["resealed"], 0);
    }
    assert_eq!(events(&server).len(), 4);
}

#[test]
fn a_key_that_is_not_there_or_not_named_changes_nothing() {
    let folder = folder();
    let (one, two, three) = (Key::new(1), Key::new(2), Key::new(3));
    let server = serve(&folder, &[&one]);
    let before = (rows(folder.path()), setting(folder.path()));
    let refusals = |server: &crate::support::Server,
                    requests: &[(serde_json::Value, u16, &str)]| {
        for (body, status, code) in requests {
            let answer = server.call("POST", "/v1/master-key/rotate", Some(body));
            let problem = answer.json();
            assert_eq!(
                (answer.status, problem["code"].as_str().unwrap()),
                (*status, *code)
            );
        }
    };
    refusals(
        &server,
        &[
            (json!({}), 409, "master-key-unclear"),
            (
                json!({ "to": two.fingerprint() }),
                409,
                "master-key-unknown",
            ),
            (json!({ "to": two.text }), 400, "invalid-fingerprint"),
            (
                json!({ "to": two.fingerprint().to_uppercase() }),
                400,
                "invalid-fingerprint",
            ),
            (json!({ "key": two.text }), 400, "unknown-field"),
        ],
    );
    server.terminate();
    let server = serve(&folder, &[&one, &two, &three]);
    refusals(&server, &[(json!({}), 409, "master-key-unclear")]);
    assert!(events(&server).is_empty());
    drop(server);
    assert!((rows(folder.path()), setting(folder.path())) == before);
}

#[test]
fn an_issuer_whose_row_is_corrupt_does_not_keep_a_rotation_from_ending() {
    let folder = folder();
    let (before, after) = (Key::new(1), Key::new(2));
    let server = serve(&folder, &[&before, &after]);
    create_issuer(&server, "orders");
    server.terminate();
    crate::world::database(folder.path(), async |connection| {
        sqlx::query("UPDATE records SET sealed = x'01' WHERE kind = 'key' AND owner = 'orders'")
            .execute(connection)
            .await
            .unwrap();
    });
    let server = serve(&folder, &[&before, &after]);
    let rotation = rotate(&server, &after);
    assert_eq!(
        (
            &rotation["resealed"],
            &rotation["left"],
            &rotation["unopenable"]
        ),
        (&json!(4), &json!(0), &json!(2))
    );
    assert_eq!(state(&server)["unopenable"], 2);
    assert_eq!(events(&server).len(), 2);
}

/// So many issuers, with two sealed keys each.
const ISSUERS: usize = 40;

#[test]
fn a_rotation_that_is_killed_anywhere_goes_on() {
    let folder = folder();
    let (before, after) = (Key::new(1), Key::new(2));
    let both = [&before, &after];
    let mut server = serve(&folder, &both);
    let names: Vec<String> = (0..ISSUERS)
        .map(|number| format!("issuer-{number}"))
        .collect();
    for name in &names {
        create_issuer(&server, name);
    }
    let count = rows(folder.path()).len();
    let keys = MasterKeys::new(before.master(), vec![after.master()]).unwrap();
    let new_key = MasterKeys::of(after.master());
    let resealed = || {
        let rows = rows(folder.path());
        assert!(
            rows.iter().all(|row| row.opens(&keys)),
            "a private half is lost"
        );
        rows.iter().filter(|row| row.opens(&new_key)).count()
    };
    let (mut kills, mut in_the_middle, mut wait) = (0, 0, Duration::from_millis(5));
    let signed = AtomicUsize::new(0);
    while resealed() < count {
        let (ended, internal) = (AtomicBool::new(false), server.internal.clone());
        let headers = [("authorization", format!("Bearer {}", server.admin))];
        let ask = |path: &str, body: serde_json::Value| {
            let body = Some(("application/json", body.to_string().into_bytes()));
            try_request("POST", &format!("{internal}{path}"), &headers, body)
        };
        std::thread::scope(|scope| {
            // It is killed before it answers, or has answered: both are as they should be.
            scope.spawn(|| ask("/v1/master-key/rotate", json!({ "reason": "a test" })).map(drop));
            scope.spawn(|| {
                for name in names.iter().cycle() {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let path = format!("/v1/issuers/{name}/tokens");
                    if let Ok(answer) = ask(&path, json!({ "claims": {} })) {
                        assert_eq!(answer.status, 201, "{}", answer.json());
                        signed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            std::thread::sleep(wait);
            server.kill();
            ended.store(true, Ordering::Relaxed);
        });
        kills += 1;
        let done = resealed();
        in_the_middle += usize::from(done > 0 && done < count);
        wait += Duration::from_millis(20);
        server = serve(&folder, &both);
        for name in names.iter().step_by(7) {
            sign(&server, name);
        }
        assert!(kills < 200, "it never ends");
    }
    assert!(in_the_middle > 0, "no kill came in the middle");
    report(&format!(
        "{kills} kills, {in_the_middle} in the middle of {count} records; {signed:?} tokens"
    ));
    // The last kill may have come before the end was written down.
    let last = server.call(
        "POST",
        "/v1/master-key/rotate",
        Some(&json!({ "to": after.fingerprint() })),
    );
    assert_eq!(last.json()["left"], 0);
    let words: Vec<_> = events(&server)
        .into_iter()
        .map(|event| event["event"].clone())
        .collect();
    assert_eq!(
        words,
        [
            "master-key-rotation-started",
            "master-key-rotation-finished"
        ]
    );
    server.terminate();
    let server = serve(&folder, &[&after]);
    for name in &names {
        sign(&server, name);
    }
    // Nothing is lost, so that there is nothing to be replaced.
    server.terminate();
    let replaced = replace(folder.path());
    assert!(String::from_utf8_lossy(&replaced.stdout).contains("nothing was replaced"));
}
