//! Tokens that count once: signed, refused by verifiers, used up, and never twice.

use std::sync::Arc;

use keywright_client::{ConsumptionEndpoint, Credential, Tls};
use keywright_verifier::{
    Algorithm, JwkSet, Rules, SingleUseError, Verified, Verifier, VerifyError,
};
use serde_json::{Value, json};

use crate::support::{Answer, Server, start, start_in};
use crate::world::{Client, ISSUER, assert_error, client_with, escape, post, service, verified};

/// A token that counts once.
pub fn single_use(server: &Server) -> String {
    let claims = json!({"sub": "user-1", "aud": "orders"});
    server.sign("default", &json!({"claims": claims, "single_use": true}))
}

/// A service that uses tokens up, for these audiences.
pub fn consumer(server: &Server, audiences: Value) -> Client {
    let limits = json!({ "audiences": audiences });
    client_with(server, json!({"roles": ["consumer"], "limits": limits}))
}

fn use_up(server: &Server, client: &Client, token: &str, key: &str) -> Answer {
    let headers = [
        ("authorization", client.basic()),
        ("idempotency-key", key.to_owned()),
    ];
    post(
        server,
        "/consume",
        &headers,
        &format!("token={}", escape(token)),
    )
}

fn assert_used(answer: &Answer, what: &str) {
    assert_error(answer, 409, "invalid_grant", "already-consumed", what);
}

#[test]
fn a_token_counts_once_and_its_client_is_told_so_again_by_the_same_key() {
    let server = service("");
    let (orders, other) = (
        consumer(&server, json!(["orders"])),
        consumer(&server, json!(["orders"])),
    );
    let token = single_use(&server);
    let claims = verified(&server, &token).1;
    assert_eq!(claims["single_use"], true);
    let first = use_up(&server, &orders, &token, "k1");
    assert_eq!(first.status, 200, "{}", first.json());
    assert_eq!(first.json()["jti"], claims["jti"]);
    assert_eq!(first.header("cache-control"), Some("no-store"));
    // An answer may be lost.
    assert_eq!(use_up(&server, &orders, &token, "k1").json(), first.json());
    assert_eq!(
        use_up(&server, &orders, &token, "\"k1\"").json(),
        first.json()
    );
    assert_used(&use_up(&server, &orders, &token, "k2"), "another attempt");
    assert_used(
        &use_up(&server, &other, &token, "k1"),
        "another client's key",
    );
    // The same key is good for another token: it tells attempts for one token apart.
    let another = single_use(&server);
    assert_eq!(use_up(&server, &orders, &another, "k1").status, 200);
    let metrics = server.call("GET", "/metrics", None);
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        "keywright_consumptions_total{outcome=\"consumed\"} 2",
        "keywright_consumptions_total{outcome=\"repeated\"} 2",
        "keywright_consumptions_total{outcome=\"already-consumed\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[test]
fn a_use_survives_a_restart() {
    let server = service("");
    let orders = consumer(&server, json!(["orders"]));
    let (used, unused) = (single_use(&server), single_use(&server));
    assert_eq!(use_up(&server, &orders, &used, "k1").status, 200);
    let folder = server.kill();
    let server = start_in(folder, "oauth.enabled = true\n").unwrap();
    assert_used(&use_up(&server, &orders, &used, "k2"), "after a restart");
    assert_eq!(use_up(&server, &orders, &used, "k1").status, 200);
    assert_eq!(use_up(&server, &orders, &unused, "k3").status, 200);
}

#[test]
fn what_does_not_count_is_not_used_up() {
    let server = service("");
    let orders = consumer(&server, json!(["orders"]));
    let billing = consumer(&server, json!(["billing"]));
    let nobody = client_with(&server, json!({"roles": ["introspector"]}));
    let token = single_use(&server);
    let claims = verified(&server, &token).1;
    let jti = claims["jti"].as_str().unwrap();
    let refused = |client: &Client, key: &str, code: &str, name: &str| {
        let answer = use_up(&server, client, &token, key);
        assert_error(&answer, 400, name, code, code);
    };
    refused(&billing, "k1", "client-limit", "invalid_target");
    refused(&nobody, "k1", "role-missing", "unauthorized_client");
    for key in ["", "a b", &"k".repeat(129), jti] {
        refused(&orders, key, "invalid-idempotency-key", "invalid_request");
    }
    let basic = [("authorization", orders.basic())];
    let form = format!("token={}", escape(&token));
    let answer = post(&server, "/consume", &basic, &form);
    let code = "invalid-idempotency-key";
    assert_error(&answer, 400, "invalid_request", code, "no key");
    let two = ["k1", "k2"].map(|key| ("idempotency-key", key.to_owned()));
    let headers = [basic[0].clone(), two[0].clone(), two[1].clone()];
    let answer = post(&server, "/consume", &headers, &form);
    assert_error(&answer, 400, "invalid_request", code, "two keys");

    let plain = server.sign("default", &json!({"claims": {"aud": "orders"}}));
    let answer = use_up(&server, &orders, &plain, "k1");
    assert_error(
        &answer,
        400,
        "invalid_grant",
        "not-single-use",
        "a plain token",
    );
    let answer = use_up(&server, &orders, "x", "k1");
    assert_error(
        &answer,
        400,
        "unsupported_token_type",
        "invalid-token",
        "no token",
    );
    let early = json!({"aud": "orders", "nbf": crate::world::now() + 100});
    let body = json!({"claims": early, "single_use": true, "expires_in": 200});
    let early = server.sign("default", &body);
    let answer = use_up(&server, &orders, &early, "k1");
    assert_error(
        &answer,
        400,
        "invalid_grant",
        "token-not-active",
        "an early token",
    );
    // None of this has used it up.
    assert_eq!(use_up(&server, &orders, &token, "k1").status, 200);

    let revoked = single_use(&server);
    let body = json!({"token": revoked});
    let answer = server.call("POST", "/v1/issuers/default/revocations", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    let answer = use_up(&server, &orders, &revoked, "k1");
    assert_error(
        &answer,
        400,
        "invalid_grant",
        "token-not-active",
        "a revoked token",
    );
}

#[test]
fn the_service_alone_sets_the_claim_and_only_where_tokens_can_be_used_up() {
    let server = service("");
    let sign = |server: &Server, body: Value| {
        let answer = server.call("POST", "/v1/issuers/default/tokens", Some(&body));
        (answer.status, answer.json()["code"].clone())
    };
    let claimed = json!({"claims": {"single_use": true}});
    assert_eq!(sign(&server, claimed), (403, json!("client-limit")));
    let both = json!({"claims": {"single_use": true}, "single_use": true});
    assert_eq!(sign(&server, both), (400, json!("claim-reserved")));
    let text = json!({"claims": {}, "single_use": "yes"});
    assert_eq!(sign(&server, text), (400, json!("field-type")));
    let no = server.sign("default", &json!({"claims": {}, "single_use": false}));
    assert_eq!(verified(&server, &no).1.get("single_use"), None);
    let batch = json!({"requests": [{"claims": {}, "single_use": true}]});
    let answer = server.call("POST", "/v1/issuers/default/tokens/batch", Some(&batch));
    let token = answer.json()["results"][0]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(verified(&server, &token).1["single_use"], true);

    let off = start("");
    let body = json!({"claims": {}, "single_use": true});
    assert_eq!(sign(&off, body), (409, json!("single-use-unavailable")));
}

#[test]
fn a_token_that_was_used_is_inactive() {
    let server = service("");
    let orders = consumer(&server, json!(["orders"]));
    let asks = client_with(&server, json!({"roles": ["introspector"]}));
    let token = single_use(&server);
    let ask = || {
        let basic = [("authorization", asks.basic())];
        let form = format!("token={}", escape(&token));
        post(&server, "/introspect", &basic, &form).json()
    };
    let told = ask();
    assert_eq!(
        (&told["active"], &told["single_use"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(use_up(&server, &orders, &token, "k1").status, 200);
    assert_eq!(ask(), json!({"active": false}));
}

fn rules() -> Rules {
    Rules::new(ISSUER, "orders", [Algorithm::Es256, Algorithm::Rs256]).danger_accept_any_typ()
}

async fn judged(verifier: &Verifier, token: &str) -> Result<Verified<Value>, VerifyError> {
    verifier.verify::<Value>(token).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_refuses_until_it_is_told_how_to_use_a_token_up() {
    let server = service("");
    let keys = || JwkSet::parse(&server.fetch("/.well-known/jwks.json").body).unwrap();
    let token = single_use(&server);
    let deaf = Verifier::new(rules(), keys()).unwrap();
    let no_consumer = VerifyError::SingleUse(SingleUseError::NoConsumer);
    assert_eq!(judged(&deaf, &token).await, Err(no_consumer.clone()));
    let held = deaf.verify_with_held_keys::<Value>(&token, std::time::SystemTime::now());
    assert_eq!(held, Err(no_consumer));
    let careless = rules().danger_accept_without_consumption();
    let careless = Verifier::new(careless, keys()).unwrap();
    judged(&careless, &token).await.unwrap();

    let orders = consumer(&server, json!(["orders"]));
    let endpoint = |url: &str, id: &str| {
        let secret = Credential::parse(&orders.secret).unwrap();
        ConsumptionEndpoint::new(url, id, secret, &Tls::default()).unwrap()
    };
    let url = format!("{}/consume", server.public);
    let verifier = Verifier::new(rules(), keys()).unwrap();
    let verifier = verifier.consume_with(endpoint(&url, &orders.id));
    // Of a token for another service nothing is used up.
    let claims = json!({"aud": ["billing", "orders"]});
    let body = json!({"claims": claims, "single_use": true});
    let shared = server.sign("default", &body);
    let elsewhere = Rules::new(ISSUER, "stock", [Algorithm::Es256]).danger_accept_any_typ();
    let elsewhere = Verifier::new(elsewhere, keys()).unwrap();
    let elsewhere = elsewhere.consume_with(endpoint(&url, &orders.id));
    assert_eq!(
        judged(&elsewhere, &shared).await.unwrap_err().code(),
        "wrong-audience"
    );
    judged(&verifier, &shared).await.unwrap();

    // Of 50 callers with one token one gets in.
    let verifier = Arc::new(verifier);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), token.clone());
            tokio::spawn(async move { judged(&verifier, &token).await.map(drop) })
        })
        .collect();
    let mut accepted = 0;
    for caller in callers {
        match caller.await.unwrap() {
            Ok(()) => accepted += 1,
            Err(error) => assert_eq!(error.code(), "already-consumed"),
        }
    }
    assert_eq!(accepted, 1);
    // A plain token costs no question.
    let plain = server.sign("default", &json!({"claims": {"aud": "orders"}}));
    let nowhere = Verifier::new(rules(), keys()).unwrap();
    let nowhere = nowhere.consume_with(endpoint("http://127.0.0.1:9/consume", &orders.id));
    judged(&nowhere, &plain).await.unwrap();
    let error = judged(&nowhere, &single_use(&server)).await.unwrap_err();
    assert_eq!(error.code(), "consumption-unavailable");
    let stranger = Verifier::new(rules(), keys()).unwrap();
    let stranger = stranger.consume_with(endpoint(&url, "nobody"));
    let error = judged(&stranger, &single_use(&server)).await.unwrap_err();
    assert_eq!(error.code(), "consumption-refused");
}
