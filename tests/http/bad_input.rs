//! What is refused is refused with the right status, a stable code and a detail that names the
//! value and the rule, and changes nothing.

use std::sync::{Arc, Mutex, Weak};

use serde_json::{Value, json};

use crate::exchange::{chunked, head, plain, send};
use crate::support::{Server, start};
use crate::world::{self, State, create_issuer, p256_jwk, p256_pem, policy, rsa_pem};

/// Issuers in every state that a refusal depends on. No test of this module changes it.
struct World {
    server: Server,
    /// A credential with the role auditor alone.
    reader: String,
    before: State,
}

static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());

fn world() -> Arc<World> {
    world::shared(&SHARED, || {
        let server = start("");
        create_issuer(&server, "orders", json!({}));
        create_issuer(&server, "other", json!({}));
        create_issuer(&server, "moving", json!({ "takes_over": true }));
        create_issuer(&server, "growing", json!({}));
        let grown = policy("growing", json!({ "algorithms": ["ES256", "RS256"] }));
        world::ok(server.call("PUT", "/v1/issuers/growing", Some(&grown)));
        let reader = world::credential(&world::create_client(&server, "reader", &["auditor"]));
        let before = world::state(&server);
        World {
            server,
            reader,
            before,
        }
    })
}

impl World {
    /// Sends a JSON body and expects a refusal.
    fn json(&self, call: &str, body: &Value, expected: (u16, &str), detail: &[&str]) -> Value {
        self.bytes(call, body.to_string().as_bytes(), expected, detail)
    }

    /// Sends bytes as a JSON body and expects a refusal.
    fn bytes(&self, call: &str, body: &[u8], expected: (u16, &str), detail: &[&str]) -> Value {
        self.typed(call, "application/json", body, expected, detail)
    }

    fn typed(
        &self,
        call: &str,
        content_type: &str,
        body: &[u8],
        expected: (u16, &str),
        detail: &[&str],
    ) -> Value {
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let body = Some((content_type, body.to_vec()));
        let answer = self
            .server
            .call_as(Some(&self.server.admin), method, path, body.clone());
        let shown = || {
            let body = body.as_ref().map(|(_, body)| &body[..body.len().min(200)]);
            format!(
                "{call} {}",
                String::from_utf8_lossy(body.unwrap_or_default())
            )
        };
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{}",
            shown()
        );
        self.check(answer.status, answer.json(), expected, detail, &shown())
    }

    fn bodiless(&self, call: &str, expected: (u16, &str), detail: &[&str]) -> Value {
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let credential = format!("Bearer {}", self.server.admin);
        let headers = [("Authorization", credential.as_str())];
        let answer = plain(&self.server.internal, method, path, &headers);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{call}"
        );
        self.check(answer.status, answer.json(), expected, detail, call)
    }

    fn check(
        &self,
        status: u16,
        problem: Value,
        (expected, code): (u16, &str),
        detail: &[&str],
        shown: &str,
    ) -> Value {
        assert_eq!(
            (status, problem["code"].as_str()),
            (expected, Some(code)),
            "{shown}\n{problem}"
        );
        assert_eq!(problem["status"], expected, "{shown}");
        assert_eq!(
            problem["type"],
            format!("urn:keywright:problem:{code}"),
            "{shown}"
        );
        let text = problem["detail"].as_str().expect("a detail");
        for part in detail {
            assert!(text.contains(part), "{shown}\n{text}\nlacks {part}");
        }
        assert!(text.len() < 1000, "{shown}\n{text}");
        problem
    }

    /// Nothing of all that changed anything.
    fn is_unchanged(&self) {
        self.before.assert_same(&world::state(&self.server));
    }
}

const SIGN: &str = "POST /v1/issuers/orders/tokens";

#[test]
fn claims_that_the_service_owns_are_refused_by_name() {
    let world = world();
    for claim in ["iss", "iat", "exp", "jti"] {
        let body = json!({ "claims": { "sub": "a", claim: 1 } });
        let problem = world.json(SIGN, &body, (400, "claim-reserved"), &[claim]);
        assert_eq!(problem["claims"], json!([claim]));
    }
    for (escaped, claim) in [
        (r"\u0069ss", "iss"),
        (r"i\u0061t", "iat"),
        (r"ex\u0070", "exp"),
        (r"\u006A\u0074i", "jti"),
    ] {
        let body = format!(r#"{{"claims":{{"{escaped}":"https://evil.example"}}}}"#);
        world.bytes(SIGN, body.as_bytes(), (400, "claim-reserved"), &[claim]);
    }
    let body = json!({ "claims": { "exp": null, "iss": "x", "jti": [], "iat": {} } });
    let problem = world.json(
        SIGN,
        &body,
        (400, "claim-reserved"),
        &["iss, iat, exp, jti"],
    );
    assert_eq!(problem["claims"], json!(["iss", "iat", "exp", "jti"]));
    world.is_unchanged();
}

#[test]
fn a_member_that_stands_twice_is_refused_at_every_level_and_however_it_is_written() {
    let world = world();
    for (body, name) in [
        (r#"{"claims":{},"claims":{}}"#, "claims"),
        (
            r#"{"claims":{"sub":"a"},"cl\u0061ims":{"sub":"b"}}"#,
            "claims",
        ),
        (r#"{"claims":{"sub":"a","sub":"b"}}"#, "sub"),
        (r#"{"claims":{"sub":"a","\u0073ub":"a"}}"#, "sub"),
        (r#"{"claims":{"deep":[{"er":{"x":1,"x":1}}]}}"#, "x"),
        (
            r#"{"claims":{},"expires_in":60,"expires_in":3600}"#,
            "expires_in",
        ),
        (r#"{"claims":{},"alg":"ES256","alg":"none"}"#, "alg"),
    ] {
        let detail = format!("\"{name}\" stands twice");
        world.bytes(SIGN, body.as_bytes(), (400, "duplicate-member"), &[&detail]);
    }
    let batch = r#"{"requests":[{"claims":{}}],"requests":[]}"#;
    let call = "POST /v1/issuers/orders/tokens/batch";
    world.bytes(
        call,
        batch.as_bytes(),
        (400, "duplicate-member"),
        &["requests"],
    );
    let policy = r#"{"url":"http://127.0.0.1:8080/new","url":"http://127.0.0.1:8080/new"}"#;
    let call = "PUT /v1/issuers/new";
    world.bytes(call, policy.as_bytes(), (400, "duplicate-member"), &["url"]);
    world.is_unchanged();
}

#[test]
fn a_body_of_another_shape_is_refused_with_the_member_that_is_wrong() {
    let world = world();
    for claims in [json!([]), json!("{}"), json!(1), json!(true), json!(null)] {
        let body = json!({ "claims": claims });
        let problem = world.json(
            SIGN,
            &body,
            (400, "field-type"),
            &["\"claims\"", "an object"],
        );
        assert_eq!(problem["field"], "claims");
    }
    world.json(
        SIGN,
        &json!({}),
        (400, "field-missing"),
        &["\"claims\" is missing"],
    );
    for body in [
        json!([]),
        json!([{ "claims": {} }]),
        json!("x"),
        json!(0),
        json!(null),
    ] {
        world.json(
            SIGN,
            &body,
            (400, "not-an-object"),
            &["the body must be a JSON object"],
        );
    }
    for (member, value, expected) in [
        ("alg", json!(1), "a string"),
        ("alg", json!(null), "a string"),
        ("typ", json!(["JWT"]), "a string"),
        ("expires_in", json!("300"), "a non-negative integer"),
        ("expires_in", json!(null), "a non-negative integer"),
        ("expires_in", json!(-1), "a non-negative integer"),
        ("expires_in", json!(1.5), "a non-negative integer"),
        ("expires_in", json!([60]), "a non-negative integer"),
    ] {
        let body = json!({ "claims": {}, member: value });
        let quoted = format!("\"{member}\"");
        world.json(SIGN, &body, (400, "field-type"), &[&quoted, expected]);
    }
    for (claim, value, expected) in [
        ("sub", json!(1), "a string"),
        ("sub", json!(null), "a string"),
        ("scope", json!(["orders:read"]), "a string"),
        ("client_id", json!({}), "a string"),
        (
            "aud",
            json!(1),
            "a string of 1 to 512 bytes, or an array of 1 to 16 such strings",
        ),
        (
            "aud",
            json!(["a", 1]),
            "a string of 1 to 512 bytes, or an array of 1 to 16 such strings",
        ),
        (
            "aud",
            json!([]),
            "a string of 1 to 512 bytes, or an array of 1 to 16 such strings",
        ),
        ("nbf", json!("1700000000"), "a whole number of Unix seconds"),
        ("nbf", json!(-1), "a whole number of Unix seconds"),
        ("nbf", json!(1.5), "a whole number of Unix seconds"),
    ] {
        let body = json!({ "claims": { claim: value } });
        let problem = world.json(SIGN, &body, (400, "claim-type"), &[claim, expected]);
        assert_eq!(problem["claim"], claim);
    }
    world.is_unchanged();
}

#[test]
fn a_lifetime_outside_the_policy_is_refused_with_both_numbers() {
    let world = world();
    let sign = |expires_in: &str| format!(r#"{{"claims":{{}},"expires_in":{expires_in}}}"#);
    let zero = sign("0");
    world.bytes(
        SIGN,
        zero.as_bytes(),
        (400, "ttl-zero"),
        &["expires_in", "at least 1 second"],
    );
    for asked in ["3601", "86400", "18446744073709551615"] {
        let body = sign(asked);
        let detail = [asked, "max_token_ttl", "3600"];
        let problem = world.bytes(SIGN, body.as_bytes(), (400, "ttl-over-maximum"), &detail);
        assert_eq!(problem["maximum"], 3600);
    }
    for (asked, code) in [
        ("-1", "field-type"),
        ("-0", "field-type"),
        ("60.0", "field-type"),
        ("6e1", "field-type"),
        ("0.5", "field-type"),
        ("18446744073709551616", "number-out-of-range"),
        ("1000000000000000000000000000000", "number-out-of-range"),
        ("1e400", "number-out-of-range"),
        ("-1e400", "number-out-of-range"),
        ("NaN", "malformed-json"),
        ("Infinity", "malformed-json"),
        ("0x10", "malformed-json"),
        ("060", "malformed-json"),
        ("+60", "malformed-json"),
    ] {
        let body = sign(asked);
        world.bytes(SIGN, body.as_bytes(), (400, code), &[]);
    }
    world.is_unchanged();
}

#[test]
fn a_token_over_its_size_is_refused_before_it_is_signed() {
    let world = world();
    let body = json!({ "claims": { "note": "x".repeat(4000) } });
    let problem = world.json(
        SIGN,
        &body,
        (400, "token-too-large"),
        &["max_token_bytes of 4096", "bytes"],
    );
    assert_eq!(problem["maximum"], 4096);
    // The named size is the real one: what fits to the byte is signed, one more is not.
    let sign = |length: usize| {
        let body = json!({ "claims": { "note": "x".repeat(length) } });
        world
            .server
            .call("POST", "/v1/issuers/orders/tokens", Some(&body))
    };
    let largest = (2000..4000)
        .rev()
        .step_by(1)
        .find(|length| sign(*length).status == 201);
    let token = sign(largest.expect("some length fits")).json();
    let token = token["token"].as_str().unwrap();
    assert!((4094..=4096).contains(&token.len()), "{}", token.len());
    world.is_unchanged();
}

#[test]
fn an_algorithm_that_does_not_exist_or_does_not_sign_is_refused_by_name() {
    let world = world();
    for name in [
        "none", "nOnE", "NONE", "HS256", "HS512", "es256", "PS256", "ES256K", "RS256 ", "",
    ] {
        let body = json!({ "claims": {}, "alg": name });
        let quoted = format!("\"{name}\"");
        world.json(
            SIGN,
            &body,
            (400, "unknown-algorithm"),
            &[&quoted, "ES256, RS256"],
        );
    }
    // Not in the policy, and in the policy with a key that is only pending.
    assert_eq!(
        world::kids(&world.server, "growing", "RS256", "pending").len(),
        2
    );
    for issuer in ["orders", "growing"] {
        let call = format!("POST /v1/issuers/{issuer}/tokens");
        let body = json!({ "claims": {}, "alg": "RS256" });
        world.json(&call, &body, (409, "algorithm-not-active"), &["RS256"]);
    }
    // An issuer that takes over has nothing that signs yet.
    let body = json!({ "claims": {} });
    let call = "POST /v1/issuers/moving/tokens";
    world.json(call, &body, (409, "algorithm-not-active"), &["ES256"]);
    world.is_unchanged();
}

#[test]
fn the_caller_has_no_way_to_write_into_the_header() {
    let world = world();
    for member in [
        "kid", "jku", "jwk", "x5u", "x5c", "x5t", "crit", "b64", "zip", "cty", "header",
    ] {
        let body = json!({ "claims": {}, member: "https://evil.example/keys" });
        let quoted = format!("\"{member}\" is unknown");
        let problem = world.json(SIGN, &body, (400, "unknown-field"), &[&quoted]);
        assert_eq!(problem["field"], member);
    }
    for typ in [
        "",
        " ",
        "a b",
        "JWT ",
        "JWT\u{0}",
        "JWT\n",
        "JWT\r\nX-Evil: 1",
        r#"JWT","kid":"evil"#,
        r#"JWT","jku":"https://evil.example"#,
        "jwt\u{202e}",
        "ä",
        "a;b=c",
        "a,b",
        "../x y",
        &"x".repeat(65),
    ] {
        let body = json!({ "claims": {}, "typ": typ });
        world.json(SIGN, &body, (400, "invalid-typ"), &["typ", "1 to 64"]);
    }
    world.is_unchanged();
}

#[test]
fn an_access_token_without_its_claims_is_refused_however_its_type_is_written() {
    let world = world();
    for typ in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/At+Jwt",
    ] {
        let body = json!({ "claims": { "sub": "a" }, "typ": typ });
        let problem = world.json(
            SIGN,
            &body,
            (400, "claim-missing"),
            &[typ, "aud, client_id"],
        );
        assert_eq!(problem["claims"], json!(["aud", "client_id"]));
    }
    world.is_unchanged();
}

#[test]
fn an_unknown_member_is_refused_with_the_nearest_known_one() {
    let world = world();
    for (call, body, field, nearest) in [
        (
            SIGN,
            json!({ "claims": {}, "expire_in": 60 }),
            "expire_in",
            "expires_in",
        ),
        (SIGN, json!({ "claims": {}, "type": "JWT" }), "type", "typ"),
        (
            SIGN,
            json!({ "claims": {}, "Claims": {} }),
            "Claims",
            "claims",
        ),
        (
            "PUT /v1/issuers/new",
            policy("new", json!({ "jwks_maxage": "5m" })),
            "jwks_maxage",
            "jwks_max_age",
        ),
        (
            "PUT /v1/issuers/new",
            policy("new", json!({ "take_over": true })),
            "take_over",
            "takes_over",
        ),
        (
            "PUT /v1/issuers/new",
            policy("new", json!({ "rotation": { "evry": "30d" } })),
            "evry",
            "every",
        ),
        (
            "POST /v1/issuers/orders/rotate",
            json!({ "forced": true }),
            "forced",
            "force",
        ),
        (
            "POST /v1/clients",
            json!({ "name": "a", "roles": ["admin"], "role": "admin" }),
            "role",
            "roles",
        ),
    ] {
        let detail = [
            format!("\"{field}\" is unknown"),
            format!("did you mean \"{nearest}\"?"),
        ];
        let detail: Vec<&str> = detail.iter().map(String::as_str).collect();
        let problem = world.json(call, &body, (400, "unknown-field"), &detail);
        assert_eq!(
            (&problem["field"], &problem["nearest"]),
            (&json!(field), &json!(nearest))
        );
    }
    let problem = world.json(
        SIGN,
        &json!({ "claims": {}, "zzz": 1 }),
        (400, "unknown-field"),
        &[],
    );
    assert_eq!(problem.get("nearest"), None);
    world.is_unchanged();
}

#[test]
fn what_two_parsers_could_read_differently_is_not_json() {
    let world = world();
    let nested = |levels: usize| {
        format!(
            r#"{{"claims":{{"x":{}{}}}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
        .into_bytes()
    };
    world.bytes(SIGN, &nested(31), (400, "json-too-deep"), &["32 levels"]);
    world.bytes(
        SIGN,
        &nested(20_000),
        (400, "json-too-deep"),
        &["32 levels"],
    );
    for number in [
        "1e400",
        "-1e400",
        "1000000000000000000000000000000",
        "9007199254740993.5",
        "1e30",
    ] {
        let body = format!(r#"{{"claims":{{"n":{number}}}}}"#);
        world.bytes(
            SIGN,
            body.as_bytes(),
            (400, "number-out-of-range"),
            &["out of range"],
        );
    }
    for (body, detail) in [
        (
            &b"{\"claims\":{\"a\":\"\xff\"}}"[..],
            "not UTF-8 at byte 16",
        ),
        (b"{\"claims\":{\"a\":\"\xc0\xaf\"}}", "not UTF-8"),
        (b"{\"claims\":{\"a\":\"\xed\xa0\x80\"}}", "not UTF-8"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8 at byte 0"),
        (b"\xef\xbb\xbf{\"claims\":{}}", "byte order mark"),
        (br#"{"claims":{"a":"\ud800"}}"#, "not JSON"),
        (br#"{"claims":{"a":"\udc00\ud800"}}"#, "not JSON"),
        (br#"{"claims":{"\ud800":1}}"#, "not JSON"),
        (br#"{"claims":{}}{}"#, "bytes follow the JSON document"),
        (br#"{"claims":{}} x"#, "bytes follow the JSON document"),
        (b"{\"claims\":{}}\x00", "bytes follow the JSON document"),
        (b"", "ends too early"),
        (b" ", "ends too early"),
        (br#"{"claims":{"#, "ends too early"),
        (br#"{"claims":{},}"#, "not JSON"),
        (br#"{'claims':{}}"#, "not JSON"),
        (br#"{"claims":{}/**/}"#, "not JSON"),
        (b"{\"claims\":{\"a\":\"\x01\"}}", "not JSON"),
        (b"claims=1", "not JSON"),
    ] {
        world.bytes(SIGN, body, (400, "malformed-json"), &[detail]);
    }
    world.is_unchanged();
}

#[test]
fn a_body_that_is_not_declared_as_json_is_refused() {
    let world = world();
    let body = br#"{"claims":{}}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jwt",
        "application/jsonp",
        "application/merge-patch+json",
        "multipart/form-data; boundary=application/json",
        "",
    ] {
        world.typed(
            SIGN,
            content_type,
            body,
            (415, "unsupported-media-type"),
            &["application/json"],
        );
    }
    for call in [
        SIGN,
        "POST /v1/issuers/orders/tokens/batch",
        "PUT /v1/issuers/orders",
        "POST /v1/clients",
    ] {
        world.bodiless(call, (415, "unsupported-media-type"), &["application/json"]);
    }
    let rotate = "POST /v1/issuers/orders/rotate";
    world.typed(
        rotate,
        "text/plain",
        b"{}",
        (415, "unsupported-media-type"),
        &[],
    );
    let signed = |content_type| {
        let body = Some((content_type, body.to_vec()));
        world.server.call_as(
            Some(&world.server.admin),
            "POST",
            "/v1/issuers/orders/tokens",
            body,
        )
    };
    for content_type in [
        "application/json",
        "Application/JSON;charset=UTF-8",
        "application/json ; a=b",
    ] {
        assert_eq!(signed(content_type).status, 201, "{content_type}");
    }
    world.is_unchanged();
}

#[test]
fn a_body_over_its_size_is_refused_also_when_its_length_is_not_announced() {
    let world = world();
    let credential = format!("Bearer {}", world.server.admin);
    let padded = |length: usize| {
        let mut body = br#"{"claims":{"a":1}}"#.to_vec();
        body.resize(length, b' ');
        body
    };
    for (path, limit) in [
        ("/v1/issuers/orders/tokens", 65_536),
        ("/v1/issuers/orders/tokens/batch", 4_194_304),
    ] {
        let body = padded(limit + 1);
        let length = body.len().to_string();
        let typed = [
            ("Authorization", credential.as_str()),
            ("Content-Type", "application/json"),
        ];
        for (framing, body) in [
            (("Content-Length", length.as_str()), body.clone()),
            (("Transfer-Encoding", "chunked"), chunked(&body)),
        ] {
            let mut request = head("POST", path, &[typed[0], typed[1], framing]).into_bytes();
            request.extend_from_slice(&body);
            let answer = send(&world.server.internal, &request);
            let problem = answer.json();
            let detail = format!("the body is over {limit} bytes");
            world.check(
                answer.status,
                problem.clone(),
                (413, "body-too-large"),
                &[&detail],
                path,
            );
            assert_eq!(problem["limit"], limit);
        }
    }
    // To the byte.
    let body = Some(("application/json", padded(65_536)));
    let answer = world.server.call_as(
        Some(&world.server.admin),
        "POST",
        "/v1/issuers/orders/tokens",
        body,
    );
    assert_eq!(answer.status, 201);
    // A batch takes what a single request does not.
    let item = format!(
        r#"{{"requests":[{{"claims":{{"a":"{}"}}}}]}}"#,
        "x".repeat(100_000)
    );
    let body = Some(("application/json", item.into_bytes()));
    let path = "/v1/issuers/orders/tokens/batch";
    let answer = world
        .server
        .call_as(Some(&world.server.admin), "POST", path, body);
    assert_eq!(answer.json()["results"][0]["code"], "token-too-large");
    world.is_unchanged();
}

#[test]
fn a_batch_of_none_or_of_too_many_is_refused() {
    let world = world();
    let call = "POST /v1/issuers/orders/tokens/batch";
    for count in [0, 1001] {
        let body = json!({ "requests": vec![json!({ "claims": {} }); count] });
        let named = count.to_string();
        world.json(call, &body, (400, "batch-size"), &["1 to 1000", &named]);
    }
    world.json(call, &json!({}), (400, "field-missing"), &["requests"]);
    world.json(
        call,
        &json!({ "requests": {} }),
        (400, "field-type"),
        &["requests", "an array"],
    );
    let body = json!({ "requests": [], "expires_in": 60 });
    world.json(call, &body, (400, "unknown-field"), &["expires_in"]);
    world.is_unchanged();
}

#[test]
fn a_credential_that_is_missing_or_wrong_is_answered_with_the_right_challenge() {
    let world = world();
    let server = &world.server;
    let path = "/v1/issuers";
    let silent = "Bearer realm=\"keywright\"";
    let invalid = "Bearer realm=\"keywright\", error=\"invalid_token\"";
    let right = format!("Bearer {}", server.admin);
    let (id, secret) = server
        .admin
        .strip_prefix("kw_")
        .unwrap()
        .split_once('_')
        .unwrap();
    let swapped: String = secret.chars().rev().collect();
    let wrong = [
        "Bearer".to_owned(),
        "Bearer x".to_owned(),
        "Bearer kw_".to_owned(),
        "Bearer kw__".to_owned(),
        format!("Bearer {}", &server.admin[..server.admin.len() - 1]),
        format!("Bearer {}A", server.admin),
        format!("Bearer {} {}", server.admin, server.admin),
        format!("Bearer {secret}"),
        format!("Bearer kw_{id}_"),
        format!("Bearer kw_{id}_{swapped}"),
        format!("Bearer kw_0000000000000000_{secret}"),
        format!("Bearer {}", server.admin.to_uppercase()),
        server.admin.clone(),
        "Bearer \u{e4}".to_owned(),
    ];
    let expect = |answer: crate::exchange::Raw, code: &str, challenge: &str, shown: &str| {
        assert_eq!(
            answer.header("www-authenticate"),
            Some(challenge),
            "{shown}"
        );
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains(secret), "{shown}");
        world.check(answer.status, answer.json(), (401, code), &[], shown);
    };
    for value in &wrong {
        let answer = plain(&server.internal, "GET", path, &[("Authorization", value)]);
        // A header without a scheme of ours is no attempt to use one (RFC 6750 §3.1).
        if value.starts_with("Bearer ") {
            expect(answer, "credential-invalid", invalid, value);
        } else {
            assert_eq!(answer.status, 401, "{value}");
        }
    }
    for value in ["Basic dXNlcjpwYXNz", "Negotiate abc", "DPoP abc"] {
        let answer = plain(&server.internal, "GET", path, &[("Authorization", value)]);
        expect(answer, "credential-missing", silent, value);
    }
    let twice = [
        ("Authorization", right.as_str()),
        ("Authorization", right.as_str()),
    ];
    expect(
        plain(&server.internal, "GET", path, &twice),
        "credential-invalid",
        invalid,
        "twice",
    );
    // A credential counts in its header alone.
    for (target, headers) in [
        (path.to_owned(), vec![]),
        (path.to_owned(), vec![("Cookie", right.as_str())]),
        (path.to_owned(), vec![("X-Authorization", right.as_str())]),
        (
            path.to_owned(),
            vec![("Proxy-Authorization", right.as_str())],
        ),
    ] {
        let answer = plain(&server.internal, "GET", &target, &headers);
        expect(answer, "credential-missing", silent, &target);
    }
    let in_url = format!("{path}?access_token={}", server.admin);
    let answer = plain(&server.internal, "GET", &in_url, &[]);
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (400, &json!("credential-in-url"))
    );
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = format!("{scheme} {}", server.admin);
        let answer = plain(&server.internal, "GET", path, &[("Authorization", &value)]);
        assert_eq!(answer.status, 200, "{scheme}");
    }
    world.is_unchanged();
}

#[test]
fn who_may_not_call_learns_nothing_about_what_exists() {
    let world = world();
    for issuer in ["orders", "nobody", "..%2f"] {
        let path = format!("/v1/issuers/{issuer}/tokens");
        for (credential, status) in [(None, 401), (Some(world.reader.as_str()), 403)] {
            // The body is broken, too: the service does not look at it.
            let body = Some(("text/plain", b"{".to_vec()));
            let answer = world.server.call_as(credential, "POST", &path, body);
            assert_eq!(answer.status, status, "{issuer}");
        }
    }
    world.is_unchanged();
}

#[test]
fn a_policy_that_is_unsafe_is_refused_with_its_inequality_and_the_verifiers_that_it_breaks() {
    let world = world();
    for (changes, detail) in [
        (
            json!({ "lead": "10m" }),
            "lead must be at least jwks_max_age + stale_if_error + clock_skew: 10m < 5m + 1h + 5m \
             (lestrrat-go/jwx caches at least 15m, Istio polls every 20m, AWS HTTP APIs cache 2h)",
        ),
        (json!({ "jwks_max_age": "24h" }), "24h < 24h + 1h + 5m"),
        (json!({ "stale_if_error": "24h" }), "24h < 5m + 24h + 5m"),
        (json!({ "clock_skew": "24h" }), "24h < 5m + 1h + 24h"),
        (
            json!({ "rotation": { "every": "47h" } }),
            "the rotation interval must be at least 2 × lead: 47h < 2 × 24h",
        ),
        (
            json!({ "rotation": { "cron": "0 3 * * *" } }),
            "24h < 2 × 24h",
        ),
        (
            json!({ "rotation": { "cron": "0 3 * * *", "timezone": "Europe/Berlin" }, "lead": "12h" }),
            "23h < 2 × 12h",
        ),
        (
            json!({ "default_token_ttl": "2h" }),
            "max_token_ttl must be at least default_token_ttl: 1h < 2h",
        ),
        (json!({ "lead": "0s" }), "lead must be at least 1s"),
        (
            json!({ "jwks_max_age": "0s" }),
            "jwks_max_age must be at least 1s",
        ),
        (
            json!({ "default_token_ttl": "0s" }),
            "default_token_ttl must be at least 1s",
        ),
        (
            json!({ "max_token_ttl": "0s" }),
            "max_token_ttl must be at least 1s",
        ),
        (
            json!({ "rotation": { "every": "0s" } }),
            "rotation.every must be at least 1s",
        ),
        (
            json!({ "rsa_bits": 1024 }),
            "rsa_bits must be 2048, 3072 or 4096, not 1024",
        ),
        (
            json!({ "rsa_bits": 70_000 }),
            "rsa_bits must be 2048, 3072 or 4096, not 70000",
        ),
        (
            json!({ "max_token_bytes": 511 }),
            "max_token_bytes must lie between 512 and 65536, not 511",
        ),
        (json!({ "max_token_bytes": 65_537 }), "not 65537"),
        (json!({ "algorithms": [] }), "at least one algorithm"),
        (
            json!({ "algorithms": ["ES256", "ES256"] }),
            "each only once",
        ),
        (
            json!({ "default_algorithm": "RS256" }),
            "default_algorithm RS256 is not among algorithms",
        ),
        (
            json!({ "max_token_ttl": "3650d" }),
            "at most 100 keys and 51200 bytes",
        ),
        (
            json!({ "lead": "5 m" }),
            "lead: a duration is a whole number and one unit",
        ),
        (json!({ "lead": "-5m" }), "lead: a duration"),
        (json!({ "lead": "1h30m" }), "lead: a duration"),
        (json!({ "lead": "99999999999999999999d" }), "at most 3650d"),
        (json!({ "rotation": {} }), "either \"every\" or \"cron\""),
        (
            json!({ "rotation": { "every": "30d", "cron": "0 3 1 * *" } }),
            "either \"every\" or \"cron\"",
        ),
        (
            json!({ "rotation": { "every": "30d", "timezone": "UTC" } }),
            "either \"every\" or \"cron\"",
        ),
        (
            json!({ "rotation": { "cron": "0 0 30 2 *" } }),
            "\"0 0 30 2 *\" never fires",
        ),
        (
            json!({ "rotation": { "cron": "0 0 3 1 * *" } }),
            "\"0 0 3 1 * *\" is not a crontab line",
        ),
        (
            json!({ "rotation": { "cron": "@monthly" } }),
            "\"@monthly\" is not a crontab line",
        ),
        (
            json!({ "rotation": { "cron": "61 3 1 * *" } }),
            "\"61 3 1 * *\" is not a crontab line",
        ),
        (
            json!({ "rotation": { "cron": "0 3 1 * *", "timezone": "Mars/Olympus" } }),
            "no time zone \"Mars/Olympus\"",
        ),
        (
            json!({ "rotation": { "cron": "0 3 1 * *", "timezone": "../../etc/passwd" } }),
            "no time zone \"../../etc/passwd\"",
        ),
    ] {
        for name in ["orders", "new"] {
            let body = policy(name, changes.clone());
            let call = format!("PUT /v1/issuers/{name}");
            world.json(&call, &body, (400, "invalid-policy"), &[detail]);
        }
    }
    for algorithm in ["none", "HS256", "ES384"] {
        let body = policy("orders", json!({ "algorithms": ["ES256", algorithm] }));
        let call = "PUT /v1/issuers/orders";
        world.json(
            call,
            &body,
            (400, "unknown-algorithm"),
            &["algorithms", algorithm],
        );
    }
    for (member, value) in [
        ("lead", json!(300)),
        ("algorithms", json!("ES256")),
        ("rotation", json!("30d")),
        ("rsa_bits", json!("2048")),
    ] {
        let body = policy("orders", json!({ member: value }));
        let quoted = format!("\"{member}\"");
        world.json(
            "PUT /v1/issuers/orders",
            &body,
            (400, "field-type"),
            &[&quoted],
        );
    }
    world.is_unchanged();
}

#[test]
fn an_issuer_url_that_verifiers_could_not_use_is_refused_with_the_rule() {
    let world = world();
    for (url, detail) in [
        (
            "http://127.0.0.1:8080/new?x=1",
            "no query, fragment, user name or password",
        ),
        ("http://127.0.0.1:8080/new?", "no query"),
        ("http://127.0.0.1:8080/new#top", "no query, fragment"),
        ("http://127.0.0.1:8080/new#", "no query, fragment"),
        (
            "https://user:secret@id.example/new",
            "user name or password",
        ),
        ("https://user@id.example/new", "user name or password"),
        ("https://@id.example/new", "user name or password"),
        (
            "http://id.example/new",
            "https, unless its host is a loopback address",
        ),
        ("http://localhost.example/new", "https, unless"),
        ("http://10.0.0.1/new", "https, unless"),
        ("http://0.0.0.0/new", "https, unless"),
        ("http://169.254.169.254/new", "https, unless"),
        ("ftp://id.example/new", "absolute URL in its normal form"),
        ("file:///etc/passwd", "absolute URL"),
        ("javascript:alert(1)", "absolute URL"),
        ("id.example/new", "absolute URL"),
        ("/new", "absolute URL"),
        ("", "absolute URL"),
        ("HTTPS://id.example/new", "normal form"),
        ("https://ID.example/new", "normal form"),
        ("https://id.example:443/new", "normal form"),
        (" https://id.example/new", "normal form"),
        ("https://id.example/new ", "letters, digits"),
        ("https://id.example//new", "letters, digits"),
        ("https://id.example/a/../new", "letters, digits"),
        ("https://id.example/n%65w", "letters, digits"),
        ("https://id.example/.well-known", "letters, digits"),
        ("https://id.example\\new", "form"),
        (
            &format!("https://id.example/{}", "a".repeat(512)),
            "512 bytes",
        ),
    ] {
        let body = policy("new", json!({ "url": url }));
        let problem = world.json(
            "PUT /v1/issuers/new",
            &body,
            (400, "invalid-issuer-url"),
            &["url: ", detail],
        );
        assert!(!problem.to_string().contains("secret"));
    }
    world.json(
        "PUT /v1/issuers/new",
        &json!({}),
        (400, "field-missing"),
        &["\"url\" is missing"],
    );
    world.is_unchanged();
}

#[test]
fn what_is_fixed_about_an_issuer_cannot_be_changed_or_taken() {
    let world = world();
    for url in [
        "http://127.0.0.1:8080/orders",
        "https://id.example/orders",
        "http://127.0.0.1:8080/orders/",
    ] {
        let body = json!({ "url": url, "algorithms": ["ES256"] });
        let code = (409, "issuer-url-taken");
        world.json("PUT /v1/issuers/new", &body, code, &["same path"]);
    }
    let body = policy("orders", json!({ "url": "http://127.0.0.1:8080" }));
    world.json(
        "PUT /v1/issuers/new",
        &body,
        (409, "issuer-url-taken"),
        &["path"],
    );
    for url in [
        "http://127.0.0.1:8080/elsewhere",
        "http://127.0.0.1:8080/orders/",
        "https://127.0.0.1:8080/orders",
    ] {
        let body = policy("orders", json!({ "url": url }));
        world.json(
            "PUT /v1/issuers/orders",
            &body,
            (409, "issuer-url-fixed"),
            &["url", "fixed"],
        );
    }
    for (name, takes_over) in [("orders", true), ("moving", false)] {
        let body = policy(name, json!({ "takes_over": takes_over }));
        let call = format!("PUT /v1/issuers/{name}");
        world.json(&call, &body, (409, "takes-over-fixed"), &["takes_over"]);
    }
    let default = json!({ "algorithms": ["ES256", "RS256"], "default_algorithm": "RS256" });
    for name in ["orders", "growing"] {
        let call = format!("PUT /v1/issuers/{name}");
        let body = policy(name, default.clone());
        world.json(
            &call,
            &body,
            (409, "default-algorithm-not-active"),
            &["RS256", "lead"],
        );
    }
    for name in [
        "Orders",
        "a_b",
        "a.b",
        "%2e%2e",
        "a%2Fb",
        "a%00",
        "%C3%A4",
        &"a".repeat(64),
    ] {
        let call = format!("PUT /v1/issuers/{name}");
        world.json(
            &call,
            &policy("new", json!({})),
            (400, "invalid-issuer-name"),
            &["1 to 63"],
        );
    }
    world.is_unchanged();
}

#[test]
fn a_change_of_keys_that_a_rule_forbids_is_refused() {
    let world = world();
    let server = &world.server;
    let rotate = "POST /v1/issuers/orders/rotate";
    world.json(
        rotate,
        &json!({ "force": "yes" }),
        (400, "field-type"),
        &["\"force\"", "a boolean"],
    );
    world.json(
        rotate,
        &json!({ "algorithm": "HS256" }),
        (400, "unknown-algorithm"),
        &["HS256"],
    );
    let body = json!({ "algorithm": "RS256" });
    world.json(rotate, &body, (409, "algorithm-not-in-policy"), &["RS256"]);
    for reason in ["", "a\nb", "a\u{0}b", "\u{7f}", &"x".repeat(501)] {
        let body = json!({ "reason": reason });
        world.json(
            rotate,
            &body,
            (400, "invalid-reason"),
            &["1 to 500 printable characters"],
        );
    }
    let moving = "POST /v1/issuers/moving/rotate";
    let problem = world.json(
        moving,
        &json!({}),
        (409, "successor-not-ready"),
        &["ES256", "not ready until"],
    );
    let successor = &world::keys(server, "moving")[0];
    assert_eq!(problem["ready_at"], successor["ready_at"]);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("is not ready until 20")
    );

    let active = world::kid(server, "orders", "active");
    let revoke = format!("POST /v1/issuers/orders/keys/{active}/revoke");
    world.json(
        &revoke,
        &json!({}),
        (400, "field-missing"),
        &["\"reason\" is missing"],
    );
    world.json(
        &revoke,
        &json!({ "reason": "" }),
        (400, "invalid-reason"),
        &[],
    );
    let body = json!({ "reason": "leak", "discard_successor": 1 });
    world.json(
        &revoke,
        &body,
        (400, "field-type"),
        &["\"discard_successor\""],
    );
    world.bodiless(&revoke, (415, "unsupported-media-type"), &[]);
    // Another issuer's key is no key of this one, whatever is asked.
    let foreign = world::kid(server, "other", "active");
    let call = format!("POST /v1/issuers/orders/keys/{foreign}/revoke");
    world.json(
        &call,
        &json!({ "reason": "leak" }),
        (404, "unknown-key"),
        &[&foreign],
    );
    let call = format!("GET /v1/issuers/orders/keys/{foreign}");
    world.bodiless(&call, (404, "unknown-key"), &[&foreign]);
    world.is_unchanged();
}

#[test]
fn key_material_that_is_wrong_is_refused_and_never_repeated() {
    let world = world();
    let call = "POST /v1/issuers/orders/keys";
    let (secret, pem) = p256_pem();
    let (_, rsa) = rsa_pem(2048);
    let (_, short) = rsa_pem(1024);
    let jwk = p256_jwk(&secret, "theirs");
    let d = "A".repeat(43);
    let mut private = jwk.clone();
    private["d"] = json!(d);
    let mut off_curve = jwk.clone();
    off_curve["y"] = off_curve["x"].clone();
    let encrypted = pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let base = |changes: Value| {
        let mut body = json!({ "algorithm": "ES256", "state": "pending" });
        world::merge(&mut body, changes);
        body
    };
    let cases = [
        (
            base(json!({ "state": "revoked", "private_key": pem })),
            400,
            "invalid-state",
            "\"pending\", \"active\" or \"retired\"",
        ),
        (
            base(json!({ "state": "removed", "private_key": pem })),
            400,
            "invalid-state",
            "state",
        ),
        (
            base(json!({ "private_key": pem, "public_key": jwk })),
            400,
            "key-material",
            "exactly one",
        ),
        (base(json!({})), 400, "key-material", "exactly one"),
        (
            base(json!({ "public_key": jwk })),
            400,
            "invalid-state",
            "only as retired",
        ),
        (
            base(json!({ "public_key": jwk, "state": "active" })),
            400,
            "invalid-state",
            "only as retired",
        ),
        (
            base(json!({ "public_key": private, "state": "retired" })),
            400,
            "invalid-public-key",
            "",
        ),
        (
            base(json!({ "public_key": off_curve, "state": "retired" })),
            400,
            "invalid-public-key",
            "",
        ),
        (
            base(json!({ "public_key": {}, "state": "retired" })),
            400,
            "invalid-public-key",
            "kty",
        ),
        (
            base(json!({ "public_key": jwk, "state": "retired", "algorithm": "RS256" })),
            400,
            "invalid-public-key",
            "not RS256",
        ),
        (
            base(json!({ "public_key": pem, "state": "retired" })),
            400,
            "field-type",
            "\"public_key\" must be an object",
        ),
        (
            base(json!({ "private_key": jwk })),
            400,
            "field-type",
            "\"private_key\" must be a string",
        ),
        (
            base(json!({ "private_key": "" })),
            400,
            "invalid-private-key",
            "neither a private key in PEM",
        ),
        (
            base(json!({ "private_key": encrypted })),
            400,
            "invalid-private-key",
            "is encrypted",
        ),
        (
            base(json!({ "private_key": &pem[..pem.len() / 2] })),
            400,
            "invalid-private-key",
            "cut short or garbled",
        ),
        (
            base(json!({ "private_key": rsa })),
            400,
            "invalid-private-key",
            "ES256",
        ),
        (
            base(json!({ "private_key": pem, "algorithm": "RS256" })),
            400,
            "invalid-private-key",
            "RS256",
        ),
        (
            base(json!({ "private_key": short, "algorithm": "RS256" })),
            400,
            "invalid-private-key",
            "2048, 3072 or 4096 bits",
        ),
        (
            base(json!({ "private_key": rsa, "algorithm": "RS256" })),
            409,
            "algorithm-not-in-policy",
            "RS256",
        ),
        (
            base(json!({ "private_key": pem, "state": "active" })),
            409,
            "not-taking-over",
            "takes_over",
        ),
        (
            base(json!({ "private_key": pem, "kid": "" })),
            400,
            "invalid-kid",
            "kid",
        ),
        (
            base(json!({ "private_key": pem, "kid": "a b" })),
            400,
            "invalid-kid",
            "visible ASCII",
        ),
        (
            base(json!({ "private_key": pem, "kid": "a\nb" })),
            400,
            "invalid-kid",
            "visible ASCII",
        ),
        (
            base(json!({ "private_key": pem, "kid": "k".repeat(257) })),
            400,
            "invalid-kid",
            "257",
        ),
        (
            base(json!({ "private_key": pem, "algorithm": "none" })),
            400,
            "unknown-algorithm",
            "none",
        ),
        (
            json!({ "private_key": pem, "state": "pending" }),
            400,
            "field-missing",
            "algorithm",
        ),
        (
            json!({ "private_key": pem, "algorithm": "ES256" }),
            400,
            "field-missing",
            "state",
        ),
        (
            base(json!({ "privat_key": pem })),
            400,
            "unknown-field",
            "private_key",
        ),
        // The key itself where something else belongs.
        (base(json!({ "kid": pem })), 400, "invalid-kid", ""),
        (
            base(json!({ "state": pem, "private_key": pem })),
            400,
            "invalid-state",
            "",
        ),
        (
            base(json!({ "algorithm": pem })),
            400,
            "unknown-algorithm",
            "",
        ),
    ];
    let body_of = |pem: &str| -> Vec<String> {
        pem.lines()
            .filter(|line| !line.contains("-----"))
            .map(str::to_owned)
            .collect()
    };
    let lines = [body_of(&pem), body_of(&rsa), body_of(&short), vec![d]].concat();
    for (body, status, code, detail) in cases {
        let problem = world
            .json(call, &body, (status, code), &[detail])
            .to_string();
        for line in lines.iter().filter(|line| line.len() > 20) {
            assert!(
                !problem.contains(&line[..20]),
                "{code} repeats key material: {problem}"
            );
        }
    }
    // A name that is taken stays with its key.
    let active = world::kid(&world.server, "orders", "active");
    let body = base(json!({ "private_key": pem, "kid": active }));
    let problem = world.json(call, &body, (409, "key-known"), &[&active, "active"]);
    assert_eq!(problem["state"], "active");
    let call = "POST /v1/issuers/moving/keys";
    let body = base(json!({ "private_key": rsa, "algorithm": "RS256", "state": "active" }));
    world.json(call, &body, (409, "algorithm-not-in-policy"), &["RS256"]);
    world.is_unchanged();
}

#[test]
fn clients_and_queries_that_make_no_sense_are_refused() {
    let world = world();
    for name in ["", "a\nb", "ä", &"x".repeat(65)] {
        let body = json!({ "name": name, "roles": ["admin"] });
        world.json(
            "POST /v1/clients",
            &body,
            (400, "invalid-client-name"),
            &["1 to 64 printable ASCII"],
        );
    }
    for (roles, named) in [
        (json!([]), "at least one"),
        (json!(["root"]), "\"root\""),
        (json!(["admin", "root"]), "\"root\""),
        (json!(["Admin"]), "\"Admin\""),
        (json!(["a\nb"]), "\"a\\nb\""),
        (json!([""]), "\"\""),
    ] {
        let body = json!({ "name": "a", "roles": roles });
        let detail = [named, "issuer, security, auditor, admin"];
        world.json("POST /v1/clients", &body, (400, "invalid-roles"), &detail);
    }
    for (body, code) in [
        (json!({ "roles": ["admin"] }), "field-missing"),
        (json!({ "name": "a" }), "field-missing"),
        (json!({ "name": "a", "roles": "admin" }), "field-type"),
        (json!({ "name": "a", "roles": [1] }), "field-type"),
        (json!({ "name": 1, "roles": ["admin"] }), "field-type"),
        (
            json!({ "name": "a", "roles": ["admin"], "credential": "mine" }),
            "field-type",
        ),
        (
            json!({ "name": "a", "roles": ["admin"], "id": "0" }),
            "unknown-field",
        ),
    ] {
        world.json("POST /v1/clients", &body, (400, code), &[]);
    }
    for id in ["nobody", "..%2f", "'%20OR%201=1--", "%25"] {
        world.bodiless(
            &format!("DELETE /v1/clients/{id}"),
            (404, "unknown-client"),
            &[],
        );
    }
    for query in [
        "/v1/audit?limit=0",
        "/v1/audit?limit=1001",
        "/v1/audit?limit=-1",
        "/v1/audit?limit=ten",
        "/v1/audit?limit=1&limit=2",
        "/v1/audit?after=-1",
        "/v1/audit?after=18446744073709551616",
        "/v1/audit?after=9223372036854775808",
        "/v1/audit?issuers=orders",
        "/v1/audit?since=yesterday",
        "/v1/audit?until=1.5",
        "/v1/audit/export?after=-1",
        "/v1/audit/export?issuer=orders",
        "/v1/events?after=-1",
        "/v1/events?after=1000000",
        "/v1/events?limit=1",
        "/v1/events?max_seconds=0",
        "/v1/events?max_seconds=3601",
        "/v1/issuers/orders/plan?until=soon",
        "/v1/issuers/orders/plan?until=-1",
        "/v1/issuers/orders/plan?until=1.5",
        "/v1/issuers/orders/plan?until=9223372036854775808",
        "/v1/issuers/orders/plan?from=1",
        "/v1/issuers/orders/history?at=soon",
        "/v1/issuers/orders/history?at=-1",
        "/v1/issuers/orders/history?at=1.2345",
        "/v1/issuers/orders/history?at=4000000000",
        "/v1/issuers/orders/history?at_ms=1",
    ] {
        let problem = world.bodiless(&format!("GET {query}"), (400, "invalid-query"), &[]);
        let (_, parameters) = query.split_once('?').unwrap();
        let (name, _) = parameters.split_once('=').unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(name), "{query}: {detail}");
    }
    world.bodiless("GET /v1/audit?issuer=No+One", (404, "unknown-issuer"), &[]);
    world.is_unchanged();
}

#[test]
fn a_path_segment_is_a_name_and_nothing_else() {
    let world = world();
    let long = "a".repeat(5000);
    for segment in [
        "nobody",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "..%5c..%5cwindows",
        "'%20OR%20'1'='1",
        "orders'--",
        "orders%22",
        "orders;DROP%20TABLE%20keys",
        "orders%00",
        "orders%20",
        "Orders",
        "%0d%0aX-Evil:%201",
        "%F0%9F%94%91",
        "$(id)",
        &long,
    ] {
        world.bodiless(
            &format!("GET /v1/issuers/{segment}/keys"),
            (404, "unknown-issuer"),
            &[],
        );
        world.json(
            &format!("POST /v1/issuers/{segment}/tokens"),
            &json!({ "claims": {} }),
            (404, "unknown-issuer"),
            &[],
        );
        world.bodiless(
            &format!("GET /v1/issuers/orders/keys/{segment}"),
            (404, "unknown-key"),
            &[],
        );
        world.json(
            &format!("POST /v1/issuers/orders/keys/{segment}/revoke"),
            &json!({ "reason": "leak" }),
            (404, "unknown-key"),
            &[],
        );
    }
    for path in [
        "/v1",
        "/v1/",
        "/v1/issuers/",
        "/v1/issuers/orders/keys/",
        "/v1/issuers/orders/tokens/",
        "/v1/issuers/%ff/keys",
        "/v1/issuers/orders/keys/%c0%af",
        "/v2/issuers",
        "/.well-known/jwks.json",
        "/v1/issuers/../clients",
        "//v1/issuers",
    ] {
        world.bodiless(
            &format!("GET {path}"),
            (404, "not-found"),
            &["nothing at this path"],
        );
    }
    world.is_unchanged();
}

#[test]
fn a_method_that_a_path_does_not_take_is_refused_with_those_that_it_does() {
    let world = world();
    let active = world::kid(&world.server, "orders", "active");
    let key = format!("/v1/issuers/orders/keys/{active}");
    let revoke = format!("{key}/revoke");
    let credential = format!("Bearer {}", world.server.admin);
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FROB",
    ];
    for (base, path, allowed) in [
        (&world.server.internal, "/v1/issuers/orders/tokens", "POST"),
        (
            &world.server.internal,
            "/v1/issuers/orders/tokens/batch",
            "POST",
        ),
        (
            &world.server.internal,
            "/v1/issuers/orders/keys",
            "GET, HEAD, POST",
        ),
        (&world.server.internal, key.as_str(), "GET, HEAD"),
        (&world.server.internal, revoke.as_str(), "POST"),
        (&world.server.internal, "/v1/issuers/orders/rotate", "POST"),
        (
            &world.server.internal,
            "/v1/issuers/orders/plan",
            "GET, HEAD, POST",
        ),
        (
            &world.server.internal,
            "/v1/issuers/orders",
            "GET, HEAD, PUT",
        ),
        (&world.server.internal, "/v1/issuers", "GET, HEAD"),
        (&world.server.internal, "/v1/clients", "GET, HEAD, POST"),
        (
            &world.server.internal,
            "/v1/clients/0",
            "GET, HEAD, PUT, DELETE",
        ),
        (
            &world.server.internal,
            "/v1/issuers/orders/history",
            "GET, HEAD",
        ),
        (&world.server.internal, "/v1/audit", "GET, HEAD"),
        (&world.server.internal, "/v1/audit/export", "GET, HEAD"),
        (&world.server.internal, "/v1/audit/head", "GET, HEAD"),
        (&world.server.internal, "/v1/events", "GET, HEAD"),
        (&world.server.internal, "/metrics", "GET, HEAD"),
        (&world.server.public, "/healthz", "GET, HEAD"),
        (&world.server.public, "/readyz", "GET, HEAD"),
    ] {
        for method in methods {
            if allowed.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = plain(base, method, path, &[("Authorization", &credential)]);
            let shown = format!("{method} {path}");
            assert_eq!(answer.header("allow"), Some(allowed), "{shown}");
            if method == "HEAD" {
                assert_eq!((answer.status, answer.body.len()), (405, 0), "{shown}");
                continue;
            }
            world.check(
                answer.status,
                answer.json(),
                (405, "method-not-allowed"),
                &[allowed],
                &shown,
            );
        }
    }
    world.is_unchanged();
}

#[test]
fn a_body_with_a_content_coding_is_not_taken_for_broken_json() {
    let server = start("");
    let url = |path: &str| format!("{}{path}", server.internal);
    let authorization = format!("Bearer {}", server.admin);
    let send = |method: &str, path: &str, coding: &str| {
        let headers = [
            ("authorization", authorization.clone()),
            ("content-encoding", coding.to_owned()),
        ];
        let body = ("application/json", br#"{"claims":{}}"#.to_vec());
        crate::support::request(method, &url(path), &headers, Some(body))
    };
    for coding in [
        "gzip",
        "deflate",
        "br",
        "x-gzip",
        "zstd",
        "identity, gzip",
        "",
    ] {
        for (method, path) in [
            ("POST", "/v1/issuers/default/tokens"),
            ("POST", "/v1/issuers/default/tokens/batch"),
            ("POST", "/v1/issuers/default/rotate"),
            ("PUT", "/v1/issuers/default"),
            ("POST", "/v1/clients"),
        ] {
            let answer = send(method, path, coding);
            assert_eq!(answer.status, 415, "{coding} {path}: {}", answer.json());
            assert_eq!(answer.json()["code"], "unsupported-media-type");
            assert!(
                answer.json()["detail"]
                    .as_str()
                    .unwrap()
                    .contains("Content-Encoding")
            );
            assert_eq!(answer.header("accept-encoding"), Some("identity"));
        }
    }
    let plain = send("POST", "/v1/issuers/default/tokens", "Identity");
    assert_eq!(plain.status, 201, "{}", plain.json());
}
