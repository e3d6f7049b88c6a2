//! A receiver of webhooks that speaks TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::support::{Server, eventually, start_in, start_with};

const LOCAL: &str = "webhooks.allowed_networks = [\"127.0.0.0/8\", \"::1/128\"]\n";

/// Serves TLS by a certificate of this authority, and tells of the `webhook-id` of each message, and of each
/// connection that brings none. The thread ends with the test.
fn receiver(authority: &Authority) -> (String, mpsc::Receiver<Option<String>>) {
    let pair = authority.server();
    let config =
        ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![pair.der.clone()], pair.private_key())
            .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, messages) = mpsc::channel();
    std::thread::spawn(move || {
        let config = Arc::new(config);
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut received = Vec::new();
            let mut chunk = [0; 4096];
            while !is_whole(&received) {
                match stream.read(&mut chunk) {
                    Ok(length) if length > 0 => received.extend_from_slice(&chunk[..length]),
                    _ => break,
                }
            }
            let text = String::from_utf8_lossy(&received);
            let id = text
                .lines()
                .find_map(|line| line.strip_prefix("webhook-id: "));
            if told.send(id.map(str::to_owned)).is_err() {
                return;
            }
            let answer = b"HTTP/1.1 204 x\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer).and_then(|()| stream.flush());
        }
    });
    (format!("https://127.0.0.1:{port}/hook"), messages)
}

fn is_whole(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse().unwrap())
}

fn ban(server: &Server, subject: &str) {
    let body = json!({"subject": subject, "ban": true});
    let path = "/v1/issuers/default/revocations";
    assert_eq!(server.call("POST", path, Some(&body)).status, 201);
}

fn shown(server: &Server, webhook: &Value) -> Value {
    let path = format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap());
    server.call("GET", &path, None).json()
}

#[test]
fn a_receiver_whose_certificate_is_not_trusted_gets_nothing_until_it_is() {
    let authority = Authority::new();
    let (url, messages) = receiver(&authority);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = start_in(folder, LOCAL).unwrap();
    let body = json!({"url": url, "events": ["ban.created"]});
    let webhook = server.call("POST", "/v1/webhooks", Some(&body)).json();
    ban(&server, "user-1");
    // It is tried again and again, and no message is sent.
    for _ in 0..3 {
        let tried = messages.recv_timeout(Duration::from_secs(30));
        assert_eq!(tried.unwrap(), None);
    }
    eventually("a reason", || {
        let shown = shown(&server, &webhook);
        let reason = shown["reason"].as_str()?;
        assert!(reason.contains("certificate"), "{shown}");
        (shown["state"] == "failing").then_some(())
    });
    // The same store, on a system that trusts the authority.
    let folder = server.kill();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, &authority.pem).unwrap();
    let variable = ("SSL_CERT_FILE", roots.to_str().unwrap());
    let server = start_with(Arc::clone(&folder), LOCAL, &[variable]).unwrap();
    // The last connections of the first process may still be in the channel.
    let next = || loop {
        if let Some(id) = messages.recv_timeout(Duration::from_secs(60)).unwrap() {
            return id;
        }
    };
    let first = next();
    ban(&server, "user-2");
    assert_ne!(first, next());
    eventually("an end of the failures", || {
        (shown(&server, &webhook)["state"] == "accepting").then_some(())
    });
}
