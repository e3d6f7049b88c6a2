//! A token source that renews a grant, against a real service, through a proxy that loses answers.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_api::OauthErrorName;
use keywright_client::{AccessToken, Credential, Error, RefreshToken, TokenRequest, TokenSource};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::Server;
use crate::world::{client, escape, post, service};

/// What stands before a service, and loses as many answers of its token endpoint as it is told to.
struct Proxy {
    url: String,
    to_lose: Arc<AtomicUsize>,
}

impl Proxy {
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = server.public.trim_start_matches("http://").to_owned();
        let to_lose = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&to_lose);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (service, left) = (service.clone(), Arc::clone(&left));
                thread::spawn(move || drop(forward(connection, &service, &left)));
            }
        });
        Self { url, to_lose }
    }

    /// Loses so many answers from now on.
    fn lose(&self, count: usize) {
        self.to_lose.store(count, Ordering::SeqCst);
    }
}

/// Forwards one request on a connection of its own, and its answer unless that is to be lost.
fn forward(mut connection: TcpStream, service: &str, to_lose: &AtomicUsize) -> io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    // Every request of the client has its length, or no body.
    while !is_whole(&request) {
        let read = connection.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..read]);
    }
    let request = String::from_utf8(request).unwrap();
    let request = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut upstream = TcpStream::connect(service)?;
    upstream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    let is_lost = request.starts_with("POST")
        && (to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        }))
        .is_ok();
    if !is_lost {
        connection.write_all(&answer)?;
    }
    connection.shutdown(Shutdown::Both)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.is_none_or(|(_, length)| body.len() >= length.parse().unwrap())
}

/// An issuer whose tokens live for two seconds, so that each of a few calls renews.
fn issuer(server: &Server, at: &str) -> String {
    let url = format!("{at}/shop");
    let policy = json!({
        "url": url, "algorithms": ["ES256"], "default_token_ttl": "2s", "max_token_ttl": "2s",
    });
    let answer = server.call("PUT", "/v1/issuers/shop", Some(&policy));
    assert_eq!(answer.status, 201, "{}", answer.json());
    url
}

fn opened(server: &Server, client: &str) -> (String, RefreshToken) {
    let claims = json!({"sub": "user-1", "aud": "orders", "scope": "read write"});
    let body = json!({"claims": claims, "client": client});
    let answer = server.call("POST", "/v1/issuers/shop/grants", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    let grant = answer.json();
    let token = RefreshToken::new(grant["refresh_token"].as_str().unwrap());
    (grant["grant"].as_str().unwrap().to_owned(), token)
}

/// Where a test saves refresh tokens: all that were saved, the last one last.
#[derive(Clone, Default)]
struct Saved(Arc<Mutex<Vec<String>>>);

impl Saved {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn push(&self, token: &RefreshToken) {
        self.0.lock().unwrap().push(token.as_str().to_owned());
    }
}

fn request(issuer: &str, token: RefreshToken, saved: &Saved) -> TokenRequest {
    let saved = saved.clone();
    let save = move |token: RefreshToken| {
        saved.push(&token);
        std::future::ready(Ok::<_, io::Error>(()))
    };
    TokenRequest::refresh(issuer, token, save).unwrap()
}

fn claims(token: &AccessToken) -> Value {
    let payload = token.as_str().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Renews by hand with a token that a source has, or had.
fn renew_elsewhere(server: &Server, token: &str) -> u16 {
    let form = format!("grant_type=refresh_token&refresh_token={}", escape(token));
    post(server, "/shop/token", &[], &form).status
}

/// Renews until so many tokens were saved.
async fn renew_until(tokens: &TokenSource, saved: &Saved, count: usize) {
    let renewed = async {
        while saved.all().len() < count {
            tokens.token().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let renewed = tokio::time::timeout(Duration::from_secs(30), renewed).await;
    assert!(renewed.is_ok(), "{} of {count}", saved.all().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_renewed_ahead_and_each_refresh_token_is_saved_once() {
    let server = service("");
    let issuer = issuer(&server, &server.public);
    let (grant, first) = opened(&server, "public");
    let saved = Saved::default();
    let tokens = request(&issuer, first, &saved)
        .with_scope("read")
        .into_source();
    let token = tokens.token().await.unwrap();
    let claims = claims(&token);
    assert_eq!(
        (&claims["sid"], &claims["scope"]),
        (&json!(grant), &json!("read"))
    );
    renew_until(&tokens, &saved, 4).await;
    for (number, token) in (1..).zip(saved.all()) {
        assert!(token.starts_with(&format!("kwr1.{grant}.{number}.")));
    }
    // Another process goes on with what was saved.
    let last = RefreshToken::new(saved.all().last().unwrap());
    let tokens = request(&issuer, last, &saved).into_source();
    renew_until(&tokens, &saved, 6).await;
    assert!(!format!("{tokens:?}").contains("kwr1"), "{tokens:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grant_of_a_client_is_renewed_with_its_proof() {
    let server = service("");
    let issuer = issuer(&server, &server.public);
    let owner = client(&server, json!({}));
    let (_, first) = opened(&server, &owner.id);
    let saved = Saved::default();
    let secret = Credential::parse(&owner.secret).unwrap();
    let anonymous = request(&issuer, first.clone(), &saved).into_source();
    let refused = anonymous.token().await.unwrap_err();
    assert!(matches!(refused, Error::TokenRefused(_)), "{refused}");
    let tokens = request(&issuer, first, &saved).with_client(&owner.id, secret);
    tokens.into_source().token().await.unwrap();
    assert_eq!(saved.all().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_again_at_once() {
    let server = service("");
    let proxy = Proxy::before(&server);
    let issuer = issuer(&server, &proxy.url);
    let (_, first) = opened(&server, "public");
    let saved = Saved::default();
    let tokens = request(&issuer, first, &saved).into_source();
    for count in 1..3 {
        proxy.lose(2);
        let token = tokens.token().await.unwrap();
        assert_eq!(proxy.to_lose.load(Ordering::SeqCst), 0);
        assert_eq!(saved.all().len(), count);
        tokens.forget(&token);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_handed_out_before_its_refresh_token_is_saved() {
    let server = service("");
    let issuer = issuer(&server, &server.public);
    let (_, first) = opened(&server, "public");
    let (saved, is_open) = (Saved::default(), watch::Sender::new(false));
    let (into, opening) = (saved.clone(), is_open.subscribe());
    let save = move |token: RefreshToken| {
        let (into, mut opening) = (into.clone(), opening.clone());
        async move {
            opening.wait_for(|is_open| *is_open).await?;
            into.push(&token);
            Ok::<_, watch::error::RecvError>(())
        }
    };
    let tokens = TokenRequest::refresh(&issuer, first, save)
        .unwrap()
        .into_source();
    // A caller that gives up in the middle tears nothing apart.
    let waited = tokio::time::timeout(Duration::from_millis(500), tokens.token()).await;
    assert!(waited.is_err(), "a token was handed out");
    assert!(saved.all().is_empty());
    is_open.send_replace(true);
    tokens.token().await.unwrap();
    assert_eq!(saved.all().len(), 1);
    assert_eq!(renew_elsewhere(&server, &saved.all()[0]), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_cannot_be_saved_is_saved_later_and_is_not_lost() {
    let server = service("");
    let issuer = issuer(&server, &server.public);
    let (_, first) = opened(&server, "public");
    let (saved, failures) = (Saved::default(), Arc::new(AtomicUsize::new(2)));
    let into = saved.clone();
    let save = move |token: RefreshToken| {
        let left = failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        });
        let into = into.clone();
        async move {
            match left {
                Ok(2) => panic!("on purpose"),
                Ok(_) => Err(io::Error::other("the disk is full")),
                Err(_) => {
                    into.push(&token);
                    Ok(())
                }
            }
        }
    };
    let tokens = TokenRequest::refresh(&issuer, first, save)
        .unwrap()
        .into_source();
    let failed = tokens.token().await.unwrap_err();
    assert!(matches!(failed, Error::NotSaved { .. }), "{failed}");
    let token = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match tokens.token().await {
                Ok(token) => return token,
                Err(Error::Pausing { .. } | Error::NotSaved { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let token = token.await.unwrap();
    assert_eq!(claims(&token)["sub"], "user-1");
    // The one that could not be saved, and the one after it.
    let numbers: Vec<String> = saved.all();
    let numbers: Vec<&str> = numbers
        .iter()
        .map(|token| token.split('.').nth(2).unwrap())
        .collect();
    assert_eq!(numbers, ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_has_ended_is_told_for_good_and_asked_for_no_more() {
    let server = service("");
    let issuer = issuer(&server, &server.public);
    let (_, first) = opened(&server, "public");
    let saved = Saved::default();
    let tokens = request(&issuer, first.clone(), &saved).into_source();
    let token = tokens.token().await.unwrap();
    // A thief has used the current token, and the one after it.
    let stolen = saved.all()[0].clone();
    assert_eq!(renew_elsewhere(&server, &stolen), 200);
    assert_eq!(renew_elsewhere(&server, first.as_str()), 400);
    tokens.forget(&token);
    for _ in 0..2 {
        let ended = tokens.token().await.unwrap_err();
        let Error::GrantEnded(refusal) = ended else {
            panic!("{ended}");
        };
        assert_eq!(refusal.error, OauthErrorName::InvalidGrant);
        assert!(refusal.error_description.starts_with("grant-ended: "));
    }
    // There is no issuer any more, and the answer is the same.
    drop(server);
    let ended = tokens.token().await.unwrap_err();
    assert!(matches!(ended, Error::GrantEnded(_)), "{ended}");
    assert_eq!(saved.all().len(), 1);
}
