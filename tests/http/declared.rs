//! A start makes what files declare: `declared.files`.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::assertions::{KUBERNETES, Signatory, pod, trusting};
use crate::support::{Server, end_of, spawn_in, start_in};

const SHOP: &str = r#"
[issuers.shop]
url = "https://id.example/shop"
algorithms = ["ES256"]

[clients.login]
roles = ["issuer"]
limits = { issuers = ["shop"], max_ttl = "10m" }
"#;

const OPERATOR: &str = r#"
[clients.operator]
roles = ["admin", "auditor"]
workloads = [{ issuer = "kubernetes", claims = { sub = "system:serviceaccount:ops:keywright" } }]
"#;

fn settings(folder: &Path, text: &str) -> String {
    let file = folder.join("declared.toml");
    fs::write(&file, text).unwrap();
    format!("declared.files = [\"{}\"]\n", file.display())
}

fn named(server: &Server, secret: &str, name: &str) -> Value {
    let clients = server
        .call_as(Some(secret), "GET", "/v1/clients", None)
        .json();
    let mut clients = clients["clients"].as_array().unwrap().iter();
    let found = clients.find(|client| client["name"] == name);
    found.unwrap_or(&Value::Null).clone()
}

fn of_configuration(server: &Server) -> Vec<Value> {
    let audit = server.call("GET", "/v1/audit?limit=1000", None).json();
    let events = audit["events"].as_array().unwrap().iter();
    let own = events.filter(|event| event["actor"]["kind"] == "configuration");
    own.map(|event| event["event"].clone()).collect()
}

#[test]
fn a_start_makes_what_is_declared_and_takes_drift_back_and_deletes_nothing() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let declared = settings(folder.path(), SHOP);
    let server = start_in(Arc::clone(&folder), &declared).unwrap();
    let admin = server.admin.clone();
    let login = named(&server, &admin, "login");
    assert_eq!(login["credentials"], json!([]));
    assert_eq!(server.call("GET", "/v1/issuers/shop", None).status, 200);
    assert_eq!(
        server.call("GET", "/v1/issuers/default", None).status,
        404,
        "a deployment that declares issuers gets no other one"
    );
    let made = of_configuration(&server);
    assert!(made.contains(&json!("client-created")), "{made:?}");

    // Once it is there, it is not made again.
    let (_, folder) = server.terminate();
    let server = start_in(folder, &declared).unwrap();
    assert_eq!(of_configuration(&server), made);

    let path = format!("/v1/clients/{}", login["id"].as_str().unwrap());
    let wider = json!({ "name": "login", "roles": ["issuer", "security"] });
    assert_eq!(server.call("PUT", &path, Some(&wider)).status, 200);
    let other = json!({ "name": "by hand", "roles": ["auditor"] });
    assert_eq!(server.call("POST", "/v1/clients", Some(&other)).status, 201);
    let (_, folder) = server.terminate();
    let server = start_in(folder, &declared).unwrap();
    let now = named(&server, &admin, "login");
    assert_eq!(
        (&now["id"], &now["roles"]),
        (&login["id"], &json!(["issuer"]))
    );
    assert_eq!(
        named(&server, &admin, "by hand")["roles"],
        json!(["auditor"])
    );
    assert_eq!(of_configuration(&server).len(), made.len() + 1);
}

#[test]
fn a_declared_admin_needs_no_secret_file() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let cluster = Signatory::new("cluster");
    let keys = folder.path().join("cluster.json");
    fs::write(&keys, cluster.jwks().to_string()).unwrap();
    let trusted = trusting(
        "kubernetes",
        KUBERNETES,
        &format!("jwks_file = \"{}\"", keys.display()),
    );
    let declared = settings(folder.path(), &format!("{SHOP}{OPERATOR}"));
    let server = start_in(folder, &format!("{declared}{trusted}")).unwrap();
    assert!(!server.data().join("admin.token").exists());
    assert!(
        !server.log().contains("bootstrap credential"),
        "{}",
        server.log()
    );
    let token = cluster.sign(&pod("ops", "keywright"));
    assert_eq!(named(&server, &token, "bootstrap"), Value::Null);
    assert_eq!(named(&server, &token, "operator")["credentials"], json!([]));
    let stranger = cluster.sign(&pod("ops", "other"));
    let answer = server.call_as(Some(&stranger), "GET", "/v1/clients", None);
    assert_eq!(answer.status, 401);
}

#[test]
fn an_admin_who_could_not_call_is_no_reason_to_leave_the_credential_out() {
    for admin in [
        "[clients.operator]\nroles = [\"admin\"]\n",
        "[clients.operator]\nroles = [\"admin\"]\nlimits = { issuers = [\"shop\"] }\n\
         certificates = [{ dns = \"ops.internal\" }]\n",
    ] {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let declared = settings(folder.path(), &format!("{SHOP}{admin}"));
        let server = start_in(folder, &declared).unwrap();
        assert!(!server.admin.is_empty());
        assert_eq!(server.call("GET", "/v1/clients", None).status, 200);
    }
}

#[test]
fn a_file_that_is_wrong_keeps_the_service_from_starting_and_makes_nothing() {
    for (text, told) in [
        ("[issuer.shop]", "did you mean \"issuers\""),
        ("[clients.a]\nroles = []", "clients.a"),
        (OPERATOR, "kubernetes"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let declared = settings(folder.path(), text);
        let (code, said) = end_of(spawn_in(folder.path(), &declared));
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains("declared.files") && said.contains(told),
            "{said}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let missing = "declared.files = [\"/nowhere/declared.toml\"]\n";
    let (code, said) = end_of(spawn_in(folder.path(), missing));
    assert_eq!(code, 1);
    assert!(said.contains("/nowhere/declared.toml"), "{said}");
    assert!(!folder.path().join("keys/keywright.db").exists());
}

#[test]
fn what_cannot_be_made_is_told_and_keeps_nobody_else_from_being_served() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let declared = settings(folder.path(), SHOP);
    let server = start_in(folder, &declared).unwrap();
    let gone = json!({ "reason": "an exercise" });
    let answer = server.call("POST", "/v1/issuers/shop/delete", Some(&gone));
    assert_eq!(answer.status, 200, "{}", answer.json());
    let (_, folder) = server.terminate();
    let server = start_in(folder, &declared).unwrap();
    assert!(
        server.log().contains("not made as declared"),
        "{}",
        server.log()
    );
    assert_eq!(server.fetch("/healthz").status, 200);
    assert_eq!(
        named(&server, &server.admin, "login")["roles"],
        json!(["issuer"])
    );
}
