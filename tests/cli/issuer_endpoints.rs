//! Endpoints of an issuer, called from the command line as other systems call them.

use serde_json::{Value, json};

use crate::command::{done, said};
use crate::support::{Server, Signatory, since_epoch, start};

const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";

/// A token that counts once.
fn single_use(server: &Server) -> String {
    let body = json!({"claims": {"sub": "user-1", "aud": "orders"}, "single_use": true});
    server.sign("default", &body)
}

#[test]
fn a_token_that_counts_once_is_used_up_once() {
    let server = start("oauth.enabled = true\n");
    let token = single_use(&server);
    let attempt = ["token", "consume", &token, "--idempotency-key", "k1"];
    let text = done(&server, &attempt);
    assert!(text.contains("is used up, since 20"), "{text}");
    // The answer was lost.
    let again = done(&server, &[&attempt[..], &["--json"]].concat());
    let again: Value = serde_json::from_str(&again).unwrap();
    assert!(text.contains(again["jti"].as_str().unwrap()), "{text}");
    let (status, refused) = said(&server, &["token", "consume", &token]);
    assert_eq!(status, 1);
    assert!(refused.contains("code: already-consumed"), "{refused}");
    // The issuer may be named.
    let url = format!("{}/", server.public);
    let (status, refused) = said(&server, &["token", "consume", &token, "--issuer-url", &url]);
    assert_eq!(
        (status, refused.contains("already-consumed")),
        (1, true),
        "{refused}"
    );
}

#[test]
fn the_credential_of_this_machine_is_sent_to_no_other() {
    let server = start("oauth.enabled = true\n");
    for arguments in [
        ["token", "consume", "a.b.c"],
        ["signals", "revoke", "user-1"],
    ] {
        let arguments = [&arguments[..], &["--issuer-url", "https://id.example"]].concat();
        let (status, refused) = said(&server, &arguments);
        assert_eq!(status, 1);
        assert!(refused.contains("is not sent to another host"), "{refused}");
        let plain = [
            &arguments[..3],
            &["--issuer-url", "http://id.example", "--token", "kw_a_b"],
        ];
        let (status, refused) = said(&server, &plain.concat());
        assert_eq!(status, 2, "{refused}");
        assert!(refused.contains("https"), "{refused}");
    }
}

#[test]
fn everything_of_a_user_is_taken_back_as_an_identity_provider_does_it() {
    let server = start("oauth.enabled = true\n");
    let text = done(&server, &["signals", "revoke", "user-1"]);
    assert_eq!(text.trim(), "all that subject user-1 has is taken back");
    let list = done(&server, &["revocations", "--subject", "user-1"]);
    assert!(list.contains("global token revocation"), "{list}");
    let clients = [
        "clients",
        "create",
        "idp",
        "--role",
        "revoker",
        "--subject",
        "user-*",
        "--json",
    ];
    let client: Value = serde_json::from_str(&done(&server, &clients)).unwrap();
    let credential = client["credential"].as_str().unwrap();
    let beyond = ["signals", "revoke", "admin", "--token", credential];
    let (status, refused) = said(&server, &beyond);
    assert_eq!(
        (status, refused.contains("code: client-limit")),
        (1, true),
        "{refused}"
    );
}

#[test]
fn a_security_event_is_pushed_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Signatory::new("login-1");
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, keys.jwks().to_string()).unwrap();
    let server = start(&format!(
        "oauth.enabled = true\n[[trusted_issuers]]\nname = \"login\"\nissuer = \"https://login.example\"\n\
         audience = \"https://keys.example\"\njwks_file = \"{}\"\n",
        file.display()
    ));
    let header = json!({"alg": "ES256", "kid": "login-1", "typ": "secevent+jwt"});
    let mut claims = json!({
        "iss": "https://login.example", "aud": "https://keys.example", "jti": "e1",
        "iat": since_epoch().as_secs(), "sub_id": {"format": "opaque", "id": "user-1"},
        "events": {DISABLED: {}},
    });
    let event = folder.path().join("event.jwt");
    let push = ["signals", "push", event.to_str().unwrap()];
    std::fs::write(&event, keys.sign_under(&header, &claims) + "\n").unwrap();
    assert_eq!(
        done(&server, &push).trim(),
        "the security event token is taken"
    );
    let list = done(&server, &["revocations", "--subject", "user-1"]);
    assert!(list.contains("account disabled"), "{list}");
    claims["exp"] = json!(since_epoch().as_secs() + 60);
    std::fs::write(&event, keys.sign_under(&header, &claims)).unwrap();
    let (status, refused) = said(&server, &push);
    assert_eq!(
        (status, refused.contains("code: invalid-event-token")),
        (1, true),
        "{refused}"
    );
}
