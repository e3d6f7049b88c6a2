//! Whether a token is valid (RFC 7662), and signed answers (RFC 9701).

use serde_json::{Value, json};

use crate::support::{Answer, Server, eventually, request};
use crate::world::{
    Client, ISSUER, assert_error, client, client_with, escape, now, orders, post, service, verified,
};

const GRANT: &str = "grant_type=client_credentials";
const SIGNED: &str = "application/token-introspection+jwt";

fn ask(server: &Server, client: &Client, token: &str) -> Answer {
    let form = format!("token={}&token_type_hint=access_token", escape(token));
    let basic = [("authorization", client.basic())];
    post(server, "/introspect", &basic, &form)
}

fn introspect(server: &Server, client: &Client, token: &str) -> Value {
    let answer = ask(server, client, token);
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

fn introspector(server: &Server, audiences: Value) -> Client {
    let limits = json!({ "audiences": audiences });
    client_with(server, json!({"roles": ["introspector"], "limits": limits}))
}

fn inactive() -> Value {
    json!({"active": false})
}

#[test]
fn a_service_is_told_what_a_valid_token_for_it_says() {
    let server = service("");
    let (service, billing) = (
        introspector(&server, json!(["orders"])),
        introspector(&server, json!(["billing"])),
    );
    let caller = client(&server, orders());
    let token = caller.token(&server, GRANT)["access_token"].clone();
    let token = token.as_str().unwrap();
    let mut expected = verified(&server, token).1;
    expected["active"] = json!(true);
    expected["token_type"] = json!("Bearer");
    assert_eq!(introspect(&server, &service, token), expected);
    // Another service learns nothing of it, not even that it exists.
    assert_eq!(introspect(&server, &billing, token), inactive());
    // Claims about people that no verifier needs to decide are not told.
    let claims = json!({"sub": "user-1", "aud": ["orders", "x"], "email": "a@b.example",
        "username": "a"});
    let token = server.sign("default", &json!({ "claims": claims }));
    let told = introspect(&server, &service, &token);
    assert_eq!(
        (&told["active"], &told["sub"]),
        (&json!(true), &json!("user-1"))
    );
    assert_eq!((told.get("email"), told.get("username")), (None, None));
    assert_eq!(told["aud"], json!(["orders", "x"]));
}

#[test]
fn a_token_that_verifiers_refuse_is_inactive_and_nothing_else_is_said() {
    let server = service("");
    let service = introspector(&server, json!(["orders"]));
    let sign = |claims: Value, expires_in: u64| {
        let body = json!({"claims": claims, "expires_in": expires_in});
        server.sign("default", &body)
    };
    let good = || sign(json!({"sub": "user-1", "aud": "orders"}), 60);
    let token = good();
    let (input, _) = token.rsplit_once('.').unwrap();
    let early = sign(json!({"aud": "orders", "nbf": now() + 100}), 200);
    let untargeted = sign(json!({"sub": "user-1"}), 60);
    let head = server.fetch("/.well-known/revocations").body;
    let head = String::from_utf8(head).unwrap();
    for text in [
        "",
        "x",
        &format!("{input}.AAAA"),
        &early,
        &untargeted,
        &head,
    ] {
        if text.is_empty() {
            continue;
        }
        assert_eq!(introspect(&server, &service, text), inactive(), "{text}");
    }
    // A document of another kind is no token, also for a service that may ask about every audience.
    let anyone = client_with(&server, json!({"roles": ["introspector"]}));
    assert_eq!(introspect(&server, &anyone, &untargeted)["active"], true);
    assert_eq!(introspect(&server, &anyone, &head), inactive());
    let short = sign(json!({"aud": "orders"}), 1);
    eventually("the end of the token", || {
        (introspect(&server, &service, &short) == inactive()).then_some(())
    });
    // What was taken back, by any selector, is inactive at once, and stays so.
    assert_eq!(introspect(&server, &service, &token)["active"], true);
    let body = json!({"subject": "user-1"});
    let answer = server.call("POST", "/v1/issuers/default/revocations", Some(&body));
    assert_eq!(answer.status, 201);
    assert_eq!(introspect(&server, &service, &token), inactive());
    // One that is signed afterwards is not.
    assert_eq!(introspect(&server, &service, &good())["active"], true);
    let other = sign(json!({"sub": "user-2", "aud": "orders"}), 60);
    assert_eq!(introspect(&server, &service, &other)["active"], true);
}

/// The tokens of a revoked key are dead.
#[test]
fn the_token_of_a_revoked_key_is_inactive() {
    let server = service("");
    let service = introspector(&server, json!(["orders"]));
    let token = server.sign("default", &json!({"claims": {"aud": "orders"}}));
    assert_eq!(introspect(&server, &service, &token)["active"], true);
    let keys = server.call("GET", "/v1/issuers/default/keys", None).json();
    let keys = keys["keys"].as_array().unwrap();
    let is_active = |key: &&Value| key["algorithm"] == "ES256" && key["state"] == "active";
    let kid = keys.iter().find(is_active).unwrap()["kid"]
        .as_str()
        .unwrap();
    let path = format!("/v1/issuers/default/keys/{kid}/revoke");
    let answer = server.call("POST", &path, Some(&json!({"reason": "a test"})));
    assert!(answer.status < 300, "{}", answer.json());
    assert_eq!(introspect(&server, &service, &token), inactive());
}

#[test]
fn a_signed_answer_can_pass_for_nothing_else() {
    let server = service("");
    let service = introspector(&server, json!(["orders"]));
    let token = server.sign(
        "default",
        &json!({"claims": {"sub": "user-1", "aud": "orders"}}),
    );
    for (token, active) in [(token.as_str(), true), ("nothing", false)] {
        let headers = [
            ("authorization", service.basic()),
            ("accept", format!("text/html, {SIGNED};q=0.9")),
        ];
        let answer = post(&server, "/introspect", &headers, &format!("token={token}"));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some(SIGNED));
        let signed = String::from_utf8(answer.body).unwrap();
        let (header, claims) = verified(&server, &signed);
        assert_eq!(header["typ"], "token-introspection+jwt");
        assert_eq!(header["alg"], "RS256");
        let names: Vec<&String> = claims.as_object().unwrap().keys().collect();
        assert_eq!(names, ["aud", "iat", "iss", "token_introspection"]);
        assert_eq!(
            (&claims["iss"], &claims["aud"]),
            (&json!(ISSUER), &json!(service.id))
        );
        assert_eq!(claims["token_introspection"]["active"], active);
        assert_eq!(claims["token_introspection"].get("sub").is_some(), active);
        // It is no token itself, for no caller.
        assert_eq!(
            introspect(&server, &introspector(&server, json!(["*"])), &signed),
            inactive()
        );
    }
}

#[test]
fn only_an_introspector_asks() {
    let server = service("");
    let caller = client(&server, orders());
    let token = caller.token(&server, GRANT)["access_token"].clone();
    let token = token.as_str().unwrap();
    let answer = ask(&server, &caller, token);
    assert_error(
        &answer,
        400,
        "unauthorized_client",
        "role-missing",
        "an issuer",
    );
    let answer = post(&server, "/introspect", &[], &format!("token={token}"));
    assert_error(
        &answer,
        401,
        "invalid_client",
        "credential-missing",
        "nobody",
    );
    let service = introspector(&server, json!(["orders"]));
    let basic = [("authorization", service.basic())];
    let answer = post(&server, "/introspect", &basic, "");
    assert_error(&answer, 400, "invalid_request", "field-missing", "no token");
    // No page asks.
    let headers = [("origin", crate::world::ORIGIN.to_owned())];
    let answer = request(
        "OPTIONS",
        &format!("{}/introspect", server.public),
        &headers,
        None,
    );
    assert_eq!(answer.header("access-control-allow-origin"), None);
    // Its answers are of no issuer that it may not call.
    let elsewhere = json!({"issuers": ["shop"]});
    let elsewhere = client_with(
        &server,
        json!({"roles": ["introspector"], "limits": elsewhere}),
    );
    let answer = ask(&server, &elsewhere, token);
    assert_error(
        &answer,
        400,
        "unauthorized_client",
        "client-limit",
        "another issuer's",
    );
}
