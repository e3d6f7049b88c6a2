//! Tokens that are taken back: who may, and what is refused.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keywright_verifier::revocation::{Head, HeadKind, RevocationDocument, SelectorKind};
use keywright_verifier::{
    Algorithm, JwkSet, Jws, KeyFile, RevocationFile, Rules, Verifier, VerifyError,
};
use serde_json::{Value, json};

use crate::support::{Answer, Server, eventually, request, start, start_in};
use crate::world::{self, create_client, create_issuer, credential, ok};

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

pub(crate) fn server() -> Arc<Server> {
    world::shared(&SHARED, || {
        let server = start("");
        create_issuer(&server, "shop", json!({}));
        server
    })
}

pub(crate) const REVOCATIONS: &str = "/v1/issuers/shop/revocations";

pub(crate) fn take_back(server: &Server, body: &Value) -> Value {
    let answer = server.call("POST", REVOCATIONS, Some(body));
    assert_eq!(answer.status, 201, "{body}: {}", answer.json());
    answer.json()
}

pub(crate) fn sign(server: &Server, claims: &Value) -> Answer {
    let request = json!({ "claims": claims });
    server.call("POST", "/v1/issuers/shop/tokens", Some(&request))
}

fn call_as(
    server: &Server,
    credential: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
    server.call_as(Some(credential), method, path, body)
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// The head of the feed, whose signature verifies.
pub(crate) fn head(server: &Server, query: &str) -> Head {
    let answer = server.fetch(&format!("/shop/.well-known/revocations{query}"));
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let text = String::from_utf8(answer.body).unwrap();
    let keys = server.fetch(&world::jwks_path("shop")).body;
    let jws = Jws::parse(&text, 65_536).unwrap();
    assert_eq!(jws.typ(), Some("keywright-revocations+jwt"));
    jws.verify(&JwkSet::parse(&keys).unwrap(), &Algorithm::ALL)
        .unwrap();
    Head::read(jws.unverified_claims().unwrap(), HeadKind::Feed).unwrap()
}

pub(crate) fn code(answer: &Answer) -> (u16, String) {
    let code = answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (answer.status, code)
}

#[test]
fn a_ban_keeps_tokens_from_being_signed_until_it_is_lifted() {
    let server = server();
    let subject = json!({"sub": "banned"});
    assert_eq!(sign(&server, &subject).status, 201);
    let ban = take_back(
        &server,
        &json!({"subject": "banned", "ban": true, "reason": "fraud"}),
    );
    assert_eq!(ban["state"], "closed");
    assert_eq!(ban["ban"], true);
    assert_eq!(code(&sign(&server, &subject)), (403, "banned".to_owned()));
    // As an actor within an actor, too.
    let acting = json!({"sub": "other", "act": {"sub": "x", "act": {"sub": "banned"}}});
    let client = json!({"name": "exchange", "roles": ["issuer"], "limits": {"claims": ["act"]}});
    let client = server.call("POST", "/v1/clients", Some(&client)).json();
    let request = json!({ "claims": acting });
    let path = "/v1/issuers/shop/tokens";
    let answer = call_as(&server, &credential(&client), "POST", path, Some(&request));
    assert_eq!(code(&answer), (403, "banned".to_owned()));
    assert_eq!(sign(&server, &json!({"sub": "banned2"})).status, 201);
    let id = ban["id"].as_str().unwrap();
    let lift = format!("{REVOCATIONS}/{id}");
    assert_eq!(server.call("DELETE", &lift, None).status, 204);
    assert_eq!(
        code(&server.call("DELETE", &lift, None)),
        (409, "not-a-ban".to_owned())
    );
    // It waits until what it signs stays good.
    let token = ok(sign(&server, &subject));
    let claims = Jws::inspect(token["token"].as_str().unwrap(), 65_536)
        .unwrap()
        .claims;
    assert!(claims["iat"].as_u64() >= ban["issued_before"].as_u64());
}

#[test]
fn a_ban_ends_by_itself() {
    let server = server();
    let until = now() + 2;
    take_back(
        &server,
        &json!({"subject": "soon", "ban": {"until": until}}),
    );
    let subject = json!({"sub": "soon"});
    assert_eq!(code(&sign(&server, &subject)), (403, "banned".to_owned()));
    eventually("the ban ends", || {
        (sign(&server, &subject).status == 201).then_some(())
    });
    assert!(now() >= until);
}

#[test]
fn a_login_after_a_logout_gets_a_token_that_stays() {
    let server = server();
    let claims = json!({"sub": "user-1", "sid": "s-1"});
    assert_eq!(sign(&server, &claims).status, 201);
    let logout = take_back(&server, &json!({"subject": "user-1", "session": "s-1"}));
    let token = ok(sign(&server, &claims));
    let claims = Jws::inspect(token["token"].as_str().unwrap(), 65_536)
        .unwrap()
        .claims;
    assert!(claims["iat"].as_u64() >= logout["issued_before"].as_u64());
    assert_eq!(
        sign(&server, &json!({"sub": "user-1", "sid": "s-2"})).status,
        201
    );
}

#[test]
fn the_answer_states_both_bounds() {
    let server = server();
    let before = now();
    let answer = take_back(&server, &json!({"jti": "some"}));
    let number = |value: &Value| value.as_u64().unwrap();
    let signers = number(&answer["in_force_at_signers"]);
    let verifiers = &answer["in_force_at_verifiers"];
    assert!((before..=now() + 1).contains(&signers));
    assert!((signers..=signers + 3).contains(&number(&verifiers["expected"])));
    assert!((signers + 60..=signers + 63).contains(&number(&verifiers["guaranteed"])));
    assert!(number(&answer["tokens_until"]) >= signers + 3600);
    let shown = ok(server.call(
        "GET",
        &format!("{REVOCATIONS}/{}", answer["id"].as_str().unwrap()),
        None,
    ));
    assert_eq!(shown, answer);
}

#[test]
fn a_token_is_taken_back_by_itself() {
    let server = server();
    let token = ok(sign(&server, &json!({"sub": "thief"})));
    let answer = take_back(&server, &json!({"token": token["token"]}));
    assert_eq!(answer["selector"], json!({"jti": token["jti"]}));
    let other = server.call(
        "POST",
        "/v1/issuers/default/tokens",
        Some(&json!({"claims": {}})),
    );
    let other = ok(other)["token"].clone();
    let text = token["token"].as_str().unwrap();
    let forged = format!("{}AAAA", &text[..text.len() - 4]);
    for wrong in [other, json!(forged), json!("x"), json!("a.b.c")] {
        let answer = server.call("POST", REVOCATIONS, Some(&json!({ "token": wrong })));
        assert_eq!(code(&answer), (400, "invalid-token".to_owned()));
        assert!(
            !answer.json().to_string().contains("eyJ"),
            "it repeats no token"
        );
    }
    let both = json!({"token": token["token"], "jti": "x"});
    let answer = server.call("POST", REVOCATIONS, Some(&both));
    assert_eq!(code(&answer), (400, "invalid-selector".to_owned()));
}

#[test]
fn a_token_that_has_expired_or_whose_key_has_retired_is_taken_back_all_the_same() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let request = json!({ "claims": { "sub": "user-1" }, "expires_in": 1 });
    let short = ok(server.call("POST", "/v1/issuers/shop/tokens", Some(&request)));
    let of_the_old_key = ok(sign(&server, &json!({"sub": "user-1"})));
    let forced = json!({ "force": true });
    ok(server.call("POST", "/v1/issuers/shop/rotate", Some(&forced)));
    let of_the_new_key = ok(sign(&server, &json!({"sub": "user-1"})));
    assert_ne!(of_the_old_key["kid"], of_the_new_key["kid"]);
    eventually("the end of the token", || {
        (now() > short["expires_at"].as_u64().unwrap()).then_some(())
    });
    for token in [short, of_the_old_key] {
        let revoked = take_back(&server, &json!({ "token": token["token"] }));
        assert_eq!(revoked["selector"], json!({ "jti": token["jti"] }));
    }
}

#[test]
fn what_names_no_tokens_is_refused_and_changes_nothing() {
    let server = server();
    let long = "x".repeat(513);
    for (body, expected) in [
        (json!({}), "invalid-selector"),
        (json!({"reason": "why"}), "invalid-selector"),
        (json!({"subject": ""}), "invalid-selector"),
        (json!({ "subject": long }), "invalid-selector"),
        (json!({"subject": "a", "jti": "b"}), "invalid-selector"),
        (json!({"client": "a", "audience": "b"}), "invalid-selector"),
        (
            json!({"subject": "a", "session": "b", "client": "c"}),
            "invalid-selector",
        ),
        (json!({"issuer": false}), "invalid-selector"),
        (json!({"issuer": true, "subject": "a"}), "invalid-selector"),
        (
            json!({"subject": "a", "ban": {"until": now() - 1}}),
            "invalid-ban",
        ),
        (json!({"subject": "a", "ban": {"until": 0}}), "invalid-ban"),
        (json!({"subject": "a", "ban": "yes"}), "invalid-body"),
        (json!({"subject": "a", "ban": {}}), "invalid-body"),
        (json!({"subject": 1}), "field-type"),
        (json!({"sub": "a"}), "unknown-field"),
        (json!({"subject": "a", "reason": ""}), "invalid-reason"),
    ] {
        let answer = server.call("POST", REVOCATIONS, Some(&body));
        assert_eq!(code(&answer), (400, expected.to_owned()), "{body}");
        let batch = json!({"revocations": [{"jti": "fine"}, body]});
        let path = format!("{REVOCATIONS}/batch");
        let answer = server.call("POST", &path, Some(&batch));
        assert_eq!(answer.status, 400, "{body}");
        let pointer = answer.json()["pointer"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(pointer.starts_with("/revocations/1"), "{body}: {pointer}");
    }
    let unknown = server.call("GET", &format!("{REVOCATIONS}/none"), None);
    assert_eq!(code(&unknown), (404, "unknown-revocation".to_owned()));
    let unknown = server.call("DELETE", &format!("{REVOCATIONS}/none"), None);
    assert_eq!(code(&unknown), (404, "unknown-revocation".to_owned()));
}

#[test]
fn a_revoker_takes_back_what_it_can_show() {
    let server = server();
    let body = json!({"name": "login", "roles": ["revoker"], "limits": {"subjects": ["user-*"]}});
    let client = server.call("POST", "/v1/clients", Some(&body)).json();
    let credential = credential(&client);
    let call = |body: &Value| call_as(&server, &credential, "POST", REVOCATIONS, Some(body));
    let token = ok(sign(&server, &json!({"sub": "root"})));
    for body in [
        json!({"subject": "user-5"}),
        json!({"subject": "user-5", "session": "s"}),
        json!({"subject": "user-5", "ban": true}),
        json!({"token": token["token"]}),
    ] {
        assert_eq!(call(&body).status, 201, "{body}");
    }
    for (body, rule) in [
        (json!({"subject": "root"}), "subjects"),
        (json!({"subject": "root", "session": "s"}), "subjects"),
        (json!({"session": "s"}), "revoker"),
        (json!({"jti": "x"}), "revoker"),
        (json!({"client": "web"}), "revoker"),
        (json!({"audience": "orders"}), "revoker"),
        (
            json!({"subject": "user-5", "audience": "orders"}),
            "revoker",
        ),
        (json!({"issuer": true}), "revoker"),
    ] {
        let answer = call(&body);
        assert_eq!(code(&answer), (403, "client-limit".to_owned()), "{body}");
        assert_eq!(answer.json()["rule"], rule, "{body}");
    }
    let own = call(&json!({"subject": "user-6", "ban": true})).json();
    let others = take_back(&server, &json!({"subject": "user-7", "ban": true}));
    let lift = |id: &Value| {
        let path = format!("{REVOCATIONS}/{}", id.as_str().unwrap());
        call_as(&server, &credential, "DELETE", &path, None).status
    };
    assert_eq!((lift(&own["id"]), lift(&others["id"])), (204, 403));
    let list = call_as(&server, &credential, "GET", REVOCATIONS, None);
    assert_eq!(code(&list), (403, "role-missing".to_owned()));
}

#[test]
fn revocations_are_listed_by_what_they_name_and_in_pages() {
    let server = server();
    let batch: Vec<Value> = (0..7)
        .map(|number| json!({"audience": format!("list-{number}")}))
        .collect();
    let path = format!("{REVOCATIONS}/batch");
    let made = ok(server.call("POST", &path, Some(&json!({ "revocations": batch }))));
    assert_eq!(made["revocations"].as_array().unwrap().len(), 7);
    let one = ok(server.call(
        "GET",
        &format!("{REVOCATIONS}?audience=list-3&live=true"),
        None,
    ));
    assert_eq!(
        one["revocations"][0]["selector"],
        json!({"audience": "list-3"})
    );
    assert_eq!(one["revocations"].as_array().unwrap().len(), 1);
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = ok(server.call("GET", &format!("{REVOCATIONS}?limit=2&after={after}"), None));
        let shown = page["revocations"].as_array().unwrap();
        seen.extend(
            shown
                .iter()
                .map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        next.clone_into(&mut after);
    }
    for one in made["revocations"].as_array().unwrap() {
        assert!(seen.contains(&one["id"].as_str().unwrap().to_owned()));
    }
    assert!(seen.is_sorted());
    for query in [
        "limit=0",
        "limit=1001",
        "subject=a&jti=b",
        "unknown=1",
        "issuer=false",
    ] {
        let answer = server.call("GET", &format!("{REVOCATIONS}?{query}"), None);
        assert_eq!(code(&answer), (400, "invalid-query".to_owned()), "{query}");
    }
}

const FILE: &str = "/v1/issuers/shop/revocations/file";

/// The order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The other signature of the same token that verifies: (r, n - s) for (r, s).
fn mirrored(token: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0_i16;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let difference = i16::from(order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_file_refuses_tokens_at_a_verifier_without_a_network() {
    let server = start("");
    let issuer = create_issuer(&server, "shop", json!({"revocation_feed": "off"}));
    let issuer = issuer["policy"]["url"].as_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let keys = server.fetch(&world::jwks_path("shop")).body;
    std::fs::write(path("jwks.json"), keys).unwrap();
    let token = |subject: &str| {
        let claims = json!({"sub": subject, "aud": "orders"});
        ok(sign(&server, &claims))["token"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (first, last, other) = (token("first"), token("last"), token("other"));
    take_back(&server, &json!({"subject": "first"}));
    // More than a head holds.
    let many: Vec<Value> = (0..100)
        .map(|number| json!({ "jti": format!("{number}") }))
        .collect();
    let batch = json!({ "revocations": many });
    ok(server.call("POST", &format!("{REVOCATIONS}/batch"), Some(&batch)));
    take_back(&server, &json!({"subject": "last", "ban": true}));
    let file = server.call("GET", &format!("{FILE}?max_age=2h"), None);
    assert_eq!(file.status, 200);
    let document = RevocationDocument::parse(&file.body).unwrap();
    assert!(!document.segments.is_empty());
    std::fs::write(path("revocations.json"), file.body).unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let rules = Rules::new(issuer, "orders", Algorithm::ALL);
    let verifier = Verifier::new(rules, KeyFile::open(path("jwks.json")).unwrap())
        .unwrap()
        .with_revocations(RevocationFile::open(path("revocations.json")).unwrap())
        .unwrap();
    let verify = |token: &str, ahead: Duration| {
        let then = SystemTime::now() + ahead;
        let verified = runtime.block_on(verifier.verify_at::<Value>(token, then));
        verified.map(drop)
    };
    let revoked = Err(VerifyError::Revoked {
        selector: SelectorKind::Subject,
    });
    assert_eq!(verify(&other, Duration::ZERO), Ok(()));
    assert_eq!(verify(&first, Duration::ZERO), revoked);
    assert_eq!(verify(&last, Duration::ZERO), revoked);
    assert_eq!(verify(&mirrored(&other), Duration::ZERO), Ok(()));
    assert_eq!(verify(&mirrored(&first), Duration::ZERO), revoked);
    let claims = Jws::inspect(&document.head, 65_536).unwrap().claims;
    assert_eq!(claims["max_age"], 7200);
}

#[test]
fn a_file_is_signed_for_as_long_as_it_may_count_and_never_passes_for_a_head() {
    let server = server();
    let file = |query: &str| server.call("GET", &format!("{FILE}{query}"), None);
    for (query, seconds) in [
        ("", 86_400),
        ("?max_age=1m", 60),
        ("?max_age=366d", 31_622_400),
        ("?max_age=36h&alg=ES256", 129_600),
    ] {
        let document = RevocationDocument::parse(&file(query).body).unwrap();
        let jws = Jws::parse(&document.head, 65_536).unwrap();
        let keys = server.fetch(&world::jwks_path("shop")).body;
        jws.verify(&JwkSet::parse(&keys).unwrap(), &Algorithm::ALL)
            .unwrap();
        assert_eq!(jws.typ(), Some("keywright-revocations-file+jwt"));
        let claims = jws.unverified_claims().unwrap();
        for name in ["aud", "scope", "client_id", "nonce"] {
            assert!(!claims.contains_key(name), "{name}");
        }
        let head = Head::read(claims, HeadKind::File).unwrap();
        assert_eq!(head.max_age_seconds, seconds, "{query}");
        let age = now() - head.issued_at_milliseconds / 1000;
        assert!(age <= 2, "it says what was revoked {age} s ago");
    }
    for (query, expected) in [
        ("?max_age=59s", (400, "invalid-query")),
        ("?max_age=367d", (400, "invalid-query")),
        ("?max_age=3600", (400, "invalid-query")),
        ("?max_age=", (400, "invalid-query")),
        ("?maxage=1h", (400, "invalid-query")),
        ("?alg=HS256", (400, "unknown-algorithm")),
        ("?alg=RS256", (409, "algorithm-not-active")),
    ] {
        let expected = (expected.0, expected.1.to_owned());
        assert_eq!(code(&file(query)), expected, "{query}");
    }
    for (role, status) in [
        ("auditor", 200),
        ("security", 200),
        ("issuer", 403),
        ("revoker", 403),
    ] {
        let client = create_client(&server, &format!("file-{role}"), &[role]);
        let answer = call_as(&server, &credential(&client), "GET", FILE, None);
        assert_eq!(answer.status, status, "{role}");
    }
}

/// What the service alone signs, or does not sign with these keys.
const RESERVED_TYPES: [&str; 8] = [
    "keywright-revocations+jwt",
    "keywright-revocations-file+jwt",
    "statuslist+jwt",
    "secevent+jwt",
    "token-introspection+jwt",
    "txntoken+jwt",
    "dpop+jwt",
    "logout+jwt",
];

#[test]
fn a_client_that_may_sign_gets_no_head_status_list_or_logout_token_signed_by_any_route() {
    let server = server();
    let client = create_client(&server, "forger", &["issuer"]);
    let credential = credential(&client);
    let call = |method, path: &str, body: Option<&Value>| {
        call_as(&server, &credential, method, path, body)
    };
    let claims = json!({"sub": "https://id.example.com/.well-known/revocations", "max_age": 60});
    for reserved in RESERVED_TYPES {
        let spellings = [reserved.to_owned(), format!("application/{reserved}")];
        for typ in spellings
            .iter()
            .flat_map(|typ| [typ.clone(), typ.to_uppercase()])
        {
            let request = json!({"claims": claims, "typ": typ});
            let single = call("POST", "/v1/issuers/shop/tokens", Some(&request));
            assert_eq!(code(&single), (400, "reserved-type".to_owned()), "{typ}");
            let batch = json!({"requests": [request, {"claims": {"sub": "good"}}]});
            let batch = call("POST", "/v1/issuers/shop/tokens/batch", Some(&batch)).json();
            let results = batch["results"].as_array().unwrap();
            assert_eq!(results[0]["code"], "reserved-type", "{batch}");
            assert_eq!(results[0].get("token"), None);
            assert!(results[1]["token"].is_string(), "{batch}");
        }
    }
    // The documents themselves are for others.
    let file = call("GET", FILE, None);
    assert_eq!(file.status, 403);
    for method in ["POST", "PUT"] {
        let url = format!("{}/shop/.well-known/revocations", server.public);
        assert_eq!(request(method, &url, &[], None).status, 405, "{method}");
    }
}

#[test]
fn claims_that_verifiers_draw_conclusions_from_are_not_for_everybody() {
    let server = server();
    for claim in ["status", "single_use", "cnf", "act", "may_act"] {
        let answer = sign(&server, &json!({ claim: {"sub": "x"} }));
        assert_eq!(code(&answer), (403, "client-limit".to_owned()), "{claim}");
        assert_eq!(answer.json()["claim"], claim);
    }
    let binds = json!({"name": "binds", "roles": ["issuer"], "limits": {"claims": ["cnf"]}});
    let binds = credential(&server.call("POST", "/v1/clients", Some(&binds)).json());
    let thumbprint = "A".repeat(43);
    for (cnf, status) in [
        (json!("a"), 400),
        (json!({}), 400),
        (json!({"jkt": "a"}), 400),
        (json!({"jkt": [thumbprint.as_str()]}), 400),
        (json!({"x5t#S256": "A".repeat(44)}), 400),
        (json!({"jkt": thumbprint, "x5t#S256": "a"}), 400),
        (json!({"jkt": thumbprint}), 201),
        (json!({"x5t#S256": thumbprint}), 201),
        (json!({"kid": "a key that others know"}), 201),
    ] {
        let request = json!({"claims": {"cnf": cnf}});
        let path = "/v1/issuers/shop/tokens";
        let answer = call_as(&server, &binds, "POST", path, Some(&request));
        assert_eq!(answer.status, status, "{cnf}");
        if status == 400 {
            assert_eq!(answer.json()["claim"], "cnf");
        }
    }
    let mut deep = json!({"sub": "x"});
    for _ in 0..20 {
        deep = json!({"sub": "x", "act": deep});
    }
    let exchange = json!({"name": "deep", "roles": ["issuer"], "limits": {"claims": ["act"]}});
    let exchange = server.call("POST", "/v1/clients", Some(&exchange)).json();
    let request = json!({"claims": {"act": deep}});
    let path = "/v1/issuers/shop/tokens";
    let answer = call_as(
        &server,
        &credential(&exchange),
        "POST",
        path,
        Some(&request),
    );
    assert_eq!(code(&answer), (400, "claim-type".to_owned()));
    let many: Vec<String> = (0..17).map(|number| format!("a{number}")).collect();
    for claims in [json!({ "aud": many }), json!({"sid": 1})] {
        assert_eq!(
            code(&sign(&server, &claims)),
            (400, "claim-type".to_owned()),
            "{claims}"
        );
    }
}

#[test]
fn what_was_taken_back_survives_a_restart() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let ban = take_back(&server, &json!({"subject": "user-1", "ban": true}));
    let before = head(&server, "");
    let (_, folder) = server.terminate();
    let server = start_in(folder, "").unwrap();
    assert_eq!(head(&server, "").content, before.content);
    assert_eq!(
        code(&sign(&server, &json!({"sub": "user-1"}))),
        (403, "banned".to_owned())
    );
    let list = ok(server.call("GET", REVOCATIONS, None));
    assert_eq!(list["revocations"][0]["id"], ban["id"]);
}

#[test]
fn a_whole_issuer_and_a_whole_audience_take_two_people_where_the_policy_says_so() {
    let server = server();
    create_issuer(&server, "two", json!({ "confirmation": "second-person" }));
    let path = "/v1/issuers/two/revocations";
    let listed = || {
        let found = server.call("GET", path, None).json();
        found["revocations"].as_array().unwrap().len()
    };
    let second = create_client(&server, "confirms", &["security"]);
    let second = credential(&second);
    for wide in [
        json!({ "issuer": true, "reason": "INC-1" }),
        json!({ "audience": "orders", "ban": true }),
    ] {
        let before = listed();
        let batch = json!({ "revocations": [{"subject": "user-1"}, wide] });
        let answer = server.call("POST", &format!("{path}/batch"), Some(&batch));
        assert_eq!(code(&answer), (403, "own-approval".to_owned()));
        let asked = server.call("POST", path, Some(&wide));
        assert_eq!(asked.status, 202, "{}", asked.json());
        let approval = asked.json()["approval"].clone();
        assert_eq!(approval["operation"], "revoke-tokens");
        assert_eq!(listed(), before, "nothing has happened yet");
        let confirm = format!("/v1/approvals/{}/confirm", approval["id"].as_str().unwrap());
        assert_eq!(
            code(&server.call("POST", &confirm, None)),
            (403, "own-approval".to_owned())
        );
        let confirmed = call_as(&server, &second, "POST", &confirm, None);
        let result = &ok(confirmed)["result"];
        assert_eq!(result["selector"], approval["selector"]);
        assert_eq!(result["ban"], approval["ban"]);
        assert_eq!(result["by"], approval["requested_by"]);
        assert_eq!(listed(), before + 1);
        assert_eq!(
            code(&call_as(&server, &second, "POST", &confirm, None)),
            (409, "approval-ended".to_owned())
        );
        assert_eq!(listed(), before + 1);
    }
    // What concerns one user does not wait.
    let one = json!({ "subject": "user-1", "audience": "orders" });
    assert_eq!(server.call("POST", path, Some(&one)).status, 201);
}

#[test]
fn what_could_not_be_taken_back_is_not_signed() {
    let server = server();
    let most = "a".repeat(512);
    for claim in ["sub", "sid", "client_id", "aud"] {
        for value in [json!(""), json!(format!("{most}a")), json!(["", "orders"])] {
            let mut claims = json!({ "sub": "user-1" });
            claims[claim] = value;
            let refused = sign(&server, &claims);
            assert_eq!(code(&refused), (400, "claim-type".to_owned()), "{claim}");
        }
        let mut claims = json!({ "sub": "user-1" });
        claims[claim] = json!(most);
        let signed = sign(&server, &claims);
        assert_eq!(signed.status, 201, "{claim}: {}", signed.json());
    }
}

#[test]
fn a_batch_waits_for_what_is_being_taken_back_as_one_token_does() {
    let server = server();
    let revoked = take_back(&server, &json!({"subject": "in-a-batch"}));
    let request = |subject: &str| json!({ "claims": { "sub": subject } });
    let batch = json!({ "requests": [request("in-a-batch"), request("another")] });
    let answer = ok(server.call("POST", "/v1/issuers/shop/tokens/batch", Some(&batch)));
    for result in answer["results"].as_array().unwrap() {
        let token = result["token"]
            .as_str()
            .unwrap_or_else(|| panic!("{result}"));
        let claims = Jws::inspect(token, 65_536).unwrap().claims;
        assert!(claims["iat"].as_u64() >= revoked["issued_before"].as_u64());
    }
}

#[test]
fn a_client_has_a_quota_and_leaves_security_its_share() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let client = json!({"name": "login", "roles": ["revoker"], "limits": {"subjects": ["user-*"]}});
    let client = server.call("POST", "/v1/clients", Some(&client)).json();
    let path = format!("{REVOCATIONS}/batch");
    let batch = |begin: usize, count: usize| {
        let revocations: Vec<Value> = (begin..begin + count)
            .map(|number| json!({ "subject": format!("user-{number}") }))
            .collect();
        json!({ "revocations": revocations })
    };
    let too_large = call_as(
        &server,
        &credential(&client),
        "POST",
        &path,
        Some(&batch(0, 1001)),
    );
    assert_eq!(too_large.status, 400, "{}", too_large.json());
    for page in 0..49 {
        let body = batch(page * 1000, 1000);
        let answer = call_as(&server, &credential(&client), "POST", &path, Some(&body));
        assert_eq!(answer.status, 201, "{page}");
    }
    // Of several that come together no more are let in than there is room for.
    let statuses = std::thread::scope(|scope| {
        let several: Vec<_> = (0..4)
            .map(|part| {
                let (server, client, path) = (&server, &client, &path);
                let body = batch(49_000 + part * 600, 600);
                scope.spawn(move || {
                    let answer = call_as(server, &credential(client), "POST", path, Some(&body));
                    match answer.status {
                        201 => None,
                        _ => Some(code(&answer)),
                    }
                })
            })
            .collect();
        several
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect::<Vec<_>>()
    });
    let refused: Vec<_> = statuses.into_iter().flatten().collect();
    assert_eq!(refused, vec![(429, "too-many-revocations".to_owned()); 3]);
    take_back(&server, &json!({"subject": "user-1", "ban": true}));
}
