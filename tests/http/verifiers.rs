//! Who verifies with what, as their requests tell.

use serde_json::{Value, json};

use crate::support::{Answer, Server, eventually, request, start};

const VERIFIERS: &str = "/v1/issuers/default/verifiers";

fn ask(server: &Server, method: &str, user_agent: &str, tag: Option<&str>) -> Answer {
    let url = format!("{}/.well-known/jwks.json", server.public);
    let mut headers = vec![("user-agent", user_agent.to_owned())];
    headers.extend(tag.map(|tag| ("if-none-match", tag.to_owned())));
    request(method, &url, &headers, None)
}

fn tag(answer: &Answer) -> String {
    answer.header("etag").unwrap().to_owned()
}

fn seen(server: &Server) -> Value {
    let answer = server.call("GET", VERIFIERS, None);
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

/// Of each verifier its name, whether it has the key set of now, and whether it has said so.
fn held(seen: &Value) -> Vec<(String, bool, bool)> {
    let verifiers = seen["verifiers"].as_array().unwrap().iter();
    let mut held: Vec<_> = verifiers
        .map(|one| {
            let name = one["user_agent"].as_str().unwrap().to_owned();
            let is = |member: &str| one[member].as_bool().unwrap();
            (name, is("current"), is("confirmed"))
        })
        .collect();
    held.sort();
    held
}

fn name(text: &str) -> String {
    text.to_owned()
}

#[test]
fn each_verifier_has_what_it_was_sent_or_has_named_itself() {
    let server = start("");
    assert_eq!(seen(&server)["verifiers"], json!([]));
    let old = tag(&ask(&server, "GET", "stays behind", None));
    for user_agent in ["follows", "fetches anew"] {
        assert_eq!(ask(&server, "GET", user_agent, None).status, 200);
    }
    assert_eq!(ask(&server, "GET", "follows", Some(&old)).status, 304);
    // These do not tell which key set they have.
    ask(&server, "HEAD", "looks", None);
    assert_eq!(ask(&server, "GET", "wildcard", Some("*")).status, 304);
    assert_eq!(ask(&server, "OPTIONS", "page", None).status, 204);
    assert_eq!(
        held(&seen(&server)),
        [
            (name("fetches anew"), true, false),
            (name("follows"), true, true),
            (name("stays behind"), true, false),
        ]
    );

    // A successor is published: who asks from now on has it.
    let revoke = json!({ "reason": "an exercise" });
    let keys = seen(&server)["keys"].clone();
    let known: Vec<Value> = keys
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].clone())
        .collect();
    let keys = server.call("GET", "/v1/issuers/default/keys", None).json();
    let is_active = |key: &&Value| key["state"] == "active" && key["algorithm"] == "ES256";
    let active = keys["keys"].as_array().unwrap().iter().find(is_active);
    let revoked = active.unwrap()["kid"].as_str().unwrap();
    let path = format!("/v1/issuers/default/keys/{revoked}/revoke");
    assert_eq!(server.call("POST", &path, Some(&revoke)).status, 200);
    let successor = eventually("a successor", || {
        let keys = seen(&server)["keys"].clone();
        let mut keys = keys.as_array()?.iter().map(|key| key["kid"].clone());
        keys.find(|kid| !known.contains(kid))
    });
    let new = ask(&server, "GET", "follows", Some(&old));
    assert_eq!(new.status, 200);
    ask(&server, "GET", "fetches anew", None);
    // Of several tags one is enough (RFC 9110 section 13.1.2).
    let both = format!("W/\"other\", W/{}", tag(&new));
    assert_eq!(ask(&server, "HEAD", "looks", Some(&both)).status, 304);
    let shown = seen(&server);
    assert_eq!(
        held(&shown),
        [
            (name("fetches anew"), true, false),
            (name("follows"), true, false),
            (name("looks"), true, true),
            (name("stays behind"), false, false),
        ]
    );
    assert_eq!(shown["etag"], tag(&new));
    let keys = shown["keys"].as_array().unwrap();
    let holders = |kid: &Value| {
        let key = keys.iter().find(|key| key["kid"] == *kid);
        key.unwrap_or_else(|| panic!("{shown}"))["verifiers"].clone()
    };
    assert_eq!(holders(&successor), 3, "all but the one that stays behind");
    let before = keys.iter().find(|key| known.contains(&key["kid"])).unwrap();
    assert_eq!(before["verifiers"], 4);
    assert!(!shown["keys"].to_string().contains(revoked), "{shown}");
}

#[test]
fn invented_verifiers_take_no_place_from_others_and_no_memory_without_end() {
    let server = start("");
    ask(&server, "GET", "", None);
    for number in 0..30 {
        ask(&server, "GET", &format!("invented {number}"), None);
    }
    let long = "x".repeat(4000);
    ask(&server, "GET", &long, None);
    let shown = seen(&server);
    assert_eq!(shown["verifiers"].as_array().unwrap().len(), 16);
    assert_eq!(shown["unrecorded_requests"], 16);
    assert!(held(&shown).contains(&(String::new(), true, false)));
    assert_eq!(shown["verifiers"][0]["address"], "127.0.0.1");
}

#[test]
fn only_readers_of_the_issuer_see_its_verifiers() {
    let server = start("");
    let create = |roles: Value, limits: Value| {
        let client = json!({ "name": "one", "roles": roles, "limits": limits });
        let answer = server.call("POST", "/v1/clients", Some(&client)).json();
        answer["credential"].as_str().unwrap().to_owned()
    };
    for (roles, limits, status) in [
        (json!(["auditor"]), json!({}), 200),
        (json!(["issuer"]), json!({}), 403),
        (json!(["auditor"]), json!({ "issuers": ["shop"] }), 403),
    ] {
        let secret = create(roles, limits);
        let answer = server.call_as(Some(&secret), "GET", VERIFIERS, None);
        assert_eq!(answer.status, status);
    }
}
