//! Every row of the table of errors (RFC 6749 §5.2, RFC 8707 §2). What is refused changes nothing.

use serde_json::{Value, json};

use crate::support::{Answer, Server, request};
use crate::world::{Client, assert_error, basic, client, client_with, orders, post, service};

const GRANT: &str = "grant_type=client_credentials";

fn ask(server: &Server, client: &Client, form: &str) -> Answer {
    client.ask(server, form)
}

/// Everything that a refused request could have changed.
fn state(server: &Server) -> [Value; 3] {
    [
        "/v1/audit?limit=1000",
        "/v1/issuers/default/keys",
        "/v1/issuers/default/revocations",
    ]
    .map(|path| server.call("GET", path, None).json())
}

#[test]
fn a_malformed_request_is_an_invalid_request() {
    let server = service("");
    let service = client(&server, orders());
    let before = state(&server);
    let long = format!("{GRANT}&state={}", "a".repeat(40_000));
    let many: String = (0..40).map(|number| format!("&a{number}=1")).collect();
    let many = format!("{GRANT}{many}");
    for (form, status, code) in [
        ("scope=orders:read", 400, "field-missing"),
        ("grant_type=", 400, "field-missing"),
        (&format!("{GRANT}&{GRANT}"), 400, "duplicate-member"),
        (&format!("{GRANT}&scope=a&scope=a"), 400, "duplicate-member"),
        (
            &format!("{GRANT}&resource=urn:a&resource=urn:b"),
            400,
            "duplicate-member",
        ),
        (
            &format!("{GRANT}&unknown=a&unknown=b"),
            400,
            "duplicate-member",
        ),
        (&format!("{GRANT}&scope=%zz"), 400, "invalid-body"),
        (&format!("{GRANT}&scope=%ff"), 400, "invalid-body"),
        (&many, 400, "invalid-body"),
        (&long, 413, "body-too-large"),
    ] {
        let answer = ask(&server, &service, form);
        assert_error(
            &answer,
            status,
            "invalid_request",
            code,
            &form[..form.len().min(80)],
        );
    }
    let url = format!("{}/token", server.public);
    let basic = [("authorization", service.basic())];
    let json = br#"{"grant_type":"client_credentials"}"#.to_vec();
    let answer = request("POST", &url, &basic, Some(("application/json", json)));
    assert_error(
        &answer,
        415,
        "invalid_request",
        "unsupported-media-type",
        "a JSON body",
    );
    let coded = [
        ("authorization", service.basic()),
        ("content-encoding", "gzip".to_owned()),
    ];
    let answer = post(&server, "/token", &coded, GRANT);
    assert_error(
        &answer,
        415,
        "invalid_request",
        "unsupported-media-type",
        "a coded body",
    );
    let answer = request("GET", &url, &basic, None);
    assert_error(&answer, 405, "invalid_request", "method-not-allowed", "GET");
    assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
    let secret = format!("/token?client_secret={}", service.secret);
    let answer = post(&server, &secret, &[], GRANT);
    assert_error(
        &answer,
        400,
        "invalid_request",
        "credential-in-url",
        "a secret in the URL",
    );
    // What is not known is ignored, and what has no value is absent (RFC 6749 §3.2).
    assert_eq!(
        ask(&server, &service, &format!("{GRANT}&unknown=a&resource=")).status,
        200
    );
    assert_eq!(state(&server), before);
}

#[test]
fn a_client_that_does_not_prove_itself_is_invalid() {
    let server = service("");
    let (service, other) = (client(&server, orders()), client(&server, orders()));
    let before = state(&server);
    let wrong = format!("{}x", service.secret);
    let headers = [
        basic(&service.id, &wrong),
        basic(&service.id, &other.secret),
        basic("nobody", "secret"),
        basic(&service.id, ""),
        basic(&service.id, "%zz"),
        "Basic ???".to_owned(),
        format!("Bearer {}", service.secret),
    ];
    for header in headers {
        let answer = post(
            &server,
            "/token",
            &[("authorization", header.clone())],
            GRANT,
        );
        assert_error(
            &answer,
            401,
            "invalid_client",
            "credential-invalid",
            &header,
        );
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic "), "{challenge}");
    }
    for (form, code) in [
        (String::new(), "credential-missing"),
        (format!("&client_id={}", service.id), "credential-missing"),
        (
            format!("&client_id={}&client_secret={wrong}", service.id),
            "credential-invalid",
        ),
        (
            format!("&client_id={}&client_secret={}", other.id, service.secret),
            "credential-invalid",
        ),
    ] {
        let answer = post(&server, "/token", &[], &format!("{GRANT}{form}"));
        assert_error(&answer, 401, "invalid_client", code, &form);
        assert_eq!(answer.header("www-authenticate"), None);
    }
    assert_eq!(state(&server), before);
}

#[test]
fn a_client_authenticates_in_one_way() {
    let server = service("");
    let service = client(&server, orders());
    let secret = format!("client_id={}&client_secret={}", service.id, service.secret);
    let assertion = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3A\
        jwt-bearer&client_assertion=eyJ.eyJ.x";
    let basic = [("authorization", service.basic())];
    for (headers, form) in [
        (basic.as_slice(), secret.clone()),
        (&basic, assertion.to_owned()),
        (&[], format!("{secret}&{assertion}")),
    ] {
        let answer = post(&server, "/token", headers, &format!("{GRANT}&{form}"));
        assert_error(
            &answer,
            400,
            "invalid_request",
            "several-credentials",
            &form,
        );
    }
    let named = format!("{GRANT}&client_id={}", service.id);
    assert_eq!(
        ask(&server, &service, &named).status,
        200,
        "the same client twice"
    );
    let answer = ask(&server, &service, &format!("{GRANT}&client_id=another"));
    assert_error(
        &answer,
        401,
        "invalid_client",
        "credential-invalid",
        "two clients",
    );
}

#[test]
fn what_a_client_may_not_have_is_named() {
    let server = service("");
    let service = client(&server, orders());
    let reader = client_with(&server, json!({"roles": ["auditor"]}));
    let elsewhere = client(
        &server,
        json!({"issuers": ["shop"], "audiences": ["orders"]}),
    );
    let people = client(
        &server,
        json!({"subjects": ["user-*"], "audiences": ["orders"]}),
    );
    let typed = client(&server, json!({"types": ["JWT"], "audiences": ["orders"]}));
    let before = state(&server);
    for (who, what) in [
        (&reader, "role-missing"),
        (&elsewhere, "client-limit"),
        (&people, "client-limit"),
        (&typed, "client-limit"),
    ] {
        let answer = ask(&server, who, GRANT);
        assert_error(&answer, 400, "unauthorized_client", what, what);
        assert_eq!(answer.header("www-authenticate"), None);
    }
    for grant in ["password", "authorization_code", "CLIENT_CREDENTIALS"] {
        let answer = ask(&server, &service, &format!("grant_type={grant}"));
        assert_error(
            &answer,
            400,
            "unsupported_grant_type",
            "unknown-grant-type",
            grant,
        );
    }
    let long = "a".repeat(30_000);
    for (scope, code) in [
        ("admin", "client-limit"),
        ("orders:read+admin", "client-limit"),
        ("orders:read++orders:write", "invalid-scope"),
        ("orders:read+orders:read", "invalid-scope"),
        ("%22", "invalid-scope"),
        (&long, "invalid-scope"),
    ] {
        let answer = ask(&server, &service, &format!("{GRANT}&scope={scope}"));
        assert_error(
            &answer,
            400,
            "invalid_scope",
            code,
            &scope[..scope.len().min(40)],
        );
    }
    for (target, code) in [
        ("audience=billing", "client-limit"),
        ("resource=https%3A%2F%2Fbilling.example", "client-limit"),
        ("resource=orders", "invalid-target"),
        (
            "resource=https%3A%2F%2Forders.example%23top",
            "invalid-target",
        ),
        ("resource=urn:a&audience=orders", "invalid-target"),
    ] {
        let answer = ask(&server, &service, &format!("{GRANT}&{target}"));
        assert_error(&answer, 400, "invalid_target", code, target);
    }
    let several = client(&server, json!({"audiences": ["orders", "billing"]}));
    let answer = ask(&server, &several, GRANT);
    assert_error(
        &answer,
        400,
        "invalid_target",
        "invalid-target",
        "no default",
    );
    let mut after = state(&server);
    // The last client was made in between.
    after[0]["events"]
        .as_array_mut()
        .unwrap()
        .truncate(before[0]["events"].as_array().unwrap().len());
    assert_eq!(after[1..], before[1..]);
}

/// 64 kB of scope are refused as a body; nothing of it is read further.
#[test]
fn a_scope_of_64_kilobytes_is_refused() {
    let server = service("");
    let service = client(&server, orders());
    let answer = ask(
        &server,
        &service,
        &format!("{GRANT}&scope={}", "a+".repeat(32_768)),
    );
    assert_error(
        &answer,
        413,
        "invalid_request",
        "body-too-large",
        "64 kB of scope",
    );
}

/// A caller from one address that guesses is slowed down.
#[test]
fn guesses_are_throttled_by_address() {
    let server = service("");
    let service = client(&server, orders());
    let guess = [("authorization", basic(&service.id, "kw_guess_secret"))];
    let mut answers = (0..25).map(|_| post(&server, "/token", &guess, GRANT));
    let throttled = answers.find(|answer| answer.status == 429).unwrap();
    assert_error(
        &throttled,
        429,
        "temporarily_unavailable",
        "too-many-failures",
        "guesses",
    );
    assert!(throttled.header("retry-after").is_some());
}

#[test]
fn no_secret_and_no_token_is_logged() {
    let server = service("log.filter = \"trace\"\n");
    let service = client(&server, orders());
    let token = service.token(&server, GRANT)["access_token"].clone();
    let form = format!(
        "{GRANT}&client_id={}&client_secret={}",
        service.id, service.secret
    );
    assert_eq!(post(&server, "/token", &[], &form).status, 200);
    ask(&server, &service, &format!("{GRANT}&scope=admin"));
    let log = server.log();
    assert!(!log.contains(&service.secret));
    assert!(!log.contains(&service.basic()[6..]));
    assert!(!log.contains(token.as_str().unwrap()));
}
