//! Who may do what: every role against every call.

use serde_json::{Value, json};

use crate::exchange::plain;
use crate::support::{Answer, Server, now_millis, start};
use crate::world::{self, create_client, create_issuer, credential, kid, ok, p256_pem};

/// A call, the one role that it needs, and what makes it succeed now.
type Call = (
    &'static str,
    fn(&Server) -> (&'static str, String, Option<Value>),
);

const CALLS: [Call; 21] = [
    ("issuer", |_| {
        (
            "POST",
            "/v1/issuers/a/tokens".to_owned(),
            Some(json!({ "claims": {} })),
        )
    }),
    ("issuer", |_| {
        let body = json!({ "requests": [{ "claims": {} }] });
        ("POST", "/v1/issuers/a/tokens/batch".to_owned(), Some(body))
    }),
    ("auditor", |_| {
        ("GET", "/v1/issuers/a/keys".to_owned(), None)
    }),
    ("auditor", |server| {
        (
            "GET",
            format!("/v1/issuers/a/keys/{}", kid(server, "a", "active")),
            None,
        )
    }),
    ("auditor", |_| {
        ("GET", "/v1/issuers/a/plan".to_owned(), None)
    }),
    ("auditor", |_| {
        let path = format!("/v1/issuers/a/history?at={}", now_millis() / 1000);
        ("GET", path, None)
    }),
    ("auditor", |_| {
        (
            "POST",
            "/v1/issuers/a/plan".to_owned(),
            Some(world::policy("a", json!({}))),
        )
    }),
    ("auditor", |_| ("GET", "/v1/audit".to_owned(), None)),
    ("auditor", |_| ("GET", "/v1/audit/head".to_owned(), None)),
    ("auditor", |_| ("GET", "/v1/audit/export".to_owned(), None)),
    ("auditor", |_| {
        ("GET", "/v1/audit?issuer=a&after=1&limit=2".to_owned(), None)
    }),
    ("security", |_| {
        (
            "POST",
            "/v1/issuers/a/rotate".to_owned(),
            Some(json!({ "force": true })),
        )
    }),
    ("security", |server| {
        let path = format!("/v1/issuers/a/keys/{}/revoke", kid(server, "a", "active"));
        ("POST", path, Some(json!({ "reason": "leak" })))
    }),
    ("security", |_| {
        let secret = p256_pem().0;
        let jwk = world::p256_jwk(&secret, &format!("kid-{}", world::number()));
        let body = json!({ "algorithm": "ES256", "state": "retired", "public_key": jwk });
        ("POST", "/v1/issuers/a/keys".to_owned(), Some(body))
    }),
    ("admin", |_| ("GET", "/v1/issuers".to_owned(), None)),
    ("admin", |_| ("GET", "/v1/issuers/a".to_owned(), None)),
    ("admin", |_| {
        (
            "PUT",
            "/v1/issuers/a".to_owned(),
            Some(world::policy("a", json!({}))),
        )
    }),
    ("admin", |_| {
        let name = format!("new-{:x}", world::number());
        (
            "PUT",
            format!("/v1/issuers/{name}"),
            Some(world::policy(&name, json!({}))),
        )
    }),
    ("admin", |_| ("GET", "/v1/clients".to_owned(), None)),
    ("admin", |_| {
        let body = json!({ "name": "another", "roles": ["issuer"] });
        ("POST", "/v1/clients".to_owned(), Some(body))
    }),
    ("admin", |server| {
        let client = create_client(server, "short-lived", &["issuer"]);
        (
            "DELETE",
            format!("/v1/clients/{}", client["id"].as_str().unwrap()),
            None,
        )
    }),
];

fn call(server: &Server, credential: Option<&str>, call: &Call) -> (Answer, String) {
    let (method, path, body) = call.1(server);
    let shown = format!("{method} {path}");
    let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
    (server.call_as(credential, method, &path, body), shown)
}

#[test]
fn every_role_may_do_what_the_contract_says_and_nothing_else() {
    let server = start("");
    create_issuer(&server, "a", json!({}));
    let roles = ["issuer", "security", "auditor", "admin"];
    let clients = roles.map(|role| (vec![role], create_client(&server, role, &[role])));
    let pairs = [
        ["issuer", "auditor"],
        ["security", "auditor"],
        ["admin", "issuer"],
    ];
    let pairs = pairs.map(|pair| (pair.to_vec(), create_client(&server, "pair", &pair)));
    let mut allowed = 0;
    for (roles, client) in clients.iter().chain(&pairs) {
        let credential = credential(client);
        for one in &CALLS {
            let may = roles.contains(&one.0);
            let before = (!may).then(|| {
                let request = one.1(&server);
                (request, world::state(&server))
            });
            let Some(((method, path, body), before)) = before else {
                let (answer, shown) = call(&server, Some(&credential), one);
                assert!((200..300).contains(&answer.status), "{roles:?}: {shown}");
                allowed += 1;
                continue;
            };
            let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
            let answer = server.call_as(Some(&credential), method, &path, body);
            let (problem, shown) = (answer.json(), format!("{roles:?}: {method} {path}"));
            assert_eq!(
                (answer.status, &problem["code"]),
                (403, &json!("role-missing")),
                "{shown}"
            );
            assert_eq!(problem["role"], one.0, "{shown}");
            assert!(problem["detail"].as_str().unwrap().contains(one.0));
            let challenge = "Bearer realm=\"keywright\", error=\"insufficient_scope\"";
            assert_eq!(
                answer.header("www-authenticate"),
                Some(challenge),
                "{shown}"
            );
            before.assert_same(&world::state(&server));
        }
    }
    assert_eq!(
        allowed,
        21 + (2 + 9) + (3 + 9) + (7 + 2),
        "the matrix is the one above"
    );
}

#[test]
fn without_a_credential_nothing_but_the_metrics_answers() {
    let server = start("");
    create_issuer(&server, "a", json!({}));
    let requests = CALLS.map(|one| one.1(&server));
    let before = world::state(&server);
    for (method, path, body) in requests {
        for credential in [None, Some("kw_0000000000000000_x")] {
            let body = body.as_ref();
            let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
            let answer = server.call_as(credential, method, &path, body);
            assert_eq!(answer.status, 401, "{method} {path}");
        }
        if method == "GET" {
            assert_eq!(
                plain(&server.internal, "HEAD", &path, &[]).status,
                401,
                "HEAD {path}"
            );
        }
    }
    before.assert_same(&world::state(&server));
    let metrics = plain(&server.internal, "GET", "/metrics", &[]);
    assert_eq!(metrics.status, 200);
    // What everybody may read names no kid and no client.
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(
        !text.contains(&kid(&server, "a", "active")) && !text.contains("bootstrap"),
        "{text}"
    );
    // The public listener has none of it, with a credential or without.
    let credential = format!("Bearer {}", server.admin);
    for path in ["/v1/issuers", "/v1/issuers/a/keys", "/v1/audit", "/metrics"] {
        let answer = plain(
            &server.public,
            "GET",
            path,
            &[("Authorization", &credential)],
        );
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[test]
fn a_credential_ends_with_its_client_and_nobody_elses() {
    let server = start("");
    create_issuer(&server, "a", json!({}));
    let (one, other) = (
        create_client(&server, "twin", &["issuer"]),
        create_client(&server, "twin", &["issuer"]),
    );
    let signs = |client: &Value| {
        let body = Some(("application/json", br#"{"claims":{}}"#.to_vec()));
        server
            .call_as(
                Some(&credential(client)),
                "POST",
                "/v1/issuers/a/tokens",
                body,
            )
            .status
    };
    assert_ne!(one["id"], other["id"]);
    assert_eq!((signs(&one), signs(&other)), (201, 201));
    let path = format!("/v1/clients/{}", one["id"].as_str().unwrap());
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    assert_eq!((signs(&one), signs(&other)), (401, 201));
    assert_eq!(server.call("DELETE", &path, None).status, 404);
    // The list has no credential and no hash of one.
    let listed = ok(server.call("GET", "/v1/clients", None)).to_string();
    assert!(
        !listed.contains("\"credential\"") && !listed.contains("kw_") && !listed.contains("hash"),
        "{listed}"
    );
    let folder = server.kill();
    let server = crate::support::start_in(folder, "").unwrap();
    let body = || Some(("application/json", br#"{"claims":{}}"#.to_vec()));
    let status = |client: &Value| {
        server
            .call_as(
                Some(&credential(client)),
                "POST",
                "/v1/issuers/a/tokens",
                body(),
            )
            .status
    };
    assert_eq!(
        (status(&one), status(&other)),
        (401, 201),
        "also after a crash"
    );
}
