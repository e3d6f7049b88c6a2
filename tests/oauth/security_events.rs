//! Security event tokens of another system (RFC 8417, RFC 8935): an account that was disabled there is banned here.

use serde_json::{Value, json};

use crate::support::{Answer, Server, request};
use crate::world::{Client, ISSUER, Signatory, client_with, escape, now, post, service};

const LOGIN: &str = "https://login.example";
const AUDIENCE: &str = "https://keys.example";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
const ENABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-enabled";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// A login provider that is trusted, and tells of accounts as a client that may ban some users.
struct Transmitter {
    server: Server,
    keys: Signatory,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Transmitter {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = Signatory::new("login-1");
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, keys.jwks().to_string()).unwrap();
        let server = service(&format!(
            "[[trusted_issuers]]\nname = \"login\"\nissuer = \"{LOGIN}\"\naudience = \"{AUDIENCE}\"\n\
             jwks_file = \"{}\"\n",
            file.display()
        ));
        let limits = json!({"subjects": ["user-*"]});
        let client = client_with(&server, json!({"roles": ["revoker"], "limits": limits}));
        Self {
            server,
            keys,
            client,
            _folder: folder,
        }
    }

    fn header() -> Value {
        json!({"alg": "ES256", "kid": "login-1", "typ": "secevent+jwt"})
    }

    /// The claims that tell of an event of a user.
    fn claims(event: &str, subject: &str, jti: &str) -> Value {
        json!({
            "iss": LOGIN, "aud": AUDIENCE, "iat": now(), "jti": jti,
            "sub_id": {"format": "iss_sub", "iss": LOGIN, "sub": subject},
            "events": {event: {"reason": "hijacking"}},
        })
    }

    fn push(&self, token: &str) -> Answer {
        push(
            &self.server,
            &format!("Bearer {}", self.client.secret),
            token,
        )
    }

    /// Tells of an event, which is taken.
    fn tell(&self, event: &str, subject: &str, jti: &str) {
        let claims = Self::claims(event, subject, jti);
        let answer = self.push(&self.keys.sign_under(&Self::header(), &claims));
        assert_eq!(
            (answer.status, answer.body.len()),
            (202, 0),
            "{}",
            said(&answer)
        );
    }

    fn revocations(&self) -> Vec<Value> {
        let path = "/v1/issuers/default/revocations";
        let listed = self.server.call("GET", path, None).json();
        listed["revocations"].as_array().unwrap().clone()
    }

    fn is_active(&self, token: &str) -> bool {
        let asks = client_with(&self.server, json!({"roles": ["introspector"]}));
        let form = format!("token={}", escape(token));
        let basic = [("authorization", asks.basic())];
        post(&self.server, "/introspect", &basic, &form).json()["active"] == true
    }

    fn signs(&self, subject: &str) -> Answer {
        let body = json!({"claims": {"sub": subject, "aud": "orders"}});
        self.server
            .call("POST", "/v1/issuers/default/tokens", Some(&body))
    }
}

fn push(server: &Server, authorization: &str, token: &str) -> Answer {
    let url = format!("{}/security-events", server.public);
    let headers = [("authorization", authorization.to_owned())];
    let body = ("application/secevent+jwt", token.as_bytes().to_vec());
    request("POST", &url, &headers, Some(body))
}

fn said(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn token(answer: &Answer) -> String {
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn an_account_that_is_disabled_is_banned_until_it_is_enabled_and_each_token_counts_once() {
    let login = Transmitter::new();
    let (mine, other) = (login.signs("user-1"), login.signs("user-2"));
    login.tell(DISABLED, "user-1", "e1");
    assert!(!login.is_active(&token(&mine)) && login.is_active(&token(&other)));
    let refused = login.signs("user-1");
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (403, &json!("banned"))
    );
    let [ban] = &login.revocations()[..] else {
        panic!("{:?}", login.revocations());
    };
    assert_eq!(ban["reason"], "account disabled");
    assert_eq!(ban["by"]["id"], login.client.id);
    // A token that is repeated makes no second ban.
    login.tell(DISABLED, "user-1", "e1");
    assert_eq!(login.revocations().len(), 1);
    login.tell(ENABLED, "user-1", "e2");
    let again = login.signs("user-1");
    assert_eq!(again.status, 201, "{}", again.json());
    assert!(!login.is_active(&token(&mine)) && login.is_active(&token(&again)));
    // Nor does it ban a user again who was let in since.
    login.tell(DISABLED, "user-1", "e1");
    assert_eq!(login.signs("user-1").status, 201);
    login.tell(DISABLED, "user-1", "e3");
    assert_eq!(login.signs("user-1").status, 403);
    // Nor lets in one who was disabled since.
    login.tell(ENABLED, "user-1", "e2");
    assert_eq!(login.signs("user-1").status, 403);
}

#[test]
fn bans_of_people_and_of_other_clients_outlast_the_end_of_a_disabled_account() {
    let login = Transmitter::new();
    let path = "/v1/issuers/default/revocations";
    let ban = json!({"subject": "user-1", "ban": true, "reason": "account disabled"});
    assert_eq!(login.server.call("POST", path, Some(&ban)).status, 201);
    login.tell(DISABLED, "user-1", "e1");
    login.tell(ENABLED, "user-1", "e2");
    assert_eq!(login.signs("user-1").status, 403);
}

#[test]
fn a_user_is_named_in_each_way_that_tokens_can_be_found_by() {
    let login = Transmitter::new();
    let of_issuer = json!({"format": "iss_sub", "iss": ISSUER, "sub": "user-1"});
    for (number, sub_id) in [
        json!({"format": "complex", "user": of_issuer}),
        of_issuer,
        json!({"format": "opaque", "id": "user-1"}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut claims = Transmitter::claims(DISABLED, "", &format!("e{number}"));
        claims["sub_id"] = sub_id;
        let token = login.keys.sign_under(&Transmitter::header(), &claims);
        // Basic, and a line that ends.
        let pushed = push(&login.server, &login.client.basic(), &format!("{token}\n"));
        assert_eq!(pushed.status, 202, "{}", said(&pushed));
        assert_eq!(login.revocations().len(), number + 1);
        assert_eq!(
            login.revocations()[0]["selector"],
            json!({"subject": "user-1"})
        );
    }
}

#[test]
fn an_event_of_which_nothing_follows_is_taken_as_the_rfc_asks() {
    let login = Transmitter::new();
    for (number, event) in [
        VERIFICATION,
        "https://schemas.openid.net/secevent/risc/event-type/account-purged",
        "https://a.example/event",
    ]
    .into_iter()
    .enumerate()
    {
        login.tell(event, "user-1", &format!("e{number}"));
    }
    // Whatever its subject is: a stream has no sub.
    let mut claims = Transmitter::claims(VERIFICATION, "", "e9");
    claims["sub_id"] = json!({"format": "phone_number", "phone_number": "+1"});
    let token = login.keys.sign_under(&Transmitter::header(), &claims);
    assert_eq!(login.push(&token).status, 202);
    assert_eq!(login.revocations(), [] as [Value; 0]);
    assert_eq!(login.signs("user-1").status, 201);
}

#[test]
fn a_token_that_proves_nothing_is_refused_in_the_words_of_the_rfc() {
    let login = Transmitter::new();
    let refused = |token: &str, error: &str, code: &str| {
        let answer = login.push(token);
        let document = answer.json();
        assert_eq!(
            (answer.status, &document["err"]),
            (400, &json!(error)),
            "{document}"
        );
        let description = document["description"].as_str().unwrap();
        assert!(description.starts_with(&format!("{code}: ")), "{document}");
        assert_eq!(document.as_object().unwrap().len(), 2);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("content-language"), Some("en"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    };
    let good = || Transmitter::claims(DISABLED, "user-1", "e1");
    let with = |changes: Value| {
        let mut claims = good();
        let members = claims.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        login.keys.sign_under(&Transmitter::header(), &claims)
    };
    let (request, key) = ("invalid_request", "invalid_key");
    for changes in [
        json!({"sub": "user-1"}),
        json!({"exp": now() + 60}),
        json!({"jti": null}),
        json!({"iat": null}),
        json!({"events": null}),
        json!({"sub_id": null}),
        json!({"jti": ""}),
        json!({"events": {}}),
        json!({"events": {DISABLED: {}, ENABLED: {}}}),
        json!({"iat": now() - 8 * 86_400}),
        json!({"iat": now() + 3600}),
    ] {
        refused(&with(changes), request, "invalid-event-token");
    }
    for sub_id in [
        json!({"format": "email", "email": "user-1@example.com"}),
        json!({"format": "iss_sub", "iss": "https://elsewhere.example", "sub": "user-1"}),
        json!({"format": "complex", "user": {"format": "opaque", "id": "user-1"}, "device": {}}),
    ] {
        refused(
            &with(json!({ "sub_id": sub_id })),
            request,
            "unsupported-subject",
        );
    }
    for iss in ["https://elsewhere.example", ISSUER] {
        refused(
            &with(json!({ "iss": iss })),
            "invalid_issuer",
            "invalid-event-issuer",
        );
    }
    for aud in [json!("https://elsewhere.example"), json!([]), json!(null)] {
        refused(
            &with(json!({ "aud": aud })),
            "invalid_audience",
            "invalid-event-audience",
        );
    }
    // A thief's key, under the name of the real one; and algorithms that are none.
    let thief = Signatory::new("login-1");
    let header = Transmitter::header();
    refused(
        &thief.sign_under(&header, &good()),
        key,
        "invalid-event-key",
    );
    for algorithm in ["none", "HS256", "RS256"] {
        let header = json!({"alg": algorithm, "kid": "login-1", "typ": "secevent+jwt"});
        let token = login.keys.sign_under(&header, &good());
        refused(&token, key, "invalid-event-key");
    }
    for typ in [json!("JWT"), json!("at+jwt"), json!("logout+jwt")] {
        let header = json!({"alg": "ES256", "kid": "login-1", "typ": typ});
        let token = login.keys.sign_under(&header, &good());
        refused(&token, request, "invalid-event-token");
    }
    refused(&login.keys.sign(&good()), request, "invalid-event-token");
    refused("no token", request, "invalid-event-token");
    let admin = Transmitter::claims(DISABLED, "admin", "e1");
    let admin = login.keys.sign_under(&header, &admin);
    refused(&admin, "access_denied", "client-limit");
    assert_eq!(login.revocations(), [] as [Value; 0]);
    let answer = login.push(&login.keys.sign_under(&header, &good()));
    assert_eq!(answer.status, 202, "the claims that were changed are good");
}

#[test]
fn a_transmitter_must_prove_itself_and_may_do_no_more_than_its_client() {
    let login = Transmitter::new();
    let claims = Transmitter::claims(DISABLED, "user-1", "e1");
    let event = login.keys.sign_under(&Transmitter::header(), &claims);
    let signer = client_with(&login.server, json!({"roles": ["issuer"]}));
    let shop = json!({"roles": ["revoker"], "limits": {"issuers": ["shop"]}});
    let shop = client_with(&login.server, shop);
    for (authorization, error) in [
        ("Bearer x".to_owned(), "authentication_failed"),
        (format!("Bearer {}", signer.secret), "access_denied"),
        (format!("Bearer {}", shop.secret), "access_denied"),
        // An event of a trusted issuer proves no caller.
        (format!("Bearer {event}"), "authentication_failed"),
    ] {
        let answer = push(&login.server, &authorization, &event);
        assert_eq!((answer.status, &answer.json()["err"]), (400, &json!(error)));
    }
    // Nor is a token of keywright, or of the trusted issuer, an event.
    let signed = token(&login.signs("user-1"));
    let access = json!({
        "iss": LOGIN, "aud": AUDIENCE, "exp": now() + 60, "iat": now(), "jti": "t", "sub": "user-1",
    });
    for (token, error) in [
        (signed, "invalid_issuer"),
        (login.keys.sign(&access), "invalid_request"),
    ] {
        let answer = login.push(&token);
        assert_eq!((answer.status, &answer.json()["err"]), (400, &json!(error)));
    }
    // What is wrong with the request, and not with the token, has another status.
    let url = format!("{}/security-events", login.server.public);
    let headers = [("authorization", format!("Bearer {}", login.client.secret))];
    let json_body = ("application/json", event.clone().into_bytes());
    assert_eq!(request("POST", &url, &headers, Some(json_body)).status, 415);
    assert_eq!(request("GET", &url, &headers, None).status, 405);
    assert_eq!(login.revocations(), [] as [Value; 0]);
    assert_eq!(login.push(&event).status, 202);
}
