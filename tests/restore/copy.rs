//! Moving between stores.

use serde_json::json;

use crate::site::{
    assert_verifies, done, elsewhere, jwks, refused, refused_in_time, rotate, sign, start_restored,
};
use crate::support::postgres::shared;
use crate::support::{start, start_in};

#[test]
fn a_store_moves_to_postgresql_and_back_and_serves_the_same_set() {
    let Some(database) = shared() else {
        return;
    };
    let url = database.database();
    let server = start("");
    rotate(&server);
    let token = sign(&server, "ES256");
    let published = jwks(&server);
    let data = server.data();
    let folder = server.folder();
    let copy = |from: &str, to: &str| {
        let arguments = ["store", "copy", "--from", from, "--to", to];
        done(folder.path(), &arguments)
    };
    let busy = ["store", "copy", "--from", "sqlite", "--to", &url];
    let error = refused(folder.path(), &busy);
    assert!(
        error.contains("in use by another keywright process"),
        "{error}"
    );
    server.terminate();
    let there = copy("sqlite", &url);
    assert_eq!(there["broken"], serde_json::Value::Null);
    assert!(!there.to_string().contains("the-password-of-the-database"));

    // The service on the copy.
    let remote = elsewhere(&data);
    let store = format!("store.url = \"{url}\"\n");
    let moved = start_restored(&remote, &data, &store);
    assert_eq!(jwks(&moved), published);
    assert_verifies(&token, &published);
    assert_verifies(&sign(&moved, "ES256"), &published);
    let error = refused(
        folder.path(),
        &["store", "copy", "--from", &url, "--to", "sqlite:b/b.db"],
    );
    assert!(error.contains("serves the store"), "{error}");
    moved.terminate();

    // Back again: what is copied is compared row by row.
    let back = copy(&url, "sqlite:back/keywright.db");
    assert_eq!(back["head"], there["head"]);
    for count in ["issuers", "keys", "clients", "events"] {
        assert_eq!(back[count], there[count], "{count}");
    }
    let error = refused(
        folder.path(),
        &[
            "store",
            "copy",
            "--from",
            &url,
            "--to",
            "sqlite:back/keywright.db",
        ],
    );
    assert!(error.contains("not empty"), "{error}");
    let home = elsewhere(&data);
    let file = home.path().join("keys/keywright.db");
    std::fs::copy(folder.path().join("back/keywright.db"), file).unwrap();
    let token_file = home.path().join("keys/admin.token");
    std::fs::copy(data.join("admin.token"), token_file).unwrap();
    let home = start_in(home, "").unwrap();
    assert_eq!(jwks(&home), published);
    assert_verifies(&sign(&home, "RS256"), &published);
}

#[test]
fn a_store_that_is_not_there_is_not_copied() {
    let server = start("");
    let folder = server.folder();
    let absent = [
        "store",
        "copy",
        "--from",
        "sqlite:absent/a.db",
        "--to",
        "sqlite:b/b.db",
    ];
    let error = refused(folder.path(), &absent);
    assert!(error.contains("no such file"), "{error}");
    assert!(!folder.path().join("absent").exists());
}

/// More than waits on the way to a store: what sends it must end when nothing reads it any more.
#[test]
fn a_large_store_is_refused_in_time_by_one_that_is_not_empty() {
    let server = start("");
    for number in 0..160 {
        let client = json!({ "name": format!("client-{number}"), "roles": ["issuer"] });
        let answer = server.call("POST", "/v1/clients", Some(&client));
        assert_eq!(answer.status, 201, "{}", answer.json());
    }
    let folder = server.folder();
    done(folder.path(), &["backup", "--output", "backup"]);
    server.terminate();
    let copy = ["store", "copy", "--from", "sqlite", "--to", "sqlite:b/b.db"];
    done(folder.path(), &copy);
    let restore = ["restore", "--from", "backup", "--nothing-revoked-since"];
    for arguments in [copy.as_slice(), &restore] {
        let error = refused_in_time(folder.path(), arguments);
        assert!(error.contains("not empty"), "{error}");
    }
}
