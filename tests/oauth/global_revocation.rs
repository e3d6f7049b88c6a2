//! Everything of a user is taken back at the word of an identity provider.

use serde_json::{Value, json};

use crate::support::{Answer, Server, request};
use crate::world::{ISSUER, client_with, escape, post, service};

fn revoke(server: &Server, authorization: &str, body: &Value) -> Answer {
    let url = format!("{}/global-token-revocation", server.public);
    let headers = [("authorization", authorization.to_owned())];
    let body = ("application/json", body.to_string().into_bytes());
    request("POST", &url, &headers, Some(body))
}

fn is_active(server: &Server, token: &str) -> bool {
    let asks = client_with(server, json!({"roles": ["introspector"]}));
    let basic = [("authorization", asks.basic())];
    let form = format!("token={}", escape(token));
    post(server, "/introspect", &basic, &form).json()["active"] == true
}

fn sign(server: &Server, subject: &str) -> String {
    server.sign(
        "default",
        &json!({"claims": {"sub": subject, "aud": "orders"}}),
    )
}

fn opaque(id: &str) -> Value {
    json!({"sub_id": {"format": "opaque", "id": id}})
}

#[test]
fn all_that_a_user_has_is_taken_back_and_what_comes_later_is_not() {
    let server = service("");
    let limits = json!({"subjects": ["user-*"]});
    let provider = client_with(&server, json!({"roles": ["revoker"], "limits": limits}));
    let bearer = format!("Bearer {}", provider.secret);
    let (token, other) = (sign(&server, "user-1"), sign(&server, "user-2"));
    let grant = json!({"claims": {"sub": "user-1", "aud": "orders"}, "client": "public"});
    let grant = server.call("POST", "/v1/issuers/default/grants", Some(&grant));
    let refresh = grant.json()["refresh_token"].as_str().unwrap().to_owned();
    let iss_sub = json!({"sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": "user-1"}});
    let answer = revoke(&server, &bearer, &iss_sub);
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert!(!is_active(&server, &token) && is_active(&server, &other));
    let renewal = format!("grant_type=refresh_token&refresh_token={refresh}");
    let renewed = post(&server, "/token", &[], &renewal);
    assert_eq!(renewed.status, 400, "{}", renewed.json());
    assert!(is_active(&server, &sign(&server, "user-1")));
    // The identifier of an unknown user is taken as well: what users there are is not known here.
    assert_eq!(
        revoke(&server, &provider.basic(), &opaque("user-99")).status,
        204
    );
    let metadata = server
        .fetch("/.well-known/oauth-authorization-server")
        .json();
    let endpoint = format!("{ISSUER}/global-token-revocation");
    assert_eq!(metadata["global_token_revocation_endpoint"], endpoint);
}

#[test]
fn what_is_refused_takes_nothing_back() {
    let server = service("");
    let limits = json!({"subjects": ["user-*"]});
    let provider = client_with(&server, json!({"roles": ["revoker"], "limits": limits}));
    let signer = client_with(&server, json!({"roles": ["issuer"]}));
    let bearer = format!("Bearer {}", provider.secret);
    let token = sign(&server, "admin");
    let refused = |authorization: &str, body: Value, status: u16, code: &str| {
        let answer = revoke(&server, authorization, &body);
        let document = answer.json();
        assert_eq!(
            (answer.status, &document["code"]),
            (status, &json!(code)),
            "{document}"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    };
    let sub_id = |sub_id: Value| json!({ "sub_id": sub_id });
    refused("Bearer x", opaque("user-1"), 401, "credential-invalid");
    refused(
        &format!("Bearer {}", signer.secret),
        opaque("user-1"),
        403,
        "role-missing",
    );
    refused(&bearer, opaque("admin"), 403, "client-limit");
    refused(&bearer, json!({}), 400, "field-missing");
    refused(&bearer, json!({"sub_id": "user-1"}), 400, "field-type");
    refused(&bearer, opaque(&"u".repeat(600)), 400, "invalid-selector");
    for unsupported in [
        json!({"format": "email", "email": "user-1@example.com"}),
        json!({"format": "iss_sub", "iss": "https://elsewhere.example", "sub": "user-1"}),
        json!({"format": "iss_sub", "sub": "user-1"}),
        json!({"format": "opaque"}),
    ] {
        refused(&bearer, sub_id(unsupported), 422, "unsupported-subject");
    }
    assert!(is_active(&server, &token));
    let path = "/v1/issuers/default/revocations";
    assert_eq!(
        server.call("GET", path, None).json()["revocations"],
        json!([])
    );
}
