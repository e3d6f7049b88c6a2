//! What a token says that was exchanged for another one (RFC 8693), and for whom it is exchanged.

use serde_json::{Value, json};

use crate::support::{Answer, Server};
use crate::world::{
    Client, ISSUER, Signatory, assert_error, client_with, now, post, service, verified,
};

pub const GRANT: &str = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange";
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A service that is called with tokens for `https://orders`, and calls billing and shipping.
pub fn exchanger(server: &Server) -> Client {
    exchanger_with(
        server,
        json!({"audiences": ["https://orders", "billing", "shipping"],
            "scopes": ["read", "write", "bill"]}),
    )
}

pub fn exchanger_with(server: &Server, limits: Value) -> Client {
    client_with(server, json!({"roles": ["exchanger"], "limits": limits}))
}

/// A login service that may set every claim.
pub struct Login(Client);

impl Login {
    pub fn new(server: &Server) -> Self {
        let claims = json!([
            "client_id",
            "sid",
            "tenant",
            "act",
            "may_act",
            "cnf",
            "single_use"
        ]);
        Self(client_with(server, json!({"limits": {"claims": claims}})))
    }

    pub fn sign(&self, server: &Server, request: &Value) -> String {
        let body = serde_json::to_vec(request).unwrap();
        let body = Some(("application/json", body));
        let path = "/v1/issuers/default/tokens";
        let answer = server.call_as(Some(&self.0.secret), "POST", path, body);
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// A token of a user for `https://orders`, with changes of its claims.
    pub fn user(&self, server: &Server, changes: &Value) -> String {
        let mut claims = json!({"sub": "user-1", "aud": "https://orders", "client_id": "web",
            "scope": "read write admin"});
        let changes = changes.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(changes);
        claims
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        self.sign(server, &json!({"claims": claims, "expires_in": 600}))
    }
}

/// The form that trades in a token.
pub fn form(token: &str, more: &str) -> String {
    format!("{GRANT}&subject_token={token}&subject_token_type={ACCESS_TOKEN}&{more}")
}

pub fn trade(server: &Server, client: &Client, token: &str, more: &str) -> Answer {
    client.ask(server, &form(token, more))
}

/// The new token and its claims.
pub fn traded(server: &Server, client: &Client, token: &str, more: &str) -> (String, Value) {
    let answer = trade(server, client, token, more);
    assert_eq!(answer.status, 200, "{}", answer.json());
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let claims = verified(server, &token).1;
    (token, claims)
}

#[test]
fn a_token_is_exchanged_for_one_that_says_less() {
    let server = service("");
    let (login, orders) = (Login::new(&server), exchanger(&server));
    let token = login.user(&server, &json!({"sid": "session-1", "tenant": "a"}));
    let subject = verified(&server, &token).1;
    let answer = trade(&server, &orders, &token, "audience=billing&scope=read");
    let document = answer.json();
    assert_eq!(answer.status, 200, "{document}");
    let token = document["access_token"].as_str().unwrap();
    let (header, claims) = verified(&server, token);
    let (iat, exp) = (
        claims["iat"].as_u64().unwrap(),
        claims["exp"].as_u64().unwrap(),
    );
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(
        claims,
        json!({"iss": ISSUER, "sub": "user-1", "client_id": orders.id, "aud": "billing",
            "scope": "read", "sid": "session-1", "act": {"sub": orders.id, "iss": ISSUER},
            "ancestor_jtis": [subject["jti"]], "iat": iat, "exp": exp, "jti": claims["jti"]})
    );
    assert_ne!(claims["jti"], subject["jti"]);
    // The policy's default of 15 minutes is longer than what is left of the subject token.
    assert_eq!(exp, subject["exp"].as_u64().unwrap());
    let rest = document["expires_in"].as_u64().unwrap();
    assert!((590..=600).contains(&rest), "{rest}");
    assert_eq!(
        document,
        json!({"access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
            "expires_in": rest, "scope": "read"})
    );
}

#[test]
fn a_jwt_is_issued_for_verifiers_that_know_no_access_tokens() {
    let server = service("");
    let (login, orders) = (Login::new(&server), exchanger(&server));
    let token = login.user(&server, &json!({}));
    let kind = "urn:ietf:params:oauth:token-type:jwt";
    let more = format!("audience=billing&scope=read&requested_token_type={kind}");
    let document = trade(&server, &orders, &token, &more).json();
    let (header, claims) = verified(&server, document["access_token"].as_str().unwrap());
    assert_eq!(
        (&header["typ"], &document["issued_token_type"]),
        (&json!("JWT"), &json!(kind))
    );
    assert_eq!(claims["scope"], "read");
}

#[test]
fn what_is_not_named_is_what_both_the_token_and_the_limits_have() {
    let server = service("");
    let login = Login::new(&server);
    let token = login.user(&server, &json!({"tenant": "a"}));
    let limits = json!({"audiences": ["https://orders"], "scopes": ["bill", "write", "read"],
        "claims": ["client_id", "tenant"], "max_ttl": "60s"});
    let orders = exchanger_with(&server, limits);
    let (_, claims) = traded(&server, &orders, &token, "");
    assert_eq!(claims["scope"], "read write");
    assert_eq!(claims["aud"], "https://orders");
    // A claim that the limits name is carried over.
    assert_eq!(claims["tenant"], "a");
    assert_eq!(
        claims["exp"].as_u64(),
        claims["iat"].as_u64().map(|iat| iat + 60)
    );
    // A token without a scope is exchanged for one without.
    let token = login.user(&server, &json!({"scope": null}));
    let (_, claims) = traded(&server, &orders, &token, "");
    assert_eq!(claims.get("scope"), None);
}

#[test]
fn a_client_is_in_the_audience_by_its_id_or_its_limits_or_may_act() {
    let server = service("");
    let login = Login::new(&server);
    let limited = exchanger_with(&server, json!({"audiences": ["https://orders", "billing"]}));
    let free = exchanger_with(&server, json!({}));
    let by_id = json!({"aud": ["other", free.id]});
    let by_may_act = json!({"aud": "other", "may_act": {"sub": free.id}});
    for (client, changes, allowed) in [
        (&limited, json!({}), true),
        (&limited, json!({"aud": ["other", "billing"]}), true),
        (&limited, json!({"aud": "other"}), false),
        (&limited, json!({"aud": limited.id}), true),
        // Without a limit, no audience is the client's but its id.
        (&free, json!({}), false),
        (&free, by_id.clone(), true),
        (&limited, by_id, false),
        (&free, by_may_act.clone(), true),
        (&limited, by_may_act, false),
        // No client trades in what was issued to it for others.
        (
            &limited,
            json!({"aud": "other", "client_id": limited.id}),
            false,
        ),
        (&limited, json!({"aud": null}), false),
    ] {
        let token = login.user(&server, &changes);
        let answer = trade(&server, client, &token, "audience=billing");
        let outcome = (
            answer.status,
            answer.json()["error_description"].to_string(),
        );
        match allowed {
            true => assert_eq!(outcome.0, 200, "{changes}: {}", outcome.1),
            false => assert!(
                outcome.1.contains("exchange-not-allowed: "),
                "{changes}: {outcome:?}"
            ),
        }
    }
}

#[test]
fn who_acts_is_written_down_each_time() {
    let server = service("");
    let login = Login::new(&server);
    let limits = |own: &str| json!({"audiences": [own, "a", "b", "c", "d", "e"]});
    let clients: Vec<Client> = ["https://orders", "a", "b", "c", "d"]
        .map(|own| exchanger_with(&server, limits(own)))
        .into();
    let mut token = login.user(&server, &json!({}));
    let mut act = Value::Null;
    let mut jtis = Vec::new();
    for (client, next) in clients.iter().zip(["a", "b", "c", "d"]) {
        let subject = verified(&server, &token).1;
        jtis.insert(0, subject["jti"].clone());
        let (new, claims) = traded(&server, client, &token, &format!("audience={next}"));
        let before = act;
        act = json!({"sub": client.id, "iss": ISSUER});
        if before.is_object() {
            act["act"] = before;
        }
        assert_eq!((&claims["act"], &claims["sub"]), (&act, &json!("user-1")));
        assert_eq!(claims["ancestor_jtis"], json!(jtis));
        token = new;
    }
    let answer = trade(&server, &clients[4], &token, "audience=e");
    assert_error(&answer, 400, "invalid_request", "chain-too-long", "a fifth");
}

/// A token of an actor: what it says of the actor stands in `act`, and its life bounds that of the new one.
#[test]
fn an_actor_token_names_who_acts() {
    let server = service("");
    let (login, orders) = (Login::new(&server), exchanger(&server));
    let user = login.user(
        &server,
        &json!({"may_act": {"sub": "admin-1", "iss": ISSUER}}),
    );
    let actor = |changes: &Value, expires_in: u64| {
        let mut claims = json!({"sub": "admin-1", "aud": "https://orders"});
        let changes = changes.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(changes);
        login.sign(
            &server,
            &json!({"claims": claims, "expires_in": expires_in}),
        )
    };
    let trade = |subject: &str, actor: &str| {
        let actor = format!("audience=billing&actor_token={actor}&actor_token_type={ACCESS_TOKEN}");
        trade(&server, &orders, subject, &actor)
    };
    let admin = actor(&json!({}), 100);
    let answer = trade(&user, &admin);
    assert_eq!(answer.status, 200, "{}", answer.json());
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let claims = verified(&server, &token).1;
    let jti = |token: &str| verified(&server, token).1["jti"].clone();
    assert_eq!(claims["act"], json!({"sub": "admin-1", "iss": ISSUER}));
    assert_eq!(claims["may_act"], json!({"sub": "admin-1", "iss": ISSUER}));
    assert_eq!(claims["ancestor_jtis"], json!([jti(&user), jti(&admin)]));
    assert_eq!(claims["exp"], verified(&server, &admin).1["exp"]);
    assert!(claims["exp"].as_u64().unwrap() <= now() + 100);
    // The actor's own token, for another service, is the client's own to show.
    let own = actor(&json!({"aud": "other", "client_id": orders.id}), 100);
    assert_eq!(trade(&user, &own).status, 200);
    let refused = |subject: &str, actor: &str, code: &str, what: &str| {
        let answer = trade(subject, actor);
        assert_error(&answer, 400, "invalid_request", code, what);
    };
    let other = actor(&json!({"sub": "admin-2"}), 100);
    refused(
        &user,
        &other,
        "exchange-not-allowed",
        "may_act names another",
    );
    let foreign = actor(&json!({"aud": "other"}), 100);
    refused(
        &user,
        &foreign,
        "invalid-actor-token",
        "it is for another service",
    );
    let acting = actor(&json!({"act": {"sub": "x"}}), 100);
    refused(&user, &acting, "invalid-actor-token", "it acts for another");
    let more = login.user(
        &server,
        &json!({"may_act": {"sub": "admin-1", "role": "x"}}),
    );
    refused(
        &more,
        &admin,
        "exchange-not-allowed",
        "may_act says what is not compared",
    );
    // Without an actor token the client acts, whom may_act does not name.
    let answer = self::trade(&server, &orders, &user, "audience=billing");
    let what = "the client itself";
    assert_error(
        &answer,
        400,
        "invalid_request",
        "exchange-not-allowed",
        what,
    );
}

/// What a token is bound to is proven when it is traded in, and the new one is bound to what is proven.
#[test]
fn a_bound_token_is_traded_in_with_its_proof() {
    let server = service("");
    let (login, orders) = (Login::new(&server), exchanger(&server));
    let (key, thief) = (Signatory::new("mine"), Signatory::new("mine"));
    let ask = |token: &str, proof: Option<&Signatory>| {
        let mut headers = vec![("authorization", orders.basic())];
        headers.extend(proof.map(|key| ("dpop", key.proof())));
        post(
            &server,
            "/token",
            &headers,
            &form(token, "audience=billing"),
        )
    };
    let unbound = login.user(&server, &json!({}));
    let answer = ask(&unbound, Some(&key));
    let document = answer.json();
    assert_eq!(
        (answer.status, &document["token_type"]),
        (200, &json!("DPoP"))
    );
    let token = document["access_token"].as_str().unwrap();
    let confirmation = verified(&server, token).1["cnf"].clone();
    assert!(confirmation["jkt"].is_string());
    let bound = login.user(&server, &json!({ "cnf": confirmation }));
    for (proof, what) in [(None, "no proof"), (Some(&thief), "another key")] {
        let answer = ask(&bound, proof);
        assert_error(&answer, 400, "invalid_request", "proof-required", what);
    }
    let document = ask(&bound, Some(&key)).json();
    let token = document["access_token"].as_str().unwrap();
    assert_eq!(verified(&server, token).1["cnf"], confirmation);
}

/// A client needs the role, and the role signs nothing by itself.
#[test]
fn an_exchanger_signs_no_token_of_its_own() {
    let server = service("");
    let (login, orders) = (Login::new(&server), exchanger(&server));
    let token = login.user(&server, &json!({}));
    let answer = orders.ask(&server, "grant_type=client_credentials&audience=billing");
    assert_error(
        &answer,
        400,
        "unauthorized_client",
        "role-missing",
        "no issuer",
    );
    let body = Some((
        "application/json",
        br#"{"claims":{"sub":"user-1"}}"#.to_vec(),
    ));
    let path = "/v1/issuers/default/tokens";
    let answer = server.call_as(Some(&orders.secret), "POST", path, body);
    assert_eq!(answer.status, 403);
    let auditor = client_with(&server, json!({"roles": ["auditor"]}));
    let answer = trade(&server, &auditor, &token, "audience=billing");
    assert_error(
        &answer,
        400,
        "unauthorized_client",
        "role-missing",
        "an auditor",
    );
    let limits = json!({"audiences": ["https://orders", "billing"]});
    let issuer = client_with(&server, json!({"limits": limits}));
    assert_eq!(
        trade(&server, &issuer, &token, "audience=billing").status,
        200
    );
}

/// The grant of RFC 7523 §2.1 is the same exchange; its answer has no `issued_token_type`.
#[test]
fn a_token_is_an_assertion() {
    let server = service("");
    let (login, orders) = (Login::new(&server), exchanger(&server));
    let token = login.user(&server, &json!({}));
    let grant = "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer";
    let form = format!("{grant}&assertion={token}&audience=billing&scope=read");
    let document = orders.token(&server, &form);
    assert_eq!(document.get("issued_token_type"), None);
    assert_eq!(document["token_type"], "Bearer");
    let (_, claims) = verified(&server, document["access_token"].as_str().unwrap());
    assert_eq!(
        (&claims["sub"], &claims["aud"]),
        (&json!("user-1"), &json!("billing"))
    );
    assert_eq!(claims["act"]["sub"], orders.id.as_str());
    let wrong = login.user(&server, &json!({"aud": "other"}));
    for (assertion, what) in [(wrong.as_str(), "for another"), ("kwr1.a.1.b", "no JWT")] {
        let form = format!("{grant}&assertion={assertion}&audience=billing");
        let answer = orders.ask(&server, &form);
        assert_error(&answer, 400, "invalid_grant", "invalid-assertion", what);
    }
    let answer = post(&server, "/token", &[], &form);
    assert_error(
        &answer,
        401,
        "invalid_client",
        "credential-missing",
        "no client",
    );
}
