//! What a restore does to status lists: those of before say of every token that it is invalid.

use std::fs;

use keywright_verifier::Jws;
use keywright_verifier::status_list::{INVALID, StatusListToken, VALID};
use serde_json::{Value, json};

use crate::site::{done, elsewhere, start_restored};
use crate::support::{Server, eventually, start};

fn sign(server: &Server) -> (String, u64) {
    let answer = server.call(
        "POST",
        "/v1/issuers/shop/tokens",
        Some(&json!({"claims": {"sub": "user-1"}})),
    );
    assert_eq!(answer.status, 201, "{}", answer.json());
    let token = answer.json();
    let claims = Jws::inspect(token["token"].as_str().unwrap(), 65_536)
        .unwrap()
        .claims;
    let entry = &claims["status"]["status_list"];
    let uri = entry["uri"].as_str().unwrap();
    let path = uri.strip_prefix("http://127.0.0.1:8080").unwrap();
    (path.to_owned(), entry["idx"].as_u64().unwrap())
}

fn status(server: &Server, (path, index): &(String, u64)) -> Option<u8> {
    let answer = server.fetch(path);
    if answer.status == 404 {
        return None;
    }
    let text = String::from_utf8(answer.body).unwrap();
    let claims = Jws::inspect(&text, 65_536).unwrap().claims;
    let list = StatusListToken::read(claims, 131_072).unwrap().list;
    Some(list.status(*index).unwrap())
}

#[test]
fn lists_of_before_a_restore_are_invalid_and_no_entry_of_them_is_given_out_again() {
    let server = start("");
    let policy = json!({
        "url": "http://127.0.0.1:8080/shop", "algorithms": ["ES256"], "status": "tracked"
    });
    assert_eq!(
        server.call("PUT", "/v1/issuers/shop", Some(&policy)).status,
        201
    );
    let before = sign(&server);
    let backup = server.call("POST", "/v1/backup", None);
    assert_eq!(backup.status, 200);
    // Of this one the backup knows nothing.
    let since = sign(&server);
    assert_eq!(status(&server, &since), Some(VALID));
    let restored = |backup: &[u8], original: &Server| {
        let folder = elsewhere(&original.data());
        fs::write(folder.path().join("config.toml"), "").unwrap();
        fs::write(folder.path().join("store.backup"), backup).unwrap();
        let arguments = [
            "restore",
            "--from",
            "store.backup",
            "--config",
            "config.toml",
        ];
        done(
            folder.path(),
            &[&arguments[..], &["--nothing-revoked-since"]].concat(),
        );
        start_restored(&folder, &original.data(), "")
    };
    let first = restored(&backup.body, &server);
    // The list was begun before the backup, so that its address is known.
    assert_eq!(status(&first, &before), Some(INVALID));
    assert_eq!(status(&first, &since), Some(INVALID));
    let named = |server: &Server| server.fetch("/shop/status").json()["status_lists"].clone();
    let after = sign(&first);
    assert_ne!(after.0, before.0, "another list");
    assert_eq!(status(&first, &after), Some(VALID));
    assert_eq!(
        named(&first),
        json!([format!("http://127.0.0.1:8080{}", after.0)])
    );

    // Since the backup, the policy may have been one that tracks no tokens.
    let path = "/v1/issuers/shop/revocations";
    let taken = first.call("POST", path, Some(&json!({"subject": "user-1"})));
    assert_eq!(taken.status, 201, "{}", taken.json());
    let taken = taken.json();
    let lists = taken["in_force_at_verifiers"]["status_list"].as_u64();
    let signers = taken["in_force_at_signers"].as_u64();
    assert!(lists.unwrap() > signers.unwrap() + 3600, "{taken}");
    eventually("the entry is invalid", || {
        (status(&first, &after) == Some(INVALID)).then_some(())
    });

    // The same backup once more: what was signed by the first restored service is unknown to it, so that
    // its lists belong to no issuer, and a verifier refuses.
    let second = restored(&backup.body, &server);
    assert_eq!(status(&second, &before), Some(INVALID));
    assert_eq!(status(&second, &after), None);
    let other: Value = named(&second);
    assert_eq!(other, json!([]));
    assert_ne!(sign(&second).0, after.0);
}
