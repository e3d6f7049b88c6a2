//! Every way in which a client authenticates.

use serde_json::{Value, json};

use crate::support::{Answer, Server};
use crate::world::{
    Client, ISSUER, Signatory, assert_error, basic, client, client_with, escape, now, orders, post,
    service, verified,
};

const GRANT: &str = "grant_type=client_credentials";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[test]
fn a_credential_authenticates_in_header_and_body() {
    let server = service("");
    let service = client(&server, orders());
    let form = format!(
        "{GRANT}&client_id={}&client_secret={}",
        service.id, service.secret
    );
    assert_eq!(post(&server, "/token", &[], &form).status, 200);
    // Clients encode both parts before they join them (RFC 6749 §2.3.1).
    let encoded = basic(&escape(&service.id), &service.secret.replace('_', "%5F"));
    let answer = post(&server, "/token", &[("authorization", encoded)], GRANT);
    assert_eq!(answer.status, 200, "{}", answer.json());
    // A client that is deleted gets nothing from then on.
    let path = format!("/v1/clients/{}", service.id);
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    let answer = service.ask(&server, GRANT);
    assert_error(
        &answer,
        401,
        "invalid_client",
        "credential-invalid",
        "a deleted client",
    );
}

fn present(server: &Server, assertion: &str, more: &str) -> Answer {
    let kind = escape(JWT_BEARER);
    let form = format!("{GRANT}&client_assertion_type={kind}&client_assertion={assertion}{more}");
    post(server, "/token", &[], &form)
}

/// What a client says of itself to the token endpoint.
fn claims(client: &Client, audience: Value) -> Value {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    json!({
        "iss": client.id, "sub": client.id, "aud": audience, "iat": now(), "exp": now() + 60,
        "jti": format!("jti-{number}"),
    })
}

fn keyed(server: &Server, key: &Signatory) -> Client {
    client_with(
        server,
        json!({"limits": orders(), "jwks": key.jwks(), "credential": null}),
    )
}

/// Assertions from the second of the start are refused: whether they were used is not known.
fn outlast_the_second_of_the_start() {
    let start = now();
    crate::support::eventually("the next second", || (now() > start + 1).then_some(()));
}

#[test]
fn an_assertion_for_the_issuer_or_its_endpoint_authenticates_once() {
    let internal = "https://keys.example.com/internal";
    let server = service(&format!("internal.audience = \"{internal}\"\n"));
    outlast_the_second_of_the_start();
    let (key, foreign) = (Signatory::new("mine"), Signatory::new("mine"));
    let (service, other) = (keyed(&server, &key), keyed(&server, &foreign));
    let endpoint = format!("{ISSUER}/token");
    for audience in [
        json!(ISSUER),
        json!(endpoint),
        json!([ISSUER]),
        json!([ISSUER, endpoint]),
    ] {
        let assertion = key.sign(&claims(&service, audience.clone()));
        let answer = present(&server, &assertion, "");
        assert_eq!(answer.status, 200, "{audience}: {}", answer.json());
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(verified(&server, &token).1["sub"], service.id.as_str());
        let again = present(&server, &assertion, "");
        assert_error(
            &again,
            401,
            "invalid_client",
            "credential-invalid",
            "a replay",
        );
    }
    let named = key.sign(&claims(&service, json!(ISSUER)));
    let client_id = format!("&client_id={}", service.id);
    assert_eq!(present(&server, &named, &client_id).status, 200);

    let with = |changes: Value| {
        let mut good = claims(&service, json!(ISSUER));
        good.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        key.sign(&good)
    };
    for (what, assertion) in [
        ("for the internal API", with(json!({"aud": internal}))),
        (
            "for another server, too",
            with(json!({"aud": [ISSUER, "https://evil.example"]})),
        ),
        ("for nobody", with(json!({"aud": []}))),
        (
            "for an issuer that only begins like it",
            with(json!({"aud": format!("{ISSUER}/")})),
        ),
        ("expired", with(json!({"exp": now() - 1}))),
        ("valid for too long", with(json!({"exp": now() + 3600}))),
        ("of another subject", with(json!({"sub": other.id}))),
        (
            "of another key",
            foreign.sign(&claims(&service, json!(ISSUER))),
        ),
    ] {
        let answer = present(&server, &assertion, "");
        assert_error(&answer, 401, "invalid_client", "credential-invalid", what);
    }
    // What a wrong client_id refuses is not used up.
    let assertion = with(json!({}));
    let answer = present(&server, &assertion, &format!("&client_id={}", other.id));
    assert_error(
        &answer,
        401,
        "invalid_client",
        "credential-invalid",
        "another client_id",
    );
    assert_eq!(present(&server, &assertion, "").status, 200);
    // An assertion for the token endpoint is good for nothing on the internal API.
    let body = Some((
        "application/json",
        br#"{"claims":{"aud":"orders"}}"#.to_vec(),
    ));
    let call = |bearer: &str| {
        let path = "/v1/issuers/default/tokens";
        server
            .call_as(Some(bearer), "POST", path, body.clone())
            .status
    };
    assert_eq!(call(&with(json!({}))), 401);
    assert_eq!(call(&with(json!({"aud": internal}))), 201);
}

#[test]
fn an_assertion_names_its_type() {
    let server = service("");
    let form = format!("{GRANT}&client_assertion=eyJ.eyJ.x");
    let answer = post(&server, "/token", &[], &form);
    assert_error(&answer, 400, "invalid_request", "field-missing", "no type");
    let answer = post(
        &server,
        "/token",
        &[],
        &format!("{form}&client_assertion_type=jwt"),
    );
    assert_error(
        &answer,
        400,
        "invalid_request",
        "invalid-body",
        "another type",
    );
}

/// The token of a trusted issuer, such as a cluster, as a client assertion.
#[test]
fn a_workload_authenticates_with_the_token_of_its_platform() {
    let folder = tempfile::tempdir().unwrap();
    let platform = Signatory::new("mine");
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, platform.jwks().to_string()).unwrap();
    let trust = format!(
        "[[trusted_issuers]]\nname = \"cluster\"\nissuer = \"https://cluster.example\"\n\
         audience = \"https://keys.example\"\njwks_file = \"{}\"\n",
        file.display()
    );
    let server = service(&trust);
    let workload = json!([{"issuer": "cluster", "claims": {"sub": "prod:orders"}}]);
    let changes = json!({"limits": orders(), "workloads": workload, "credential": null});
    let pod = client_with(&server, changes);
    let token = |subject: &str| {
        platform.sign(&json!({
            "iss": "https://cluster.example", "sub": subject, "aud": "https://keys.example",
            "iat": now(), "exp": now() + 600,
        }))
    };
    let good = token("prod:orders");
    for _ in 0..2 {
        let answer = present(&server, &good, "");
        assert_eq!(answer.status, 200, "{}", answer.json());
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(verified(&server, &token).1["client_id"], pod.id.as_str());
    }
    assert_eq!(
        present(&server, &good, &format!("&client_id={}", pod.id)).status,
        200
    );
    let answer = present(&server, &good, "&client_id=another");
    assert_error(
        &answer,
        401,
        "invalid_client",
        "credential-invalid",
        "another client",
    );
    let answer = present(&server, &token("test:orders"), "");
    assert_error(
        &answer,
        401,
        "invalid_client",
        "credential-invalid",
        "another workload",
    );
}
