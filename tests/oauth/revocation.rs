//! Clients take their own tokens back (RFC 7009).

use serde_json::{Value, json};

use crate::support::{Answer, Server};
use crate::world::{
    Client, assert_error, client, client_with, escape, orders, post, service, verified,
};

const GRANT: &str = "grant_type=client_credentials";

fn revoke(server: &Server, client: &Client, token: &str, more: &str) -> Answer {
    let form = format!("token={}{more}", escape(token));
    post(
        server,
        "/revoke",
        &[("authorization", client.basic())],
        &form,
    )
}

fn token_of(server: &Server, client: &Client) -> String {
    let document = client.token(server, GRANT);
    document["access_token"].as_str().unwrap().to_owned()
}

fn revocations(server: &Server) -> Vec<Value> {
    let answer = server.call("GET", "/v1/issuers/default/revocations", None);
    answer.json()["revocations"].as_array().unwrap().clone()
}

#[test]
fn a_client_takes_its_own_token_back() {
    let server = service("");
    let service = client(&server, orders());
    let token = token_of(&server, &service);
    let jti = verified(&server, &token).1["jti"].clone();
    for attempt in ["the token", "the same token again"] {
        let answer = revoke(&server, &service, &token, "");
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{attempt}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let revocations = revocations(&server);
        assert_eq!(revocations.len(), 1, "{attempt}");
        assert_eq!(revocations[0]["selector"], json!({ "jti": jti }));
        assert_eq!(revocations[0]["by"]["id"], service.id.as_str());
    }
    // A hint that is wrong or unknown changes nothing (RFC 7009 §2.1).
    for hint in ["refresh_token", "access_token", "something"] {
        let token = token_of(&server, &service);
        let more = format!("&token_type_hint={hint}");
        assert_eq!(revoke(&server, &service, &token, &more).status, 200);
    }
    assert_eq!(revocations(&server).len(), 4);
}

/// The client never learns which: what is no token is of no use already.
#[test]
fn what_is_no_valid_token_is_answered_like_a_token() {
    let server = service("");
    let service = client(&server, orders());
    let token = token_of(&server, &service);
    let (input, _) = token.rsplit_once('.').unwrap();
    for text in ["nothing", "a.b.c", &format!("{input}.AAAA"), "kwr1.a.b"] {
        let answer = revoke(&server, &service, text, "");
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{text}");
    }
    assert!(revocations(&server).is_empty());
    let answer = post(
        &server,
        "/revoke",
        &[("authorization", service.basic())],
        "",
    );
    assert_error(&answer, 400, "invalid_request", "field-missing", "no token");
    let form = format!("token={}", escape(&token));
    let answer = post(&server, "/revoke", &[], &form);
    assert_error(
        &answer,
        401,
        "invalid_client",
        "credential-missing",
        "no client",
    );
}

#[test]
fn only_its_client_and_a_revoker_take_a_token_back() {
    let server = service("");
    let (service, other) = (client(&server, orders()), client(&server, orders()));
    let token = token_of(&server, &service);
    let answer = revoke(&server, &other, &token, "");
    assert_error(
        &answer,
        400,
        "invalid_grant",
        "foreign-token",
        "another client's",
    );
    // The internal API has tokens signed without client_id: they are no client's own.
    let nobodys = server.sign("default", &json!({"claims": {"sub": "user-1"}}));
    let answer = revoke(&server, &service, &nobodys, "");
    assert_error(
        &answer,
        400,
        "invalid_grant",
        "foreign-token",
        "of no issuer",
    );
    let elsewhere = client(&server, json!({"issuers": ["shop"]}));
    let answer = revoke(&server, &elsewhere, &token, "");
    assert_error(
        &answer,
        400,
        "unauthorized_client",
        "client-limit",
        "another issuer's",
    );
    assert!(revocations(&server).is_empty());
    let revoker = client_with(&server, json!({"roles": ["revoker"]}));
    for token in [&token, &nobodys] {
        assert_eq!(revoke(&server, &revoker, token, "").status, 200);
    }
    assert_eq!(revocations(&server).len(), 2);
}
