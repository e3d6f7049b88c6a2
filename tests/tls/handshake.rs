//! Who gets a connection, and who does not.

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::version::{TLS12, TLS13};
use serde_json::json;

use crate::authority::{Authority, Files, Pair};
use crate::client::{BOTH, Client, exchange, get};
use crate::support::{Server, start};

const ISSUERS: &str = "/v1/issuers";

/// A server that knows its own authority and that of its callers.
struct World {
    own: Authority,
    callers: Authority,
    server: Server,
    _files: Files,
}

fn world(demand: &str) -> World {
    let (own, callers) = (Authority::new(), Authority::new());
    let files = Files::new(&own.server());
    let server = start(&files.settings_with(&callers, demand));
    World {
        own,
        callers,
        server,
        _files: files,
    }
}

impl World {
    /// The status of a request without a credential and of one with, in every version of TLS.
    fn accepts(&self, shown: Option<&Pair>) {
        for version in BOTH {
            let client = Client::with_versions(&self.own, shown, &[version]);
            let mut stream = client.connect(&self.server.internal).unwrap();
            let bare = exchange(&mut stream, &get(ISSUERS, None)).unwrap();
            assert_eq!(bare.status, 401, "{version:?}");
            let nobody = match shown {
                Some(_) => "credential-invalid",
                None => "credential-missing",
            };
            assert_eq!(bare.json()["code"], nobody);
            let admin = get(ISSUERS, Some(&self.server.admin));
            assert_eq!(exchange(&mut stream, &admin).unwrap().status, 200);
        }
    }

    /// No request is answered, whatever credential it has.
    fn refuses(&self, what: &str, shown: Option<&Pair>, alert: &str) {
        for version in BOTH {
            let client = Client::with_versions(&self.own, shown, &[version]);
            let request = get(ISSUERS, Some(&self.server.admin));
            // In TLS 1.3 a client is done before the server has seen its certificate.
            match client.send(&self.server.internal, &request) {
                Ok(answer) => panic!("{what}, {version:?}: answered {}", answer.status),
                Err(error) => {
                    let said = format!("{error:?}");
                    assert!(said.contains(alert), "{what}, {version:?}: {said}");
                }
            }
        }
    }
}

#[test]
fn a_caller_with_a_good_certificate_reaches_the_service_and_still_needs_a_credential() {
    let world = world("required");
    world.accepts(Some(&world.callers.caller("orders.internal")));
}

#[test]
fn a_certificate_that_is_not_good_is_refused_in_the_handshake() {
    let world = world("required");
    let callers = &world.callers;
    let stranger = Authority::new().caller("orders.internal");
    let expired = callers.caller_with("orders.internal", |params| {
        params.not_after = date_time_ymd(2024, 1, 1);
    });
    let not_yet = callers.caller_with("orders.internal", |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let server = callers.caller_with("orders.internal", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    world.refuses("no certificate", None, "CertificateRequired");
    world.refuses(
        "another authority of the same name",
        Some(&stranger),
        "AlertReceived",
    );
    world.refuses(
        "the server's own authority",
        Some(&world.own.caller("a")),
        "AlertReceived",
    );
    world.refuses("expired", Some(&expired), "CertificateExpired");
    world.refuses("not yet valid", Some(&not_yet), "AlertReceived");
    world.refuses("a server's certificate", Some(&server), "AlertReceived");
    world.accepts(Some(&callers.caller("orders.internal")));
}

#[test]
fn an_optional_certificate_may_be_absent_and_must_be_good_when_it_is_shown() {
    let world = world("optional");
    world.accepts(None);
    world.accepts(Some(&world.callers.caller("orders.internal")));
    let stranger = Authority::new().caller("orders.internal");
    world.refuses("another authority", Some(&stranger), "AlertReceived");
}

#[test]
fn the_public_listener_asks_nobody_for_a_certificate() {
    let world = world("required");
    for version in BOTH {
        let client = Client::with_versions(&world.own, None, &[version]);
        let request = get("/.well-known/jwks.json", None);
        let answer = client.send(&world.server.public, &request).unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["keys"][0]["kty"], json!("EC"));
    }
}

#[test]
fn a_session_is_never_resumed_where_certificates_are_asked_for() {
    let world = world("optional");
    let caller = world.callers.caller("orders.internal");
    for version in [&TLS12, &TLS13] {
        let client = Client::resuming(&world.own, Some(&caller), &[version]);
        for _ in 0..3 {
            let mut stream = client.connect(&world.server.internal).unwrap();
            assert_eq!(
                exchange(&mut stream, &get(ISSUERS, None)).unwrap().status,
                401
            );
            let kind = stream.conn.handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Full), "{version:?}");
        }
    }
}

#[test]
fn plain_http_at_a_listener_with_tls_is_told_so_and_nothing_else() {
    let world = world("optional");
    for base in [&world.server.internal, &world.server.public] {
        let plain = base.replace("https://", "http://");
        for (method, target) in [("GET", "/readyz"), ("POST", "/v1/backup"), ("OPTIONS", "*")] {
            let answer = crate::exchange::plain(&plain, method, target, &[]);
            assert_eq!(answer.status, 400, "{method} {target}");
            let problem = answer.json();
            assert_eq!(problem["code"], "plain-http");
            assert!(problem["detail"].as_str().unwrap().contains("https://"));
            assert_eq!(answer.header("connection"), Some("close"));
        }
    }
    // TLS is spoken as before.
    world.accepts(None);
}
