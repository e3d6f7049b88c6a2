//! Whether a client would get a token: the same judgment as of a signature, without one.

use std::fs;

use keywright_verifier::Jws;
use serde_json::{Value, json};

use crate::support::{Answer, Server, start};
use crate::world::{self, create_client, create_issuer, credential, ok};

fn client(server: &Server, name: &str, limits: Value) -> Value {
    let body = json!({"name": name, "roles": ["issuer"], "limits": limits});
    server.call("POST", "/v1/clients", Some(&body)).json()
}

fn ask(server: &Server, client: &Value, issuer: &str, request: &Value) -> Answer {
    let id = client["id"].as_str().unwrap();
    let path = format!("/v1/clients/{id}/check?issuer={issuer}");
    server.call("POST", &path, Some(request))
}

fn check(server: &Server, client: &Value, issuer: &str, request: &Value) -> Value {
    ok(ask(server, client, issuer, request))
}

fn json_body(request: &Value) -> Option<(&'static str, Vec<u8>)> {
    Some(("application/json", request.to_string().into_bytes()))
}

/// What is checked is what becomes of the request when the client sends it.
fn assert_same_judgment(server: &Server, client: &Value, issuer: &str, request: &Value) {
    let asked = ask(server, client, issuer, request);
    let (status, checked) = (asked.status, asked.json());
    let path = format!("/v1/issuers/{issuer}/tokens");
    let answer = server.call_as(Some(&credential(client)), "POST", &path, json_body(request));
    if status == 400 {
        // Its form is wrong, so that nothing was judged.
        assert_eq!((answer.status, checked), (400, answer.json()));
        return;
    }
    assert_eq!(status, 200);
    assert_eq!(
        checked["signed"],
        answer.status == 201,
        "{request}: {checked}"
    );
    if answer.status != 201 {
        assert_eq!(checked, json!({"signed": false, "problem": answer.json()}));
        return;
    }
    let token = answer.json()["token"].take();
    let token = Jws::inspect(token.as_str().unwrap(), 65_536).unwrap();
    assert_eq!(checked["header"], json!(token.header), "{request}");
    let (mut claims, mut expected) = (checked["claims"].clone(), Value::Object(token.claims));
    for claims in [&mut claims, &mut expected] {
        let claims = claims.as_object_mut().unwrap();
        // They are those of a second or two.
        let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        claims.insert("lifetime".to_owned(), lifetime.into());
        claims.retain(|name, _| !["iat", "exp", "jti", "status"].contains(&name.as_str()));
    }
    assert_eq!(claims, expected, "{request}");
    assert!(
        checked["claims"].get("jti").is_none(),
        "no token has it: {checked}"
    );
    assert!(checked["claims"].get("status").is_none(), "{checked}");
}

#[test]
fn a_request_is_checked_as_it_would_be_signed() {
    let server = start("");
    create_issuer(&server, "shop", json!({"max_token_bytes": 1024}));
    create_issuer(
        &server,
        "listed",
        json!({"status": true, "max_token_bytes": 1024}),
    );
    create_issuer(&server, "tracked", json!({"status": "tracked"}));
    let ban = json!({"subject": "user-9", "ban": true});
    ok(server.call("POST", "/v1/issuers/shop/revocations", Some(&ban)));
    let free = client(&server, "free", json!({}));
    let narrow = client(
        &server,
        "narrow",
        json!({
            "issuers": ["shop"], "audiences": ["orders"], "subjects": ["user-*"], "max_ttl": "5m",
            "scopes": ["read"], "claims": ["tenant"],
            "claims_schema": {"properties": {"tenant": {"enum": ["a", "b"]}}},
        }),
    );
    let auditor = create_client(&server, "auditor", &["auditor"]);
    let good = json!({"sub": "user-1", "aud": "orders"});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        json!({"claims": claims})
    };
    let requests = [
        json!({"claims": good}),
        json!({"claims": good, "expires_in": 60, "typ": "at+jwt", "alg": "RS256"}),
        json!({"claims": good, "expires_in": 400}),
        json!({"claims": good, "expires_in": 7200}),
        json!({"claims": good, "expires_in": 0}),
        json!({"claims": good, "alg": "none"}),
        json!({"claims": good, "single_use": true}),
        json!({"claims": good, "status": true}),
        json!({"claims": good, "status": false}),
        json!({"claims": good, "unknown": 1}),
        json!({"claims": "none"}),
        json!({}),
        with("aud", json!("elsewhere")),
        with("sub", json!("svc-1")),
        with("sub", json!("user-9")),
        with("scope", json!("read write")),
        with("tenant", json!("a")),
        with("tenant", json!("c")),
        with("jti", json!("mine")),
        with("status", json!({})),
        with("ancestor_jtis", json!([])),
    ];
    for request in &requests {
        for client in [&free, &narrow] {
            assert_same_judgment(&server, client, "shop", request);
        }
    }
    for issuer in ["listed", "tracked", "nowhere", "SHOP"] {
        for client in [&free, &narrow, &auditor] {
            assert_same_judgment(&server, client, issuer, &requests[0]);
        }
    }
    // To the byte; an entry of a status list has one digit more or less, and is taken for the longest.
    for (issuer, also_refused) in [("shop", 1), ("listed", 0)] {
        let sized = |length: usize| with("note", json!("x".repeat(length)));
        let fits = |length: usize| check(&server, &free, issuer, &sized(length))["signed"] == true;
        let lengths: Vec<usize> = (0..1000).collect();
        let longest = lengths.partition_point(|length| fits(*length)) - 1;
        for length in longest..=longest + also_refused {
            assert_same_judgment(&server, &free, issuer, &sized(length));
        }
    }
}

#[test]
fn a_check_leaves_nothing_behind() {
    let server = start("issuance_log.to = \"file\"\n");
    create_issuer(&server, "shop", json!({"status": "tracked"}));
    let rate = json!({"rate": {"signatures_per_second": 1, "burst": 1}});
    let client = client(&server, "slow", rate);
    let request = json!({"claims": {"sub": "user-1"}});
    let before = world::state(&server);
    for _ in 0..5 {
        assert_eq!(check(&server, &client, "shop", &request)["signed"], true);
    }
    let refused = json!({"claims": {"iss": "me"}});
    assert_eq!(
        check(&server, &client, "shop", &refused)["problem"]["code"],
        "claim-reserved"
    );
    before.assert_same(&world::state(&server));
    let lists = |server: &Server| server.fetch("/shop/status").json()["status_lists"].clone();
    assert_eq!(lists(&server), json!([]), "no entry was leased");
    let path = "/v1/issuers/shop/tokens";
    let signed = server.call_as(
        Some(&credential(&client)),
        "POST",
        path,
        json_body(&request),
    );
    assert_eq!(signed.status, 201, "no signature was taken from the rate");
    let used = ok(server.call(
        "GET",
        &format!("/v1/clients/{}", client["id"].as_str().unwrap()),
        None,
    ));
    assert!(used["credentials"][0]["last_used_at"].is_u64(), "{used}");
    let log = server.folder().path().join("keys-issuance.jsonl");
    let lines = world::eventually("the line of the token", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.ends_with('\n').then_some(text)
    });
    assert_eq!(
        lines.lines().count(),
        1,
        "only the token has a line: {lines}"
    );
}
