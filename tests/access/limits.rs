//! What a client may have signed, as a table: its limits, what it asks for, and what comes of it.
//!
//! A verdict is `allowed`, or the rule and the claim of a broken limit, or what every request is
//! refused for every client: `type` of a claim that no specification allows, `reserved`.

use keywright::access::{Client, LimitBroken};
use keywright::authority::signing::SignRefusal;
use serde_json::{Value, json};

use crate::oracle;
use crate::world::{BEGIN, World, signs, terms};

type Row = (Value, Value, &'static str);

macro_rules! table {
    ($($limits:tt $request:tt => $verdict:literal;)*) => {
        vec![$((json!($limits), json!($request), $verdict)),*]
    };
}

/// The id of the client that asks.
const CLIENT: &str = "0123456789abcdef";

/// Limits against claims.
fn claims() -> Vec<Row> {
    table! {
        // No limit limits nothing but what belongs to the service.
        {} {} => "allowed";
        {} {"aud": "x", "sub": "y", "scope": "z", "tenant": {"a": [1]}, "nbf": 1} => "allowed";
        {} {"iss": "https://id.example.com/a"} => "reserved";
        {} {"exp": 1} => "reserved";
        {} {"jti": "mine"} => "reserved";
        {"claims": ["iss", "exp"]} {"iss": "x"} => "reserved";

        // aud: required, each entry, byte for byte.
        {"audiences": ["orders"]} {"aud": "orders"} => "allowed";
        {"audiences": ["orders"]} {"aud": ["orders"]} => "allowed";
        {"audiences": ["orders"]} {"aud": ["orders", "orders"]} => "allowed";
        {"audiences": ["orders", "billing"]} {"aud": ["billing", "orders"]} => "allowed";
        {"audiences": ["orders"]} {} => "audiences aud";
        {"audiences": ["orders"]} {"sub": "orders"} => "audiences aud";
        {"audiences": ["orders"]} {"aud": "billing"} => "audiences aud";
        {"audiences": ["orders"]} {"aud": ""} => "type aud";
        {"audiences": ["orders"]} {"aud": "Orders"} => "audiences aud";
        {"audiences": ["orders"]} {"aud": "orders "} => "audiences aud";
        {"audiences": ["orders"]} {"aud": " orders"} => "audiences aud";
        {"audiences": ["orders"]} {"aud": "orders\u{0}"} => "audiences aud";
        {"audiences": ["orders"]} {"aud": "orders2"} => "audiences aud";
        {"audiences": ["orders"]} {"aud": "orders billing"} => "audiences aud";
        {"audiences": ["orders"]} {"aud": ["orders", "billing"]} => "audiences aud";
        {"audiences": ["orders"]} {"aud": ["billing", "orders"]} => "audiences aud";
        {"audiences": ["orders"]} {"aud": ["orders", ""]} => "type aud";
        {"audiences": ["orders"]} {"aud": []} => "type aud";
        {"audiences": ["orders"]} {"aud": null} => "type aud";
        {"audiences": ["orders"]} {"aud": ["orders", 1]} => "type aud";
        {"audiences": ["orders"]} {"aud": ["orders", ["orders"]]} => "type aud";
        {"audiences": ["orders"]} {"aud": {"orders": true}} => "type aud";
        {"audiences": ["orders"]} {"AUD": "orders"} => "audiences aud";
        {"audiences": ["*"]} {"aud": "anything"} => "allowed";
        {"audiences": ["*"]} {} => "audiences aud";

        // A prefix is text, and ends where its author ended it: with or without the slash.
        {"audiences": ["https://api.example.com/*"]} {"aud": "https://api.example.com/orders"} => "allowed";
        {"audiences": ["https://api.example.com/*"]} {"aud": "https://api.example.com/"} => "allowed";
        {"audiences": ["https://api.example.com/*"]} {"aud": "https://api.example.com"} => "audiences aud";
        {"audiences": ["https://api.example.com/*"]} {"aud": "https://api.example.com.evil.example/"} => "audiences aud";
        {"audiences": ["https://api.example.com/*"]} {"aud": "https://api.example.com@evil.example/"} => "audiences aud";
        {"audiences": ["https://api.example.com/*"]} {"aud": "https://evil.example/https://api.example.com/"} => "audiences aud";
        {"audiences": ["https://api.example.com/*"]} {"aud": "HTTPS://api.example.com/orders"} => "audiences aud";
        {"audiences": ["https://api.example.com/*"]} {"aud": "http://api.example.com/orders"} => "audiences aud";
        {"audiences": ["https://api.example.com"]} {"aud": "https://api.example.com/orders"} => "audiences aud";

        // sub: required.
        {"subjects": ["user-*"]} {"sub": "user-1"} => "allowed";
        {"subjects": ["user-*", "job"]} {"sub": "job"} => "allowed";
        {"subjects": ["user-*"]} {"sub": "user-"} => "allowed";
        {"subjects": ["user-*"]} {"sub": "user"} => "subjects sub";
        {"subjects": ["user-*"]} {"sub": "admin"} => "subjects sub";
        {"subjects": ["user-*"]} {"sub": "a user-1"} => "subjects sub";
        {"subjects": ["user-*"]} {} => "subjects sub";
        {"subjects": ["*"]} {} => "subjects sub";
        {"subjects": ["user-*"]} {"sub": null} => "type sub";
        {"subjects": ["user-*"]} {"sub": ["user-1"]} => "type sub";
        {"subjects": "own-id"} {"sub": "0123456789abcdef"} => "allowed";
        {"subjects": "own-id"} {"sub": "0123456789ABCDEF"} => "subjects sub";
        {"subjects": "own-id"} {"sub": "0123456789abcde"} => "subjects sub";
        {"subjects": "own-id"} {"sub": "fedcba9876543210"} => "subjects sub";
        {"subjects": "own-id"} {"sub": "own-id"} => "subjects sub";
        {"subjects": "own-id"} {} => "subjects sub";

        // scope: a subset in any order, one space between two.
        {"scopes": ["read", "write"]} {"scope": "read"} => "allowed";
        {"scopes": ["read", "write"]} {"scope": "write read"} => "allowed";
        {"scopes": ["read", "write"]} {"scope": "read read"} => "allowed";
        {"scopes": ["read", "write"]} {} => "allowed";
        {"scopes": []} {} => "allowed";
        {"scopes": []} {"scope": "read"} => "scopes scope";
        {"scopes": []} {"scope": " "} => "scopes scope";
        {"scopes": ["read", "write"]} {"scope": "read admin"} => "scopes scope";
        {"scopes": ["read", "write"]} {"scope": "Read"} => "scopes scope";
        {"scopes": ["read", "write"]} {"scope": "read\twrite"} => "scopes scope";
        {"scopes": ["read", "write"]} {"scope": "read\nwrite"} => "scopes scope";
        {"scopes": ["read", "write"]} {"scope": "read\u{a0}write"} => "scopes scope";
        {"scopes": ["read", "write"]} {"scope": "read,write"} => "scopes scope";
        {"scopes": ["read", "write"]} {"scope": "read  write"} => "scopes scope";
        {"scopes": ["read", "write"]} {"scope": "read "} => "scopes scope";
        {"scopes": ["read", "write"]} {"scope": " read"} => "scopes scope";
        {"scopes": ["read", "write"]} {"scope": "readwrite"} => "scopes scope";
        {"scopes": ["read", "write"]} {"scope": ["read"]} => "type scope";
        {"scopes": ["read:*"]} {"scope": "read:orders"} => "scopes scope";
        // RFC 6749 §3.3 has no empty scope: who asks for none leaves it out.
        {"scopes": ["read"]} {"scope": ""} => "scopes scope";

        // What another program reads as scopes is a claim like any other: `claims` keeps it out.
        {"scopes": ["read"]} {"scp": "admin"} => "allowed";
        {"scopes": ["read"], "claims": []} {"scp": "admin"} => "claims scp";
        {"scopes": ["read"], "claims": ["tenant"]} {"scp": ["admin"]} => "claims scp";
        {"scopes": ["read"], "claims": ["tenant"]} {"scopes": ["admin"]} => "claims scopes";
        {"claims": ["tenant"]} {"Scope": "admin"} => "claims Scope";
        {"claims": ["tenant"]} {"roles": ["admin"]} => "claims roles";

        // claims: by name; sub, aud, scope and nbf have limits of their own or none.
        {"claims": ["tenant"]} {"tenant": "a"} => "allowed";
        {"claims": ["tenant"]} {"tenant": {"roles": ["admin"]}} => "allowed";
        {"claims": ["tenant"]} {} => "allowed";
        {"claims": []} {"sub": "a", "aud": "b", "scope": "c", "nbf": 5} => "allowed";
        {"claims": []} {"nbf": "soon"} => "type nbf";
        {"claims": []} {"client_id": "x"} => "claims client_id";
        {"claims": []} {"cnf": {"jkt": "x"}} => "claims cnf";
        {"claims": []} {"": 1} => "claims ";
        {"claims": ["tenant"]} {"tenant ": "a"} => "claims tenant ";
        {"claims": ["tenant"]} {"tenant": "a", "tenants": "b"} => "claims tenants";
        {"claims": ["tenant"]} {"a\nb": 1} => "claims a\\nb";

        // A name that verifiers could read as another one, after the limits that are about claims.
        {"subjects": ["user-*"]} {"sub": "user-1", "\u{17f}ub": "admin"} => "name \\u{17f}ub";
        {"subjects": ["user-*"]} {"sub": "user-1", "Sub": "admin"} => "name Sub";
        {"subjects": ["user-*"]} {"\u{17f}ub": "user-1"} => "subjects sub";
        {"audiences": ["a"]} {"aud": "a", "AUD": "b"} => "name AUD";
        {"claims": ["tenant"]} {"tenant": "a", "Tenant": "b"} => "claims Tenant";
        {"claims_schema": {"properties": {"tenant": {"const": "a"}}}} {"Tenant": "b"} => "name Tenant";
        {"claims_schema": {"properties": {"tenant": {"const": "a"}}}} {"a": {"TENANT": "b"}} => "name TENANT";
        {} {"Tenant": "b", "tenant": "a"} => "allowed";
        {} {"ISS": "https://evil.example"} => "name ISS";
        {} {"e\u{200b}xp": 1} => "name e\\u{200b}xp";

        // claims_schema: the claims as a whole; what the service sets is not among them.
        {"claims_schema": {"required": ["tenant"]}} {"tenant": "a"} => "allowed";
        {"claims_schema": {"required": ["tenant"]}} {} => "claims_schema claims";
        {"claims_schema": {"required": ["exp"]}} {} => "claims_schema claims";
        {"claims_schema": {"properties": {"tenant": {"const": "a"}}}} {"tenant": "b"} => "claims_schema /tenant";
        {"claims_schema": {"properties": {"a": {"items": {"type": "integer"}}}}} {"a": [1, "2"]} => "claims_schema /a/1";
        {"claims_schema": {"additionalProperties": false, "properties": {"sub": {}}}} {"sub": "a"} => "allowed";
        {"claims_schema": {"additionalProperties": false, "properties": {"sub": {}}}} {"a": "a"} => "claims_schema claims";
        {"claims_schema": {"properties": {"mail": {"format": "email"}}}} {"mail": "no mail"} => "claims_schema /mail";
        {"claims_schema": true} {"anything": 1} => "allowed";
        {"claims_schema": false} {} => "claims_schema claims";

        // Several limits: all of them, and the refusal is about the first.
        {"audiences": ["a"], "subjects": ["b"], "scopes": ["c"]} {"aud": "a", "sub": "b", "scope": "c"} => "allowed";
        {"audiences": ["a"], "subjects": ["b"]} {"aud": "a"} => "subjects sub";
        {"audiences": ["a"], "subjects": ["b"]} {"sub": "b"} => "audiences aud";
        {"claims": ["tenant"], "claims_schema": {"required": ["tenant"]}} {"tenant": "a", "more": 1} => "claims more";
    }
}

/// Limits against the rest of a request. The policy signs with ES256 if nothing is said and lets
/// tokens live 10 minutes, or an hour if they ask for it.
fn requests() -> Vec<Row> {
    table! {
        {"max_ttl": "5m"} {"expires_in": 300} => "allowed";
        {"max_ttl": "5m"} {"expires_in": 301} => "max_ttl exp";
        {"max_ttl": "5m"} {"expires_in": 3600} => "max_ttl exp";
        {"max_ttl": "5m"} {} => "allowed";
        {"max_ttl": "1h"} {} => "allowed";
        {"max_ttl": "1h"} {"expires_in": 3600} => "allowed";
        {"max_ttl": "1d"} {"expires_in": 3601} => "ttl";
        {"max_ttl": "5m"} {"expires_in": 0} => "ttl";
        {"max_ttl": "5m"} {"expires_in": 18446744073709551615u64} => "ttl";
        {} {"expires_in": 3600} => "allowed";

        {"algorithms": ["ES256"]} {} => "allowed";
        {"algorithms": ["ES256"]} {"alg": "ES256"} => "allowed";
        {"algorithms": ["ES256"]} {"alg": "RS256"} => "algorithms alg";
        {"algorithms": ["RS256"]} {"alg": "RS256"} => "allowed";
        // The default is what it asks for, too.
        {"algorithms": ["RS256"]} {} => "algorithms alg";
        {"algorithms": ["RS256", "ES256"]} {} => "allowed";

        {"types": ["JWT"]} {} => "allowed";
        {"types": ["jwt"]} {} => "allowed";
        {"types": ["application/jwt"]} {} => "allowed";
        {"types": ["JWT"]} {"typ": "JWT"} => "allowed";
        {"types": ["JWT"]} {"typ": "application/JWT"} => "allowed";
        {"types": ["JWT"]} {"typ": "receipt+jwt"} => "types typ";
        {"types": ["receipt+jwt"]} {} => "types typ";
        {"types": ["receipt+jwt"]} {"typ": "RECEIPT+JWT"} => "allowed";
        {"types": ["receipt+jwt"]} {"typ": "application/receipt+jwt"} => "allowed";
        {"types": ["receipt+jwt"]} {"typ": "Application/Receipt+JWT"} => "allowed";
        {"types": ["application/receipt+jwt"]} {"typ": "receipt+jwt"} => "allowed";
        {"types": ["receipt+jwt"]} {"typ": "text/receipt+jwt"} => "types typ";
        {"types": ["receipt+jwt"]} {"typ": "application/a/receipt+jwt"} => "types typ";
        {"types": ["receipt+jwt"]} {"typ": "application/application/receipt+jwt"} => "types typ";
        {"types": ["receipt+jwt"]} {"typ": "receipt+jwt2"} => "types typ";
        {"types": ["receipt+jwt"]} {"typ": "application/"} => "types typ";
        {"types": ["JWT"]} {"typ": "application/at+jwt", "claims": {"sub": "a", "aud": "b", "client_id": "c"}} => "types typ";
        {"types": ["at+jwt"], "claims": []} {"typ": "at+jwt", "claims": {"sub": "a", "aud": "b", "client_id": "c"}} => "claims client_id";
        {"types": ["at+jwt"]} {"typ": "at+jwt", "claims": {"sub": "a", "aud": "b"}} => "missing";
    }
}

fn verdict(refusal: &SignRefusal) -> String {
    match refusal {
        SignRefusal::Limit(LimitBroken { claim, rule, .. }) => format!("{rule} {claim}"),
        SignRefusal::OwnedClaims(_) => "reserved".to_owned(),
        SignRefusal::ClaimType { claim, .. } => format!("type {claim}"),
        SignRefusal::ClaimName(error) => format!("name {}", error.name()),
        SignRefusal::MissingClaims { .. } => "missing".to_owned(),
        SignRefusal::NoLifetime | SignRefusal::LifetimeOverMaximum { .. } => "ttl".to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn every_row_of_the_table_of_limits_holds() {
    let changes = json!({
        "algorithms": ["ES256", "RS256"], "default_algorithm": "ES256",
        "default_token_ttl": "10m", "max_token_ttl": "1h",
    });
    let world = World::new().await;
    let issuer = world.issuer("a", changes).await;
    let claims = claims().into_iter();
    let claims =
        claims.map(|(limits, claims, verdict)| (limits, json!({"claims": claims}), verdict));
    let mut wrong = Vec::new();
    let mut count = 0;
    for (limits, mut request, expected) in claims.chain(requests()) {
        let members = request.as_object_mut().unwrap();
        members.entry("claims").or_insert_with(|| json!({}));
        let client = Client::new(CLIENT.to_owned(), terms(json!({"limits": limits})), BEGIN);
        let outcome = signs(&issuer, &client, &request).await;
        let said = match &outcome {
            Ok(token) => oracle::within(CLIENT, &limits, &token.token)
                .err()
                .map_or("allowed".to_owned(), |why| format!("signed outside: {why}")),
            Err(refusal) => verdict(refusal),
        };
        if said != expected {
            wrong.push(format!("{limits} {request}: {said}, not {expected}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 140, "{count} rows");
}

#[tokio::test]
async fn a_token_lives_no_longer_than_the_client_may_ask_for_and_no_shorter_than_it_asked() {
    let world = World::new().await;
    let policy = json!({"default_token_ttl": "10m", "max_token_ttl": "1h"});
    let issuer = world.issuer("a", policy).await;
    for (limits, request, seconds) in [
        (json!({}), json!({"claims": {}}), 600),
        (json!({"max_ttl": "5m"}), json!({"claims": {}}), 300),
        (json!({"max_ttl": "20m"}), json!({"claims": {}}), 600),
        (
            json!({"max_ttl": "20m"}),
            json!({"claims": {}, "expires_in": 1200}),
            1200,
        ),
        (
            json!({"max_ttl": "20m"}),
            json!({"claims": {}, "expires_in": 1}),
            1,
        ),
    ] {
        let client = Client::new(CLIENT.to_owned(), terms(json!({"limits": limits})), BEGIN);
        let token = signs(&issuer, &client, &request).await.unwrap();
        let (_, claims) = oracle::decode(&token.token);
        assert_eq!(claims["exp"].as_u64(), Some(token.expires_at));
        let lived = token.expires_at - claims["iat"].as_u64().unwrap();
        assert_eq!(lived, seconds, "{limits} {request}");
    }
}

#[tokio::test]
async fn a_refusal_shows_neither_the_schema_nor_the_value_nor_what_would_be_right() {
    let world = World::new().await;
    let issuer = world.issuer("a", json!({})).await;
    for (limits, claims) in [
        (
            json!({"claims_schema": {"properties": {"tenant": {"enum": ["secret-right"]}}}}),
            json!({"tenant": "secret-wrong"}),
        ),
        (
            json!({"claims_schema": {"properties": {"tenant": {"pattern": "^secret-right"}}}}),
            json!({"tenant": "secret-wrong"}),
        ),
        (
            json!({"claims_schema": {"required": ["secret-right"]}}),
            json!({"secret-wrong": 1}),
        ),
        (
            json!({"claims_schema": {"additionalProperties": false}}),
            json!({"secret-wrong": 1}),
        ),
        (
            json!({"claims_schema": {"propertyNames": {"pattern": "secret-right"}}}),
            json!({"secret-wrong": 1}),
        ),
        (
            json!({"claims_schema": {"title": "secret-right", "not": {}}}),
            json!({"a": "secret-wrong"}),
        ),
        (
            json!({"audiences": ["secret-right"]}),
            json!({"aud": "secret-wrong"}),
        ),
        (
            json!({"subjects": ["secret-right"]}),
            json!({"sub": "secret-wrong"}),
        ),
        (
            json!({"scopes": ["secret-right"]}),
            json!({"scope": "secret-wrong"}),
        ),
        (
            json!({"claims": ["secret-right"]}),
            json!({"a": "secret-wrong"}),
        ),
    ] {
        let client = Client::new(CLIENT.to_owned(), terms(json!({"limits": limits})), BEGIN);
        let refusal = signs(&issuer, &client, &json!({"claims": claims})).await;
        let Err(refusal) = refusal else {
            panic!("{limits} allows {claims}");
        };
        for text in [refusal.to_string(), format!("{refusal:?}")] {
            assert!(!text.contains("secret"), "{limits}: {text}");
        }
    }
}

#[tokio::test]
async fn a_refusal_repeats_a_strangers_text_in_part_and_without_control_characters() {
    let world = World::new().await;
    let issuer = world.issuer("a", json!({})).await;
    let limits = json!({"limits": {"claims": [], "claims_schema": {"properties": {}}}});
    let client = Client::new(CLIENT.to_owned(), terms(limits), BEGIN);
    let name = format!("\u{1b}[31m\n{}", "a".repeat(5000));
    let refusal = signs(&issuer, &client, &json!({"claims": {name.as_str(): 1}})).await;
    let text = refusal.err().unwrap().to_string();
    assert!(
        text.len() < 300 && !text.chars().any(char::is_control),
        "{text:?}"
    );
}
