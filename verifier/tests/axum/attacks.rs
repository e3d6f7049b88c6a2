//! What an attacker tries who wants in, or wants to learn something.

use serde_json::{Value, json};

use crate::fixtures::base64url;
use crate::service::{Issuer, NO_LINES, Runs, Service, protected};

#[test]
fn no_answer_repeats_a_token_or_a_claim() {
    let issuer = Issuer::new();
    let service = Service::start(|| protected(issuer.authentication(), &Runs::default()));
    let secret = "a-secret-of-alice";
    for claims in [
        json!({"sub": secret, "exp": 1}),
        json!({"sub": secret, "aud": secret}),
        json!({"sub": secret, "iss": secret}),
        json!({"sub": [secret]}),
        json!({"exp": secret}),
        json!({"scope": secret, "nbf": 4_000_000_000_u64}),
    ] {
        let token = issuer.token(claims);
        let answer = service.get("/orders", &[format!("Authorization: Bearer {token}")]);
        assert_eq!(answer.status, 401);
        for part in token.split('.').chain([secret]) {
            assert!(!answer.whole.contains(part), "{}", answer.whole);
        }
    }
}

#[test]
fn what_the_layer_leaves_for_a_handler_cannot_be_sent() {
    let issuer = Issuer::new();
    let runs = Runs::default();
    let service = Service::start(|| protected(issuer.authentication(), &runs));
    for line in [
        "X-Accepted: {\"sub\":\"admin\"}",
        "Extensions: Accepted",
        "X-Forwarded-User: admin",
        "X-Authenticated: true",
    ] {
        assert_eq!(service.get("/orders", &[line]).status, 401, "{line}");
    }
    assert_eq!(service.get("/orders", &NO_LINES).status, 401);
    assert_eq!(runs.count(), 0);
    // Beside a good token such lines change nothing.
    let lines = ["X-Accepted: admin".to_owned(), issuer.bearer(json!({}))];
    assert_eq!(service.get("/orders", &lines).body, "alice");
}

#[test]
fn a_forged_header_gets_nobody_in() {
    let issuer = Issuer::new();
    let runs = Runs::default();
    let service = Service::start(|| protected(issuer.authentication(), &runs));
    let good = issuer.token(json!({}));
    let payload = good.split('.').nth(1).unwrap();
    let signature = good.split('.').nth(2).unwrap();
    let headers: [Value; 6] = [
        json!({"alg": "none"}),
        json!({"alg": "HS256", "kid": "key-1"}),
        json!({"alg": "RS256", "kid": "key-1"}),
        json!({"alg": "ES256", "kid": "../key-1"}),
        json!({"alg": "ES256", "kid": "key-1", "jku": "https://evil.example/jwks.json"}),
        json!({"alg": "ES256", "kid": "key-1", "crit": ["exp"]}),
    ];
    for header in headers {
        for signature in [signature, ""] {
            let token = format!("{}.{payload}.{signature}", base64url(header.to_string()));
            let line = format!("Authorization: Bearer {token}");
            let answer = service.get("/orders", &[line]);
            assert_eq!(answer.status, 401, "{header}");
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.contains(r#"error="invalid_token""#));
        }
    }
    assert_eq!(runs.count(), 0);
}
