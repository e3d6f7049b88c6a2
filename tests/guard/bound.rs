//! Tokens that are bound to a key: the guard checks their proofs, for the request that the gateway asks about.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::support::{Answer, Server, Signatory, request, since_epoch, start as start_service};
use crate::world::{Guard, create_issuer, settings, start, verdict_of};

const API: &str = "https://api.example";

/// A token that is bound to a key.
fn bound_token(holder: &Signatory, server: &Server) -> String {
    // Only a client whose limits name the claim may set it.
    let client = json!({"name": "a", "roles": ["issuer"], "limits": {"claims": ["cnf"]}});
    let client = server.call("POST", "/v1/clients", Some(&client)).json();
    let claims = json!({"sub": "a", "aud": "orders", "cnf": {"jkt": holder.thumbprint()}});
    let body = json!({ "claims": claims }).to_string().into_bytes();
    let path = "/v1/issuers/shop/tokens";
    let credential = client["credential"].as_str();
    let answer = server.call_as(credential, "POST", path, Some(("application/json", body)));
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// What the owner of a key, or a thief, shows beside a token.
fn proof_of(holder: &Signatory, jti: &str, token: &str, method: &str, path: &str) -> String {
    let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": holder.public_jwk()});
    let claims = json!({
        "jti": jti, "htm": method, "htu": format!("{API}{path}"), "ath": hash,
        "iat": since_epoch().as_secs(),
    });
    holder.sign_under(&header, &claims)
}

/// Asks about a request, as a gateway does that tells method and path in headers.
fn ask(guard: &Guard, scheme: &str, token: &str, proof: &str, original: (&str, &str)) -> Answer {
    let mut headers = vec![("authorization", format!("{scheme} {token}"))];
    for (name, value) in [
        ("dpop", proof),
        ("x-original-method", original.0),
        ("x-original-uri", original.1),
    ] {
        if !value.is_empty() {
            headers.push((name, value.to_owned()));
        }
    }
    request("GET", &format!("{}/read", guard.url), &headers, None)
}

fn refused(code: &str) -> (u16, String) {
    (401, code.to_owned())
}

#[test]
fn a_proof_is_for_the_request_that_the_gateway_tells() {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({}));
    let more = format!(
        "[[requirements]]\npath = \"/read\"\n[dpop]\nurl = \"{API}\"\n\
         method_header = \"X-Original-Method\"\nuri_header = \"X-Original-URI\""
    );
    let guard = start(&settings(&issuer, &more)).ready();
    let (owner, thief) = (Signatory::new("mine"), Signatory::new("mine"));
    let token = bound_token(&owner, &server);
    let original = ("PUT", "/orders/7?a=b");
    let proof = |jti: &str| proof_of(&owner, jti, &token, "PUT", "/orders/7");
    let answer = ask(&guard, "DPoP", &token, &proof("a"), original);
    assert_eq!(verdict_of(&answer), (200, "accepted".to_owned()));
    let again = ask(&guard, "DPoP", &token, &proof("a"), original);
    assert_eq!(verdict_of(&again), refused("dpop-proof-replayed"));
    assert_eq!(
        again.header("www-authenticate"),
        Some(
            "DPoP realm=\"api\", error=\"invalid_dpop_proof\", \
             error_description=\"the DPoP proof was used before\", algs=\"ES256 RS256\""
        )
    );
    for (scheme, proof, original, code) in [
        ("Bearer", String::new(), original, "proof-missing"),
        ("Bearer", proof("b"), original, "proof-missing"),
        ("DPoP", String::new(), original, "proof-missing"),
        (
            "DPoP",
            proof_of(&thief, "b", &token, "PUT", "/orders/7"),
            original,
            "proof-mismatch",
        ),
        (
            "DPoP",
            proof("b"),
            ("GET", "/orders/7"),
            "invalid-dpop-proof",
        ),
        (
            "DPoP",
            proof("b"),
            ("PUT", "/orders/8"),
            "invalid-dpop-proof",
        ),
        (
            "DPoP",
            proof_of(&owner, "b", "other", "PUT", "/orders/7"),
            original,
            "invalid-dpop-proof",
        ),
    ] {
        let answer = ask(&guard, scheme, &token, &proof, original);
        assert_eq!(verdict_of(&answer), refused(code), "{scheme} {original:?}");
    }
    for original in [("", "/orders/7"), ("PUT", ""), ("PUT", "orders/7")] {
        let answer = ask(&guard, "DPoP", &token, &proof("b"), original);
        let expected = (403, "original-request-unknown".to_owned());
        assert_eq!(verdict_of(&answer), expected, "{original:?}");
    }
    let answer = ask(&guard, "DPoP", &token, &proof("b"), original);
    assert_eq!(answer.status, 200);
}

#[test]
fn without_headers_the_question_itself_is_the_request() {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({}));
    let more = format!("[[requirements]]\npath = \"/read\"\n[dpop]\nurl = \"{API}\"");
    let guard = start(&settings(&issuer, &more)).ready();
    let owner = Signatory::new("mine");
    let token = bound_token(&owner, &server);
    let send = |method: &str, proof: String| {
        let headers = [("authorization", format!("DPoP {token}")), ("dpop", proof)];
        request(
            method,
            &format!("{}/read/orders", guard.url),
            &headers,
            None,
        )
    };
    let answer = send("POST", proof_of(&owner, "a", &token, "POST", "/orders"));
    assert_eq!(verdict_of(&answer), (200, "accepted".to_owned()));
    let answer = send("PUT", proof_of(&owner, "b", &token, "POST", "/orders"));
    assert_eq!(verdict_of(&answer), refused("invalid-dpop-proof"));
}

#[test]
fn a_guard_that_knows_no_address_refuses_bound_tokens() {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({}));
    let guard = start(&settings(&issuer, "")).ready();
    let owner = Signatory::new("mine");
    let token = bound_token(&owner, &server);
    let proof = proof_of(&owner, "a", &token, "GET", "/orders");
    let answer = ask(&guard, "DPoP", &token, &proof, ("GET", "/orders"));
    assert_eq!(verdict_of(&answer), refused("dpop-not-enabled"));
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer realm=\"api\"")
    );
    let answer = ask(&guard, "Bearer", &token, &proof, ("GET", "/orders"));
    assert_eq!(verdict_of(&answer), refused("proof-missing"));
}
