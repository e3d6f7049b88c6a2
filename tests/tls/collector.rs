//! A collector of traces that speaks TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, mpsc};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::authority::Authority;
use crate::support::{eventually, start_with};

/// Serves TLS, and tells of the first bytes of each request. The thread ends with the test.
fn serve(authority: &Authority) -> (String, mpsc::Receiver<String>) {
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
    let (told, requests) = mpsc::channel();
    std::thread::spawn(move || {
        let config = Arc::new(config);
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut head = [0; 26];
            if stream.read_exact(&mut head).is_ok() {
                told.send(String::from_utf8_lossy(&head).into_owned())
                    .unwrap();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    (format!("https://localhost:{port}/tenant"), requests)
}

#[test]
fn a_collector_is_trusted_by_the_certificates_of_the_system_and_no_others() {
    let authority = Authority::new();
    let (url, requests) = serve(&authority);
    let settings = format!("telemetry.otlp_endpoint = \"{url}\"\ntelemetry.trace_share = 1.0\n");
    let folder = || Arc::new(tempfile::tempdir().unwrap());

    let stranger = start_with(folder(), &settings, &[]).unwrap();
    stranger.fetch("/healthz");
    eventually("a refusal of the certificate", || {
        let log = stranger.log();
        log.contains("TLS failed: invalid peer certificate")
            .then_some(())
    });
    assert!(requests.try_recv().is_err());

    let trusting = folder();
    let roots = trusting.path().join("roots.pem");
    std::fs::write(&roots, &authority.pem).unwrap();
    let variable = ("SSL_CERT_FILE", roots.to_str().unwrap());
    let server = start_with(trusting, &settings, &[variable]).unwrap();
    server.fetch("/healthz");
    let head = requests.recv_timeout(std::time::Duration::from_secs(20));
    assert_eq!(head.unwrap(), "POST /tenant/v1/traces HTT");
}
