//! What a client of an axum service is answered.

use axum::Router;
use axum::routing::get;
use keywright_verifier::Verifier;
use keywright_verifier::axum::{Authenticated, Authentication};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::fixtures::{eventually, in_time, milliseconds};
use crate::scene::{Scene, verdict};

/// The whole answer to a request with this token.
async fn answer(verifier: &Verifier, token: &str) -> String {
    let handler = |Authenticated(token): Authenticated<Value>| async move {
        format!("vouched for: {}", token.vouched_at.is_some())
    };
    let app = Router::new()
        .route("/", get(handler))
        .layer(Authentication::new(verifier.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let request = format!(
        "GET / HTTP/1.1\r\nhost: orders\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time("an answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    serving.abort();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_token_is_answered_401_and_one_that_cannot_be_judged_503() {
    let mut scene = Scene::start();
    scene.published().revoke("session", &["ended"]);
    let verifier = scene
        .ready_verifier(scene.feed().bound(milliseconds(2500)))
        .await;
    let good = scene.token(json!({}));
    let text = answer(&verifier, &good).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.ends_with("vouched for: true"), "{text}");

    let text = answer(&verifier, &scene.token(json!({"sid": "ended"}))).await;
    assert!(text.starts_with("HTTP/1.1 401"), "{text}");
    assert!(text.contains("error=\"invalid_token\""), "{text}");
    assert!(text.contains("\"code\":\"revoked\""), "{text}");
    assert!(text.contains("revoked by its session"), "{text}");
    assert!(!text.contains("ended"), "{text}");

    scene.server.close().await;
    eventually("the bound", async || {
        verdict(&verifier, &good).await == "revocations-stale"
    })
    .await;
    let text = answer(&verifier, &good).await;
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    assert!(text.contains("retry-after: 5"), "{text}");
    assert!(text.contains("\"code\":\"revocations-stale\""), "{text}");
    assert!(!text.contains("www-authenticate"), "{text}");
}
