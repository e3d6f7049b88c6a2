//! Grants: opened, read, changed and ended on the internal API.

use serde_json::{Value, json};

use crate::refresh::{renew, renewed};
use crate::support::{Answer, Server};
use crate::world::{Client, ISSUER, client, client_with, expires_in, now, service, verified};

const GRANTS: &str = "/v1/issuers/default/grants";

/// Claims of a grant.
pub fn claims() -> Value {
    json!({"sub": "user-1", "aud": ["orders", "billing"], "scope": "read write"})
}

/// Opens a grant as the bootstrap client, with changes of the request.
pub fn open(server: &Server, changes: Value) -> Answer {
    let mut body = json!({"claims": claims(), "client": "public"});
    let more = changes.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    server.call("POST", GRANTS, Some(&body))
}

pub fn opened(server: &Server, changes: Value) -> Value {
    let answer = open(server, changes);
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

pub fn shown(server: &Server, grant: &Value) -> Value {
    let path = format!("{GRANTS}/{}", grant["grant"].as_str().unwrap());
    let answer = server.call("GET", &path, None);
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

fn call_as(
    server: &Server,
    client: &Client,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
    server.call_as(Some(&client.secret), method, path, body)
}

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    let document = answer.json();
    assert_eq!(
        (answer.status, &document["code"]),
        (status, &json!(code)),
        "{document}"
    );
}

#[test]
fn a_grant_is_opened_with_its_first_tokens() {
    let server = service("");
    let answer = open(&server, json!({"expires_in": 60}));
    let grant = answer.json();
    assert_eq!(answer.status, 201, "{grant}");
    let id = grant["grant"].as_str().unwrap();
    assert_eq!(
        answer.header("location"),
        Some(format!("{GRANTS}/{id}").as_str())
    );
    assert_eq!(grant["token_type"], "Bearer");
    assert!(expires_in(&grant, 60), "{grant}");
    let (header, claims) = verified(&server, grant["access_token"].as_str().unwrap());
    assert_eq!(header["typ"], "at+jwt");
    let (iat, jti) = (claims["iat"].as_u64().unwrap(), claims["jti"].clone());
    assert_eq!(
        claims,
        json!({"iss": ISSUER, "sub": "user-1", "aud": ["orders", "billing"], "scope": "read write",
            "client_id": "public", "sid": id, "iat": iat, "exp": iat + 60, "jti": jti})
    );
    let shown = shown(&server, &grant);
    assert_eq!(
        (&shown["state"], &shown["client"]),
        (&json!("live"), &json!("public"))
    );
    assert_eq!(shown["claims"], crate::grants::claims());
    assert_eq!(shown["opened_at"], iat);
    let twelve_hours = shown["expires_at"].as_u64().unwrap() - iat;
    assert!((43_200..=43_201).contains(&twelve_hours), "{twelve_hours}");
    let thirty_days = shown["ends_at"].as_u64().unwrap() - iat;
    assert!(
        (2_592_000..=2_592_001).contains(&thirty_days),
        "{thirty_days}"
    );
    // Neither its secret nor its hash is shown anywhere.
    assert!(!shown.to_string().contains("kwr1"));
}

#[test]
fn what_breaks_a_rule_opens_nothing() {
    let server = service("oauth.max_grants_per_client = 3\noauth.max_grants_per_issuer = 4\n");
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        json!({ "claims": claims })
    };
    for (changes, status, code) in [
        (json!({"claims": {"sub": "a"}}), 400, "claim-missing"),
        (json!({"claims": {"aud": "a"}}), 400, "claim-missing"),
        (with("sid", json!("mine")), 400, "claim-reserved"),
        (with("jti", json!("mine")), 400, "claim-reserved"),
        (with("act", json!({"sub": "b"})), 403, "client-limit"),
        (json!({"client": ""}), 400, "invalid-grant-client"),
        (json!({"client": "nobody"}), 400, "invalid-grant-client"),
        (
            json!({"client": "bootstrap", "claims": {"sub": "a", "aud": "b", "client_id": "c"}}),
            400,
            "claim-type",
        ),
        (json!({"expires_in": 0}), 400, "ttl-zero"),
        (json!({"expires_in": 3601}), 400, "ttl-over-maximum"),
        (json!({"refresh": {"bind": "cookie"}}), 400, "invalid-body"),
        (
            json!({"refresh": {"idle": "2h", "absolute": "1h"}}),
            400,
            "invalid-refresh",
        ),
        (
            json!({"refresh": {"absolute": "367d"}}),
            400,
            "invalid-refresh",
        ),
        (json!({"refresh": {"idle": "0s"}}), 400, "invalid-duration"),
        (json!({"refresh": {"grace": "1s"}}), 400, "unknown-field"),
        (json!({"subject": "a"}), 400, "unknown-field"),
    ] {
        let answer = open(&server, changes.clone());
        let document = answer.json();
        assert_eq!(
            (answer.status, &document["code"]),
            (status, &json!(code)),
            "{changes} {document}"
        );
    }
    let none = server.call("GET", GRANTS, None).json();
    assert_eq!(none, json!({"grants": [], "next": null}));
    // The numbers: of a client, and of the issuer.
    for _ in 0..3 {
        opened(&server, json!({}));
    }
    let full = open(&server, json!({}));
    assert_problem(&full, 429, "too-many-grants");
    assert!(full.header("retry-after").is_some());
    let other = client(&server, json!({}));
    let body = json!({"claims": claims(), "client": "public"});
    let fourth = call_as(&server, &other, "POST", GRANTS, Some(&body));
    assert_eq!(fourth.status, 201);
    let fifth = call_as(&server, &other, "POST", GRANTS, Some(&body));
    assert_problem(&fifth, 429, "too-many-grants");
}

#[test]
fn a_grant_is_within_the_limits_of_its_client_when_it_is_opened_and_when_it_is_renewed() {
    let server = service("");
    let limits = json!({"subjects": ["user-*"], "audiences": ["orders"], "scopes": ["read", "write"],
        "max_ttl": "60s", "types": ["at+jwt"], "claims": ["client_id"]});
    let login = client(&server, limits.clone());
    let open = |claims: Value| {
        let body = json!({"claims": claims, "client": "public"});
        call_as(&server, &login, "POST", GRANTS, Some(&body))
    };
    for claims in [
        json!({"sub": "admin", "aud": "orders", "scope": "read"}),
        json!({"sub": "user-1", "aud": "billing", "scope": "read"}),
        json!({"sub": "user-1", "aud": "orders", "scope": "admin"}),
        json!({"sub": "user-1", "aud": "orders", "scope": "read", "roles": ["a"]}),
    ] {
        assert_problem(&open(claims), 403, "client-limit");
    }
    let answer = open(json!({"sub": "user-1", "aud": "orders", "scope": "read"}));
    let grant = answer.json();
    assert_eq!(answer.status, 201, "{grant}");
    assert!(expires_in(&grant, 60), "{grant}");
    let grant = renewed(&server, &grant, "");
    // A limit that was narrowed since holds at the next renewal, and one that is gone ends it.
    let path = format!("/v1/clients/{}", login.id);
    let mut terms = json!({"name": "a service", "roles": ["issuer"], "limits": limits});
    terms["limits"]["scopes"] = json!(["write"]);
    assert_eq!(server.call("PUT", &path, Some(&terms)).status, 200);
    let refused = renew(&server, &grant, "");
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (400, &json!("invalid_scope"))
    );
    terms["limits"]["scopes"] = json!(["read"]);
    assert_eq!(server.call("PUT", &path, Some(&terms)).status, 200);
    let grant = renewed(&server, &grant, "");
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    let gone = renew(&server, &grant, "");
    assert_eq!(
        (gone.status, &gone.json()["error"]),
        (400, &json!("invalid_grant"))
    );
}

#[test]
fn grants_are_read_by_subject_a_page_at_a_time() {
    let server = service("");
    let mut of_user: Vec<String> = Vec::new();
    for subject in ["user-1", "user-2", "user-1", "user-1"] {
        let grant = opened(
            &server,
            json!({"claims": {"sub": subject, "aud": "orders"}}),
        );
        if subject == "user-1" {
            of_user.push(grant["grant"].as_str().unwrap().to_owned());
        }
    }
    of_user.sort();
    let page = |query: &str| {
        server
            .call("GET", &format!("{GRANTS}?{query}"), None)
            .json()
    };
    let ids = |page: &Value| -> Vec<String> {
        let grants = page["grants"].as_array().unwrap().iter();
        grants
            .map(|grant| grant["grant"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = page("subject=user-1&limit=2");
    assert_eq!(ids(&first), of_user[..2]);
    let next = first["next"].as_str().unwrap();
    let second = page(&format!("subject=user-1&limit=2&after={next}"));
    assert_eq!(
        (ids(&second), &second["next"]),
        (of_user[2..].to_vec(), &Value::Null)
    );
    assert_eq!(ids(&page("")).len(), 4);
    assert!(ids(&page("subject=nobody")).is_empty());
    assert_eq!(page("limit=0")["code"], "invalid-query");
    assert_eq!(page("client=a")["code"], "invalid-query");
}

#[test]
fn a_client_reads_changes_and_ends_the_grants_of_its_own_subjects() {
    let server = service("");
    let limits = json!({"subjects": ["user-1"]});
    let login = client(&server, limits.clone());
    let revoker = client_with(&server, json!({"roles": ["revoker"], "limits": limits}));
    let security = client_with(&server, json!({"roles": ["security"]}));
    let auditor = client_with(&server, json!({"roles": ["auditor"]}));
    let id = |grant: Value| grant["grant"].as_str().unwrap().to_owned();
    let own = id(opened(&server, json!({})));
    let foreign = id(opened(
        &server,
        json!({"claims": {"sub": "user-2", "aud": "orders"}}),
    ));
    let status = |client: &Client, method: &str, path: &str, body: Option<&Value>| {
        call_as(&server, client, method, path, body).status
    };
    let (own, foreign) = (format!("{GRANTS}/{own}"), format!("{GRANTS}/{foreign}"));
    let of_subject = format!("{GRANTS}?subject=user-1");
    for client in [&login, &revoker] {
        assert_eq!(status(client, "GET", &own, None), 200);
        assert_eq!(status(client, "GET", &foreign, None), 403);
        assert_eq!(status(client, "DELETE", &foreign, None), 403);
        assert_eq!(status(client, "GET", GRANTS, None), 403);
        assert_eq!(status(client, "GET", &of_subject, None), 200);
    }
    assert_eq!(status(&security, "GET", GRANTS, None), 200);
    assert_eq!(status(&auditor, "GET", GRANTS, None), 403);
    let body = json!({"claims": {"sub": "user-1", "aud": "orders", "scope": "read"}});
    for client in [&revoker, &security] {
        assert_eq!(status(client, "PATCH", &own, Some(&body)), 403);
        assert_eq!(status(client, "POST", GRANTS, Some(&body)), 403);
    }
    assert_eq!(status(&login, "PATCH", &own, Some(&body)), 200);
    let theirs = json!({"claims": {"sub": "user-2", "aud": "orders"}});
    assert_eq!(status(&login, "PATCH", &foreign, Some(&theirs)), 403);
    assert_eq!(status(&revoker, "DELETE", &own, None), 204);
    assert_eq!(status(&security, "DELETE", &foreign, None), 204);
    let unknown = format!("{GRANTS}/5f1c7a40d7b3e2968a90c4b1e6d2f873");
    for method in ["GET", "DELETE"] {
        let answer = call_as(&server, &security, method, &unknown, None);
        assert_problem(&answer, 404, "unknown-grant");
    }
}

#[test]
fn a_renewal_has_the_claims_as_they_are_now() {
    let server = service("");
    let grant = opened(&server, json!({}));
    let path = format!("{GRANTS}/{}", grant["grant"].as_str().unwrap());
    let patch = |claims: Value| {
        server.call(
            "PATCH",
            &path,
            Some(&json!({"claims": claims, "expires_in": 30})),
        )
    };
    assert_problem(
        &patch(json!({"sub": "user-2", "aud": "orders"})),
        409,
        "grant-subject-fixed",
    );
    assert_problem(&patch(json!({"aud": "orders"})), 409, "grant-subject-fixed");
    assert_problem(&patch(json!({"sub": "user-1"})), 400, "claim-missing");
    assert_problem(
        &patch(json!({"sub": "user-1", "aud": "orders", "sid": "x"})),
        400,
        "claim-reserved",
    );
    let narrower = json!({"sub": "user-1", "aud": "orders", "scope": "read", "roles": []});
    let changed = patch(narrower.clone());
    assert_eq!(
        (changed.status, &changed.json()["claims"]),
        (200, &narrower)
    );
    let renewed = renewed(&server, &grant, "");
    assert_eq!(renewed["scope"], "read");
    assert!(expires_in(&renewed, 30), "{renewed}");
    let (_, claims) = verified(&server, renewed["access_token"].as_str().unwrap());
    assert_eq!(
        (&claims["aud"], &claims["roles"]),
        (&json!("orders"), &json!([]))
    );
    assert_eq!(claims["sid"], grant["grant"]);
    let wider = renew(&server, &renewed, "&scope=read%20write");
    assert_eq!(wider.json()["error"], "invalid_scope");
}

#[test]
fn the_end_of_a_grant_is_that_of_its_tokens() {
    let server = service("");
    let grant = opened(&server, json!({}));
    let path = format!("{GRANTS}/{}", grant["grant"].as_str().unwrap());
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    let ended = shown(&server, &grant);
    assert_eq!(
        (&ended["state"], &ended["cause"]),
        (&json!("ended"), &json!("requested"))
    );
    assert!(now() - ended["ended_at"].as_u64().unwrap() < 60);
    let refused = renew(&server, &grant, "");
    let document = refused.json();
    assert_eq!(
        (refused.status, &document["error"]),
        (400, &json!("invalid_grant"))
    );
    let description = document["error_description"].as_str().unwrap();
    assert!(description.starts_with("grant-ended: "), "{description}");
    let revocations = server
        .call("GET", "/v1/issuers/default/revocations", None)
        .json();
    let selector = json!({"session": grant["grant"]});
    let revocations = revocations["revocations"].as_array().unwrap();
    assert_eq!(revocations.len(), 1);
    assert_eq!(revocations[0]["selector"], selector);
    let events = server
        .call("GET", "/v1/audit?event=grant-ended", None)
        .json();
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["grant"], &events[0]["cause"]),
        (&grant["grant"], &json!("requested"))
    );
    let body = json!({"claims": claims()});
    assert_problem(
        &server.call("PATCH", &path, Some(&body)),
        409,
        "grant-ended",
    );
}
