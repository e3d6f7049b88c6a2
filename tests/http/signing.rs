//! What a token is, and that nothing comes between a kid and its signature.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use keywright_verifier::{Algorithm, JwkSet, Jws, Rules, Verifier};
use serde_json::{Value, json};

use crate::exchange::{connect, head};
use crate::support::{Server, start};
use crate::world::{self, create_issuer, kid, ok};

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// No test changes the issuers of this server.
fn server() -> Arc<Server> {
    world::shared(&SHARED, || {
        let server = start("");
        create_issuer(&server, "orders", json!({ "max_token_bytes": 65536 }));
        server
    })
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn sign(server: &Server, issuer: &str, request: &Value) -> Value {
    let answer = server.call(
        "POST",
        &format!("/v1/issuers/{issuer}/tokens"),
        Some(request),
    );
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

fn jwks(server: &Server, issuer: &str) -> Vec<u8> {
    server.fetch(&world::jwks_path(issuer)).body
}

/// The header and the claims of a token whose signature verifies.
fn opened(server: &Server, issuer: &str, token: &str) -> (Value, Value) {
    let set = JwkSet::parse(&jwks(server, issuer)).unwrap();
    let jws = Jws::parse(token, 65536).unwrap();
    let verified = jws.verify(&set, &Algorithm::ALL).unwrap();
    let claims = serde_json::from_slice(verified.payload()).unwrap();
    let header = Jws::inspect(token, 65536).unwrap().header;
    (Value::Object(header), claims)
}

/// Nearly all requests are answered without the router. What the router answers is the same.
#[test]
fn a_signing_route_in_another_spelling_is_the_same_route() {
    let server = server();
    let request = json!({ "claims": { "sub": "user-1" } });
    let batch = json!({ "requests": [request] });
    for (body, plain, encoded) in [
        (&request, "orders/tokens", "%6frders/tokens"),
        (&batch, "orders/tokens/batch", "%6frders/tokens/batch"),
        (&request, "no-issuer/tokens", "%6eo-issuer/tokens"),
        (&json!({ "claims": [] }), "orders/tokens", "%6frders/tokens"),
    ] {
        let [plain, encoded] = [plain, encoded].map(|path| {
            let path = format!("/v1/issuers/{path}");
            let answer = server.call("POST", &path, Some(body));
            let document = answer.json();
            let members = document.as_object().unwrap().keys().cloned();
            (answer.status, members.collect::<Vec<_>>())
        });
        assert_eq!(plain, encoded);
    }
    for path in ["/v1/issuers//tokens", "/v1/issuers/a/b/tokens"] {
        assert_eq!(server.call("POST", path, Some(&request)).status, 404);
    }
    let path = "/v1/issuers/orders/tokens";
    assert_eq!(server.call("GET", path, None).status, 405);
}

#[test]
fn the_header_is_algorithm_kid_and_type_and_nothing_else() {
    let server = server();
    let access = json!({ "sub": "user-1", "aud": "orders", "client_id": "shop" });
    for (issuer, algorithm, typ) in [
        ("orders", None, None),
        ("orders", Some("ES256"), Some("at+jwt")),
        ("orders", None, Some("application/at+jwt")),
        ("orders", None, Some("receipt+jwt")),
        ("default", Some("RS256"), None),
        ("default", Some("RS256"), Some("at+jwt")),
        ("default", None, None),
    ] {
        let mut request = json!({ "claims": access });
        if let Some(algorithm) = algorithm {
            request["alg"] = json!(algorithm);
        }
        if let Some(typ) = typ {
            request["typ"] = json!(typ);
        }
        let answer = sign(&server, issuer, &request);
        let algorithm = algorithm.unwrap_or("ES256");
        let signs = world::kids(&server, issuer, algorithm, "active");
        let header = json!({ "alg": algorithm, "kid": signs[0], "typ": typ.unwrap_or("JWT") });
        let token = answer["token"].as_str().unwrap();
        let (encoded, _) = token.split_once('.').unwrap();
        let decoded = String::from_utf8(BASE64URL.decode(encoded).unwrap()).unwrap();
        assert_eq!(decoded, header.to_string());
        assert_eq!(answer["kid"], signs[0].as_str());
        opened(&server, issuer, token);
    }
}

#[test]
fn the_claims_are_those_that_were_given_and_four_that_the_service_adds() {
    let server = server();
    let claims = json!({
        "sub": "user-1", "aud": ["orders", "billing"], "scope": "orders:read orders:write",
        "client_id": "shop", "nbf": 1_700_000_000, "azp": null, "auth_time": 0,
        "https://id.example/claims": { "groups": ["a", "b", []], "deep": { "er": [{ "x": {} }] } },
        "largest": u64::MAX, "smallest": i64::MIN, "half": 0.5, "tenth": 0.1, "exact": 9_007_199_254_740_993_u64,
        "text": "ä€😀\u{0}\u{1f}\u{2028}\"\\/<>&'", "": "", " ": [true, false, null], "issued": "no reserved name",
        "constructor": "x", "__proto__": { "admin": true }, "deeper": { "ISS": "x", "\u{202e}": "rtl" },
    });
    for request in [
        json!({ "claims": claims }),
        json!({ "claims": claims, "expires_in": 1 }),
        json!({ "claims": claims, "expires_in": 3600, "typ": "at+jwt" }),
        json!({ "claims": {} }),
    ] {
        let before = now();
        let answer = sign(&server, "orders", &request);
        let (_, mut signed) = opened(&server, "orders", answer["token"].as_str().unwrap());
        let signed = signed.as_object_mut().unwrap();
        let mut own = |claim: &str| signed.remove(claim).expect("a claim of the service");
        let (issued_at, expires_at) = (own("iat").as_u64().unwrap(), own("exp").as_u64().unwrap());
        assert!((before..=now()).contains(&issued_at));
        let lifetime = request["expires_in"].as_u64().unwrap_or(900);
        assert_eq!(expires_at, issued_at + lifetime);
        assert_eq!(answer["expires_at"], expires_at);
        assert_eq!(own("iss"), "http://127.0.0.1:8080/orders");
        let jti = own("jti");
        assert_eq!(answer["jti"], jti);
        assert!(BASE64URL.decode(jti.as_str().unwrap()).unwrap().len() >= 16);
        assert_eq!(Value::Object(signed.clone()), request["claims"]);
        let members: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(members, ["expires_at", "jti", "kid", "token"]);
    }
}

/// Numbers that a hasty parser reads as their neighbours.
#[test]
fn a_number_of_a_claim_passes_digit_by_digit() {
    let server = server();
    let numbers = ["7.171480392684302e-25", "2.169869412331373e-78", "0.1"];
    let claims: Vec<String> = numbers
        .iter()
        .enumerate()
        .map(|(index, number)| format!("\"n{index}\":{number}"))
        .collect();
    let body = format!("{{\"claims\":{{{}}}}}", claims.join(","));
    let body = Some(("application/json", body.into_bytes()));
    let path = "/v1/issuers/orders/tokens";
    let answer = ok(server.call_as(Some(&server.admin), "POST", path, body));
    let token = answer["token"].as_str().unwrap();
    let payload = BASE64URL.decode(token.split('.').nth(1).unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    for claim in claims {
        assert!(payload.contains(&claim), "{claim} is not in {payload}");
    }
}

#[test]
fn a_token_verifies_with_our_library_and_with_another_against_the_served_set() {
    use jsonwebtoken::{DecodingKey, Validation, jwk};
    let server = server();
    let claims = json!({ "sub": "user-1", "aud": "orders", "client_id": "shop" });
    for algorithm in ["ES256", "RS256"] {
        let request = json!({ "claims": claims, "alg": algorithm, "typ": "at+jwt" });
        let token = sign(&server, "default", &request)["token"]
            .as_str()
            .unwrap()
            .to_owned();
        let algorithm = algorithm.parse().unwrap();
        let rules = Rules::new("http://127.0.0.1:8080", "orders", [algorithm]).typ("at+jwt");
        let set = JwkSet::parse(&jwks(&server, "default")).unwrap();
        let verifier = Verifier::new(rules, set).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(now());
        let verified = verifier
            .verify_with_held_keys::<Value>(&token, now)
            .unwrap();
        assert_eq!(verified.claims["sub"], "user-1");

        let set: jwk::JwkSet = serde_json::from_slice(&jwks(&server, "default")).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        let key = set
            .find(header.kid.as_deref().unwrap())
            .expect("a key of that kid");
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&["http://127.0.0.1:8080"]);
        validation.set_audience(&["orders"]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let key = DecodingKey::from_jwk(key).unwrap();
        let decoded = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap();
        assert_eq!(decoded.claims["sub"], "user-1");

        // Both see when one character of it is another one.
        let middle = token.find('.').unwrap() + 10;
        let other = if token.as_bytes()[middle] == b'A' {
            "B"
        } else {
            "A"
        };
        let forged = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
        assert!(jsonwebtoken::decode::<Value>(&forged, &key, &validation).is_err());
    }
}

#[test]
fn a_batch_answers_each_request_in_its_place() {
    let server = server();
    let item = |index: usize| match index % 10 {
        3 => json!({ "claims": { "sub": index.to_string(), "iss": "evil" } }),
        5 => json!({ "claims": { "sub": index.to_string() }, "expires_in": 0 }),
        7 => json!({ "claims": { "sub": index.to_string() }, "alg": "none" }),
        8 => json!(index),
        _ if index.is_multiple_of(97) => {
            json!({ "claims": { "sub": index.to_string() }, "alg": "RS256" })
        }
        _ => json!({ "claims": { "sub": index.to_string() }, "expires_in": 1 + index % 3600 }),
    };
    let requests: Vec<Value> = (0..1000).map(item).collect();
    let answer = ok(server.call(
        "POST",
        "/v1/issuers/default/tokens/batch",
        Some(&json!({ "requests": requests })),
    ));
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 1000);
    let set = JwkSet::parse(&jwks(&server, "default")).unwrap();
    let (mut identifiers, mut kids) = (HashSet::new(), BTreeMap::new());
    for (index, (request, result)) in requests.iter().zip(results).enumerate() {
        let code = match index % 10 {
            3 => Some("claim-reserved"),
            5 => Some("ttl-zero"),
            7 => Some("unknown-algorithm"),
            8 => Some("not-an-object"),
            _ => None,
        };
        if let Some(code) = code {
            assert_eq!(
                (&result["code"], &result["status"]),
                (&json!(code), &json!(400)),
                "{index}"
            );
            assert_eq!(result["type"], format!("urn:keywright:problem:{code}"));
            assert_eq!(result.get("token"), None);
            continue;
        }
        let token = result["token"]
            .as_str()
            .unwrap_or_else(|| panic!("{index}: {result}"));
        let jws = Jws::parse(token, 4096).unwrap();
        let verified = jws.verify(&set, &Algorithm::ALL).unwrap();
        let claims: Value = serde_json::from_slice(verified.payload()).unwrap();
        assert_eq!(claims["sub"], index.to_string());
        assert_eq!(result["expires_at"], claims["exp"]);
        let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(lifetime, request["expires_in"].as_u64().unwrap_or(900));
        let algorithm = request["alg"].as_str().unwrap_or("ES256");
        assert_eq!(jws.algorithm().as_str(), algorithm);
        assert!(
            identifiers.insert(claims["jti"].clone()),
            "a jti came twice"
        );
        kids.entry(algorithm)
            .or_insert_with(HashSet::new)
            .insert(jws.kid().unwrap().clone());
    }
    assert!(
        kids.len() == 2 && kids.values().all(|kids| kids.len() == 1),
        "{kids:?}"
    );
    // One, and a thousand of the slow kind.
    let one = json!({ "requests": [{ "claims": {} }] });
    let answer = ok(server.call("POST", "/v1/issuers/default/tokens/batch", Some(&one)));
    assert_eq!(answer["results"].as_array().unwrap().len(), 1);
}

#[test]
fn requests_on_one_connection_are_answered_in_their_order() {
    let server = server();
    let credential = format!("Bearer {}", server.admin);
    let mut requests = String::new();
    for index in 0..5 {
        let body = json!({ "claims": { "sub": index.to_string() } }).to_string();
        let length = body.len().to_string();
        let headers = [
            ("Authorization", credential.as_str()),
            ("Content-Type", "application/json"),
            ("Content-Length", &length),
        ];
        let mut text = head("POST", "/v1/issuers/orders/tokens", &headers);
        if index < 4 {
            text = text.replace("Connection: close\r\n", "");
        }
        requests.push_str(&text);
        requests.push_str(&body);
    }
    let answers = crate::exchange::send_all(&server.internal, requests.as_bytes());
    let text = String::from_utf8(answers).unwrap();
    let tokens = text
        .split("\"token\":\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap());
    let subjects: Vec<Value> = tokens
        .map(|token| opened(&server, "orders", token).1["sub"].clone())
        .collect();
    assert_eq!(json!(subjects), json!(["0", "1", "2", "3", "4"]));
}

/// Tells threads to end, also when what they stand by has failed.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_rotation_falls_between_a_kid_and_its_signature() {
    const ROTATIONS: usize = 20;
    let server = start("");
    create_issuer(&server, "busy", json!({}));
    let done = AtomicBool::new(false);
    let tokens = Mutex::new(Vec::new());
    let mut signed_by = vec![kid(&server, "busy", "active")];
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (server, done, tokens) = (&server, &done, &tokens);
            scope.spawn(move || {
                let mut mine = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let request = json!({ "claims": { "sub": "user-1" } });
                    if thread > 0 {
                        let answer = sign(server, "busy", &request);
                        mine.push((answer["kid"].clone(), answer["token"].clone()));
                        continue;
                    }
                    // A batch is signed from one snapshot: it has one kid.
                    let body = json!({ "requests": vec![request; 100] });
                    let answer = server.call("POST", "/v1/issuers/busy/tokens/batch", Some(&body));
                    let answer = ok(answer);
                    let results = answer["results"].as_array().unwrap();
                    let kids: HashSet<String> = results
                        .iter()
                        .map(|result| result["kid"].to_string())
                        .collect();
                    assert_eq!(kids.len(), 1);
                    let pair = |result: &Value| (result["kid"].clone(), result["token"].clone());
                    mine.extend(results.iter().map(pair));
                }
                tokens.lock().unwrap().append(&mut mine);
            });
        }
        let _end = End(&done);
        for _ in 0..ROTATIONS {
            let body = json!({ "force": true });
            let answer = server.call("POST", "/v1/issuers/busy/rotate", Some(&body));
            let rotated = ok(answer);
            let activated = rotated["rotations"][0]["activated"]
                .as_str()
                .unwrap()
                .to_owned();
            // A caller that has the answer sees the new key sign, and never the one before.
            assert_eq!(
                sign(&server, "busy", &json!({ "claims": {} }))["kid"],
                activated.as_str()
            );
            signed_by.push(activated);
        }
    });
    let set = JwkSet::parse(&jwks(&server, "busy")).unwrap();
    let tokens = tokens.into_inner().unwrap();
    let mut kids = HashSet::new();
    for (kid, token) in &tokens {
        let token = token.as_str().unwrap();
        let jws = Jws::parse(token, 4096).unwrap();
        let key = jws.verify(&set, &[Algorithm::Es256]).unwrap().key();
        assert_eq!(
            (key.kid().as_str(), key.kid()),
            (kid.as_str().unwrap(), jws.kid().unwrap())
        );
        assert!(signed_by.iter().any(|signed| signed == key.kid().as_str()));
        kids.insert(key.kid().clone());
    }
    assert!(
        kids.len() > ROTATIONS / 4,
        "{} kids in {} tokens",
        kids.len(),
        tokens.len()
    );
}

/// A change that has begun ends, whether or not its caller waits for the answer. Were it dropped in
/// the middle, memory would be left behind the store, or the key set would stop signing when the
/// time for the switch-over is up.
#[test]
fn a_caller_that_hangs_up_leaves_no_change_half_done() {
    let server = start("");
    create_issuer(&server, "hasty", json!({}));
    let credential = format!("Bearer {}", server.admin);
    let body = r#"{"force":true}"#;
    let length = body.len().to_string();
    let headers = [
        ("Authorization", credential.as_str()),
        ("Content-Type", "application/json"),
        ("Content-Length", &length),
    ];
    let request = head("POST", "/v1/issuers/hasty/rotate", &headers) + body;
    let begin = Instant::now();
    for delay in 0..60 {
        let mut stream = connect(&server.internal);
        stream.write_all(request.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(delay * 150));
        drop(stream);
    }
    let settled = || {
        let version = |issuer: &str| ok(server.call("GET", &format!("/v1/issuers/{issuer}"), None));
        let events = ok(server.call("GET", "/v1/audit?issuer=hasty&limit=1000", None));
        let events = events["events"].as_array().unwrap().clone();
        let activated = events
            .iter()
            .rev()
            .find(|event| event["event"] == "key-activated")
            .unwrap();
        (
            version("hasty")["version"].clone(),
            activated["kid"].clone(),
            events.len(),
        )
    };
    let mut last = settled();
    world::eventually("quiet", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = settled();
        let quiet = now == last;
        last = now;
        quiet.then_some(())
    });
    assert!(last.2 > 10, "at least some of the rotations happened");
    assert_eq!(
        json!(kid(&server, "hasty", "active")),
        last.1,
        "memory has what the store has"
    );
    // For longer than a switch-over may last.
    while begin.elapsed() < Duration::from_secs(7) {
        let answer = sign(&server, "hasty", &json!({ "claims": {} }));
        assert_eq!(answer["kid"], last.1);
        std::thread::sleep(Duration::from_millis(100));
    }
    let answer = server.call(
        "POST",
        "/v1/issuers/hasty/rotate",
        Some(&json!({ "force": true })),
    );
    assert_eq!(answer.status, 200, "{}", answer.json());
}
