//! Transaction tokens (draft-ietf-oauth-transaction-tokens-10).

use serde_json::json;

use crate::exchange::{Login, exchanger, exchanger_with, form, trade};
use crate::world::{ISSUER, assert_error, escape, expires_in, service, verified};

const KIND: &str = "requested_token_type=urn:ietf:params:oauth:token-type:txn_token";

#[test]
fn a_transaction_token_says_what_one_call_may_do() {
    let server = service("");
    let login = Login::new(&server);
    let gateway = exchanger_with(
        &server,
        json!({"audiences": ["https://orders", "shop.internal"]}),
    );
    let token = login.user(&server, &json!({"sid": "session-1"}));
    let details = escape(r#"{"order":4711}"#);
    let context = escape(r#"{"req_ip":"192.0.2.1"}"#);
    let asked = format!(
        "{KIND}&audience=shop.internal&scope=write&request_details={details}&request_context={context}"
    );
    let answer = trade(&server, &gateway, &token, &asked);
    let document = answer.json();
    assert_eq!(answer.status, 200, "{document}");
    assert_eq!(document["token_type"], "N_A");
    assert_eq!(
        document["issued_token_type"],
        "urn:ietf:params:oauth:token-type:txn_token"
    );
    assert_eq!(document.get("refresh_token"), None);
    let transaction = document["access_token"].as_str().unwrap();
    let (header, claims) = verified(&server, transaction);
    assert_eq!(header["typ"], "txntoken+jwt");
    let iat = claims["iat"].as_u64().unwrap();
    assert_eq!(claims["txn"].as_str().unwrap().len(), 22);
    assert_eq!(
        claims,
        json!({"iss": ISSUER, "iat": iat, "exp": iat + 300, "jti": claims["jti"], "aud": "shop.internal",
            "sub": "user-1", "scope": "write", "client_id": gateway.id, "sid": "session-1",
            "txn": claims["txn"], "req_wl": gateway.id, "tctx": {"order": 4711},
            "rctx": {"req_ip": "192.0.2.1"}, "act": {"sub": gateway.id, "iss": ISSUER},
            "ancestor_jtis": [verified(&server, &token).1["jti"]]})
    );
    // Each is a transaction of its own, and none is exchanged again.
    let again = trade(&server, &gateway, &token, &asked).json();
    let again = verified(&server, again["access_token"].as_str().unwrap()).1;
    assert_ne!(again["txn"], claims["txn"]);
    let answer = trade(&server, &gateway, transaction, "audience=shop.internal");
    let code = "invalid-subject-token";
    assert_error(&answer, 400, "invalid_request", code, "a transaction token");
}

#[test]
fn a_transaction_token_stays_within_the_limits() {
    let server = service("");
    let (login, orders) = (Login::new(&server), exchanger(&server));
    let token = login.user(&server, &json!({}));
    let ask = |more: &str| {
        trade(
            &server,
            &orders,
            &token,
            &format!("{KIND}&scope=read&{more}"),
        )
    };
    let answer = ask("audience=shop.internal");
    assert_error(
        &answer,
        400,
        "invalid_target",
        "client-limit",
        "another domain",
    );
    let limits = json!({"audiences": ["https://orders"], "types": ["at+jwt"]});
    let typed = exchanger_with(&server, limits);
    let answer = trade(&server, &typed, &token, &format!("{KIND}&scope=read"));
    assert_error(
        &answer,
        400,
        "unauthorized_client",
        "client-limit",
        "another type",
    );
    let limits =
        json!({"audiences": ["https://orders"], "types": ["txntoken+jwt"], "max_ttl": "20s"});
    let short = exchanger_with(&server, limits);
    let answer = trade(&server, &short, &token, &format!("{KIND}&scope=read"));
    assert!(expires_in(&answer.json(), 20), "{}", answer.json());
    assert_error(
        &short.ask(&server, &form(&token, "")),
        400,
        "unauthorized_client",
        "client-limit",
        "an access token",
    );
    // No caller of the API has one signed.
    let request = json!({"claims": {"sub": "a"}, "typ": "TxnToken+jwt"});
    let answer = server.call("POST", "/v1/issuers/default/tokens", Some(&request));
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (400, &json!("reserved-type"))
    );
}
