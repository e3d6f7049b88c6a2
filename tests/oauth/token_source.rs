//! The token source of the crate keywright-client against a real service.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_api::OauthErrorName;
use keywright_client::{AccessToken, Credential, Error, TokenRequest, TokenSource};
use serde_json::{Value, json};

use crate::support::{Server, since_epoch};
use crate::world::{Client, client, orders, service};

/// An issuer at the public listener, whose tokens live for `lifetime`.
fn issuer(server: &Server, lifetime: &str) -> String {
    let url = format!("{}/shop", server.public);
    let policy = json!({
        "url": url, "algorithms": ["ES256"], "default_token_ttl": lifetime, "max_token_ttl": lifetime,
    });
    let answer = server.call("PUT", "/v1/issuers/shop", Some(&policy));
    assert_eq!(answer.status, 201, "{}", answer.json());
    url
}

fn source(issuer: &str, client: &Client) -> TokenSource {
    let secret = Credential::parse(&client.secret).unwrap();
    let request = TokenRequest::client_credentials(issuer, &client.id, secret).unwrap();
    request
        .with_audience("orders")
        .with_scope("orders:read")
        .into_source()
}

fn claims(token: &AccessToken) -> Value {
    let payload = token.as_str().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_wait_share_one_token_and_it_says_what_was_asked_for() {
    let server = service("");
    let tokens = source(&issuer(&server, "10m"), &client(&server, orders()));
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { tokens.token().await.unwrap() })
        })
        .collect();
    let mut all = BTreeSet::new();
    for one in waiting {
        all.insert(one.await.unwrap().as_str().to_owned());
    }
    assert_eq!(all.len(), 1);
    let token = tokens.token().await.unwrap();
    let claims = claims(&token);
    assert_eq!(
        (&claims["aud"], &claims["scope"]),
        (&json!("orders"), &json!("orders:read"))
    );
    assert_eq!(token.authorization(), format!("Bearer {}", token.as_str()));
    assert!(!format!("{token:?}").contains("ey"));

    // What a service refuses is not given out again.
    tokens.forget(&token);
    assert_ne!(tokens.token().await.unwrap().as_str(), token.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_replaced_before_it_ends_and_none_is_given_out_that_has_ended() {
    let server = service("");
    let tokens = source(&issuer(&server, "2s"), &client(&server, orders()));
    let mut jtis = BTreeSet::new();
    while jtis.len() < 4 {
        let token = tokens.token().await.unwrap();
        let claims = claims(&token);
        let now = since_epoch().as_secs_f64();
        assert!(claims["exp"].as_f64().unwrap() > now - 1.0, "{claims}");
        jtis.insert(claims["jti"].as_str().unwrap().to_owned());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_once_and_then_the_issuer_is_left_alone() {
    let server = service("");
    let mut client = client(&server, orders());
    client.secret = "kw_1_wrong".to_owned();
    let tokens = source(&issuer(&server, "10m"), &client);
    let refused = tokens.token().await.unwrap_err();
    let Error::TokenRefused(refused) = refused else {
        panic!("{refused}");
    };
    assert_eq!(refused.error, OauthErrorName::InvalidClient);
    let pausing = tokens.token().await.unwrap_err();
    assert!(matches!(pausing, Error::Pausing { .. }), "{pausing}");
    assert!(!pausing.to_string().contains("wrong"), "{pausing}");
}

#[tokio::test]
async fn an_outage_takes_no_token_away_that_is_still_good() {
    let server = service("");
    let tokens = source(&issuer(&server, "10m"), &client(&server, orders()));
    let token = tokens.token().await.unwrap();
    drop(server);
    assert_eq!(tokens.token().await.unwrap(), token);
    tokens.forget(&token);
    let gone = tokens.token().await.unwrap_err();
    assert!(matches!(gone, Error::Unreachable { .. }), "{gone}");
}

#[tokio::test]
async fn a_secret_goes_to_the_issuer_alone() {
    let secret = || Credential::parse("kw_1_secret").unwrap();
    for issuer in [
        "http://id.example",
        "https://id.example/?a",
        "id.example",
        "",
    ] {
        assert!(
            TokenRequest::client_credentials(issuer, "a", secret()).is_err(),
            "{issuer}"
        );
    }
    // The default issuer has another URL than the one at which it is asked.
    let server = service("");
    let request = TokenRequest::client_credentials(&server.public, "a", secret()).unwrap();
    let error = request.into_source().token().await.unwrap_err();
    assert!(matches!(error, Error::Metadata { .. }), "{error}");
}
