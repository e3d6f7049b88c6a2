//! Every way in which a token is not exchanged. What is refused changes nothing.

use serde_json::json;

use crate::exchange::{ACCESS_TOKEN, GRANT, Login, exchanger, form, trade};
use crate::support::{eventually, request};
use crate::world::{assert_error, client, escape, now, orders, service, verified};

#[test]
fn a_malformed_request_is_an_invalid_request() {
    let server = service("");
    let (login, orders) = (Login::new(&server), exchanger(&server));
    let token = login.user(&server, &json!({}));
    let good = form(&token, "audience=billing");
    let deep = escape(&"{\"a\":".repeat(9));
    let long = escape(&format!("{{\"a\":\"{}\"}}", "a".repeat(2048)));
    let transaction = format!(
        "{good}&scope=read&requested_token_type=urn:ietf:params:oauth:token-type:txn_token"
    );
    for (form, code, what) in [
        (
            format!("{good}&subject_token={token}"),
            "duplicate-member",
            "two subject tokens",
        ),
        (
            format!("{good}&audience=billing"),
            "duplicate-member",
            "two audiences",
        ),
        (GRANT.to_owned(), "field-missing", "no subject token"),
        (
            format!("{GRANT}&subject_token={token}"),
            "field-missing",
            "no type",
        ),
        (
            format!("{good}&actor_token={token}"),
            "field-missing",
            "an actor token without its type",
        ),
        (
            format!("{good}&actor_token_type={ACCESS_TOKEN}"),
            "field-missing",
            "a type without its actor token",
        ),
        (
            good.replace("token-type:access_token", "token-type:refresh_token"),
            "invalid-body",
            "a refresh token by its type",
        ),
        (
            good.replace("token-type:access_token", "token-type:saml2"),
            "invalid-body",
            "an assertion of SAML",
        ),
        (
            format!("{good}&requested_token_type=urn:ietf:params:oauth:token-type:refresh_token"),
            "invalid-body",
            "a refresh token in exchange",
        ),
        (
            transaction.replace("&scope=read", ""),
            "field-missing",
            "no scope of a transaction",
        ),
        (
            format!("{transaction}&request_details=1"),
            "invalid-body",
            "details that are no object",
        ),
        (
            format!("{transaction}&request_details={{"),
            "invalid-body",
            "details that are no JSON",
        ),
        (
            format!("{transaction}&request_context={deep}"),
            "invalid-body",
            "a deep context",
        ),
        (
            format!("{transaction}&request_context={long}"),
            "invalid-body",
            "a long context",
        ),
    ] {
        let answer = orders.ask(&server, &form);
        assert_error(&answer, 400, "invalid_request", code, what);
    }
    let basic = [("authorization", orders.basic())];
    let body = json!({"grant_type": "token-exchange", "subject_token": token}).to_string();
    let body = Some(("application/json", body.into_bytes()));
    let answer = request("POST", &format!("{}/token", server.public), &basic, body);
    assert_error(
        &answer,
        415,
        "invalid_request",
        "unsupported-media-type",
        "a JSON body",
    );
}

#[test]
fn scope_and_target_stay_within_the_token_and_the_limits() {
    let server = service("");
    let (login, orders) = (Login::new(&server), exchanger(&server));
    let token = login.user(&server, &json!({}));
    let unscoped = login.user(&server, &json!({"scope": null}));
    let other = login.user(&server, &json!({"scope": "admin"}));
    for (token, more, name, code, what) in [
        (
            &token,
            "audience=billing&scope=bill",
            "invalid_scope",
            "invalid-scope",
            "wider",
        ),
        (
            &token,
            "audience=billing&scope=admin",
            "invalid_scope",
            "client-limit",
            "not its own",
        ),
        (
            &token,
            "audience=billing&scope=read++write",
            "invalid_scope",
            "invalid-scope",
            "spaces",
        ),
        (
            &unscoped,
            "audience=billing&scope=read",
            "invalid_scope",
            "invalid-scope",
            "from none",
        ),
        (
            &other,
            "audience=billing",
            "invalid_scope",
            "invalid-scope",
            "nothing in common",
        ),
        (
            &token,
            "audience=other",
            "invalid_target",
            "client-limit",
            "outside the limits",
        ),
        (&token, "", "invalid_target", "invalid-target", "no target"),
        (
            &token,
            "resource=https://orders%23a",
            "invalid_target",
            "invalid-target",
            "a fragment",
        ),
        (
            &token,
            "resource=https://orders&audience=billing",
            "invalid_target",
            "invalid-target",
            "two targets",
        ),
    ] {
        assert_error(&trade(&server, &orders, token, more), 400, name, code, what);
    }
    // A limit of the client about the subject holds, too.
    let limits = json!({"audiences": ["https://orders"], "subjects": ["admin-*"]});
    let narrow = crate::exchange::exchanger_with(&server, limits);
    let answer = trade(&server, &narrow, &token, "");
    assert_error(
        &answer,
        400,
        "unauthorized_client",
        "client-limit",
        "a subject outside",
    );
}

#[test]
fn what_is_no_live_token_of_this_issuer_is_not_exchanged() {
    let server = service("");
    let (login, orders) = (Login::new(&server), exchanger(&server));
    let signs = |changes: serde_json::Value| login.user(&server, &changes);
    let policy = json!({"url": "http://127.0.0.1:8080/shop"});
    let put = server.call("PUT", "/v1/issuers/shop", Some(&policy));
    assert!(put.status < 300, "{}", put.json());
    let claims = json!({"sub": "user-1", "aud": "https://orders"});
    let other = server.sign("shop", &json!({ "claims": claims }));
    let expired = login.sign(&server, &json!({"claims": claims, "expires_in": 1}));
    let end = verified(&server, &expired).1["exp"].as_u64().unwrap();
    eventually("the token has expired", || (now() > end).then_some(()));
    let ahead = signs(json!({"nbf": now() + 300}));
    let revoked = signs(json!({}));
    let body = json!({"token": revoked, "reason": "test"});
    let taken = server.call("POST", "/v1/issuers/default/revocations", Some(&body));
    assert_eq!(taken.status, 201, "{}", taken.json());
    let good = signs(json!({}));
    let (start, end) = good.split_at(good.len() - 3);
    let other_character = if end.starts_with('A') { "B" } else { "A" };
    let tampered = format!("{start}{other_character}{}", &end[1..]);
    let head = server.fetch("/.well-known/revocations").body;
    let head = String::from_utf8(head).unwrap();
    let grant = json!({"claims": {"sub": "user-1", "aud": "https://orders"}, "client": "public",
        "expires_in": 60, "refresh": {"idle": "1h", "absolute": "2h"}});
    let grant = server.call("POST", "/v1/issuers/default/grants", Some(&grant));
    assert_eq!(grant.status, 201, "{}", grant.json());
    let refresh = grant.json()["refresh_token"].as_str().unwrap().to_owned();
    let invalid = "invalid-subject-token";
    for (token, code, what) in [
        (other.as_str(), invalid, "of another issuer"),
        (&expired, invalid, "expired"),
        (&ahead, invalid, "not valid yet"),
        (&revoked, invalid, "taken back"),
        (&tampered, invalid, "changed"),
        (&head, invalid, "the head of a feed"),
        (&refresh, invalid, "a refresh token"),
        ("a.b.c", invalid, "no JWT"),
        (&signs(json!({"sub": null})), invalid, "without a subject"),
        (&signs(json!({"single_use": true})), invalid, "for one use"),
        (
            &signs(json!({"cnf": {"jkt": "A".repeat(43)}})),
            "proof-required",
            "bound to a key",
        ),
        (
            &signs(json!({"act": actors(4)})),
            "chain-too-long",
            "with four actors",
        ),
        (
            &signs(json!({"act": "x"})),
            "chain-too-long",
            "with an act that is none",
        ),
    ] {
        let answer = trade(&server, &orders, token, "audience=billing");
        assert_error(&answer, 400, "invalid_request", code, what);
        let text = answer.json().to_string();
        assert!(!text.contains(token), "{what}: {text}");
    }
    assert_eq!(
        trade(
            &server,
            &orders,
            &signs(json!({"act": actors(3)})),
            "audience=billing"
        )
        .status,
        200
    );
    // An access token of a grant is exchanged, and its session inherited.
    let access = grant.json()["access_token"].as_str().unwrap().to_owned();
    let (_, claims) = crate::exchange::traded(&server, &orders, &access, "audience=billing");
    assert_eq!(claims["sid"], grant.json()["grant"]);
    // The service alone sets the claim of ancestors.
    let request = json!({"claims": {"sub": "a", "ancestor_jtis": []}});
    let answer = server.call("POST", "/v1/issuers/default/tokens", Some(&request));
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (400, &json!("claim-reserved"))
    );
}

fn actors(depth: usize) -> serde_json::Value {
    let inner = json!({"sub": "service"});
    (1..depth).fold(inner, |inner, _| json!({"sub": "service", "act": inner}))
}

#[test]
fn a_client_without_a_way_in_gets_nothing() {
    let server = service("");
    let login = Login::new(&server);
    let token = login.user(&server, &json!({}));
    let answer = crate::world::post(&server, "/token", &[], &form(&token, "audience=billing"));
    assert_error(
        &answer,
        401,
        "invalid_client",
        "credential-missing",
        "no client",
    );
    let other = client(&server, orders());
    let answer = trade(&server, &other, &token, "");
    assert_error(
        &answer,
        400,
        "invalid_request",
        "exchange-not-allowed",
        "not its audience",
    );
}
