//! Tokens that are bound to a key or a certificate: what a thief can send, and what the owner sends.

#![expect(
    clippy::disallowed_methods,
    reason = "the layer for axum reads the clock of this machine"
)]

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::routing::any;
use axum::{Extension, Router};
use keywright_verifier::axum::{Authenticated, Authentication, ClientCertificate};
use keywright_verifier::{
    Algorithm, BindingError, Confirmation, Dpop, DpopError, Fault, Possession, Rules, Thumbprint,
    Verifier, VerifyError,
};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::fixtures::{Signer, base64url, set};
use crate::service::{Answer, ISSUER, Issuer, Service};

const BASE: &str = "https://api.example/v1";

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

/// The owner of a key, or a thief.
struct Holder(Signer);

impl Holder {
    fn new() -> Self {
        Self(Signer::new())
    }

    fn thumbprint(&self) -> String {
        self.0.jwk(None).thumbprint().to_string()
    }

    fn bound(&self, issuer: &Issuer) -> String {
        issuer.token(json!({"cnf": {"jkt": self.thumbprint()}}))
    }

    /// A proof for a request with a token, with changes of its claims.
    fn proof(&self, jti: &str, token: &str, changes: Value) -> String {
        let jwk: Value = serde_json::from_str(&self.0.jwk(None).to_json()).unwrap();
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"]});
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk});
        let hash = base64url(digest(&SHA256, token.as_bytes()));
        let mut claims = json!({
            "jti": jti, "htm": "GET", "htu": format!("{BASE}/orders"), "iat": now(), "ath": hash,
        });
        let changes = changes.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(changes);
        self.0.token(&header.to_string(), &claims.to_string())
    }
}

fn service(issuer: &Issuer) -> Service {
    let authentication = issuer.authentication().external_url(BASE).unwrap();
    start(authentication)
}

fn start(authentication: Authentication) -> Service {
    Service::start(|| {
        let handler = |Authenticated(token): Authenticated<Value>| async move {
            json!(token.confirmation).to_string()
        };
        let inner = Router::new().route("/orders", any(handler));
        let nested = Router::new().route("/orders", any(handler));
        inner.nest("/nested", nested).layer(authentication)
    })
}

fn send(service: &Service, scheme: &str, token: &str, proofs: &[String]) -> Answer {
    let mut lines = vec![format!("Authorization: {scheme} {token}")];
    lines.extend(proofs.iter().map(|proof| format!("DPoP: {proof}")));
    service.get("/orders", &lines)
}

/// Status, code of the problem and all challenges.
fn refusal(answer: &Answer) -> (u16, String, String) {
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    let code = problem["code"].as_str().unwrap().to_owned();
    let challenges = answer.whole.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("www-authenticate")
            .then_some(value)
    });
    (
        answer.status,
        code,
        challenges.collect::<Vec<_>>().join("; "),
    )
}

fn assert_refused(answer: &Answer, expected: (u16, &str), what: &str) {
    let (status, code, _) = refusal(answer);
    assert_eq!((status, code.as_str()), expected, "{what}");
}

#[test]
fn the_owner_of_the_key_gets_in_and_each_proof_counts_once() {
    let (issuer, owner) = (Issuer::new(), Holder::new());
    let service = service(&issuer);
    let token = owner.bound(&issuer);
    let proof = owner.proof("a", &token, json!({}));
    let answer = send(&service, "DPoP", &token, std::slice::from_ref(&proof));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, json!({"jkt": owner.thumbprint()}).to_string());
    let again = send(&service, "dpop", &token, &[proof]);
    let challenge = "DPoP realm=\"api\", error=\"invalid_dpop_proof\", \
                     error_description=\"the DPoP proof was used before\", algs=\"ES256 RS256\"";
    let expected = (401, "dpop-proof-replayed".to_owned(), challenge.to_owned());
    assert_eq!(refusal(&again), expected);
    // The path is the client's, also behind a nested router, and a query does not count.
    let nested = json!({"htu": format!("{BASE}/nested/orders")});
    let lines = [
        format!("Authorization: DPoP {token}"),
        format!("DPoP: {}", owner.proof("b", &token, nested)),
    ];
    assert_eq!(service.get("/nested/orders?a=b", &lines).status, 200);
}

#[test]
fn a_stolen_token_is_of_no_use() {
    let (issuer, owner, thief) = (Issuer::new(), Holder::new(), Holder::new());
    let service = service(&issuer);
    let (token, other) = (owner.bound(&issuer), issuer.token(json!({})));
    let proof = |changes: Value| owner.proof("a", &token, changes);
    let stolen = proof(json!({}));
    for (scheme, proofs, code, what) in [
        ("Bearer", vec![], "proof-missing", "as a bearer token"),
        (
            "Bearer",
            vec![stolen.clone()],
            "proof-missing",
            "with a proof",
        ),
        ("DPoP", vec![], "proof-missing", "without a proof"),
        (
            "DPoP",
            vec![thief.proof("a", &token, json!({}))],
            "proof-mismatch",
            "with the thief's key",
        ),
        (
            "DPoP",
            vec![proof(json!({"htm": "POST"}))],
            "invalid-dpop-proof",
            "another method",
        ),
        (
            "DPoP",
            vec![proof(json!({"htu": format!("{BASE}/invoices")}))],
            "invalid-dpop-proof",
            "another path",
        ),
        (
            "DPoP",
            vec![proof(json!({"htu": "https://orders/orders"}))],
            "invalid-dpop-proof",
            "the host of the request",
        ),
        (
            "DPoP",
            vec![owner.proof("a", &other, json!({}))],
            "invalid-dpop-proof",
            "the hash of another token",
        ),
        (
            "DPoP",
            vec![proof(json!({"ath": null}))],
            "invalid-dpop-proof",
            "no hash",
        ),
        (
            "DPoP",
            vec![proof(json!({"iat": now() - 120}))],
            "invalid-dpop-proof",
            "stale",
        ),
        (
            "DPoP",
            vec![proof(json!({"iat": now() + 120}))],
            "invalid-dpop-proof",
            "early",
        ),
        (
            "DPoP",
            vec![stolen.clone(), stolen.clone()],
            "invalid-dpop-proof",
            "two headers",
        ),
    ] {
        let answer = send(&service, scheme, &token, &proofs);
        assert_refused(&answer, (401, code), what);
    }
    // None of them has used the owner's proof up.
    assert_eq!(send(&service, "DPoP", &token, &[stolen]).status, 200);
    // A token that is not bound is a bearer token, and nothing else (RFC 9449 §7.1).
    let proof = owner.proof("b", &other, json!({}));
    let answer = send(&service, "DPoP", &other, &[proof]);
    assert_refused(&answer, (401, "token-not-bound"), "not bound");
    assert_eq!(send(&service, "Bearer", &other, &[]).status, 200);
    // An expired token with a good proof is expired.
    let expired = issuer.token(json!({"exp": 1, "cnf": {"jkt": owner.thumbprint()}}));
    let proof = owner.proof("c", &expired, json!({}));
    let answer = send(&service, "DPoP", &expired, &[proof]);
    assert_refused(&answer, (401, "token-expired"), "expired");
}

#[test]
fn both_schemes_are_offered_where_proofs_are_accepted_and_one_where_not() {
    let (issuer, owner) = (Issuer::new(), Holder::new());
    let answer = service(&issuer).get("/orders", &["Accept: */*"]);
    let both = "Bearer realm=\"api\"; DPoP realm=\"api\", algs=\"ES256 RS256\"";
    let expected = (401, "token-missing".to_owned(), both.to_owned());
    assert_eq!(refusal(&answer), expected);
    // Without the address there is nothing to compare a proof with.
    let unset = start(issuer.authentication());
    let token = owner.bound(&issuer);
    let proof = owner.proof("a", &token, json!({}));
    let answer = send(&unset, "DPoP", &token, &[proof]);
    assert_refused(&answer, (401, "token-missing"), "no address");
    let (status, code, challenge) = refusal(&send(&unset, "Bearer", &token, &[]));
    assert_eq!((status, code.as_str()), (401, "proof-missing"));
    assert!(
        challenge.starts_with("Bearer ") && !challenge.contains("DPoP"),
        "{challenge}"
    );
    for url in [
        "api.example",
        "https://",
        "https://api.example?a",
        "https://a/#b",
    ] {
        assert!(issuer.authentication().external_url(url).is_err(), "{url}");
    }
}

#[test]
fn a_nonce_is_asked_for_and_told() {
    let (issuer, owner) = (Issuer::new(), Holder::new());
    let verifier = issuer
        .verifier()
        .dpop(Dpop::default().require_nonces(&[5; 32]));
    let nonce = verifier.dpop_nonce().unwrap();
    let service = start(Authentication::new(verifier).external_url(BASE).unwrap());
    let token = owner.bound(&issuer);
    let answer = send(
        &service,
        "DPoP",
        &token,
        &[owner.proof("a", &token, json!({}))],
    );
    assert!(answer.whole.contains(&nonce), "{}", answer.whole);
    let (status, code, challenge) = refusal(&answer);
    assert_eq!((status, code.as_str()), (401, "dpop-nonce-required"));
    assert!(
        challenge.starts_with("DPoP realm=\"api\", error=\"use_dpop_nonce\""),
        "{challenge}"
    );
    let proof = owner.proof("a", &token, json!({"nonce": nonce}));
    let answer = send(&service, "DPoP", &token, &[proof]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.whole.contains(&nonce), "{}", answer.whole);
}

#[test]
fn a_full_memory_is_no_fault_of_the_token() {
    let (issuer, owner) = (Issuer::new(), Holder::new());
    let verifier = issuer.verifier().dpop(Dpop::default().remember(1, 10));
    let service = start(Authentication::new(verifier).external_url(BASE).unwrap());
    let token = owner.bound(&issuer);
    let ask = |jti: &str| {
        send(
            &service,
            "DPoP",
            &token,
            &[owner.proof(jti, &token, json!({}))],
        )
    };
    assert_eq!(ask("a").status, 200);
    let expected = (503, "dpop-memory-full".to_owned(), String::new());
    assert_eq!(refusal(&ask("b")), expected);
}

#[test]
fn a_token_of_a_certificate_needs_the_certificate_of_the_connection() {
    let issuer = Issuer::new();
    let (own, other) = (
        Thumbprint::of_certificate(b"own"),
        Thumbprint::of_certificate(b"other"),
    );
    let token = issuer.token(json!({"cnf": {"x5t#S256": own}}));
    let with = |certificate: Option<Thumbprint>| {
        let authentication = issuer.authentication();
        let service = Service::start(|| {
            let routes = Router::new().route("/orders", any(|| async {}));
            let routes = routes.layer(authentication);
            match certificate {
                // As a server does that has done the handshake.
                Some(certificate) => routes.layer(Extension(ClientCertificate(certificate))),
                None => routes,
            }
        });
        let lines = [
            format!("Authorization: Bearer {token}"),
            format!("X-Client-Cert-Thumbprint: {own}"),
        ];
        service.get("/orders", &lines)
    };
    assert_eq!(with(Some(own)).status, 200);
    assert_refused(&with(Some(other)), (401, "proof-mismatch"), "another");
    assert_refused(&with(None), (401, "proof-missing"), "none");
}

#[test]
fn a_verifier_refuses_what_is_bound_unless_it_is_told_to_look_away() {
    let (issuer, owner) = (Issuer::new(), Holder::new());
    let runtime = Runtime::new().unwrap();
    let verifier = Arc::new(issuer.verifier());
    let verify = |verifier: &Verifier, token: &str, possession: Possession<'_>| {
        let verified = runtime.block_on(verifier.verify_bound::<Value>(token, &possession));
        verified.map(|token| token.confirmation)
    };
    let key: Thumbprint = owner.thumbprint().parse().unwrap();
    let certificate = Thumbprint::of_certificate(b"own");
    let error = runtime.block_on(verifier.verify::<Value>(&owner.bound(&issuer)));
    let error = error.unwrap_err();
    assert_eq!(error, VerifyError::Binding(BindingError::ProofMissing));
    assert_eq!(error.fault(), Fault::Unproven);
    let held = verifier.verify_with_held_keys::<Value>(&owner.bound(&issuer), SystemTime::now());
    assert_eq!(held.unwrap_err().code(), "proof-missing");

    // Both ways at a time: both must be proven.
    let both = issuer.token(json!({"cnf": {"jkt": key, "x5t#S256": certificate}}));
    let url = format!("{BASE}/orders");
    let proof = owner.proof("a", &both, json!({}));
    let by_key = Possession::none().with_dpop(&proof, "GET", &url);
    let refused = verify(&verifier, &both, by_key).unwrap_err();
    assert_eq!(
        refused,
        VerifyError::Binding(BindingError::CertificateMissing)
    );
    let refused = verify(
        &verifier,
        &both,
        Possession::none().with_certificate(certificate),
    );
    assert_eq!(refused.unwrap_err().code(), "proof-missing");
    let proven = Confirmation {
        key: Some(key),
        certificate: Some(certificate),
    };
    let by_both = by_key.with_certificate(certificate);
    assert_eq!(verify(&verifier, &both, by_both), Ok(Some(proven)));
    let again = verify(&verifier, &both, by_both).unwrap_err();
    assert_eq!(again, VerifyError::Binding(DpopError::Replayed.into()));

    for (cnf, code) in [
        (json!({"jwk": {"kty": "EC"}}), "confirmation-unknown"),
        (json!({"kid": "a"}), "confirmation-unknown"),
        (json!({"jkt": key, "kid": "a"}), "confirmation-unknown"),
        (json!({"jkt": "short"}), "confirmation-unknown"),
        (json!({"jkt": 7}), "confirmation-unknown"),
        (json!({}), "confirmation-unknown"),
        (json!("jkt"), "claim-malformed"),
        (json!([]), "claim-malformed"),
    ] {
        let token = issuer.token(json!({ "cnf": cnf }));
        let refused = verify(&verifier, &token, by_both).unwrap_err();
        assert_eq!(refused.code(), code, "{cnf}");
    }

    let rules = Rules::new(ISSUER, "orders", [Algorithm::Es256]).danger_accept_without_proof();
    let trusting = Verifier::new(rules, set([issuer.jwk()])).unwrap();
    let accepted = verify(&trusting, &owner.bound(&issuer), Possession::none());
    assert_eq!(accepted, Ok(Some(Confirmation::key(key))));
}
