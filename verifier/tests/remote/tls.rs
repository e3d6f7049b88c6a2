//! Whom the verifier believes to be the issuer.

use keywright_verifier::{RemoteKeys, RemoteKeysError};
use tokio::runtime::Builder;

use crate::authority::Authority;
use crate::fixtures::{
    Signer, complaint, in_process_with, in_time, is_child, set_of, verdict, verifier,
};
use crate::issuer::{Issuer, Reply};

fn good(signer: &Signer) -> Reply {
    Reply::json(set_of([signer]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_counts_only_when_its_authority_is_trusted() {
    let authority = Authority::for_host("127.0.0.1");
    let known = Signer::new("known");
    let issuer = Issuer::start_tls(good(&known), authority.acceptor());
    let url = issuer.url("/jwks");

    let keys = RemoteKeys::at(&url).start().unwrap();
    assert!(in_time("a refusal", keys.ready()).await.is_err());
    assert!(
        complaint(&keys).contains("UnknownIssuer"),
        "{}",
        complaint(&keys)
    );
    assert_eq!(
        verdict(&verifier(keys), &known.token()).await,
        "keys-unavailable"
    );

    let other = Authority::for_host("127.0.0.1");
    let keys = RemoteKeys::at(&url)
        .trust_certificates(other.pem.as_bytes())
        .unwrap()
        .start()
        .unwrap();
    assert!(in_time("a refusal", keys.ready()).await.is_err());
    assert_eq!(issuer.count(), 0, "a request was sent to who knows whom");

    let both = format!("{}\n{}", other.pem, authority.pem);
    let keys = RemoteKeys::at(&url)
        .trust_certificates(both.as_bytes())
        .unwrap()
        .start()
        .unwrap();
    assert!(
        in_time("the first set", keys.ready()).await.is_ok(),
        "{}",
        complaint(&keys)
    );
    assert_eq!(verdict(&verifier(keys), &known.token()).await, "good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_of_another_host_is_refused() {
    for host in ["id.example", "127.0.0.2", "localhost"] {
        let authority = Authority::for_host(host);
        let issuer = Issuer::start_tls(good(&Signer::new("known")), authority.acceptor());
        let keys = RemoteKeys::at(&issuer.url("/jwks"))
            .trust_certificates(authority.pem.as_bytes())
            .unwrap()
            .start()
            .unwrap();
        assert!(in_time(host, keys.ready()).await.is_err(), "{host}");
        assert!(
            complaint(&keys).contains("not valid for name"),
            "{}",
            complaint(&keys)
        );
        assert_eq!(issuer.count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_modern_tls_is_spoken_on_an_https_port() {
    // A TLS 1.1 server's hello: version 3.2, a random, no session, ECDHE_ECDSA_AES_128_CBC_SHA.
    let mut hello = vec![2, 0, 0, 38, 3, 2];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0xc0, 0x09, 0]);
    let old = [&[22, 3, 2, 0, 42][..], &hello].concat();
    for answer in [b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), old] {
        // A listener of its own, because a hello does not end like a request.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/jwks", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 5];
            stream.read_exact(&mut head).await.unwrap();
            assert_eq!(head[0], 22, "no handshake");
            stream.write_all(&answer).await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        });
        let keys = RemoteKeys::at(&url).start().unwrap();
        assert!(in_time("a refusal", keys.ready()).await.is_err());
        assert!(
            complaint(&keys).contains("cannot be reached"),
            "{}",
            complaint(&keys)
        );
        drop(keys);
        in_time("the server", serving).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_issuer_whose_keys_stand_behind_tls_is_believed_by_its_certificate() {
    let authority = Authority::for_host("127.0.0.1");
    let known = Signer::new("known");
    let keys_server = Issuer::start_tls(good(&known), authority.acceptor());
    let issuer = Issuer::start(Reply::Silence);
    issuer.answer(Reply::json(format!(
        r#"{{"issuer":"{}","jwks_uri":"{}"}}"#,
        issuer.url(""),
        keys_server.url("/jwks")
    )));
    let keys = RemoteKeys::of_issuer(&issuer.url(""))
        .trust_certificates(authority.pem.as_bytes())
        .unwrap()
        .start()
        .unwrap();
    assert!(
        in_time("the first set", keys.ready()).await.is_ok(),
        "{}",
        complaint(&keys)
    );
}

#[tokio::test]
async fn garbled_certificate_is_refused_at_the_start() {
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for url in ["https://id.example/jwks", "http://127.0.0.1:9/jwks"] {
        let refusal = RemoteKeys::at(url)
            .trust_certificates(garbled.as_bytes())
            .unwrap()
            .start();
        assert!(matches!(refusal, Err(RemoteKeysError::Setup(_))), "{url}");
    }
}

#[test]
fn machine_without_certificates_is_told_so_at_the_start() {
    if !is_child() {
        return in_process_with(
            "tls::machine_without_certificates_is_told_so_at_the_start",
            &[("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")],
        );
    }
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let refusal = RemoteKeys::at("https://id.example/jwks").start();
        assert!(matches!(refusal, Err(RemoteKeysError::Setup(_))));

        let authority = Authority::for_host("127.0.0.1");
        let known = Signer::new("known");
        let issuer = Issuer::start_tls(good(&known), authority.acceptor());
        let keys = RemoteKeys::at(&issuer.url("/jwks"))
            .trust_certificates(authority.pem.as_bytes())
            .unwrap()
            .start()
            .unwrap();
        assert!(in_time("the first set", keys.ready()).await.is_ok());

        let issuer = Issuer::start(good(&known));
        let keys = RemoteKeys::at(&issuer.url("/jwks")).start().unwrap();
        assert!(in_time("the first set", keys.ready()).await.is_ok());
    });
}
