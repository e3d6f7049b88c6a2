//! What is accepted, and how the rest is answered.

use serde_json::json;

use crate::support::{eventually, request, start as start_service};
use crate::world::{
    Guard, ban, create_issuer, settings, start, start_with, text, token, verdict_of,
};

fn verdict(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// A guard that was told of an issuer by flags alone, in an empty folder: it needs no store, no master key
/// and no credential, and leaves nothing behind.
#[test]
fn every_path_and_every_method_gets_the_verdict_of_its_token() {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({}));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let flags = ["--issuer", &issuer, "--audience", "orders"];
    let guard = start_with(folder, &flags).ready();
    let good = token(&server, "shop", json!({}));
    for path in [
        "/",
        "/readyz",
        "/livez",
        "/metrics",
        "/a/../b?c=%00",
        "/%2e%2e/",
        "//",
    ] {
        assert_eq!(
            verdict_of(&guard.ask(path, &good)),
            verdict(200, "accepted"),
            "{path}"
        );
        let without = request("GET", &format!("{}{path}", guard.url), &[], None);
        assert_eq!(without.status, 401, "{path}");
    }
    let bearer = [("authorization", format!("bearer   {good}"))];
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PURGE"] {
        let answer = request(method, &guard.url, &bearer, None);
        assert_eq!(answer.status, 200, "{method}");
    }
    let body = ("text/plain", vec![b'a'; 100_000]);
    assert_eq!(request("POST", &guard.url, &bearer, Some(body)).status, 200);
    let left: Vec<_> = std::fs::read_dir(path).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The guard cannot use a token up, so that it does not let one pass that counts once.
#[test]
fn a_token_that_counts_once_is_refused() {
    let server = start_service("oauth.enabled = true\n");
    let issuer = create_issuer(&server, "shop", json!({}));
    let guard = start(&settings(&issuer, "")).ready();
    let body = json!({"claims": {"sub": "u", "aud": "orders"}, "single_use": true});
    let refused = guard.ask("/", &server.sign("shop", &body));
    assert_eq!(verdict_of(&refused), verdict(401, "single-use"));
    assert_eq!(
        refused.header("www-authenticate").unwrap(),
        "Bearer realm=\"api\", error=\"invalid_token\", \
         error_description=\"the token counts once, and this service cannot use it up\""
    );
}

#[test]
fn a_refusal_is_a_challenge_of_rfc_6750() {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({}));
    let guard = start(&settings(
        &issuer,
        "realm = \"the shop\"\nscopes = [\"a\", \"b\"]",
    ))
    .ready();
    let without = request("GET", &guard.url, &[], None);
    assert_eq!(verdict_of(&without), verdict(401, "token-missing"));
    let challenge = without.header("www-authenticate");
    assert_eq!(challenge, Some("Bearer realm=\"the shop\""));
    assert_eq!(without.header("cache-control"), Some("no-store"));

    let other = server.sign(
        "shop",
        &json!({ "claims": { "sub": "u", "aud": "invoices" } }),
    );
    let refused = guard.ask("/", &other);
    assert_eq!(verdict_of(&refused), verdict(401, "wrong-audience"));
    assert_eq!(
        refused.header("www-authenticate").unwrap(),
        "Bearer realm=\"the shop\", error=\"invalid_token\", \
         error_description=\"the token is meant for another audience\""
    );

    let narrow = guard.ask("/", &token(&server, "shop", json!({ "scope": "b c" })));
    assert_eq!(verdict_of(&narrow), verdict(403, "scope-missing"));
    assert_eq!(
        narrow.header("www-authenticate").unwrap(),
        "Bearer realm=\"the shop\", error=\"insufficient_scope\", \
         error_description=\"the token lacks a scope of 'a b'\", scope=\"a b\""
    );
    let wide = token(&server, "shop", json!({ "scope": "b c a" }));
    assert_eq!(guard.verdict(&wide), verdict(200, "accepted"));
}

#[test]
fn tokens_that_are_not_meant_for_it_are_refused() {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({}));
    create_issuer(&server, "stranger", json!({}));
    let guard = start(&settings(&issuer, "")).ready();
    let good = token(&server, "shop", json!({}));
    let sign = |typ: &str, seconds: u64| {
        let claims = json!({ "sub": "u", "aud": "orders", "client_id": "web" });
        server.sign(
            "shop",
            &json!({ "claims": claims, "typ": typ, "expires_in": seconds }),
        )
    };
    let (body, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let short = sign("JWT", 1);
    for (token, code) in [
        (token(&server, "stranger", json!({})), "wrong-issuer"),
        (sign("at+jwt", 60), "wrong-type"),
        (
            format!("{body}.{flipped}{}", &signature[1..]),
            "bad-signature",
        ),
        (format!("{body}."), "token-malformed"),
        ("no.token.here".to_owned(), "token-malformed"),
    ] {
        assert_eq!(guard.verdict(&token), verdict(401, code), "{token}");
    }
    eventually("the end of the short token", || {
        (guard.verdict(&short) == verdict(401, "token-expired")).then_some(())
    });
    assert_eq!(guard.verdict(&good), verdict(200, "accepted"));
    let counted = |status: u16, reason: &str| {
        let labels = format!("{{status=\"{status}\",reason=\"{reason}\"}}");
        guard.metric(&format!("keywright_guard_verdicts_total{labels}"))
    };
    assert_eq!(counted(401, "bad-signature"), Some(1.0));
    assert!(counted(200, "accepted") >= Some(1.0));
    assert_eq!(guard.metric("keywright_guard_ready"), Some(1.0));
}

#[test]
fn the_gateways_path_says_what_a_token_needs_and_an_unknown_one_is_refused() {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({}));
    let rules = "[[requirements]]\npath = \"/read\"\n\n\
                 [[requirements]]\npath = \"/write\"\nscopes = [\"orders:write\"]\n\
                 claims = { tenant = \"acme\" }\n";
    let guard = start(&settings(&issuer, rules)).ready();
    let reader = token(&server, "shop", json!({}));
    let writer = token(
        &server,
        "shop",
        json!({ "scope": "orders:write", "tenant": "acme" }),
    );
    let foreigner = token(
        &server,
        "shop",
        json!({ "scope": "orders:write", "tenant": "b" }),
    );
    for (path, token, expected) in [
        ("/read/write", &reader, verdict(200, "accepted")),
        ("/write/orders/7?a=b", &writer, verdict(200, "accepted")),
        ("/write", &reader, verdict(403, "scope-missing")),
        ("/write/../read", &reader, verdict(403, "scope-missing")),
        ("/write", &foreigner, verdict(403, "claim-not-allowed")),
        ("//write", &writer, verdict(403, "path-unknown")),
        ("/", &writer, verdict(403, "path-unknown")),
        ("/%77rite", &reader, verdict(403, "path-unknown")),
    ] {
        assert_eq!(verdict_of(&guard.ask(path, token)), expected, "{path}");
    }
    // A caller without a token learns nothing of the paths.
    let without = request("GET", &format!("{}/unknown", guard.url), &[], None);
    assert_eq!(without.status, 401);
}

/// A guard for two issuers with rules of their own, of which one is not followed.
#[test]
fn each_issuer_has_its_own_rules() {
    let server = start_service("");
    let shop = create_issuer(&server, "shop", json!({}));
    let off = create_issuer(&server, "off", json!({ "revocation_feed": "off" }));
    let guard: Guard = start(&format!(
        "{}algorithms = [\"ES256\"]\nrequired_claims = [\"sid\"]\nleeway = \"10s\"\n\
         [[issuers]]\nissuer = \"{off}\"\naudiences = [\"a\", \"orders\"]\ntyp = \"at+jwt\"\n\
         danger_ignore_revocations = true\n",
        settings(&shop, "")
    ))
    .ready();
    assert!(
        guard.log().contains("revocations are ignored"),
        "{}",
        guard.log()
    );
    let claims = json!({ "sub": "u", "aud": "orders", "client_id": "web" });
    let plain = server.sign("shop", &json!({ "claims": claims }));
    assert_eq!(guard.verdict(&plain), verdict(401, "claim-missing"));
    let session = token(&server, "shop", json!({ "sid": "s-1" }));
    assert_eq!(guard.verdict(&session), verdict(200, "accepted"));
    let access = server.sign("off", &json!({ "claims": claims, "typ": "at+jwt" }));
    let answer = guard.ask("/", &access);
    assert_eq!(answer.status, 200, "{}", text(&answer));
    assert_eq!(answer.header("x-auth-vouched-at"), Some(""));
    assert_eq!(answer.header("x-auth-issuer"), Some(off.as_str()));
    // What the name of the setting says.
    ban(&server, "off", "u");
    ban(&server, "shop", "user-1");
    eventually("the ban", || {
        (guard.verdict(&session) == verdict(401, "revoked")).then_some(())
    });
    assert_eq!(guard.verdict(&access), verdict(200, "accepted"));
}

#[test]
fn a_feed_for_clients_alone_is_followed_with_a_credential() {
    let server = start_service("");
    let closed = json!({ "revocation_feed": "authenticated" });
    let issuer = create_issuer(&server, "closed", closed);
    let token = token(&server, "closed", json!({ "sub": "user-9" }));
    let without = start(&settings(&issuer, ""));
    let credential = server.data().join("admin.token");
    let setting = format!("feed_credential_file = {credential:?}\n");
    let guard = start(&format!("{}{setting}", settings(&issuer, ""))).ready();
    assert_eq!(guard.verdict(&token).0, 200);
    ban(&server, "closed", "user-9");
    eventually("the ban", || {
        let (_, code) = guard.verdict(&token);
        (code == "revoked").then_some(())
    });
    let secret = std::fs::read_to_string(credential).unwrap();
    assert!(!guard.log().contains(secret.trim()));
    let (status, why) = without.readiness();
    assert_eq!(status, 503, "{why}");
}
