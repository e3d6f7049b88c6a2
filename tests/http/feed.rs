//! What verifiers are told of tokens that are taken back.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use keywright_verifier::revocation::{Selector, SelectorKind};
use serde_json::{Value, json};

use crate::revocations::{REVOCATIONS, code, head, server, take_back};
use crate::support::{Server, request, start};
use crate::world::{create_client, create_issuer, credential, ok};

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn the_feed_says_what_was_taken_back_in_a_moment() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let before = head(&server, "?nonce=abc");
    assert_eq!(before.nonce.as_deref(), Some("abc"));
    assert_eq!(before.max_age_seconds, 60);
    assert_eq!(before.content.record_count(), 0);
    let known = base64_of(&before.content.root());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let begin = Instant::now();
            (
                head(&server, &format!("?known={known}&wait=20")),
                begin.elapsed(),
            )
        });
        let revoked = take_back(&server, &json!({"subject": "user-1"}));
        let (after, waited) = waiting.join().unwrap();
        assert!(waited < Duration::from_secs(5), "{waited:?}");
        let mut after = after;
        // The first answer may be of the moment before it was closed.
        while after
            .content
            .recent
            .iter()
            .any(|record| record.issued_before.is_none())
        {
            after = head(
                &server,
                &format!("?known={}&wait=5", base64_of(&after.content.root())),
            );
        }
        let user = Selector::new(SelectorKind::Subject, &["user-1"]).unwrap();
        let record = after.content.recent.first().unwrap();
        assert_eq!(record.digest, user.digest(&after.content.salt));
        assert_eq!(record.issued_before, revoked["issued_before"].as_u64());
    });
    // Nothing changes, so that it waits; and what it says then is newly signed.
    let known = head(&server, "");
    let begin = Instant::now();
    let again = head(
        &server,
        &format!("?known={}&wait=2", base64_of(&known.content.root())),
    );
    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert_eq!(again.content, known.content);
    assert!(again.issued_at_milliseconds > known.issued_at_milliseconds);
}

#[test]
fn many_revocations_stand_in_segments_that_never_change() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let path = format!("{REVOCATIONS}/batch");
    for batch in 0..2 {
        let revocations: Vec<Value> = (0..1000)
            .map(|number| json!({"jti": format!("{batch}-{number}")}))
            .collect();
        ok(server.call("POST", &path, Some(&json!({ "revocations": revocations }))));
    }
    let head = head(&server, "");
    assert_eq!(head.content.record_count(), 2000);
    assert!(!head.content.segments.is_empty());
    for segment in &head.content.segments {
        let path = format!("/shop/.well-known/revocations/{}", base64_of(&segment.hash));
        let answer = server.fetch(&path);
        assert_eq!(answer.status, 200);
        assert!(segment.names(&answer.body));
        let control = answer.header("cache-control").unwrap_or_default();
        assert!(control.contains("immutable"), "{control}");
    }
    let none = server.fetch(&format!(
        "/shop/.well-known/revocations/{}",
        base64_of(&[7; 32])
    ));
    assert_eq!(
        (none.status, none.header("cache-control")),
        (404, Some("no-store"))
    );
}

#[test]
fn what_is_taken_back_a_thousand_times_makes_a_head_that_reads() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let path = format!("{REVOCATIONS}/batch");
    let revocations = vec![json!({"subject": "user-1"}); 1000];
    ok(server.call("POST", &path, Some(&json!({ "revocations": revocations }))));
    let head = head(&server, "");
    let user = Selector::new(SelectorKind::Subject, &["user-1"]).unwrap();
    let digest = user.digest(&head.content.salt);
    assert!(!head.content.segments.is_empty());
    for segment in &head.content.segments {
        let path = format!("/shop/.well-known/revocations/{}", base64_of(&segment.hash));
        assert!(server.fetch(&path).body.starts_with(digest.as_bytes()));
    }
}

#[test]
fn the_feed_refuses_what_it_does_not_know() {
    let server = server();
    let feed = "/shop/.well-known/revocations";
    for (query, expected) in [
        ("known=short&wait=1", (400, "invalid-query")),
        ("wait=26", (400, "invalid-query")),
        ("wait=-1", (400, "invalid-query")),
        ("nonce=a%20b", (400, "invalid-query")),
        ("nonce=", (400, "invalid-query")),
        ("other=1", (400, "invalid-query")),
        ("alg=HS256", (400, "unknown-algorithm")),
        ("alg=RS256", (409, "algorithm-not-active")),
    ] {
        let answer = server.fetch(&format!("{feed}?{query}"));
        assert_eq!(
            code(&answer),
            (expected.0, expected.1.to_owned()),
            "{query}"
        );
    }
    assert_eq!(server.fetch("/none/.well-known/revocations").status, 404);
    let metadata = server
        .fetch("/.well-known/oauth-authorization-server/shop")
        .json();
    assert!(
        metadata["revocations_uri"]
            .as_str()
            .unwrap()
            .ends_with(feed)
    );
}

#[test]
fn a_policy_decides_who_reads_the_feed() {
    let server = start("");
    create_issuer(&server, "quiet", json!({"revocation_feed": "off"}));
    create_issuer(
        &server,
        "closed",
        json!({"revocation_feed": "authenticated", "revocation_max_age": "8s"}),
    );
    let feed = |issuer: &str| server.fetch(&format!("/{issuer}/.well-known/revocations"));
    assert_eq!(code(&feed("quiet")), (404, "not-found".to_owned()));
    let metadata = server
        .fetch("/.well-known/oauth-authorization-server/quiet")
        .json();
    assert_eq!(metadata.get("revocations_uri"), None);
    let body = json!({"subject": "a"});
    let quiet = ok(server.call("POST", "/v1/issuers/quiet/revocations", Some(&body)));
    assert_eq!(quiet["in_force_at_verifiers"], Value::Null);
    assert_eq!(
        code(&feed("closed")),
        (401, "credential-missing".to_owned())
    );
    let reader = create_client(&server, "verifier", &["auditor"]);
    let bearer = [("authorization", format!("Bearer {}", credential(&reader)))];
    let url = format!("{}/closed/.well-known/revocations", server.public);
    let answer = request("GET", &url, &bearer, None);
    assert_eq!(answer.status, 200);
}

#[test]
fn those_that_wait_leave_room_and_are_told_all_at_once() {
    // Half of the connections are for one address, a quarter of all for those that wait.
    let server = start("public.max_connections = 64");
    create_issuer(&server, "shop", json!({}));
    let known = base64_of(&head(&server, "").content.root());
    let address = server.public.strip_prefix("http://").unwrap();
    let path = format!("/shop/.well-known/revocations?known={known}&wait=25");
    let mut polls: Vec<TcpStream> = (0..28)
        .map(|_| {
            let mut poll = TcpStream::connect(address).unwrap();
            write!(poll, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
            poll
        })
        .collect();
    let mut answered = Vec::new();
    let mut first_bytes = [0; 16];
    crate::support::eventually("answers for those that find no place to wait", || {
        polls.retain_mut(|poll| {
            poll.set_nonblocking(true).unwrap();
            match poll.read(&mut first_bytes) {
                Ok(read) => {
                    assert_eq!(read, first_bytes.len());
                    answered.push(first_bytes);
                    false
                }
                Err(_) => true,
            }
        });
        (answered.len() == 12).then_some(())
    });
    assert!(
        answered
            .iter()
            .all(|answer| answer.starts_with(b"HTTP/1.1 200"))
    );
    // The others have what they need meanwhile.
    assert_eq!(server.fetch("/shop/.well-known/jwks.json").status, 200);
    assert_eq!(polls.len(), 16);
    take_back(&server, &json!({"subject": "user-1"}));
    let begin = Instant::now();
    for mut poll in polls {
        poll.set_nonblocking(false).unwrap();
        poll.read_exact(&mut first_bytes).unwrap();
        assert!(first_bytes.starts_with(b"HTTP/1.1 200"));
    }
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
}

/// Asks for what comes after the head that is known, and waits for it.
fn long_poll(server: &Server) -> TcpStream {
    let known = base64_of(&head(server, "").content.root());
    let address = server.public.strip_prefix("http://").unwrap();
    let path = format!("/shop/.well-known/revocations?known={known}&wait=25");
    let mut poll = TcpStream::connect(address).unwrap();
    write!(poll, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    poll
}

/// Whether it was answered with a head.
fn is_answered(mut poll: TcpStream) -> bool {
    let mut first_bytes = [0; 12];
    poll.read_exact(&mut first_bytes).is_ok() && first_bytes == *b"HTTP/1.1 200"
}

#[test]
fn those_that_wait_are_answered_when_the_service_ends() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let polls: Vec<TcpStream> = (0..10).map(|_| long_poll(&server)).collect();
    let mut nothing = [0; 1];
    for mut poll in &polls {
        poll.set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        assert!(poll.read(&mut nothing).is_err(), "it waits");
        poll.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
    }
    let begin = Instant::now();
    let (code, _) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(polls.into_iter().all(is_answered));
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn those_that_wait_are_answered_before_their_connection_counts_as_idle() {
    let server = start("public.idle_timeout = \"3s\"");
    create_issuer(&server, "shop", json!({}));
    let begin = Instant::now();
    let poll = long_poll(&server);
    poll.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert!(is_answered(poll));
    let waited = begin.elapsed();
    let expected = Duration::from_secs(2)..Duration::from_secs(5);
    assert!(expected.contains(&waited), "{waited:?}");
}

#[test]
fn a_head_comes_soon_although_something_is_taken_back_all_the_time() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let ends = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let taking_back = scope.spawn(|| {
            let mut number = 0;
            while !ends.load(std::sync::atomic::Ordering::SeqCst) {
                take_back(&server, &json!({ "jti": format!("{number}") }));
                number += 1;
            }
            number
        });
        let mut known = 0;
        for _ in 0..4 {
            let readers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let begin = Instant::now();
                        (head(&server, "").content.record_count(), begin.elapsed())
                    })
                })
                .collect();
            for reader in readers {
                let (count, waited) = reader.join().unwrap();
                assert!(waited < Duration::from_secs(4), "{waited:?}");
                known = known.max(count);
            }
        }
        ends.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(known > 0 && taking_back.join().unwrap() > 0);
    });
}

#[test]
fn caches_do_not_show_strangers_what_only_clients_may_read() {
    let server = start("");
    let closed = json!({"revocation_feed": "authenticated"});
    create_issuer(&server, "closed", closed);
    let many: Vec<Value> = (0..100)
        .map(|number| json!({"jti": format!("{number}")}))
        .collect();
    let path = "/v1/issuers/closed/revocations/batch";
    ok(server.call("POST", path, Some(&json!({ "revocations": many }))));
    let reader = create_client(&server, "verifier", &["auditor"]);
    let read = |path: &str| {
        let bearer = [("authorization", format!("Bearer {}", credential(&reader)))];
        let url = format!("{}/closed/.well-known/revocations{path}", server.public);
        let answer = request("GET", &url, &bearer, None);
        assert_eq!(answer.status, 200, "{path}");
        answer
    };
    let jws = read("");
    assert_eq!(jws.header("cache-control"), Some("no-store"));
    let text = String::from_utf8(jws.body).unwrap();
    let claims = keywright_verifier::Jws::inspect(&text, 65_536)
        .unwrap()
        .claims;
    let hash = claims["segments"][0]["hash"].as_str().unwrap();
    let segment = read(&format!("/{hash}"));
    let control = segment.header("cache-control").unwrap();
    assert!(control.starts_with("private"), "{control}");
}
