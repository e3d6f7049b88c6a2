//! Guards on routes: what a good token must say.

use axum::Router;
use axum::routing::get;
use keywright_verifier::axum::{Authentication, RequirementLayer, require_claim, require_scope};
use serde_json::{Value, json};

use crate::service::{Issuer, NO_LINES, Runs, Service};

fn router(layer: RequirementLayer, authentication: Authentication, runs: &Runs) -> Router {
    let runs = runs.clone();
    let handler = || async move { runs.add() };
    Router::new()
        .route("/", get(handler).layer(layer))
        .layer(authentication)
}

/// Whether a token with these claims passes the layer. If not, the response is that of RFC 6750 §3.1.
fn passes(layer: RequirementLayer, claims: Value) -> bool {
    let issuer = Issuer::new();
    let runs = Runs::default();
    let service = Service::start(|| router(layer, issuer.authentication(), &runs));
    let answer = service.get("/", &[issuer.bearer(claims)]);
    if answer.status == 200 {
        assert_eq!(runs.count(), 1);
        return true;
    }
    let (status, _, challenge) = answer.refusal();
    assert_eq!((status, runs.count()), (403, 0));
    assert!(challenge.unwrap().contains(r#"error="insufficient_scope""#));
    false
}

#[test]
fn a_scope_is_found_whole_in_a_list_with_spaces() {
    let asks = || require_scope("orders:read");
    for scope in [
        "orders:read",
        "orders:read orders:write",
        "profile orders:read",
        "profile  orders:read ",
    ] {
        assert!(passes(asks(), json!({"scope": scope})), "{scope}");
    }
    for scope in [
        "orders:readall",
        "all-orders:read",
        "orders:rea",
        "ORDERS:READ",
        "orders:read,orders:write",
        "orders:read\torders:write",
        "orders:write",
        "",
        " ",
    ] {
        assert!(!passes(asks(), json!({"scope": scope})), "{scope}");
    }
}

#[test]
fn a_scope_that_is_no_string_grants_nothing() {
    for scope in [
        json!(["orders:read"]),
        json!(7),
        json!(true),
        json!({"orders:read": true}),
        Value::Null,
    ] {
        let claims = json!({"scope": scope});
        assert!(!passes(require_scope("orders:read"), claims), "{scope}");
    }
}

#[test]
fn several_scopes_are_all_asked_for() {
    let asks = || require_scope("orders:read orders:write");
    assert!(passes(
        asks(),
        json!({"scope": "orders:write profile orders:read"})
    ));
    assert!(!passes(asks(), json!({"scope": "orders:read"})));
    assert!(!passes(asks(), json!({"scope": "orders:write"})));
}

#[test]
fn a_requirement_without_a_scope_lets_no_token_pass() {
    for nothing in ["", " ", "  "] {
        for scope in ["", " ", "orders:read"] {
            assert!(!passes(require_scope(nothing), json!({"scope": scope})));
        }
    }
}

#[test]
fn a_claim_is_the_value_or_an_array_that_has_it() {
    let asks = || require_claim("tenant", "acme");
    assert!(passes(asks(), json!({"tenant": "acme"})));
    assert!(passes(asks(), json!({"tenant": ["other", "acme"]})));
    for tenant in [
        json!("other"),
        json!("acme "),
        json!("ACME"),
        json!(["other"]),
        json!([["acme"]]),
        json!([]),
        json!({"acme": true}),
        json!(1),
        Value::Null,
    ] {
        assert!(!passes(asks(), json!({"tenant": tenant})), "{tenant}");
    }
}

#[test]
fn a_claim_has_the_type_that_was_asked_for() {
    assert!(passes(require_claim("admin", true), json!({"admin": true})));
    assert!(!passes(
        require_claim("admin", true),
        json!({"admin": "true"})
    ));
    assert!(!passes(require_claim("admin", true), json!({"admin": 1})));
    assert!(passes(require_claim("level", 3), json!({"level": 3})));
    assert!(!passes(require_claim("level", 3), json!({"level": "3"})));
    assert!(!passes(require_claim("tenant", Value::Null), json!({})));
}

#[test]
fn the_challenge_of_a_requirement_names_the_scope_and_no_claim_value() {
    let issuer = Issuer::new();
    let rows = [
        (
            require_scope("orders:write"),
            "scope-missing",
            r#"Bearer realm="api", error="insufficient_scope", error_description="the token lacks the scope 'orders:write'", scope="orders:write""#,
        ),
        (
            require_scope("orders:read orders:write"),
            "scope-missing",
            r#"Bearer realm="api", error="insufficient_scope", error_description="the token lacks the scope 'orders:read orders:write'", scope="orders:read orders:write""#,
        ),
        (
            require_claim("tenant", "acme"),
            "claim-missing",
            r#"Bearer realm="api", error="insufficient_scope", error_description="claim 'tenant' of the token does not allow this""#,
        ),
        // A developer who writes such a layer gets a challenge that can be read, and no second header.
        (
            require_scope("a\"b\\c\r\nd\u{e9}"),
            "scope-missing",
            r#"Bearer realm="api", error="insufficient_scope", error_description="the token lacks the scope 'a'b'c''d''", scope="a'b'c''d'""#,
        ),
        (
            require_claim("a\\\u{e9}", 1),
            "claim-missing",
            r#"Bearer realm="api", error="insufficient_scope", error_description="claim 'a''' of the token does not allow this""#,
        ),
    ];
    for (layer, code, challenge) in rows {
        let runs = Runs::default();
        let service = Service::start(|| router(layer, issuer.authentication(), &runs));
        let answer = service.get("/", &[issuer.bearer(json!({"tenant": "the-other-tenant"}))]);
        assert_eq!(answer.refusal(), (403, code.to_owned(), Some(challenge)));
        assert!(!answer.whole.contains("the-other-tenant"));
        assert!(!answer.whole.contains("acme"));
        assert_eq!(runs.count(), 0);
    }
}

#[test]
fn the_challenge_of_a_requirement_has_the_realm_of_the_authentication() {
    let issuer = Issuer::new();
    let authentication = issuer.authentication().realm("orders");
    let layer = require_scope("orders:write");
    let service = Service::start(|| router(layer, authentication, &Runs::default()));
    let answer = service.get("/", &[issuer.bearer(json!({}))]);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with(r#"Bearer realm="orders", "#));
}

#[test]
fn a_requirement_without_an_authentication_lets_no_request_pass() {
    let issuer = Issuer::new();
    let runs = Runs::default();
    let service = Service::start(|| {
        let (unprotected, outside) = (runs.clone(), runs.clone());
        Router::new()
            .route(
                "/alone",
                get(|| async move { unprotected.add() }).layer(require_scope("orders:read")),
            )
            // The wrong order: the requirement is checked before the token is verified.
            .route(
                "/outside",
                get(|| async move { outside.add() })
                    .layer(issuer.authentication())
                    .layer(require_scope("orders:read")),
            )
    });
    let good = issuer.bearer(json!({}));
    for path in ["/alone", "/outside"] {
        let answer = service.get(path, &[&good]);
        let expected = (500, "authentication-missing".to_owned(), None);
        assert_eq!(answer.refusal(), expected);
        assert_eq!(service.get(path, &NO_LINES).refusal(), expected);
    }
    assert_eq!(runs.count(), 0);
}

#[test]
fn requirements_add_up() {
    let issuer = Issuer::new();
    let service = Service::start(|| {
        let both = get(|| async {})
            .layer(require_scope("orders:read"))
            .layer(require_claim("tenant", "acme"));
        Router::new()
            .route("/", both)
            .layer(issuer.authentication())
    });
    let status = |claims| service.get("/", &[issuer.bearer(claims)]).status;
    assert_eq!(status(json!({"tenant": "acme"})), 200);
    assert_eq!(status(json!({"tenant": "acme", "scope": "profile"})), 403);
    assert_eq!(status(json!({})), 403);
}
