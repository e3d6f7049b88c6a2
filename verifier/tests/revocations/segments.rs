//! Segments: the part of a head that it names by its hash.

use serde_json::json;

use crate::fixtures::{eventually, milliseconds, together};
use crate::issuer::Reply;
use crate::scene::{Scene, complaint, is_head, not_found, verdict};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_segments_count_and_each_segment_is_fetched_once() {
    let scene = Scene::start();
    {
        let mut published = scene.published();
        published.fill_segment(1000);
        published.fill_segment(7);
        published.revoke("subject", &["mallory"]);
    }
    let verifier = scene.ready_verifier(scene.feed()).await;
    let revocations = scene.revocations(&verifier);
    assert_eq!(revocations.record_count(), 1008);
    let of = async |changes| verdict(&verifier, &scene.token(changes)).await;
    assert_eq!(of(json!({"jti": "999"})).await, "revoked");
    assert_eq!(of(json!({"jti": "1000"})).await, "good");
    assert_eq!(of(json!({"sub": "mallory"})).await, "revoked");

    // Another segment, and one that is gone.
    {
        let mut published = scene.published();
        published.segments.remove(0);
        published.fill_segment(2000);
    }
    eventually("the new segment", async || {
        revocations.record_count() == 2008
    })
    .await;
    assert_eq!(of(json!({"jti": "1999"})).await, "revoked");
    let paths = scene.server.paths();
    let fetched = paths
        .iter()
        .filter(|path| path.starts_with("/.well-known/revocations/"));
    assert_eq!(fetched.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_not_in_force_without_its_segments() {
    type Answer = fn(&[u8]) -> Reply;
    let lies: [(&str, Answer, &str); 8] = [
        (
            "another of the same length",
            |bytes| Reply::http("200 OK", &[], vec![0; bytes.len()]),
            "not the one",
        ),
        (
            "one record less",
            |bytes| Reply::http("200 OK", &[], &bytes[24..]),
            "not the one",
        ),
        (
            "one byte more",
            |bytes| Reply::http("200 OK", &[], [bytes, &[0]].concat()),
            "longer than",
        ),
        ("nothing", |_| Reply::http("200 OK", &[], ""), "not the one"),
        ("not found", |_| not_found(), "status 404"),
        (
            "elsewhere",
            |_| Reply::http("302 Found", &["location: /jwks"], ""),
            "status 302",
        ),
        (
            "10 GB",
            |_| Reply::bytes("HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n"),
            "longer than",
        ),
        (
            "no end",
            |_| Reply::Endless {
                head: b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
                chunk: vec![0; 0x4000],
            },
            "longer than",
        ),
    ];
    together(lies.map(|(what, answer, says)| async move {
        let scene = Scene::start();
        scene.published().fill_segment(100);
        scene.behave(move |published, request| {
            let is_segment = !is_head(request) && request.path.contains("/revocations/");
            is_segment.then(|| answer(&published.segments[0]))
        });
        let verifier = scene.verifier(scene.feed().timeout(milliseconds(1500)));
        let revocations = scene.revocations(&verifier);
        eventually(what, async || revocations.last_error().is_some()).await;
        let text = complaint(&revocations);
        assert!(text.contains(says), "{what}: {text}");
        assert!(!revocations.has_head(), "{what}");
        assert_eq!(
            verdict(&verifier, &scene.token(json!({}))).await,
            "revocations-stale"
        );

        scene.be_honest();
        scene.has_head(&verifier).await;
        assert_eq!(
            verdict(&verifier, &scene.token(json!({"jti": "99"}))).await,
            "revoked"
        );
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_records_than_are_held_are_not_even_fetched() {
    let scene = Scene::start();
    scene.published().fill_segment(101);
    let verifier = scene.verifier(scene.feed().max_records(100));
    let revocations = scene.revocations(&verifier);
    eventually("a refusal", async || revocations.last_error().is_some()).await;
    assert!(complaint(&revocations).contains("more than 100"));
    assert!(
        !scene
            .server
            .paths()
            .iter()
            .any(|path| path.contains("/revocations/"))
    );
}

// A segment that cannot be had must not take away what is known already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_before_stays_in_force_until_the_segments_of_the_next_are_there() {
    let scene = Scene::start();
    scene.published().revoke("subject", &["mallory"]);
    let verifier = scene.ready_verifier(scene.feed()).await;
    let revocations = scene.revocations(&verifier);
    scene.published().fill_segment(100);
    scene.behave(|_, request| {
        let is_segment = !is_head(request) && request.path.contains("/revocations/");
        is_segment.then(not_found)
    });
    eventually("a refusal", async || {
        complaint(&revocations).contains("status 404")
    })
    .await;
    assert_eq!(revocations.record_count(), 1);
    assert_eq!(
        verdict(&verifier, &scene.token(json!({"sub": "mallory"}))).await,
        "revoked"
    );
    assert_eq!(
        verdict(&verifier, &scene.token(json!({"jti": "1"}))).await,
        "good"
    );
    scene.be_honest();
    eventually("the segment", async || revocations.record_count() == 101).await;
    assert_eq!(
        verdict(&verifier, &scene.token(json!({"jti": "1"}))).await,
        "revoked"
    );
}
