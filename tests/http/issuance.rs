//! The issuance log: every token and every refusal has its line, and no line says too much.

mod durability;
mod live_tokens;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Answer, Server, request, start};
use crate::world::{create_client, create_issuer, credential, eventually, ok};

const TO_FILE: &str = "issuance_log.to = \"file\"\n";

fn log_of(server: &Server) -> PathBuf {
    server.folder().path().join("keys-issuance.jsonl")
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // The last line may be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The line of the request with this id.
fn line_of(path: &Path, request_id: &str) -> Value {
    let mut of = lines_of(path, request_id, 1);
    of.remove(0)
}

fn lines_of(path: &Path, request_id: &str, count: usize) -> Vec<Value> {
    eventually("a line", || {
        let mut lines = lines(path);
        lines.retain(|line| line["request_id"] == request_id);
        assert!(lines.len() <= count, "{lines:?}");
        (lines.len() == count).then_some(lines)
    })
}

/// A signing request with an id of its own.
fn ask(server: &Server, credential: &str, path: &str, id: &str, body: &str) -> Answer {
    let headers = [
        ("authorization", format!("Bearer {credential}")),
        ("x-request-id", id.to_owned()),
    ];
    let url = format!("{}/v1/issuers/{path}", server.internal);
    let body = ("application/json", body.as_bytes().to_vec());
    request("POST", &url, &headers, Some(body))
}

/// Takes what changes from one run to the next, and looks at its form.
fn timeless(mut line: Value) -> Value {
    let time = line.as_object_mut().unwrap().remove("time").unwrap();
    let time = time.as_str().unwrap();
    assert_eq!(
        (time.len(), &time[10..11], &time[19..20], &time[23..]),
        (24, "T", ".", "Z")
    );
    line
}

#[test]
fn a_line_says_who_had_what_signed_and_with_which_key() {
    let server = start(TO_FILE);
    let log = log_of(&server);
    let client = create_client(&server, "shop", &["issuer"]);
    let secret = credential(&client);
    let body = json!({
        "claims": {"sub": "user \"1\"\n", "aud": ["orders", "billing"], "client_id": "shop", "note": "not for the log"},
        "typ": "at+jwt",
    });
    let answer = ask(&server, &secret, "default/tokens", "one", &body.to_string());
    let token = ok(answer);
    assert_eq!(
        timeless(line_of(&log, "one")),
        json!({
            "decision": "signed", "client": client["id"], "issuer": "default", "alg": "ES256",
            "kid": token["kid"], "jti": token["jti"], "exp": token["expires_at"],
            "sub": "user \"1\"\n", "aud": ["orders", "billing"], "request_id": "one",
        })
    );

    let items = json!({"requests": [
        {"claims": {"sub": "a", "aud": "orders"}},
        {"claims": {"sub": "b", "iss": "mine"}},
        {"claims": {"sub": "c"}, "alg": "RS256"},
        {"claims": {"sub": "d"}, "unknown": 1},
        7,
    ]});
    let answer = ok(ask(
        &server,
        &secret,
        "default/tokens/batch",
        "many",
        &items.to_string(),
    ));
    let results = answer["results"].as_array().unwrap();
    let lines: Vec<Value> = lines_of(&log, "many", 5)
        .into_iter()
        .map(timeless)
        .collect();
    let base = |more: Value| {
        let mut line = json!({"client": client["id"], "issuer": "default", "request_id": "many"});
        crate::world::merge(&mut line, more);
        line
    };
    let signed = |index: usize, more: Value| {
        let token = &results[index];
        let mut line = base(json!({
            "decision": "signed", "kid": token["kid"], "jti": token["jti"], "exp": token["expires_at"],
        }));
        crate::world::merge(&mut line, more);
        line
    };
    assert_eq!(
        lines[0],
        signed(0, json!({"alg": "ES256", "sub": "a", "aud": "orders"}))
    );
    let refused = json!({"decision": "claim-reserved", "alg": "ES256", "sub": "b"});
    assert_eq!(lines[1], base(refused));
    assert_eq!(lines[2], signed(2, json!({"alg": "RS256", "sub": "c"})));
    let refused = json!({"decision": "unknown-field", "alg": "ES256", "sub": "d"});
    assert_eq!(lines[3], base(refused));
    assert_eq!(lines[4], base(json!({"decision": "not-an-object"})));

    let mode = fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&log).unwrap();
    let mut secrets = vec![secret, server.admin.clone(), "not for the log".to_owned()];
    for token in results
        .iter()
        .chain([&token])
        .filter_map(|one| one["token"].as_str())
    {
        secrets.extend(token.split('.').map(str::to_owned));
    }
    assert_eq!(secrets.len(), 3 + 3 * 3);
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret}");
    }
}

#[test]
fn every_refusal_has_a_line_with_what_is_known_of_it() {
    let server = start(TO_FILE);
    let log = log_of(&server);
    create_issuer(&server, "orders", json!({}));
    let limited = |name: &str, limits: Value| {
        let body = json!({"name": name, "roles": ["issuer"], "limits": limits});
        let client = ok(server.call("POST", "/v1/clients", Some(&body)));
        (client["id"].clone(), credential(&client))
    };
    let free = limited("free", json!({}));
    let bound = limited(
        "bound",
        json!({"issuers": ["default"], "audiences": ["orders"]}),
    );
    let rated = limited(
        "rated",
        json!({"rate": {"signatures_per_second": 1, "burst": 1}}),
    );
    let long = "ä".repeat(300);
    let shown = format!("{}…", "ä".repeat(256));
    let audiences = vec!["a"; 16];
    let one = r#"{"claims":{"sub":"u","aud":"orders"}}"#;
    let two = r#"{"requests":[{"claims":{}},{"claims":{}}]}"#;
    let cases = [
        (
            &free,
            "default/tokens",
            "{",
            json!({"decision": "malformed-json"}),
        ),
        (
            &free,
            "default/tokens",
            "{}",
            json!({"decision": "field-missing"}),
        ),
        (
            &free,
            "nobody/tokens",
            one,
            json!({"decision": "unknown-issuer", "issuer": "nobody"}),
        ),
        (
            &free,
            "orders/tokens",
            r#"{"claims":{"sub":"u","aud":"orders"},"alg":"RS256"}"#,
            json!({"decision": "algorithm-not-active", "issuer": "orders", "alg": "RS256", "sub": "u", "aud": "orders"}),
        ),
        (
            &free,
            "default/tokens",
            &json!({"claims": {"sub": long, "aud": vec!["a"; 16]}, "expires_in": 0}).to_string(),
            json!({
                "decision": "claim-type", "alg": "ES256", "sub": shown,
                "aud": audiences,
            }),
        ),
        (
            &free,
            "default/tokens",
            r#"{"claims":{"sub":7,"aud":{}},"alg":"none"}"#,
            json!({"decision": "unknown-algorithm"}),
        ),
        (
            &free,
            "default/tokens/batch",
            r#"{"requests":[]}"#,
            json!({"decision": "batch-size"}),
        ),
        (
            &bound,
            "orders/tokens",
            one,
            json!({"decision": "client-limit", "issuer": "orders", "claim": "iss", "rule": "issuers"}),
        ),
        (
            &bound,
            "default/tokens",
            r#"{"claims":{"sub":"u","aud":"elsewhere"}}"#,
            json!({
                "decision": "client-limit", "claim": "aud", "rule": "audiences", "alg": "ES256",
                "sub": "u", "aud": "elsewhere",
            }),
        ),
        (
            &rated,
            "default/tokens/batch",
            two,
            json!({"decision": "client-limit", "claim": "requests", "rule": "rate"}),
        ),
    ];
    for (number, ((id, secret), path, body, expected)) in cases.iter().enumerate() {
        let request_id = format!("case-{number}");
        let answer = ask(&server, secret, path, &request_id, body);
        assert_eq!(answer.json()["code"], expected["decision"]);
        let mut line = json!({"client": id, "issuer": "default", "request_id": request_id});
        crate::world::merge(&mut line, expected.clone());
        assert_eq!(timeless(line_of(&log, &request_id)), line);
    }
    let codes = (0..5).map(|number| {
        let id = format!("rate-{number}");
        let answer = ask(&server, &rated.1, "default/tokens", &id, one);
        (answer.status == 429).then_some(id)
    });
    let refused = codes.flatten().last().expect("one a second");
    let line = timeless(line_of(&log, &refused));
    assert_eq!(
        (&line["decision"], &line["client"]),
        (&json!("rate-limited"), &rated.0)
    );
    // A client that may not sign at all has no line, and neither has what is no signature.
    let count = lines(&log).len();
    let auditor = credential(&create_client(&server, "auditor", &["auditor"]));
    assert_eq!(
        ask(&server, &auditor, "default/tokens", "role", one).status,
        403
    );
    assert_eq!(
        ask(&server, "kw_nobody", "default/tokens", "nobody", one).status,
        401
    );
    ask(&server, &free.1, "default/tokens", "end", one);
    line_of(&log, "end");
    assert_eq!(lines(&log).len(), count + 1);
}

#[test]
fn a_request_that_takes_too_long_has_a_line() {
    use std::io::Write as _;
    let server = start(&format!("{TO_FILE}internal.request_timeout = \"1s\"\n"));
    let bearer = format!("Bearer {}", server.admin);
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("content-length", "100"),
        ("x-request-id", "slow"),
    ];
    let head = crate::exchange::head("POST", "/v1/issuers/default/tokens", &headers);
    let mut stream = crate::exchange::connect(&server.internal);
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(
        line_of(&log_of(&server), "slow")["decision"],
        "request-timeout"
    );
}
