//! Feeds that lie.

use std::time::Duration;

use keywright_verifier::{Fault, Rules, Verifier};
use serde_json::{Map, Value, json};

use crate::fixtures::{eventually, in_time, milliseconds, together};
use crate::issuer::{Reply, Request};
use crate::scene::{
    FEED_TYP, FILE_TYP, Key, Published, Scene, complaint, now_seconds, parameter, reply_head,
    verdict, verified,
};

/// How a feed answers, and what a verifier says to that.
type Lie = (
    &'static str,
    fn(&Published, &Request) -> Reply,
    &'static str,
);

/// The claims of the honest head for a request.
fn honest(published: &Published, request: &Request) -> Map<String, Value> {
    published.head(parameter(request, "nonce")).claims()
}

fn signed(published: &Published, typ: &str, claims: &Map<String, Value>) -> Reply {
    reply_head(published.active.sign(typ, claims))
}

fn with_claim(published: &Published, request: &Request, claim: &str, value: Value) -> Reply {
    let mut claims = honest(published, request);
    claims.insert(claim.to_owned(), value);
    signed(published, FEED_TYP, &claims)
}

const LIES: [Lie; 30] = [
    (
        "a JWT",
        |feed, request| signed(feed, "JWT", &honest(feed, request)),
        "no head of revocations",
    ),
    (
        "an access token",
        |feed, request| signed(feed, "at+jwt", &honest(feed, request)),
        "no head of revocations",
    ),
    (
        "the file copy",
        |feed, request| signed(feed, FILE_TYP, &honest(feed, request)),
        "no head of revocations",
    ),
    (
        "another issuer's",
        |feed, request| with_claim(feed, request, "iss", json!("https://evil.example")),
        "another issuer",
    ),
    (
        "another feed's",
        |feed, request| {
            with_claim(
                feed,
                request,
                "sub",
                json!("https://evil.example/.well-known/revocations"),
            )
        },
        "another address",
    ),
    (
        "another path's",
        |feed, request| {
            let own = honest(feed, request)["sub"].as_str().unwrap().to_owned();
            with_claim(feed, request, "sub", json!(format!("{own}/")))
        },
        "another address",
    ),
    (
        "of an unknown key",
        |feed, request| reply_head(Key::new("unknown").sign(FEED_TYP, &honest(feed, request))),
        "no key of the set",
    ),
    (
        "of another key with the name",
        |feed, request| reply_head(Key::new("first").sign(FEED_TYP, &honest(feed, request))),
        "does not verify",
    ),
    (
        "for ever",
        |feed, request| with_claim(feed, request, "max_age", json!(86_401)),
        "max_age",
    ),
    (
        "for no time",
        |feed, request| with_claim(feed, request, "max_age", json!(0)),
        "max_age",
    ),
    (
        "a root of something else",
        |feed, request| with_claim(feed, request, "root", json!("A".repeat(43))),
        "root",
    ),
    (
        "records left out",
        |feed, request| with_claim(feed, request, "recent", json!("")),
        "root",
    ),
    (
        "an end of its own",
        |feed, request| with_claim(feed, request, "exp", json!(9_999_999_999_u64)),
        "exp",
    ),
    (
        "an audience",
        |feed, request| with_claim(feed, request, "aud", json!("orders")),
        "aud",
    ),
    (
        "of some other time",
        |feed, _| signed(feed, FEED_TYP, &feed.head(None).claims()),
        "not signed for this request",
    ),
    (
        "for another request",
        |feed, _| signed(feed, FEED_TYP, &feed.head(Some("abc")).claims()),
        "not signed for this request",
    ),
    (
        "no claims",
        |feed, _| signed(feed, FEED_TYP, &Map::new()),
        "missing",
    ),
    (
        "HTML",
        |_, _| Reply::http("200 OK", &["content-type: text/html"], "<html></html>"),
        "not accepted",
    ),
    ("JSON", |_, _| Reply::json("{}"), "not accepted"),
    ("nothing", |_, _| reply_head(""), "not accepted"),
    (
        "no text",
        |_, _| reply_head([0xff, 0xfe, 0x00]),
        "not accepted",
    ),
    (
        "not modified",
        |_, _| Reply::http("304 Not Modified", &[], ""),
        "status 304",
    ),
    (
        "elsewhere",
        |_, request| {
            let location = format!("location: {}", request.path);
            Reply::http("302 Found", &[&location], "")
        },
        "status 302",
    ),
    (
        "not found",
        |_, _| Reply::http("404 Not Found", &[], ""),
        "status 404",
    ),
    (
        "not now",
        |_, _| Reply::http("503 Service Unavailable", &["retry-after: 1"], ""),
        "status 503",
    ),
    (
        "10 GB",
        |_, _| Reply::bytes("HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\neyJ"),
        "longer than 65536",
    ),
    (
        "no end",
        |_, _| Reply::Endless {
            head: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            chunk: [b"4000\r\n".to_vec(), vec![b'e'; 0x4000], b"\r\n".to_vec()].concat(),
        },
        "longer than 65536",
    ),
    (
        "a drip",
        |_, _| Reply::Drip {
            every: Duration::from_millis(50),
            bytes: vec![b'H'; 1000],
        },
        "too long",
    ),
    ("silence", |_, _| Reply::Silence, "too long"),
    (
        "no HTTP",
        |_, _| Reply::bytes("\x16\x03\x01"),
        "cannot be reached",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_that_is_none_of_the_issuers_feed_is_refused() {
    together(LIES.map(|(what, answer, says)| async move {
        let scene = Scene::start();
        scene.published().revoke("subject", &["mallory"]);
        scene.behave_with_head(answer);
        let verifier = scene.verifier(scene.feed().timeout(milliseconds(1500)));
        let revocations = scene.revocations(&verifier);
        eventually(what, async || revocations.last_error().is_some()).await;
        assert!(revocations.ready().await.is_err(), "{what}");
        assert!(!revocations.has_head(), "{what}");
        assert_eq!(revocations.head_age(), None);
        let text = complaint(&revocations);
        assert!(text.contains(says), "{what}: {text}");
        let error = verified(&verifier, &scene.token(json!({})))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), error.fault()),
            ("revocations-stale", Fault::Revocations),
            "{what}"
        );

        // And it is not the feed that was wrong.
        scene.be_honest();
        scene.has_head(&verifier).await;
        assert_eq!(
            verdict(&verifier, &scene.token(json!({}))).await,
            "good",
            "{what}"
        );
        assert_eq!(
            verdict(&verifier, &scene.token(json!({"sub": "mallory"}))).await,
            "revoked",
            "{what}"
        );
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_head_frees_nobody_and_freshens_nothing() {
    let scene = Scene::start();
    scene.published().max_age_seconds = 4;
    let verifier = scene.ready_verifier(scene.feed()).await;
    let old = scene.published().signed_head(None);
    scene.published().revoke("subject", &["mallory"]);
    let revocations = scene.revocations(&verifier);
    let mallory = scene.token(json!({"sub": "mallory"}));
    eventually("the revocation", async || {
        verdict(&verifier, &mallory).await == "revoked"
    })
    .await;

    scene.behave_with_head(move |_, _| reply_head(&old));
    eventually("the replay", async || {
        complaint(&revocations).contains("older")
    })
    .await;
    let alice = scene.token(json!({}));
    eventually("the bound", async || {
        assert_eq!(verdict(&verifier, &mallory).await, "revoked");
        verdict(&verifier, &alice).await == "revocations-stale"
    })
    .await;
    assert!(revocations.head_age().unwrap() > Duration::from_secs(4));
    assert_eq!(revocations.record_count(), 1);

    scene.be_honest();
    eventually("honesty", async || {
        verdict(&verifier, &alice).await == "good"
    })
    .await;
    assert_eq!(complaint(&revocations), "none");
}

// The first head shows whose clock is wrong; the others have to fit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_head_from_the_future_is_refused() {
    let scene = Scene::start();
    let verifier = scene.ready_verifier(scene.feed()).await;
    scene.behave_with_head(|feed, request| {
        let mut head = feed.head(parameter(request, "nonce"));
        head.issued_at_milliseconds += 3_600_000;
        signed(feed, FEED_TYP, &head.claims())
    });
    let revocations = scene.revocations(&verifier);
    eventually("the future", async || {
        complaint(&revocations).contains("future")
    })
    .await;
    assert!(revocations.head_age().unwrap() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_no_access_token() {
    let scene = Scene::start();
    let head = scene.published().signed_head(None);
    let file = {
        let published = scene.published();
        published
            .active
            .sign(FILE_TYP, &published.head(None).claims())
    };
    let keys = scene.keys().start().unwrap();
    in_time("keys", keys.ready()).await.unwrap();
    for (rules, expected) in [
        (scene.rules(), "wrong-type"),
        (scene.rules().typ("at+jwt"), "wrong-type"),
        (scene.rules().danger_accept_any_audience(), "wrong-type"),
        (scene.rules().danger_accept_any_typ(), "wrong-audience"),
    ] {
        let verifier = Verifier::new(rules, keys.clone()).unwrap();
        assert_eq!(verdict(&verifier, &head).await, expected);
        assert_eq!(verdict(&verifier, &file).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_leads_away_or_nowhere_is_not_followed() {
    let elsewhere = Scene::start();
    let elsewhere = elsewhere.server.url("/.well-known/revocations");
    for (uri, says) in [
        (json!(null), "revocations_uri"),
        (json!(7), "revocations_uri"),
        (
            json!("/.well-known/revocations"),
            "revocations_uri of the metadata is refused",
        ),
        (
            json!("http://id.example/.well-known/revocations"),
            "revocations_uri of the metadata is refused",
        ),
        (json!(elsewhere), "not at the issuer"),
        (
            json!("https://id.example/.well-known/revocations"),
            "not at the issuer",
        ),
    ] {
        let scene = Scene::start();
        let answered = uri.clone();
        scene.behave(move |_, request| {
            let issuer = format!("http://{}", request.field("host").unwrap());
            (request.path == "/.well-known/openid-configuration").then(|| {
                Reply::json(json!({"issuer": issuer, "revocations_uri": answered}).to_string())
            })
        });
        let verifier = scene.verifier(scene.feed());
        let revocations = scene.revocations(&verifier);
        in_time("a refusal", revocations.ready()).await.unwrap_err();
        let text = complaint(&revocations);
        assert!(text.contains(says), "{uri}: {text}");
        assert!(scene.head_requests().is_empty());
    }
}

// An issuer of the same verifier vouches for its own tokens alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_issuer_takes_back_its_own_tokens() {
    let (one, other) = (Scene::start(), Scene::start());
    let plain = Scene::start();
    one.published().revoke("subject", &["alice"]);
    let rules = |scene: &Scene| -> Rules { scene.rules() };
    let verifier = Verifier::new(rules(&one), one.keys().start().unwrap())
        .unwrap()
        .with_revocations(one.feed())
        .unwrap()
        .and(rules(&other), other.keys().start().unwrap())
        .unwrap()
        .with_revocations(other.feed())
        .unwrap()
        .and(rules(&plain), plain.keys().start().unwrap())
        .unwrap();
    one.has_head(&verifier).await;
    other.has_head(&verifier).await;
    assert!(verifier.revocations(&plain.name()).is_none());
    assert_eq!(verdict(&verifier, &one.token(json!({}))).await, "revoked");
    assert_eq!(verdict(&verifier, &other.token(json!({}))).await, "good");
    let unfollowed = verified(&verifier, &plain.token(json!({}))).await.unwrap();
    assert_eq!(unfollowed.vouched_at, None);
    let far = json!({"iat": now_seconds() - 100_000});
    assert_eq!(verdict(&verifier, &other.token(far)).await, "good");
}
