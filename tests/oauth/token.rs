//! What a token of the token endpoint says, and what its answer says.

use serde_json::json;

use crate::support::{Server, start};
use crate::world::{ISSUER, client, client_with, now, orders, post, service, verified};

#[test]
fn a_token_has_the_profile_of_rfc_9068() {
    let server = service("");
    let orders = client(&server, orders());
    let answer = orders.ask(&server, "grant_type=client_credentials");
    assert_eq!(answer.status, 200, "{}", answer.json());
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    assert!(answer.header("x-request-id").is_some());
    let document = answer.json();
    let token = document["access_token"].as_str().unwrap();
    assert_eq!(
        document,
        json!({"access_token": token, "token_type": "Bearer", "expires_in": 900,
            "scope": "orders:read orders:write"})
    );
    let (header, claims) = verified(&server, token);
    assert_eq!(header["typ"], "at+jwt");
    let (iat, jti) = (claims["iat"].as_u64().unwrap(), claims["jti"].clone());
    assert!(now() - iat < 60);
    assert_eq!(jti.as_str().unwrap().len(), 22);
    assert_eq!(
        claims,
        json!({"iss": ISSUER, "sub": orders.id, "client_id": orders.id, "aud": "orders",
            "scope": "orders:read orders:write", "iat": iat, "exp": iat + 900, "jti": jti})
    );
}

#[test]
fn scope_and_target_are_within_the_limits() {
    let server = service("");
    let limits = json!({"audiences": ["orders", "https://billing.example/*"],
        "scopes": ["a", "b"], "max_ttl": "60s", "algorithms": ["RS256"]});
    let service = client(&server, limits);
    for (form, audience, scope) in [
        ("scope=b&audience=orders", "orders", "b"),
        (
            "resource=https%3A%2F%2Fbilling.example%2Feu",
            "https://billing.example/eu",
            "a b",
        ),
    ] {
        let form = format!("grant_type=client_credentials&{form}");
        let document = service.token(&server, &form);
        assert_eq!(document["scope"], scope);
        let (header, claims) = verified(&server, document["access_token"].as_str().unwrap());
        let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(life, 60);
        // What is left of it, on a machine that may be busy.
        let left = document["expires_in"].as_u64().unwrap();
        assert!((50..=60).contains(&left), "{left}");
        assert_eq!(header["alg"], "RS256");
        assert_eq!(
            (&claims["aud"], &claims["scope"]),
            (&json!(audience), &json!(scope))
        );
    }
}

#[test]
fn a_client_without_limits_names_its_target_and_gets_no_scope_that_it_does_not_ask_for() {
    let server = service("");
    let free = client(&server, json!({}));
    let document = free.token(&server, "grant_type=client_credentials&audience=orders");
    assert_eq!(document.get("scope"), None);
    let (_, claims) = verified(&server, document["access_token"].as_str().unwrap());
    assert_eq!(claims.get("scope"), None);
}

/// The endpoint is where the issuer's URL says, and signs with the issuer's keys.
#[test]
fn each_issuer_has_an_endpoint_under_its_path() {
    let server = service("");
    let policy = json!({"url": "http://127.0.0.1:8080/shop/eu", "algorithms": ["ES256"]});
    let answer = server.call("PUT", "/v1/issuers/shop", Some(&policy));
    assert_eq!(answer.status, 201, "{}", answer.json());
    let service = client(
        &server,
        json!({"issuers": ["shop"], "audiences": ["orders"]}),
    );
    let ask = |path: &str| {
        let basic = [("authorization", service.basic())];
        post(&server, path, &basic, "grant_type=client_credentials")
    };
    let answer = ask("/shop/eu/token");
    assert_eq!(answer.status, 200, "{}", answer.json());
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let payload = token.split('.').nth(1).unwrap();
    let payload =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload);
    let claims: serde_json::Value = serde_json::from_slice(&payload.unwrap()).unwrap();
    assert_eq!(claims["iss"], "http://127.0.0.1:8080/shop/eu");
    // It may call the other issuer as little as on the internal API.
    assert_eq!(ask("/token").status, 400);
    assert_eq!(ask("/shop/token").status, 404);
}

#[test]
fn without_the_setting_there_is_no_endpoint() {
    let server = start("");
    let service = client(&server, orders());
    assert_eq!(
        service.ask(&server, "grant_type=client_credentials").status,
        404
    );
    assert!(!metadata_of(&server).contains("token_endpoint"));
}

fn metadata_of(server: &Server) -> String {
    let answer = server.fetch("/.well-known/oauth-authorization-server");
    String::from_utf8(answer.body).unwrap()
}

/// One bucket for both doors, and what is left of it in the answer.
#[test]
fn the_rate_of_a_client_counts_both_doors() {
    let server = service("");
    let rate = json!({"signatures_per_second": 1, "burst": 3});
    let service = client_with(
        &server,
        json!({"limits": {"audiences": ["orders"], "rate": rate}}),
    );
    let body = json!({"claims": {"aud": "orders"}})
        .to_string()
        .into_bytes();
    let sign = || {
        let body = Some(("application/json", body.clone()));
        server.call_as(
            Some(&service.secret),
            "POST",
            "/v1/issuers/default/tokens",
            body,
        )
    };
    assert_eq!(sign().status, 201);
    let answer = service.ask(&server, "grant_type=client_credentials");
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("ratelimit")
            .is_some_and(|left| left.contains("r=1"))
    );
    // A refused request takes a signature, too.
    assert_eq!(service.ask(&server, "grant_type=password").status, 400);
    let answer = service.ask(&server, "grant_type=client_credentials");
    crate::world::assert_error(
        &answer,
        429,
        "temporarily_unavailable",
        "rate-limited",
        "a flood",
    );
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn every_answer_for_a_client_leaves_a_line_in_the_issuance_log() {
    let server = service("issuance_log.to = \"file\"\n");
    let service = client(&server, orders());
    let token = service.token(&server, "grant_type=client_credentials");
    let token = token["access_token"].as_str().unwrap();
    let (_, claims) = verified(&server, token);
    service.ask(&server, "grant_type=client_credentials&scope=admin");
    let folder = server.folder();
    let log = folder.path().join("keys-issuance.jsonl");
    let lines = crate::support::eventually("two lines", || {
        let text = std::fs::read_to_string(&log).ok()?;
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map_while(|line| serde_json::from_str(line).ok())
            .filter(|line: &serde_json::Value| line["client"] == service.id.as_str())
            .collect();
        (lines.len() == 2).then_some(lines)
    });
    assert_eq!(lines[0]["jti"], claims["jti"]);
    assert_eq!(lines[0]["sub"], service.id.as_str());
    assert_eq!(lines[1]["decision"], "client-limit");
    assert_eq!(lines[1]["rule"], "scopes");
}
