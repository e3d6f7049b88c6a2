//! Credentials and deleted issuers across the ends of a process.

use serde_json::{Value, json};

use crate::support::{Answer, Server, start, start_in};
use crate::world::{self, create_client, create_issuer, credential, edit, kid, merge, ok};

fn signs(server: &Server, bearer: &str) -> Answer {
    let body = Some(("application/json", br#"{"claims":{}}"#.to_vec()));
    server.call_as(Some(bearer), "POST", "/v1/issuers/default/tokens", body)
}

fn shown(server: &Server, client: &Value) -> Value {
    let path = format!("/v1/clients/{}", client["id"].as_str().unwrap());
    ok(server.call("GET", &path, None))
}

#[test]
fn the_last_use_is_shown_and_outlives_an_orderly_end() {
    let server = start("");
    let client = create_client(&server, "shop", &["issuer"]);
    assert_eq!(
        shown(&server, &client)["credentials"][0]["last_used_at"],
        Value::Null
    );
    assert_eq!(signs(&server, &credential(&client)).status, 201);
    let used = shown(&server, &client)["credentials"][0]["last_used_at"].clone();
    assert!(used.is_u64(), "{used}");
    let (code, folder) = server.terminate();
    assert_eq!(code, Some(0));
    let server = start_in(folder, "").unwrap();
    assert_eq!(
        shown(&server, &client)["credentials"][0]["last_used_at"],
        used
    );
}

#[test]
fn a_credential_expires_by_itself() {
    let server = start("");
    let body = json!({"name": "short", "roles": ["issuer"], "credential": {"expires_in": "2s"}});
    let client = ok(server.call("POST", "/v1/clients", Some(&body)));
    assert_eq!(signs(&server, &credential(&client)).status, 201);
    let expired = world::eventually("the end of a credential", || {
        let answer = signs(&server, &credential(&client));
        (answer.status != 201).then_some(answer)
    });
    assert_eq!(expired.json()["code"], "credential-invalid");
    // It stands in the list, so that one can see why.
    assert!(shown(&server, &client)["credentials"][0]["expires_at"].is_u64());
}

#[test]
fn an_admin_of_some_issuers_does_not_manage_clients() {
    let server = start("");
    create_issuer(&server, "a", json!({}));
    let mut body = json!({"name": "confined", "roles": ["admin", "auditor", "security"]});
    merge(&mut body, json!({"limits": {"issuers": ["a"]}}));
    let client = ok(server.call("POST", "/v1/clients", Some(&body)));
    let (bearer, id) = (credential(&client), client["id"].as_str().unwrap());
    let mut free = body.clone();
    free.as_object_mut().unwrap().remove("limits");
    for (method, path, body) in [
        ("GET", "/v1/clients".to_owned(), None),
        ("GET", format!("/v1/clients/{id}"), None),
        ("POST", "/v1/clients".to_owned(), Some(&free)),
        ("PUT", format!("/v1/clients/{id}"), Some(&free)),
        (
            "POST",
            format!("/v1/clients/{id}/credentials"),
            Some(&Value::Null),
        ),
        ("DELETE", format!("/v1/clients/{id}/credentials/x"), None),
        ("DELETE", format!("/v1/clients/{id}"), None),
        ("GET", "/v1/audit".to_owned(), None),
        ("GET", "/v1/audit/export".to_owned(), None),
        ("GET", "/v1/events".to_owned(), None),
        ("GET", "/v1/audit?issuer=default".to_owned(), None),
        ("GET", "/v1/issuers/default".to_owned(), None),
        ("GET", "/v1/issuers/nobody".to_owned(), None),
        (
            "PUT",
            "/v1/issuers/b".to_owned(),
            Some(&world::policy("b", json!({}))),
        ),
    ] {
        let body = body.map(|body| match body {
            Value::Null => ("application/json", b"{}".to_vec()),
            body => ("application/json", body.to_string().into_bytes()),
        });
        let answer = server.call_as(Some(&bearer), method, &path, body);
        let said = (answer.status, answer.json()["code"].clone());
        assert_eq!(said, (403, json!("client-limit")), "{method} {path}");
    }
    for path in ["/v1/issuers/a", "/v1/issuers/a/keys", "/v1/audit?issuer=a"] {
        assert_eq!(
            server.call_as(Some(&bearer), "GET", path, None).status,
            200,
            "{path}"
        );
    }
    let listed = server
        .call_as(Some(&bearer), "GET", "/v1/issuers", None)
        .json();
    let names: Vec<&Value> = listed["issuers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn a_start_with_corrupt_clients_makes_no_new_bootstrap_credential() {
    let server = start("");
    let (admin, file) = (server.admin.clone(), server.data().join("admin.token"));
    let (_, folder) = server.terminate();
    edit(
        folder.path(),
        "UPDATE records SET document = '{}' WHERE kind = 'client'",
    );
    let server = start_in(folder, "").unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), admin);
    assert!(server.log().contains("its stored record is corrupt"));
    assert_eq!(server.call("GET", "/v1/clients", None).status, 401);
    // What is published goes on being published.
    assert_eq!(server.fetch("/.well-known/jwks.json").status, 200);
}

#[test]
fn a_deleted_issuer_is_published_no_more_also_after_a_restart() {
    let server = start("");
    create_issuer(&server, "a", json!({"confirmation": "second-person"}));
    let active = kid(&server, "a", "active");
    let second = credential(&create_client(&server, "second", &["security"]));
    let asked = server.call(
        "POST",
        "/v1/issuers/a/delete",
        Some(&json!({"reason": "over"})),
    );
    assert_eq!(asked.status, 202);
    assert_eq!(server.fetch("/a/.well-known/jwks.json").status, 200);
    let server = start_in(server.kill(), "").unwrap();
    let approval = asked.json()["approval"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/approvals/{approval}/confirm");
    let done = server.call_as(Some(&second), "POST", &path, None);
    assert_eq!(done.status, 200, "{}", done.json());
    let check = |server: &Server| {
        for document in ["jwks.json", "openid-configuration"] {
            let path = format!("/a/.well-known/{document}");
            assert_eq!(server.fetch(&path).status, 404, "{path}");
        }
        assert_eq!(
            server
                .fetch("/.well-known/oauth-authorization-server/a")
                .status,
            404
        );
        assert_eq!(server.fetch("/.well-known/jwks.json").status, 200);
        assert_eq!(server.fetch("/readyz").status, 200);
        let key = ok(server.call("GET", &format!("/v1/issuers/a/keys/{active}"), None));
        assert_eq!(key["state"], "revoked");
        let signed = server.call("POST", "/v1/issuers/a/tokens", Some(&json!({"claims": {}})));
        assert_eq!(signed.status, 409);
        let put = server.call("PUT", "/v1/issuers/a", Some(&world::policy("a", json!({}))));
        assert_eq!(
            (put.status, &put.json()["code"]),
            (409, &json!("issuer-deleted"))
        );
        let put = server.call("PUT", "/v1/issuers/b", Some(&world::policy("a", json!({}))));
        assert_eq!(
            (put.status, &put.json()["code"]),
            (409, &json!("issuer-url-taken"))
        );
    };
    check(&server);
    let (code, folder) = server.terminate();
    assert_eq!(code, Some(0));
    check(&start_in(folder, "").unwrap());
}
