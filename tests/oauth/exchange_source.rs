//! A token source that exchanges the tokens of another one (RFC 8693), against a real service.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_client::{AccessToken, Credential, Error, TokenRequest};
use serde_json::{Value, json};

use crate::exchange::exchanger;
use crate::support::Server;
use crate::world::{client, service};

/// An issuer at the public listener.
fn issuer(server: &Server) -> String {
    let url = format!("{}/shop", server.public);
    let policy = json!({"url": url, "algorithms": ["ES256"]});
    let answer = server.call("PUT", "/v1/issuers/shop", Some(&policy));
    assert_eq!(answer.status, 201, "{}", answer.json());
    url
}

fn take_back(server: &Server, jti: &Value) {
    let path = "/v1/issuers/shop/revocations";
    let answer = server.call("POST", path, Some(&json!({ "jti": jti })));
    assert_eq!(answer.status, 201, "{}", answer.json());
}

fn claims(token: &AccessToken) -> Value {
    let payload = token.as_str().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_source_is_exchanged_for_one_that_says_less() {
    let server = service("");
    let issuer = issuer(&server);
    let secret = |secret: &str| Credential::parse(secret).unwrap();
    let web = client(&server, json!({"audiences": ["https://orders"]}));
    let orders = exchanger(&server);
    let subject = TokenRequest::client_credentials(&issuer, &web.id, secret(&web.secret))
        .unwrap()
        .with_scope("read write")
        .into_source();
    let tokens =
        TokenRequest::exchange(&issuer, &orders.id, secret(&orders.secret), subject.clone())
            .unwrap()
            .with_audience("billing")
            .with_scope("read")
            .into_source();
    let shown = claims(&subject.token().await.unwrap());
    let token = tokens.token().await.unwrap();
    let traded = claims(&token);
    assert_eq!(
        (
            &traded["sub"],
            &traded["aud"],
            &traded["scope"],
            &traded["ancestor_jtis"]
        ),
        (
            &json!(web.id),
            &json!("billing"),
            &json!("read"),
            &json!([shown["jti"]])
        )
    );
    assert_eq!(tokens.token().await.unwrap(), token);

    // A subject token that was taken back is refused once, and not shown again.
    take_back(&server, &shown["jti"]);
    tokens.forget(&token);
    let refused = tokens.token().await.unwrap_err();
    assert!(matches!(refused, Error::TokenRefused(_)), "{refused}");
    let pausing = tokens.token().await.unwrap_err();
    let Error::Pausing { seconds, .. } = pausing else {
        panic!("{pausing}");
    };
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
    let traded = claims(&tokens.token().await.unwrap());
    let next = claims(&subject.token().await.unwrap());
    assert_ne!(next["jti"], shown["jti"]);
    assert_eq!(traded["ancestor_jtis"], json!([next["jti"]]));
}
