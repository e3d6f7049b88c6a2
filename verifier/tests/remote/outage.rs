//! An issuer that answers with anything but keys. Each case goes the same way: the keys that were
//! fetched before serve up to their limit and no longer, then no token is judged at all, and all is
//! well as soon as the issuer is.

use std::sync::Arc;

use keywright_verifier::{KeysUnavailable, MAX_JWK_SET_KEYS, RemoteKeys};

use crate::fixtures::{
    Signer, complaint, eventually, first_set, forged, hasty, in_time, milliseconds, now, set_of,
    together, verdict, verifier,
};
use crate::issuer::{Issuer, Reply};

/// A name, what the issuer answers, and a part of what the verifier says about it.
type Case = (&'static str, Reply, &'static str);

fn body(body: impl AsRef<[u8]>) -> Reply {
    Reply::json(body)
}

fn status(status: &str) -> Reply {
    let good = set_of([&Signer::new("stranger")]);
    Reply::http(status, &["content-type: application/json"], good)
}

fn slow_and_silent() -> Vec<Case> {
    let good = set_of([&Signer::new("stranger")]);
    let Reply::Bytes { bytes: whole, .. } = Reply::json(&good) else {
        unreachable!()
    };
    vec![
        ("nothing", Reply::Silence, "too long to answer"),
        ("closed at once", Reply::bytes(""), "cannot be reached"),
        (
            "byte by byte",
            Reply::Drip {
                every: milliseconds(20),
                bytes: whole.clone(),
            },
            "too long to answer",
        ),
        (
            "late",
            Reply::json(&good).after(milliseconds(600)),
            "too long to answer",
        ),
        (
            "cut in its head",
            Reply::bytes(&whole[..20]),
            "cannot be reached",
        ),
        (
            "cut in its body",
            Reply::bytes(&whole[..whole.len() - 1]),
            "cannot be reached",
        ),
        (
            "informing forever",
            Reply::Endless {
                head: Vec::new(),
                chunk: b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50),
            },
            "",
        ),
        (
            "a head without end",
            Reply::Endless {
                head: b"HTTP/1.1 200 OK\r\nx: ".to_vec(),
                chunk: vec![b'x'; 4096],
            },
            "cannot be reached",
        ),
        (
            "no HTTP",
            Reply::bytes("SSH-2.0-x\r\n"),
            "cannot be reached",
        ),
    ]
}

fn long() -> Vec<Case> {
    let head = |line: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{line}\r\n").into_bytes()
    };
    vec![
        (
            "a body without end",
            Reply::Endless {
                head: head(""),
                chunk: vec![b' '; 65_536],
            },
            "longer than 524288 bytes",
        ),
        (
            "chunks without end",
            Reply::Endless {
                head: head("transfer-encoding: chunked\r\n"),
                chunk: [&b"8000\r\n"[..], &[b' '; 0x8000], b"\r\n"].concat(),
            },
            "longer than 524288 bytes",
        ),
        (
            "ten gigabytes, as announced",
            Reply::Endless {
                head: head("content-length: 10000000000\r\n"),
                chunk: vec![b' '; 65_536],
            },
            "longer than 524288 bytes",
        ),
        (
            "less than announced",
            Reply::bytes([&head("content-length: 9999\r\n")[..], b"{\"keys\":[]}"].concat()),
            "cannot be reached",
        ),
        (
            "two lengths",
            Reply::bytes(
                [
                    &head("content-length: 11\r\ncontent-length: 2\r\n")[..],
                    b"{\"keys\":[]}",
                ]
                .concat(),
            ),
            "cannot be reached",
        ),
    ]
}

fn refused_by_their_head() -> Vec<Case> {
    let stranger = set_of([&Signer::new("stranger")]);
    vec![
        ("204", status("204 No Content"), "status 204"),
        ("203", status("203 Non-Authoritative"), "status 203"),
        ("206", status("206 Partial Content"), "status 206"),
        ("404", status("404 Not Found"), "status 404"),
        ("429", status("429 Too Many Requests"), "status 429"),
        ("500", status("500 Internal Server Error"), "status 500"),
        ("503", status("503 Service Unavailable"), "status 503"),
        ("304 to no tag", status("304 Not Modified"), "status 304"),
        (
            "html",
            Reply::http(
                "200 OK",
                &["content-type: text/html"],
                "<html>log in first</html>",
            ),
            "JWK set",
        ),
        (
            "gzip, which was not asked for",
            Reply::http(
                "200 OK",
                &["content-type: application/json", "content-encoding: gzip"],
                b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
            ),
            "JWK set",
        ),
        (
            "a hundred and one fields",
            Reply::http(
                "200 OK",
                &[
                    "content-type: application/json",
                    &"x: y\r\n".repeat(110)[..658],
                ],
                stranger,
            ),
            "cannot be reached",
        ),
    ]
}

fn no_sets() -> Vec<Case> {
    let private = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI","kid":"known"}]}"#;
    let set = String::from_utf8(set_of([&Signer::new("stranger")])).unwrap();
    let twice = set.replacen("{\"keys\"", "{\"keys\":[],\"keys\"", 1);
    vec![
        (
            "an empty set",
            body(r#"{"keys":[]}"#),
            "no ES256 or RS256 key",
        ),
        (
            "a set of garbage",
            body(r#"{"keys":[{},1,null,"x",{"kty":"oct","k":"AA"},[]]}"#),
            "no ES256 or RS256 key",
        ),
        ("private keys", body(private), "no ES256 or RS256 key"),
        ("an empty body", body(""), "JWK set"),
        ("no JSON", body("<html>"), "JWK set"),
        ("half a set", body(&set[..set.len() / 2]), "JWK set"),
        ("two sets", body(format!("{set}{set}")), "JWK set"),
        ("a member twice", body(twice), "JWK set"),
        ("another document", body(r#"{"issuer":"x"}"#), "JWK set"),
        ("null", body("null"), "JWK set"),
        ("depth", body("[".repeat(100_000)), "JWK set"),
    ]
}

fn redirects() -> Vec<Case> {
    [
        ("301", "301 Moved Permanently"),
        ("302", "302 Found"),
        ("303", "303 See Other"),
        ("307", "307 Temporary Redirect"),
        ("308", "308 Permanent Redirect"),
    ]
    .map(|(code, line)| {
        // To the same server, which answers the other path with the keys of a stranger.
        let reply = Reply::http(line, &["location: /stranger"], "");
        (code, reply, "the issuer answered status 30")
    })
    .to_vec()
}

/// Goes through an outage with each of the cases, all at once.
async fn survive(cases: Vec<Case>) {
    together(cases.into_iter().map(survive_one)).await;
}

async fn survive_one((name, bad, says): Case) {
    let known = Signer::new("known");
    let stranger = Arc::new(Signer::new("stranger"));
    let good = Reply::json(set_of([&known]));
    let issuer = Issuer::start(good.clone());
    let keys = hasty(RemoteKeys::at(&issuer.url("/jwks"))).start().unwrap();
    let verifier = verifier(keys.clone());
    let (token, foreign) = (known.token(), stranger.token());
    first_set(&keys).await;
    assert_eq!(verdict(&verifier, &token).await, "good", "{name}");

    let strangers = set_of([&*stranger]);
    issuer.behave(move |request| match &*request.path {
        "/stranger" => Reply::json(&strangers),
        _ => bad.clone(),
    });
    eventually((name, "a failure"), async || keys.last_error().is_some()).await;
    // On a machine that is busy, anything may be late.
    let complaint = complaint(&keys);
    assert!(
        complaint.contains(says) || complaint.contains("too long to answer"),
        "{name}: {complaint}"
    );

    // Up to the limit the known key serves, and then nothing is said about any token.
    let outage = now();
    assert!(keys.has_keys(), "{name}");
    loop {
        let age = keys.age().unwrap();
        let verdict_of_known = verdict(&verifier, &token).await;
        if verdict_of_known != "good" {
            assert_eq!(verdict_of_known, "keys-unavailable", "{name}");
            assert!(
                keys.age().unwrap() >= milliseconds(2000),
                "{name}: too soon"
            );
            assert!(!keys.has_keys(), "{name}");
            break;
        }
        assert!(age < milliseconds(2000), "{name}: used at {age:?}");
        assert_ne!(verdict(&verifier, &foreign).await, "good", "{name}");
        assert!(outage.elapsed() < milliseconds(10_000), "{name}");
        tokio::time::sleep(milliseconds(10)).await;
    }
    for token in [&token, &foreign, &forged("known")] {
        assert_eq!(
            verdict(&verifier, token).await,
            "keys-unavailable",
            "{name}"
        );
    }
    assert!(issuer.paths().iter().all(|path| path == "/jwks"), "{name}");

    issuer.answer(good);
    eventually((name, "recovery"), async || {
        verdict(&verifier, &token).await == "good"
    })
    .await;
    assert!(keys.last_error().is_none(), "{name}");
    assert_eq!(verdict(&verifier, &foreign).await, "unknown-key", "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuer_that_is_slow_or_silent_is_survived() {
    survive(slow_and_silent()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_that_is_too_long_or_lies_about_its_length_is_survived() {
    survive(long()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_with_a_wrong_head_is_survived() {
    survive(refused_by_their_head()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_that_is_no_set_of_keys_is_survived() {
    survive(no_sets()).await;
}

// Attack 83.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirect_is_survived_and_not_followed() {
    survive(redirects()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_connections_are_survived() {
    let known = Signer::new("known");
    let mut issuer = Issuer::closed(Reply::json(set_of([&known])), None);
    let keys = hasty(RemoteKeys::at(&issuer.url("/jwks"))).start().unwrap();
    let verifier = verifier(keys.clone());
    let token = known.token();
    assert_eq!(
        in_time("a refusal", keys.ready()).await,
        Err(KeysUnavailable::NeverFetched)
    );
    assert_eq!(verdict(&verifier, &token).await, "keys-unavailable");
    assert!(complaint(&keys).contains("refused"), "{}", complaint(&keys));

    issuer.open();
    eventually("a first set", async || {
        verdict(&verifier, &token).await == "good"
    })
    .await;
    issuer.close().await;
    eventually("the limit", async || {
        verdict(&verifier, &token).await == "keys-unavailable"
    })
    .await;
    assert!(keys.age().unwrap() >= milliseconds(2000));
    issuer.open();
    eventually("recovery", async || {
        verdict(&verifier, &token).await == "good"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuer_that_hangs_until_the_timeout_is_not_asked_again_at_once() {
    let issuer = Issuer::start(Reply::Silence);
    let timeout = milliseconds(1200);
    let start = now();
    let keys = RemoteKeys::at(&issuer.url("/jwks"))
        .timeout(timeout)
        .start()
        .unwrap();
    eventually("a second request", async || issuer.count() >= 2).await;
    assert!(
        start.elapsed() >= timeout + milliseconds(490),
        "{:?}",
        start.elapsed()
    );
    assert!(complaint(&keys).contains("too long"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_body_is_read_little_further_than_its_limit() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    let chunk = vec![b' '; 8192];
    for (reply, most) in [
        (
            Reply::Trickle {
                head: head.clone(),
                chunk: chunk.clone(),
            },
            524_288 + 10 * 8192,
        ),
        // What has been sent and not read waits in the buffers of two sockets.
        (Reply::Endless { head, chunk }, 32 * 524_288),
    ] {
        let issuer = Issuer::start(reply);
        let keys = RemoteKeys::at(&issuer.url("/jwks")).start().unwrap();
        assert!(in_time("an endless body", keys.ready()).await.is_err());
        let written = issuer.written();
        println!("an endless body: {written} bytes sent");
        assert!(complaint(&keys).contains("longer"), "{}", complaint(&keys));
        assert!(written <= most, "{written}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn largest_set_of_keys_holds_nobody_up_for_long() {
    let known = Signer::new("known");
    let mut set = String::from_utf8(set_of([&known])).unwrap();
    set.truncate(set.len() - 2);
    let key = Signer::new("other").jwk();
    let mut entry = Vec::new();
    key.write_json(&mut entry);
    let entry = String::from_utf8(entry).unwrap();
    let mut count = 1;
    while count < MAX_JWK_SET_KEYS {
        set.push(',');
        set.push_str(&entry.replace("other", &format!("{count:05}")));
        count += 1;
    }
    set.push_str("]}");
    let issuer = Issuer::start(Reply::json(set));
    let keys = RemoteKeys::at(&issuer.url("/jwks")).start().unwrap();
    let start = now();
    in_time("a large set", keys.ready()).await.unwrap();
    println!("a set of {count} keys: {:?}", start.elapsed());
    let verifier = verifier(keys);
    assert_eq!(verdict(&verifier, &known.token()).await, "good");
    assert_eq!(verdict(&verifier, &forged("none")).await, "unknown-key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usable_key_beside_private_and_broken_ones_is_used() {
    let known = Signer::new("known");
    let set = String::from_utf8(set_of([&known])).unwrap().replacen(
        "[",
        r#"[{"kty":"EC","d":"x","kid":"private"},7,{"kty":"oct","k":"AA","kid":"secret"},"#,
        1,
    );
    let issuer = Issuer::start(Reply::json(set));
    let keys = RemoteKeys::at(&issuer.url("/jwks")).start().unwrap();
    let verifier = verifier(keys);
    assert_eq!(verdict(&verifier, &known.token()).await, "good");
    for kid in ["private", "secret"] {
        assert_eq!(verdict(&verifier, &forged(kid)).await, "unknown-key");
    }
}
