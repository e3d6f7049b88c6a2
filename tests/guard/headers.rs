//! What a service behind a gateway is told of a token.

use serde_json::json;

use crate::support::{since_epoch, start as start_service};
use crate::world::{HEADERS, create_issuer, settings, start, text, token, verdict_of};

#[test]
fn every_header_is_always_there_and_has_its_claim() {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({}));
    let more = "[headers]\nX-Tenant = \"tenant\"\nX-Auth-Roles = \"roles\"\n";
    let guard = start(&settings(&issuer, more)).ready();
    let bare = guard.ask("/", &token(&server, "shop", json!({})));
    assert_eq!(bare.status, 200, "{}", text(&bare));
    for name in HEADERS.into_iter().chain(["x-tenant", "x-auth-roles"]) {
        let count = bare.headers.iter().filter(|(key, _)| key == name).count();
        assert_eq!(count, 1, "{name}");
    }
    for name in [
        "x-auth-client",
        "x-auth-scope",
        "x-auth-session",
        "x-tenant",
    ] {
        assert_eq!(bare.header(name), Some(""), "{name}");
    }
    assert!(bare.body.is_empty());

    let before = since_epoch().as_secs();
    let full = token(
        &server,
        "shop",
        json!({
            "sub": "Zo\u{eb} 100%", "client_id": "web", "scope": "orders:read  orders:write",
            "sid": "s-1\r\nx-auth-subject: admin", "aud": ["orders", "in voices"],
            "tenant": null, "roles": ["a b", 7, true],
        }),
    );
    let answer = guard.ask("/", &full);
    assert_eq!(answer.status, 200, "{}", text(&answer));
    for (name, value) in [
        ("x-auth-subject", "Zo%C3%AB%20100%25"),
        ("x-auth-client", "web"),
        ("x-auth-scope", "orders:read orders:write"),
        ("x-auth-session", "s-1%0D%0Ax-auth-subject:%20admin"),
        ("x-auth-issuer", issuer.as_str()),
        ("x-auth-audience", "orders in%20voices"),
        ("x-tenant", ""),
        ("x-auth-roles", "a%20b 7 true"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let seconds = |name: &str| answer.header(name).unwrap().parse::<u64>().unwrap();
    assert!(seconds("x-auth-expires") > before);
    // The token is as young as what is known of revocations, within a second of rounding.
    assert!((before - 2..=before + 2).contains(&seconds("x-auth-vouched-at")));
    assert_eq!(answer.header("x-auth-jti").unwrap().len(), 22);
}

#[test]
fn claims_that_are_too_large_for_headers_are_refused_and_not_cut() {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({ "max_token_bytes": 8192 }));
    let guard = start(&settings(&issuer, "")).ready();
    let with_scope = |bytes: usize| token(&server, "shop", json!({ "scope": "a".repeat(bytes) }));
    let small = guard.ask("/", &with_scope(100));
    assert_eq!(small.status, 200);
    // Each header takes its name, a colon, a space, its value and the end of its line.
    let is_shown = |(name, _): &&(String, String)| name.starts_with("x-auth-");
    let shown = small.headers.iter().filter(is_shown);
    let taken: usize = shown
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    let room = 3072 - (taken - 100);
    let largest = guard.ask("/", &with_scope(room));
    assert_eq!(largest.status, 200, "{}", text(&largest));
    assert_eq!(largest.header("x-auth-scope").unwrap().len(), room);
    let refused = guard.ask("/", &with_scope(room + 1));
    assert_eq!(verdict_of(&refused), (403, "claims-too-large".to_owned()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(
        detail,
        "the claims need 3073 bytes as headers, but 3072 are allowed"
    );
    assert!(HEADERS.iter().all(|name| refused.header(name).is_none()));
}
