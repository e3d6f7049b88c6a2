//! `keywright apply`: a deployment becomes what files declare, and nothing else happens to it.

use std::fs;

use serde_json::{Value, json};

use crate::command::run;
use crate::support::{Server, start};

/// Runs `keywright apply` on these files.
fn apply(server: &Server, files: &[&str], flags: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["apply".to_owned()];
    for (number, text) in files.iter().enumerate() {
        let path = folder.path().join(format!("{number}.toml"));
        fs::write(&path, text).unwrap();
        arguments.push(path.to_str().unwrap().to_owned());
    }
    arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run(server.folder().path(), &arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

fn events(server: &Server) -> usize {
    let audit = server.call("GET", "/v1/audit?limit=1000", None).json();
    audit["events"].as_array().unwrap().len()
}

fn client_named(server: &Server, name: &str) -> Option<Value> {
    let clients = server.call("GET", "/v1/clients", None).json();
    let mut clients = clients["clients"].as_array().unwrap().iter();
    clients.find(|client| client["name"] == name).cloned()
}

const SHOP: &str = r#"
[issuers.shop]
url = "https://id.example/shop"
algorithms = ["ES256"]
rotation = { every = "14d" }
lead = "1440m"

[clients.shop-login]
roles = ["issuer"]
limits = { issuers = ["shop"], audiences = ["orders"], max_ttl = "600s" }
certificates = [{ dns = "Login.shop.internal" }]
"#;

#[test]
fn what_is_declared_is_made_once_and_found_unchanged_afterwards() {
    let server = start("");
    let (code, said, _) = apply(&server, &[SHOP], &["--check"]);
    assert_eq!(code, 3, "{said}");
    assert!(
        client_named(&server, "shop-login").is_none(),
        "--check changes nothing"
    );

    let (code, said, error) = apply(&server, &[SHOP], &[]);
    assert_eq!(code, 0, "{said}{error}");
    for line in [
        "create issuer shop",
        "  + rotation: {\"every\":\"14d\"}",
        "create client shop-login",
        "issuer shop is created",
        "client shop-login is created",
    ] {
        assert!(said.lines().any(|shown| shown == line), "{line}: {said}");
    }
    let client = client_named(&server, "shop-login").unwrap();
    assert_eq!(
        client["credentials"],
        json!([]),
        "a declared client has no secret"
    );
    assert_eq!(client["limits"]["max_ttl"], "10m");
    let shop = server.call("GET", "/v1/issuers/shop", None).json();
    assert_eq!(shop["policy"]["lead"], "24h");

    // Another spelling of the same is no difference.
    let before = events(&server);
    for flags in [&[][..], &["--check"]] {
        let (code, said, error) = apply(&server, &[SHOP], flags);
        assert_eq!(
            (code, &*said),
            (0, "Everything is as declared.\n"),
            "{error}"
        );
    }
    assert_eq!(events(&server), before);
}

#[test]
fn drift_is_shown_by_member_and_taken_back() {
    let server = start("");
    assert_eq!(apply(&server, &[SHOP], &[]).0, 0);
    let client = client_named(&server, "shop-login").unwrap();
    let path = format!("/v1/clients/{}", client["id"].as_str().unwrap());
    let wider = json!({"name": "shop-login", "roles": ["issuer", "auditor"], "limits": {"issuers": ["shop"]}});
    assert_eq!(server.call("PUT", &path, Some(&wider)).status, 200);
    let (code, said, error) = apply(&server, &[SHOP], &["--check"]);
    assert_eq!(code, 3);
    for line in [
        "change client shop-login",
        "  - roles: [\"issuer\",\"auditor\"]",
        "  + roles: [\"issuer\"]",
    ] {
        assert!(said.lines().any(|shown| shown == line), "{line}: {said}");
    }
    assert!(error.contains("not as declared: 1"), "{error}");
    let (_, shown, _) = apply(&server, &[SHOP], &["--check", "--json"]);
    assert!(shown.contains("\"step\": \"change\""), "{shown}");

    assert_eq!(apply(&server, &[SHOP], &[]).0, 0);
    let narrow = client_named(&server, "shop-login").unwrap();
    assert_eq!(
        (&narrow["roles"], &narrow["id"]),
        (&json!(["issuer"]), &client["id"])
    );
    assert_eq!(apply(&server, &[SHOP], &["--check"]).0, 0);
}

#[test]
fn nothing_is_deleted_unless_it_is_asked_for_and_no_admin_ever() {
    let server = start("");
    let create = |name: &str, roles: Value| {
        let client = json!({ "name": name, "roles": roles });
        assert_eq!(
            server.call("POST", "/v1/clients", Some(&client)).status,
            201
        );
    };
    create("forgotten", json!(["auditor"]));
    create("second admin", json!(["admin"]));
    let (code, said, note) = apply(&server, &[SHOP], &[]);
    assert_eq!(code, 0, "{said}");
    assert!(note.contains("client forgotten is not declared"), "{note}");
    assert!(note.contains("issuer default is not declared"), "{note}");
    assert!(
        !note.contains("admin") && !note.contains("bootstrap"),
        "{note}"
    );

    // There is no terminal to ask on.
    let (code, _, error) = apply(&server, &[SHOP], &["--delete"]);
    assert_eq!(code, 2);
    assert!(error.contains("client forgotten"), "{error}");
    assert!(client_named(&server, "forgotten").is_some());

    // Of a kind that no file declares nothing is deleted.
    let clients_alone = SHOP.split("[clients").nth(1).unwrap();
    let clients_alone = format!("[clients{clients_alone}");
    let (code, said, error) = apply(&server, &[&clients_alone], &["--delete", "--yes"]);
    assert_eq!(code, 0, "{said}{error}");
    assert!(client_named(&server, "forgotten").is_none());
    for kept in ["bootstrap", "second admin", "shop-login"] {
        assert!(client_named(&server, kept).is_some(), "{kept}");
    }
    let shop = server.call("GET", "/v1/issuers/shop", None).json();
    assert_eq!(shop.get("deleted_at"), None);

    let (code, said, error) = apply(&server, &[SHOP], &["--delete", "--yes"]);
    assert_eq!(code, 0, "{said}{error}");
    let default = server.call("GET", "/v1/issuers/default", None).json();
    assert!(default["deleted_at"].is_u64(), "{default}");
    assert_eq!(apply(&server, &[SHOP], &["--delete", "--check"]).0, 2);
    assert_eq!(apply(&server, &[SHOP], &["--check"]).0, 0);
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_is_told_where() {
    let server = start("");
    let before = events(&server);
    let issuer =
        |members: &str| format!("[issuers.shop]\nurl = \"https://id.example/shop\"\n{members}");
    for (files, expected) in [
        (vec!["[issuer.shop]".to_owned()], "did you mean \"issuers\""),
        (
            vec!["clients = 1".to_owned()],
            "clients: it must be a table",
        ),
        (
            vec!["[clients]\nx = 1".to_owned()],
            "clients.x: it must be a table",
        ),
        (
            vec!["[issuers.Shop]\nurl = \"https://a.example\"".to_owned()],
            "issuers.Shop",
        ),
        (vec!["[issuers.shop]".to_owned()], "url"),
        (vec![issuer("laed = \"1d\"")], "lead"),
        (vec![issuer("lead = 24")], "lead"),
        (vec![issuer("rsa_bits = 2048.0")], "rsa_bits"),
        (vec![issuer("lead = 2026-11-30")], "lead"),
        (vec![issuer(""), issuer("")], "is declared before"),
        (vec!["[clients.a]\nroles = []".to_owned()], "role"),
        (
            vec!["[clients.a]\nroles = [\"issuer\"]\nname = \"b\"".to_owned()],
            "leave \"name\" out",
        ),
        (
            vec!["[clients.a]\nroles = [\"issuer\"]\ncredential = {}".to_owned()],
            "credential",
        ),
        (
            vec!["[clients.a]\nroles = [\"isuer\"]".to_owned()],
            "issuer",
        ),
        (vec!["[clients.a\n".to_owned()], "0.toml"),
    ] {
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let (code, said, error) = apply(&server, &files, &[]);
        assert_eq!(code, 1, "{files:?}: {said}{error}");
        assert!(error.contains(expected), "{files:?}: {error}");
        assert!(error.contains("code: invalid-declaration"), "{error}");
    }
    for _ in 0..2 {
        let twin = json!({ "name": "twin", "roles": ["auditor"] });
        assert_eq!(server.call("POST", "/v1/clients", Some(&twin)).status, 201);
    }
    let (code, _, error) = apply(&server, &["[clients.twin]\nroles = [\"auditor\"]"], &[]);
    assert_eq!(code, 1);
    assert!(error.contains("several clients have this name"), "{error}");
    assert_eq!(events(&server), before + 2);
}
