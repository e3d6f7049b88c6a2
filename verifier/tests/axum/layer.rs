//! Where the layer stands, and what it tells.

use axum::Router;
use axum::routing::get;
use keywright_verifier::axum::{Authenticated, Authentication, require_scope};
use keywright_verifier::{Algorithm, Rules, Verifier};
use serde_json::{Value, json};

use crate::fixtures::{Signer, set};
use crate::service::{FAR, Issuer, NO_LINES, Runs, Service, Told, protected};

#[test]
fn a_refusal_is_told_once_with_the_token_as_it_was_parsed() {
    let issuer = Issuer::new();
    let told = Told::default();
    let service = Service::start(|| protected(told.by(issuer.authentication()), &Runs::default()));
    let tampered = {
        let good = issuer.token(json!({}));
        let other = issuer.token(json!({"sub": "mallory"}));
        let (input, signature) = (
            other.rsplit_once('.').unwrap(),
            good.rsplit_once('.').unwrap(),
        );
        format!("{}.{}", input.0, signature.1)
    };
    service.get("/orders", &[format!("Authorization: Bearer {tampered}")]);
    assert_eq!(told.take(), ["bad-signature key-1 mallory"]);
    service.get("/orders", &[issuer.bearer(json!({"exp": 1}))]);
    assert_eq!(told.take(), ["token-expired key-1 alice"]);
    service.get("/orders", &["Authorization: Bearer not.a.token"]);
    assert_eq!(told.take(), ["token-malformed"]);
}

#[test]
fn nothing_is_told_of_a_good_token_or_of_none() {
    let issuer = Issuer::new();
    let told = Told::default();
    let service = Service::start(|| {
        let scoped = get(|| async {}).layer(require_scope("orders:write"));
        protected(told.by(issuer.authentication()), &Runs::default()).merge(
            Router::new()
                .route("/protected", scoped)
                .layer(told.by(issuer.authentication())),
        )
    });
    let good = issuer.bearer(json!({}));
    assert_eq!(service.get("/orders", &[&good]).status, 200);
    // A requirement's refusal is about a token that was accepted.
    assert_eq!(service.get("/protected", &[&good]).status, 403);
    assert_eq!(service.get("/orders", &NO_LINES).status, 401);
    assert_eq!(
        service.get("/orders", &["Authorization: Bearer"]).status,
        400
    );
    assert!(told.take().is_empty());
}

#[test]
fn every_method_and_path_below_the_layer_needs_a_token() {
    let issuer = Issuer::new();
    let runs = Runs::default();
    let service = Service::start(|| protected(issuer.authentication(), &runs));
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE",
    ] {
        let answer = service.send(method, "/open", &NO_LINES);
        assert_eq!(answer.status, 401, "{method}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some(r#"Bearer realm="api""#)
        );
        assert_eq!(answer.body.is_empty(), method == "HEAD", "{method}");
    }
    // A caller without a token does not learn which paths there are.
    assert_eq!(service.get("/nowhere", &NO_LINES).status, 401);
    assert_eq!(service.send("DELETE", "/orders", &NO_LINES).status, 401);
    assert_eq!(runs.count(), 0);
    let good = issuer.bearer(json!({}));
    for method in ["GET", "HEAD", "POST", "OPTIONS"] {
        assert_eq!(
            service.send(method, "/open", &[&good]).status,
            200,
            "{method}"
        );
    }
    assert_eq!(service.get("/nowhere", &[&good]).status, 404);
    assert_eq!(runs.count(), 4);
}

#[test]
fn a_token_is_read_from_the_header_alone() {
    let issuer = Issuer::new();
    let service = Service::start(|| protected(issuer.authentication(), &Runs::default()));
    let token = issuer.token(json!({}));
    let expected = (
        401,
        "token-missing".to_owned(),
        Some(r#"Bearer realm="api""#),
    );
    for path in [
        format!("/orders?access_token={token}"),
        format!("/orders?token={token}&Authorization=Bearer%20{token}"),
    ] {
        assert_eq!(service.get(&path, &NO_LINES).refusal(), expected);
    }
    for line in [
        format!("Proxy-Authorization: Bearer {token}"),
        format!("X-Authorization: Bearer {token}"),
        format!("Cookie: access_token={token}"),
    ] {
        assert_eq!(service.get("/orders", &[line]).refusal(), expected);
    }
}

#[test]
fn routes_outside_of_the_layer_are_open() {
    let issuer = Issuer::new();
    let service = Service::start(|| {
        protected(issuer.authentication(), &Runs::default()).route("/healthz", get(|| async {}))
    });
    assert_eq!(service.get("/healthz", &NO_LINES).status, 200);
    assert_eq!(service.get("/orders", &NO_LINES).status, 401);
}

#[test]
fn two_verifiers_in_one_process_know_nothing_of_each_other() {
    let (shop, staff) = (Issuer::new(), Signer::new());
    let rules = Rules::new("https://staff.example", "orders", [Algorithm::Es256]).typ("at+jwt");
    let verifier = Verifier::new(rules, set([staff.jwk(Some("key-1"))])).unwrap();
    let runs = Runs::default();
    let service = Service::start(|| {
        Router::new()
            .nest("/shop", protected(shop.authentication(), &runs))
            .nest(
                "/staff",
                protected(Authentication::new(verifier).realm("staff"), &runs),
            )
    });
    let of_shop = shop.bearer(json!({}));
    let header = r#"{"alg":"ES256","kid":"key-1","typ":"at+jwt"}"#;
    let claims = json!({
        "iss": "https://staff.example", "aud": "orders", "sub": "dave", "exp": FAR,
    });
    let of_staff = format!(
        "Authorization: Bearer {}",
        staff.token(header, &claims.to_string())
    );
    assert_eq!(service.get("/shop/orders", &[&of_shop]).body, "alice");
    assert_eq!(service.get("/staff/orders", &[&of_staff]).body, "dave");
    assert_eq!(runs.count(), 2);
    let code = |path, line| service.get(path, &[line]).refusal().1;
    assert_eq!(code("/shop/orders", &of_staff), "wrong-issuer");
    assert_eq!(code("/staff/orders", &of_shop), "wrong-issuer");
    let answer = service.get("/staff/orders", &NO_LINES);
    assert_eq!(
        answer.header("www-authenticate"),
        Some(r#"Bearer realm="staff""#)
    );
    assert_eq!(runs.count(), 2);
}

#[test]
fn the_innermost_of_two_layers_decides_what_a_handler_sees() {
    let (outer, inner) = (Issuer::new(), Issuer::new());
    let service = Service::start(|| {
        let handler = |Authenticated(token): Authenticated<Value>| async move {
            token.claims["sub"].to_string()
        };
        Router::new()
            .route("/", get(handler))
            .layer(inner.authentication())
            .layer(outer.authentication())
    });
    // No token has both signatures, so that no caller gets through both.
    assert_eq!(service.get("/", &[outer.bearer(json!({}))]).status, 401);
    assert_eq!(service.get("/", &[inner.bearer(json!({}))]).status, 401);
}
