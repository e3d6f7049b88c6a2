//! Certificates that are replaced while the service works.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use crate::authority::{Authority, Files, replace};
use crate::client::{Client, Over, eventually, exchange, get, shown};
use crate::support::{Server, start};

const DAY: Duration = Duration::from_secs(86_400);

/// How long a new connection may be shown the certificate before the last.
const BOUND: Duration = Duration::from_secs(5);

fn certificate_of(client: &Client, base: &str) -> CertificateDer<'static> {
    shown(&client.connect(base).unwrap())
}

fn metric(server: &Server, client: &Client, name: &str) -> f64 {
    let text = client
        .send(&server.internal, &get("/metrics", None))
        .unwrap();
    let text = String::from_utf8(text.body).unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("{name} is not in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn failing(server: &Server, client: &Client) -> f64 {
    ["public", "internal"]
        .map(|listener| {
            let name = format!("keywright_tls_reload_failing{{listener=\"{listener}\"}}");
            metric(server, client, &name)
        })
        .iter()
        .sum()
}

#[test]
fn no_request_fails_while_certificates_are_replaced_again_and_again() {
    let own = Authority::new();
    let files = Files::new(&own.server());
    let server = start(&files.settings());
    let client = Client::new(&own, None);
    let (over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let targets = [
        (&server.public, get("/.well-known/jwks.json", None)),
        (&server.internal, get("/v1/issuers", Some(&server.admin))),
    ];
    let first = certificate_of(&client, &server.public);
    std::thread::scope(|scope| {
        for (base, request) in &targets {
            for _ in 0..2 {
                // One connection for the whole time, and it keeps the certificate that it has seen.
                scope.spawn(|| {
                    let mut stream = client.connect(base).unwrap();
                    while !over.load(Ordering::Relaxed) {
                        assert_eq!(exchange(&mut stream, request).unwrap().status, 200);
                        served.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    assert!(shown(&stream) == first);
                });
                // A new connection for each request.
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        assert_eq!(client.send(base, request).unwrap().status, 200);
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        }
        let _ends = Over(&over);
        let file = files.path("server.pem");
        for round in 0..12 {
            if round == 6 {
                spoil(&file, &server, &client);
            }
            let next = own.server();
            next.write(&file);
            let begin = Instant::now();
            for base in [&server.public, &server.internal] {
                eventually("the new certificate", || {
                    (certificate_of(&client, base) == next.der).then_some(())
                });
            }
            let waited = begin.elapsed();
            assert!(waited < BOUND, "new connections waited {waited:?}");
        }
    });
    assert!(served.into_inner() > 500);
    assert_eq!(failing(&server, &client), 0.0);
    let log = server.log();
    assert_eq!(log.matches("certificate replaced").count(), 24, "{log}");
    assert_eq!(log.matches("certificate not replaced").count(), 2, "{log}");
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

/// What cannot be used keeps the certificate that there is, and is said once.
fn spoil(file: &Path, server: &Server, client: &Client) {
    let before = certificate_of(client, &server.public);
    replace(file, "no certificate at all\n");
    eventually("the metric", || {
        (failing(server, client) == 2.0).then_some(())
    });
    // Long enough for two more looks.
    std::thread::sleep(Duration::from_millis(2500));
    for base in [&server.public, &server.internal] {
        assert!(certificate_of(client, base) == before);
    }
    assert!(
        server
            .log()
            .contains("server.pem has no certificate in PEM")
    );
}

#[test]
fn certificate_and_key_may_be_files_behind_a_link_that_turns() {
    let own = Authority::new();
    let (old, new) = (own.server(), own.server());
    let files = Files::new(&old);
    for (version, pair) in [("v1", &old), ("v2", &new)] {
        std::fs::create_dir(files.path(version)).unwrap();
        files.add(&format!("{version}/tls.crt"), &pair.certificate);
        files.add(&format!("{version}/tls.key"), &pair.key);
    }
    let turn = |version: &str| {
        let draft = files.path("draft");
        std::os::unix::fs::symlink(version, &draft).unwrap();
        std::fs::rename(&draft, files.path("data")).unwrap();
    };
    turn("v1");
    let server = start(&format!(
        "public.tls.certificate = {:?}\npublic.tls.key = {:?}\n",
        files.path("data/tls.crt"),
        files.path("data/tls.key")
    ));
    assert!(
        server.internal.starts_with("http://"),
        "{}",
        server.internal
    );
    let client = Client::new(&own, None);
    assert!(certificate_of(&client, &server.public) == old.der);
    turn("v2");
    eventually("the new certificate", || {
        (certificate_of(&client, &server.public) == new.der).then_some(())
    });
    assert!(!server.log().contains("not replaced"), "{}", server.log());
}

#[test]
fn a_key_that_arrives_after_its_certificate_is_waited_for() {
    let own = Authority::new();
    let (old, new) = (own.server(), own.server());
    let files = Files::new(&old);
    let (certificate, key) = (
        files.add("a.crt", &old.certificate),
        files.add("a.key", &old.key),
    );
    let server = start(&format!(
        "internal.tls.certificate = {certificate:?}\ninternal.tls.key = {key:?}\n"
    ));
    let client = Client::new(&own, None);
    replace(&certificate, &new.certificate);
    eventually("the complaint", || {
        server
            .log()
            .contains("is not the one of the certificate")
            .then_some(())
    });
    assert!(certificate_of(&client, &server.internal) == old.der);
    replace(&key, &new.key);
    eventually("the new certificate", || {
        (certificate_of(&client, &server.internal) == new.der).then_some(())
    });
    let name = "keywright_tls_reload_failing{listener=\"internal\"}";
    assert_eq!(metric(&server, &client, name), 0.0);
}

#[test]
fn new_roots_decide_about_new_connections() {
    let (own, before, after) = (Authority::new(), Authority::new(), Authority::new());
    let files = Files::new(&own.server());
    let server = start(&files.settings_with(&before, "required"));
    let [old, new] = [&before, &after].map(|authority| {
        let caller = authority.caller("orders.internal");
        Client::new(&own, Some(&caller))
    });
    let request = get("/v1/issuers", Some(&server.admin));
    let mut open = old.connect(&server.internal).unwrap();
    assert_eq!(exchange(&mut open, &request).unwrap().status, 200);
    assert!(new.send(&server.internal, &request).is_err());
    replace(&files.path("callers.pem"), &after.pem);
    let answer = eventually("new roots", || new.send(&server.internal, &request).ok());
    assert_eq!(answer.status, 200);
    assert!(old.send(&server.internal, &request).is_err());
    assert_eq!(exchange(&mut open, &request).unwrap().status, 200);
}

#[test]
fn a_certificate_that_ends_soon_is_warned_about_and_measured() {
    let own = Authority::new();
    let files = Files::new(&own.server_for(10 * DAY + DAY / 2));
    let server = start(&files.settings());
    let client = Client::new(&own, None);
    for listener in ["public", "internal"] {
        let name = format!("keywright_tls_certificate_expiry_seconds{{listener=\"{listener}\"}}");
        let left = metric(&server, &client, &name);
        assert!((left - 10.5 * 86_400.0).abs() < 60.0, "{left}");
    }
    // It looks every second, and warns once a day.
    std::thread::sleep(Duration::from_millis(2500));
    let log = server.log();
    assert_eq!(
        log.matches("the certificate expires soon").count(),
        2,
        "{log}"
    );
    assert!(log.contains("days_left=10"), "{log}");

    own.server_for(14 * DAY + DAY / 2)
        .write(&files.path("server.pem"));
    eventually("the new certificate", || {
        (server.log().matches("certificate replaced").count() == 2).then_some(())
    });
    assert_eq!(server.log().matches("expires soon").count(), 2);
}

#[test]
fn an_expired_certificate_replaces_none_that_is_good() {
    let own = Authority::new();
    let good = own.server();
    let files = Files::new(&good);
    let server = start(&files.settings());
    let client = Client::new(&own, None);
    let expired = own.issue(|params| params.not_after = rcgen::date_time_ymd(2024, 1, 1));
    expired.write(&files.path("server.pem"));
    eventually("the complaint", || {
        server.log().contains("has expired already").then_some(())
    });
    assert!(certificate_of(&client, &server.public) == good.der);
    // At a start there is no other.
    drop(server);
    let server = start(&files.settings());
    assert!(server.log().contains("the certificate has expired"));
    assert!(client.connect(&server.public).is_err());
}
