//! Each row of the table of answers, with the challenge as RFC 6750 §3 writes it.

use serde_json::json;

use crate::service::{FAR, Issuer, NO_LINES, Runs, Service, protected};

/// What the service answers to these header lines, after checking that nothing but the good gets in.
fn refusal(lines: &[&[u8]], issuer: &Issuer) -> (u16, String, Option<String>) {
    let runs = Runs::default();
    let service = Service::start(|| protected(issuer.authentication(), &runs));
    let answer = service.get("/orders", lines);
    assert_eq!(runs.count(), 0, "the handler ran");
    let (status, code, challenge) = answer.refusal();
    (status, code, challenge.map(str::to_owned))
}

fn expected(status: u16, code: &str, challenge: &str) -> (u16, String, Option<String>) {
    (status, code.to_owned(), Some(challenge.to_owned()))
}

const NO_TOKEN: &str = r#"Bearer realm="api""#;
const MALFORMED: &str = r#"Bearer realm="api", error="invalid_request", error_description="one Authorization header with a scheme and a token is needed""#;

#[test]
fn without_a_token_the_challenge_names_no_error() {
    let issuer = Issuer::new();
    let expected = expected(401, "token-missing", NO_TOKEN);
    assert_eq!(refusal(&[], &issuer), expected);
}

#[test]
fn another_scheme_is_no_token() {
    let issuer = Issuer::new();
    let expected = expected(401, "token-missing", NO_TOKEN);
    let token = issuer.token(json!({}));
    for value in [
        "Basic YWxpY2U6c2VjcmV0".to_owned(),
        format!("DPoP {token}"),
        format!("BearerX {token}"),
        format!("Bearer\t{token}"),
        token,
        String::new(),
    ] {
        let line = format!("Authorization: {value}");
        assert_eq!(refusal(&[line.as_bytes()], &issuer), expected, "{value}");
    }
}

#[test]
fn two_authorization_headers_are_malformed_in_either_order() {
    let issuer = Issuer::new();
    let good = issuer.bearer(json!({}));
    let other = "Authorization: Basic YWxpY2U6c2VjcmV0";
    let expected = expected(400, "authorization-malformed", MALFORMED);
    for lines in [[&good, other], [other, &good], [&good, good.as_str()]] {
        let lines = lines.map(str::as_bytes);
        assert_eq!(refusal(&lines, &issuer), expected);
    }
}

#[test]
fn bearer_alone_is_malformed() {
    let issuer = Issuer::new();
    let expected = expected(400, "authorization-malformed", MALFORMED);
    for line in ["Authorization: Bearer", "authorization: bearer   "] {
        assert_eq!(refusal(&[line.as_bytes()], &issuer), expected);
    }
}

#[test]
fn a_header_that_is_not_ascii_is_malformed() {
    let issuer = Issuer::new();
    let expected = expected(400, "authorization-malformed", MALFORMED);
    let lines: [&[u8]; 2] = [
        b"Authorization: Bearer \xc3\xa9",
        b"Authorization: Bearer \xff.a.b",
    ];
    for line in lines {
        assert_eq!(refusal(&[line], &issuer), expected);
    }
}

#[test]
fn the_scheme_has_no_case_and_any_number_of_spaces_after_it() {
    let issuer = Issuer::new();
    let token = issuer.token(json!({}));
    let service = Service::start(|| protected(issuer.authentication(), &Runs::default()));
    for value in [
        format!("Bearer {token}"),
        format!("bearer {token}"),
        format!("BEARER {token}"),
        format!("Bearer    {token}  "),
    ] {
        let answer = service.get("/orders", &[format!("AUTHORIZATION: {value}")]);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "alice"),
            "{value}"
        );
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

#[test]
fn a_token_that_is_not_accepted_is_invalid_and_says_why() {
    let issuer = Issuer::new();
    let good = issuer.token(json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other = issuer.token(json!({"sub": "mallory"}));
    let rows = [
        (
            issuer.token(json!({"exp": 1})),
            "token-expired",
            "the token has expired",
        ),
        (
            issuer.token(json!({"nbf": FAR})),
            "token-not-yet-valid",
            "the token is not valid yet",
        ),
        (
            format!("{}.{signature}", other.rsplit_once('.').unwrap().0),
            "bad-signature",
            "the signature does not verify",
        ),
        (
            Issuer::new().token(json!({})),
            "bad-signature",
            "the signature does not verify",
        ),
        (
            issuer.token(json!({"aud": "billing"})),
            "wrong-audience",
            "the token is meant for another audience",
        ),
        (
            issuer.token(json!({"iss": "https://evil.example"})),
            "wrong-issuer",
            "the token comes from another issuer",
        ),
        (
            issuer.token(json!({"exp": null})),
            "claim-missing",
            "claim 'exp' is missing",
        ),
        (
            signed.to_owned(),
            "token-malformed",
            "the token has 2 parts instead of 3",
        ),
        (
            format!("{good} {good}"),
            "token-malformed",
            "the token has a character that is neither base64url nor a dot",
        ),
        (
            "a".repeat(8193),
            "token-too-large",
            "the token is larger than 8192 bytes",
        ),
    ];
    for (token, code, detail) in rows {
        let line = format!("Authorization: Bearer {token}");
        let challenge =
            format!(r#"Bearer realm="api", error="invalid_token", error_description="{detail}""#);
        let actual = refusal(&[line.as_bytes()], &issuer);
        assert_eq!(actual, expected(401, code, &challenge));
    }
}

#[test]
fn the_problem_document_is_that_of_rfc_9457() {
    let issuer = Issuer::new();
    let service = Service::start(|| protected(issuer.authentication(), &Runs::default()));
    let answer = service.get("/orders", &[issuer.bearer(json!({"exp": 1}))]);
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let expected = json!({
        "type": "about:blank", "title": "Unauthorized", "status": 401,
        "code": "token-expired", "detail": "the token has expired",
    });
    assert_eq!(problem, expected);
    assert_eq!(answer.header("retry-after"), None);
}

#[cfg(feature = "remote")]
#[test]
fn without_keys_the_answer_is_503_with_retry_after_and_no_challenge() {
    use keywright_verifier::axum::Authentication;
    use keywright_verifier::{Algorithm, RemoteKeys, Rules, Verifier};

    let issuer = Issuer::new();
    let runs = Runs::default();
    let told = crate::service::Told::default();
    let service = Service::start(|| {
        // No server listens on port 9 of this machine.
        let keys = RemoteKeys::at("http://127.0.0.1:9/jwks.json")
            .start()
            .unwrap();
        let rules = Rules::new(crate::service::ISSUER, "orders", [Algorithm::Es256]);
        let verifier = Verifier::new(rules, keys).unwrap();
        protected(told.by(Authentication::new(verifier)), &runs)
    });
    let answer = service.get("/orders", &[issuer.bearer(json!({}))]);
    assert_eq!(answer.refusal(), (503, "keys-unavailable".to_owned(), None));
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(told.take(), ["keys-unavailable key-1 alice"]);
    // A caller without a token, or with one of another issuer, is told so all the same.
    assert_eq!(service.get("/orders", &NO_LINES).status, 401);
    let stranger = issuer.bearer(json!({"iss": "https://evil.example"}));
    assert_eq!(service.get("/orders", &[stranger]).status, 401);
    assert_eq!(runs.count(), 0);
}

#[test]
fn a_realm_is_quoted_without_what_would_end_the_quotes() {
    let issuer = Issuer::new();
    let rows = [
        ("orders", r#"Bearer realm="orders""#),
        ("the orders, all", r#"Bearer realm="the orders, all""#),
        (r#"a", error="none"#, r#"Bearer realm="a, error=none""#),
        (
            "a\r\nSet-Cookie: b\\é\0",
            r#"Bearer realm="aSet-Cookie: b""#,
        ),
        ("", r#"Bearer realm="""#),
    ];
    for (realm, challenge) in rows {
        let authentication = issuer.authentication().realm(realm);
        let service = Service::start(|| protected(authentication, &Runs::default()));
        let answer = service.get("/orders", &NO_LINES);
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
        assert_eq!(answer.header("set-cookie"), None);
    }
}
