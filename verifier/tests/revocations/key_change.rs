//! Heads and the keys that sign them.

use std::time::Duration;

use serde_json::json;

use crate::fixtures::{eventually, in_time, milliseconds};
use crate::issuer::Reply;
use crate::scene::{FEED_TYP, Key, Scene, complaint, parameter, reply_head, verdict};

const HOUR: Duration = Duration::from_secs(3600);

fn key_requests(scene: &Scene) -> usize {
    scene
        .server
        .paths()
        .iter()
        .filter(|path| *path == "/jwks")
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_of_a_key_that_no_longer_signs_tokens_is_accepted_while_it_is_published() {
    let scene = Scene::start();
    let retired = Key::new("retired");
    {
        let mut published = scene.published();
        published.keys.push(retired.jwk());
        published.active = retired;
        published.revoke("subject", &["mallory"]);
    }
    let verifier = scene.ready_verifier(scene.feed()).await;
    assert_eq!(
        verdict(&verifier, &scene.token(json!({"sub": "mallory"}))).await,
        "revoked"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_of_a_new_key_costs_one_fetch_outside_the_cool_down() {
    let scene = Scene::start();
    let verifier = scene.verifier_with_keys(scene.keys().cool_down(HOUR), scene.feed());
    scene.has_head(&verifier).await;
    assert_eq!(key_requests(&scene), 1);
    let new = Key::new("new");
    {
        let mut published = scene.published();
        published.keys.push(new.jwk());
        published.active = new;
        published.revoke("subject", &["mallory"]);
    }
    let mallory = scene.token(json!({"sub": "mallory"}));
    eventually("the new key", async || {
        verdict(&verifier, &mallory).await == "revoked"
    })
    .await;
    assert_eq!(key_requests(&scene), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_of_a_key_that_nobody_publishes_costs_no_more_than_that() {
    let scene = Scene::start();
    let verifier = scene.verifier_with_keys(scene.keys().cool_down(HOUR), scene.feed());
    scene.has_head(&verifier).await;
    let stranger = Key::new("stranger");
    scene.behave_with_head(move |published, request| {
        let head = published.head(parameter(request, "nonce"));
        reply_head(stranger.sign(FEED_TYP, &head.claims()))
    });
    let revocations = scene.revocations(&verifier);
    let before = scene.head_requests().len();
    eventually("some refusals", async || {
        scene.head_requests().len() >= before + 3
    })
    .await;
    assert!(
        complaint(&revocations).contains("no key of the set"),
        "{}",
        complaint(&revocations)
    );
    assert_eq!(key_requests(&scene), 2);
    assert!(revocations.has_head());
}

// What a stolen key has signed counts for nothing once it is revoked, and what the issuer signs instead
// is not waited for, although nothing else has changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_dropped_with_its_key_and_the_next_one_is_asked_for_at_once() {
    let scene = Scene::start();
    let other = Key::new("other");
    {
        let mut published = scene.published();
        published.keys.push(other.jwk());
        published.active = other.clone();
    }
    scene.behave_with_head(|published, request| match parameter(request, "known") {
        // Nothing changes, so that the request is held.
        Some(_) => Reply::Silence,
        None => reply_head(published.signed_head(parameter(request, "nonce"))),
    });
    let keys = scene
        .keys()
        .freshness(Duration::from_secs(1)..=Duration::from_secs(1));
    let verifier = scene.verifier_with_keys(keys, scene.feed());
    scene.has_head(&verifier).await;
    let revocations = scene.revocations(&verifier);
    eventually("a request that is held", async || {
        scene.head_requests().len() == 2
    })
    .await;

    // The new head is withheld for now.
    scene.behave_with_head(|_, _| Reply::http("503 Service Unavailable", &[], ""));
    {
        let mut published = scene.published();
        published.keys = vec![scene.key.jwk()];
        published.active = scene.key.clone();
    }
    let token = scene.token(json!({}));
    eventually("the end of the head", async || !revocations.has_head()).await;
    assert_eq!(verdict(&verifier, &token).await, "revocations-stale");
    // The request that was held would have been for 25 s and more.
    eventually("another request", async || scene.head_requests().len() > 2).await;
    let requests = scene.head_requests();
    assert_eq!(parameter(&requests[2], "known"), None);

    scene.be_honest();
    eventually("the next head", async || {
        verdict(&verifier, &token).await == "good"
    })
    .await;
    // The token of the key that is gone is refused for that reason.
    let gone = other.token(&scene.name(), json!({}));
    assert_eq!(verdict(&verifier, &gone).await, "unknown-key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_waited_for_while_there_are_no_keys() {
    let scene = Scene::start();
    scene.behave(|published, request| {
        (request.path == "/jwks").then(|| {
            let keys = crate::keys::set(published.keys.iter().cloned()).to_json();
            Reply::json(keys).after(milliseconds(300))
        })
    });
    let verifier = scene.verifier(scene.feed());
    let revocations = scene.revocations(&verifier);
    in_time("a head", revocations.ready()).await.unwrap();
    assert_eq!(verdict(&verifier, &scene.token(json!({}))).await, "good");
}
