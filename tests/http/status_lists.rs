//! Status lists: tokens with an entry, and the lists that verifiers of others read.

use std::sync::{Arc, Mutex, Weak};

use keywright_verifier::status_list::{INVALID, StatusListToken, VALID};
use keywright_verifier::{Algorithm, JwkSet, Jws};
use serde_json::{Value, json};

use crate::revocations::code;
use crate::support::{Answer, Server, eventually, request, start};
use crate::world::{self, create_client, create_issuer, credential, ok};

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

fn server() -> Arc<Server> {
    world::shared(&SHARED, || {
        let server = start("");
        create_issuer(&server, "shop", json!({ "status": true }));
        create_issuer(&server, "plain", json!({}));
        create_issuer(&server, "tracked", json!({ "status": "tracked" }));
        server
    })
}

fn sign(server: &Server, issuer: &str, request: &Value) -> Answer {
    let path = format!("/v1/issuers/{issuer}/tokens");
    server.call("POST", &path, Some(request))
}

fn claims(token: &Value) -> Value {
    let token = token["token"].as_str().unwrap();
    Value::Object(Jws::inspect(token, 65_536).unwrap().claims)
}

/// The path of the list, and the index.
fn entry_of(token: &Value) -> (String, u64) {
    let claims = claims(token);
    let entry = &claims["status"]["status_list"];
    let uri = entry["uri"].as_str().unwrap();
    let path = uri.strip_prefix("http://127.0.0.1:8080").unwrap();
    (path.to_owned(), entry["idx"].as_u64().unwrap())
}

/// The status of a token by the list that its `status` names, whose signature verifies.
fn status(server: &Server, token: &Value) -> u8 {
    let (path, index) = entry_of(token);
    let answer = server.fetch(&path);
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body).unwrap();
    let issuer = path.split('/').nth(1).unwrap();
    let keys = server.fetch(&world::jwks_path(issuer)).body;
    let jws = Jws::parse(&text, 65_536).unwrap();
    jws.verify(&JwkSet::parse(&keys).unwrap(), &Algorithm::ALL)
        .unwrap();
    let list = StatusListToken::read(jws.unverified_claims().unwrap(), 131_072).unwrap();
    assert_eq!(list.uri, format!("http://127.0.0.1:8080{path}"));
    list.list.status(index).unwrap()
}

fn becomes_invalid(server: &Server, token: &Value) {
    eventually("the entry is invalid", || {
        (status(server, token) == INVALID).then_some(())
    });
}

#[test]
fn a_token_is_invalid_in_its_list_a_moment_after_it_was_taken_back() {
    let server = server();
    let token = || ok(sign(&server, "shop", &json!({"claims": {"sub": "user-1"}})));
    let (by_jti, by_token, erased, kept) = (token(), token(), token(), token());
    assert_eq!(by_jti["jti"].as_str().unwrap().len(), 22);
    assert_eq!(claims(&by_jti)["jti"], by_jti["jti"]);
    assert_ne!(entry_of(&by_jti).1, entry_of(&kept).1);
    assert_eq!(status(&server, &by_jti), VALID);

    let path = "/v1/issuers/shop/revocations";
    let take_back = |body: Value| {
        let answer = server.call("POST", path, Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()
    };
    let revoked = take_back(json!({"jti": by_jti["jti"]}));
    let signers = revoked["in_force_at_signers"].as_u64().unwrap();
    let lists = revoked["in_force_at_verifiers"]["status_list"].as_u64();
    assert!(
        (signers + 10..=signers + 12).contains(&lists.unwrap()),
        "{revoked}"
    );
    take_back(json!({"token": by_token["token"]}));
    let of_erased = take_back(json!({"jti": erased["jti"]}));
    let id = of_erased["id"].as_str().unwrap();
    let answer = server.call("POST", &format!("{path}/{id}/erase"), None);
    assert_eq!(answer.status, 200, "{}", answer.json());
    for token in [&by_jti, &by_token, &erased] {
        becomes_invalid(&server, token);
    }
    assert_eq!(status(&server, &kept), VALID);
    // The entries of a subject's tokens are not known, because they are not tracked.
    let subject = take_back(json!({"subject": "user-1"}));
    assert_eq!(subject["in_force_at_verifiers"]["status_list"], json!(null));
    let other = take_back(json!({"jti": "not-one-of-ours"}));
    assert_eq!(other["in_force_at_verifiers"]["status_list"], json!(null));
}

#[test]
fn a_ban_makes_the_tokens_of_its_subject_invalid_where_they_are_tracked() {
    let server = server();
    let token = |claims: Value, status: Value| {
        let mut request = json!({ "claims": claims });
        if !status.is_null() {
            request["status"] = status;
        }
        sign(&server, "tracked", &request)
    };
    let one = ok(token(
        json!({"sub": "user-1", "aud": "orders"}),
        json!(null),
    ));
    let other = ok(token(json!({"sub": "user-2"}), json!("tracked")));
    let items = json!({"requests": [
        {"claims": {"sub": "user-1"}}, {"claims": {"sub": "user-2"}}, {"claims": {}}
    ]});
    let batch = server.call("POST", "/v1/issuers/tracked/tokens/batch", Some(&items));
    let batch = ok(batch)["results"].clone();
    for less in [json!(true), json!(false)] {
        let refused = token(json!({}), less);
        assert_eq!(code(&refused), (400, "status-not-offered".to_owned()));
    }
    let more = json!({"claims": {}, "status": "tracked"});
    let refused = sign(&server, "shop", &more);
    assert_eq!(code(&refused), (400, "status-not-offered".to_owned()));

    let path = "/v1/issuers/tracked/revocations";
    let ban = json!({"subject": "user-1", "ban": true});
    let banned = server.call("POST", path, Some(&ban));
    assert_eq!(banned.status, 201, "{}", banned.json());
    let banned = banned.json();
    let signers = banned["in_force_at_signers"].as_u64().unwrap();
    let lists = &banned["in_force_at_verifiers"]["status_list"];
    assert!((signers + 10..=signers + 12).contains(&lists.as_u64().unwrap()));
    becomes_invalid(&server, &one);
    assert_eq!(status(&server, &batch[0]), INVALID);
    for valid in [&other, &batch[1], &batch[2]] {
        assert_eq!(status(&server, valid), VALID);
    }
    let id = banned["id"].as_str().unwrap();
    let lifted = server.call("DELETE", &format!("{path}/{id}"), None);
    assert_eq!(lifted.status, 204);
    let after = eventually("a token is signed again", || {
        let answer = token(json!({"sub": "user-1"}), json!(null));
        (answer.status == 201).then(|| answer.json())
    });
    assert_eq!(status(&server, &after), VALID);
    assert_eq!(status(&server, &one), INVALID);
}

#[test]
fn a_token_has_a_status_where_the_policy_and_its_request_have_it() {
    let server = server();
    let has_status = |token: Answer| !claims(&ok(token))["status"].is_null();
    let with = |status: Value| json!({"claims": {}, "status": status});
    assert!(has_status(sign(&server, "shop", &json!({"claims": {}}))));
    assert!(has_status(sign(&server, "shop", &with(json!(true)))));
    assert!(!has_status(sign(&server, "shop", &with(json!(false)))));
    assert!(!has_status(sign(&server, "plain", &json!({"claims": {}}))));
    assert!(!has_status(sign(&server, "plain", &with(json!(false)))));
    let refused = sign(&server, "plain", &with(json!(true)));
    assert_eq!(code(&refused), (400, "status-not-offered".to_owned()));
    let refused = sign(&server, "shop", &with(json!("yes")));
    assert_eq!(code(&refused), (400, "field-type".to_owned()));
    // A caller writes none of its own beside the service's.
    let own = json!({"claims": {"status": {"status_list": {"idx": 0, "uri": "https://a"}}}});
    assert_eq!(
        code(&sign(&server, "shop", &own)),
        (400, "claim-reserved".to_owned())
    );
    // Where the service writes none, a client needs a limit that names it.
    assert_eq!(
        code(&sign(&server, "plain", &own)),
        (403, "client-limit".to_owned())
    );
    let batch = json!({"requests": [{"claims": {}}, {"claims": {}, "status": false}]});
    let batch = ok(server.call("POST", "/v1/issuers/shop/tokens/batch", Some(&batch)));
    assert!(!claims(&batch["results"][0])["status"].is_null());
    assert!(claims(&batch["results"][1])["status"].is_null());
}

#[test]
fn a_list_is_for_everyone_to_read_and_to_keep_for_as_long_as_its_ttl() {
    let server = server();
    let token = ok(sign(&server, "shop", &json!({"claims": {}})));
    let (path, _) = entry_of(&token);
    let list = server.fetch(&path);
    assert_eq!(
        list.header("content-type"),
        Some("application/statuslist+jwt")
    );
    assert_eq!(list.header("cache-control"), Some("public, max-age=5"));
    assert_eq!(list.header("access-control-allow-origin"), Some("*"));
    assert!(list.body.len() < 1200, "{}", list.body.len());
    let ask =
        |method: &str, path: &str| request(method, &format!("{}{path}", server.public), &[], None);
    assert_eq!(ask("HEAD", &path).status, 200);
    assert_eq!(ask("OPTIONS", &path).status, 204);
    assert_eq!(
        code(&ask("POST", &path)),
        (405, "method-not-allowed".to_owned())
    );
    let earlier = ask("GET", &format!("{path}?time=1686925000"));
    assert_eq!(code(&earlier), (501, "no-status-history".to_owned()));
    let unknown = ask("GET", &format!("{path}?at=1"));
    assert_eq!(code(&unknown), (400, "invalid-query".to_owned()));

    let all = server.fetch("/shop/status");
    assert_eq!(all.header("cache-control"), Some("public, max-age=5"));
    let all = all.json()["status_lists"].as_array().unwrap().clone();
    assert!(
        all.contains(&json!(format!("http://127.0.0.1:8080{path}"))),
        "{all:?}"
    );
    assert_eq!(
        server.fetch("/plain/status").json(),
        json!({"status_lists": []})
    );
    let metadata = |issuer: &str| {
        let path = format!("/.well-known/oauth-authorization-server/{issuer}");
        server.fetch(&path).json()["status_list_aggregation_endpoint"].clone()
    };
    assert_eq!(metadata("shop"), json!("http://127.0.0.1:8080/shop/status"));
    assert_eq!(metadata("plain"), json!(null));

    // The address of another issuer's list, one that was never given out, and none at all.
    let address = path.rsplit('/').next().unwrap();
    for (path, control) in [
        (format!("/plain/status/{address}"), "no-store"),
        ("/shop/status/AAAAAAAAAAAAAAAAAAAAAA".to_owned(), "no-store"),
        ("/shop/status/".to_owned(), "no-store"),
    ] {
        let none = server.fetch(&path);
        assert_eq!(
            (none.status, none.header("cache-control")),
            (404, Some(control)),
            "{path}"
        );
    }
    assert_eq!(server.fetch("/nobody/status").status, 404);
}

#[test]
fn a_token_of_the_oauth_endpoint_has_a_status_as_the_policy_says() {
    let server = start("oauth.enabled = true\n");
    create_issuer(&server, "shop", json!({ "status": "tracked" }));
    let client = create_client(&server, "web", &["issuer"]);
    let (id, secret) = (client["client"]["id"].clone(), credential(&client));
    let id = id.as_str().or(client["id"].as_str()).unwrap().to_owned();
    let form = format!(
        "grant_type=client_credentials&client_id={id}&client_secret={secret}&resource=https://orders.example"
    );
    let form = ("application/x-www-form-urlencoded", form.into_bytes());
    let answer = request(
        "POST",
        &format!("{}/shop/token", server.public),
        &[],
        Some(form),
    );
    let answer = ok(answer);
    let token = json!({"token": answer["access_token"]});
    assert_eq!(status(&server, &token), VALID);
    let subject = claims(&token)["sub"].clone();
    let path = "/v1/issuers/shop/revocations";
    let taken = server.call("POST", path, Some(&json!({ "subject": subject })));
    assert_eq!(taken.status, 201, "{}", taken.json());
    becomes_invalid(&server, &token);
}
