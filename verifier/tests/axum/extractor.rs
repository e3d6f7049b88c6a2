//! The claims that a handler gets.

use axum::Router;
use axum::routing::get;
use keywright_verifier::Algorithm;
use keywright_verifier::axum::Authenticated;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::service::{Issuer, NO_LINES, Runs, Service, Told};

#[derive(Clone, Deserialize)]
struct Claims {
    sub: String,
    tenant: String,
}

#[test]
fn a_handler_sees_the_header_and_the_claims_of_the_token() {
    let issuer = Issuer::new();
    let service = Service::start(|| {
        let handler = |Authenticated(token): Authenticated<Claims>| async move {
            assert_eq!(token.header.algorithm, Algorithm::Es256);
            let kid = token.header.kid.as_str().to_owned();
            format!("{} {} {kid}", token.claims.sub, token.claims.tenant)
        };
        Router::new()
            .route("/", get(handler))
            .layer(issuer.authentication())
    });
    // Tokens of several people on one service do not get mixed up.
    for sub in ["alice", "bob", "carol"] {
        let answer = service.get("/", &[issuer.bearer(json!({"sub": sub, "tenant": "acme"}))]);
        assert_eq!(answer.body, format!("{sub} acme key-1"));
    }
}

#[test]
fn claims_of_another_shape_are_refused_and_told() {
    let issuer = Issuer::new();
    let (runs, told) = (Runs::default(), Told::default());
    let service = Service::start(|| {
        let runs = runs.clone();
        let handler = |_: Authenticated<Claims>| async move { runs.add() };
        Router::new()
            .route("/", get(handler))
            .layer(told.by(issuer.authentication()))
    });
    let challenge = r#"Bearer realm="api", error="invalid_token", error_description="the claims do not have the shape that this service reads""#;
    for claims in [
        json!({}),
        json!({"tenant": 7}),
        json!({"tenant": ["secret-tenant"]}),
    ] {
        let answer = service.get("/", &[issuer.bearer(claims)]);
        let expected = (401, "claims-mismatch".to_owned(), Some(challenge));
        assert_eq!(answer.refusal(), expected);
        assert!(!answer.whole.contains("secret-tenant"));
        assert_eq!(told.take(), ["claims-mismatch key-1 alice"]);
    }
    assert_eq!(runs.count(), 0);
}

#[test]
fn an_extractor_without_an_authentication_runs_no_handler() {
    let issuer = Issuer::new();
    let runs = Runs::default();
    let service = Service::start(|| {
        let runs = runs.clone();
        let handler = |_: Authenticated<Value>| async move { runs.add() };
        Router::new().route("/", get(handler))
    });
    let expected = (500, "authentication-missing".to_owned(), None);
    assert_eq!(service.get("/", &NO_LINES).refusal(), expected);
    assert_eq!(
        service.get("/", &[issuer.bearer(json!({}))]).refusal(),
        expected
    );
    assert_eq!(runs.count(), 0);
}
