//! Settings that cannot have been meant.

use std::time::Duration;

use keywright_verifier::{InvalidRevocations, RevocationFeed, Verifier};
use serde_json::json;

use crate::authority::Authority;
use crate::fixtures::in_time;
use crate::issuer::{Issuer, Reply};
use crate::scene::{Scene, complaint, verdict};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_of_another_issuer_are_refused_at_the_start() {
    let (scene, other) = (Scene::start(), Scene::start());
    let verifier = || Verifier::new(scene.rules(), scene.keys().start().unwrap()).unwrap();
    let refusal = verifier().with_revocations(other.feed()).unwrap_err();
    assert!(
        matches!(refusal, InvalidRevocations::OtherIssuer { issuer } if issuer == other.name())
    );
    let followed = other.revocations(&other.verifier(other.feed()));
    let refusal = verifier().with_revocations(followed).unwrap_err();
    assert!(matches!(refusal, InvalidRevocations::OtherIssuer { .. }));

    let followed = verifier().with_revocations(scene.feed()).unwrap();
    let refusal = followed.with_revocations(scene.feed()).unwrap_err();
    assert!(matches!(refusal, InvalidRevocations::Duplicate { issuer } if issuer == scene.name()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_accept_nothing_are_refused_at_the_start() {
    let scene = Scene::start();
    let verifier = || Verifier::new(scene.rules(), scene.keys().start().unwrap()).unwrap();
    let refusal = |feed| verifier().with_revocations(feed).unwrap_err().to_string();
    assert!(refusal(scene.feed().bound(Duration::ZERO)).contains("bound"));
    assert!(refusal(scene.feed().timeout(Duration::ZERO)).contains("timeout"));
    for address in [
        "http://id.example/.well-known/revocations",
        "revocations",
        "ftp://127.0.0.1/",
    ] {
        assert!(
            refusal(RevocationFeed::at(address)).contains("https"),
            "{address}"
        );
    }
    assert!(scene.feed().trust_certificates(b"none").is_err());
    assert!(scene.feed().trust_only_certificates(b"none").is_err());
}

// Two audiences of one issuer are two verifiers, and one feed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_verifiers_of_one_issuer_share_what_is_followed() {
    let scene = Scene::start();
    scene.published().revoke("subject", &["mallory"]);
    let one = scene.ready_verifier(scene.feed()).await;
    let before = scene.head_requests().len();
    let other = scene.verifier(scene.revocations(&one));
    let mallory = scene.token(json!({"sub": "mallory"}));
    assert_eq!(verdict(&other, &mallory).await, "revoked");
    assert!(scene.head_requests().len() <= before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feed_is_believed_by_the_certificates_that_are_trusted() {
    let authority = Authority::for_host("127.0.0.1");
    let server = Issuer::start_tls(Reply::Silence, authority.acceptor());
    let scene = Scene::on(server);
    scene.published().revoke("subject", &["mallory"]);
    let pem = authority.pem.as_bytes();
    let verifier = |feed| {
        let keys = scene.keys().trust_only_certificates(pem).unwrap();
        scene.verifier_with_keys(keys, feed)
    };
    let mallory = scene.token(json!({"sub": "mallory"}));
    for feed in [
        scene.feed().trust_only_certificates(pem).unwrap(),
        scene.feed().trust_certificates(pem).unwrap(),
    ] {
        let verifier = verifier(feed);
        scene.has_head(&verifier).await;
        assert_eq!(verdict(&verifier, &mallory).await, "revoked");
    }
    let stranger = Authority::for_host("127.0.0.1");
    let feed = scene
        .feed()
        .trust_only_certificates(stranger.pem.as_bytes());
    let verifier = verifier(feed.unwrap());
    let revocations = scene.revocations(&verifier);
    in_time("a refusal", revocations.ready()).await.unwrap_err();
    assert!(complaint(&revocations).contains("cannot be reached"));
}

#[test]
fn feed_needs_a_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let scene = runtime.block_on(async { Scene::start() });
    let keys = runtime.block_on(async { scene.keys().start().unwrap() });
    let verifier = Verifier::new(scene.rules(), keys).unwrap();
    let refusal = verifier.with_revocations(scene.feed()).unwrap_err();
    assert!(refusal.to_string().contains("tokio"), "{refusal}");
}
