//! Following an honest feed: how it is asked, how soon a revocation counts, and for how long an outage
//! is borne.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use crate::fixtures::{eventually, in_time, milliseconds, now};
use crate::issuer::Reply;
use crate::scene::{Scene, complaint, now_seconds, parameter, reply_head, verdict, verified};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_counts_with_the_next_request() {
    let scene = Scene::start();
    let verifier = scene.ready_verifier(scene.feed()).await;
    let token = scene.token(json!({}));
    assert_eq!(verdict(&verifier, &token).await, "good");
    let start = now();
    scene.published().revoke("subject", &["alice"]);
    eventually("the revocation", async || {
        verdict(&verifier, &token).await == "revoked"
    })
    .await;
    // A request a second; the rest is for a machine that is busy.
    assert!(
        start.elapsed() < milliseconds(4000),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(scene.revocations(&verifier).record_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_request_has_a_nonce_and_the_others_say_what_is_known() {
    let scene = Scene::start();
    let verifier = scene.ready_verifier(scene.feed()).await;
    eventually("three requests", async || scene.head_requests().len() >= 3).await;
    drop(verifier);
    let requests = scene.head_requests();
    let nonce = parameter(&requests[0], "nonce").unwrap();
    assert_eq!(nonce.len(), 22);
    assert_eq!(parameter(&requests[0], "alg"), Some("ES256"));
    assert_eq!(parameter(&requests[0], "known"), None);
    assert_eq!(parameter(&requests[0], "wait"), None);
    let root = scene.published().head(None).claims()["root"].clone();
    for request in &requests[1..] {
        assert_eq!(parameter(request, "nonce"), None);
        assert_eq!(parameter(request, "known"), root.as_str());
        assert_eq!(parameter(request, "wait"), Some("25"));
    }
    for pair in requests.windows(2) {
        let interval = pair[1].at - pair[0].at;
        assert!(interval >= milliseconds(900), "{interval:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_is_held_for_a_part_of_a_short_bound() {
    let scene = Scene::start();
    let verifier = scene
        .ready_verifier(scene.feed().bound(Duration::from_secs(8)))
        .await;
    eventually("a second request", async || {
        scene.head_requests().len() >= 2
    })
    .await;
    drop(verifier);
    assert_eq!(parameter(&scene.head_requests()[1], "wait"), Some("3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_that_is_held_is_waited_for_beyond_the_timeout() {
    let scene = Scene::start();
    scene.behave_with_head(|published, request| {
        let head = published.signed_head(parameter(request, "nonce"));
        match parameter(request, "known") {
            Some(_) => reply_head(head).after(milliseconds(2500)),
            None => reply_head(head),
        }
    });
    let verifier = scene
        .ready_verifier(scene.feed().timeout(milliseconds(1500)))
        .await;
    eventually("two answers that were held", async || {
        scene.head_requests().len() >= 4
    })
    .await;
    assert_eq!(complaint(&scene.revocations(&verifier)), "none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outage_is_borne_up_to_the_bound_and_by_young_tokens_for_longer() {
    let mut scene = Scene::start();
    scene.published().max_age_seconds = 3;
    let verifier = scene.ready_verifier(scene.feed()).await;
    let revocations = scene.revocations(&verifier);
    scene.server.close().await;
    let closed_at = now();
    let old = scene.token(json!({}));
    assert_eq!(verdict(&verifier, &old).await, "good");
    assert!(revocations.is_fresh());
    eventually("the bound", async || {
        verdict(&verifier, &old).await == "revocations-stale"
    })
    .await;
    assert!(!revocations.is_fresh());
    assert!(
        closed_at.elapsed() > milliseconds(1500),
        "{:?}",
        closed_at.elapsed()
    );
    let error = verified(&verifier, &old).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the issuer's revocations could not be refreshed for too long"
    );
    assert!(complaint(&revocations).contains("cannot be reached"));
    // Their signer knew.
    let issued_at = now_seconds();
    let young = scene.token(json!({"iat": issued_at}));
    let accepted = verified(&verifier, &young).await.unwrap();
    assert_eq!(
        accepted.vouched_at,
        Some(UNIX_EPOCH + Duration::from_secs(issued_at))
    );
    eventually("the bound of the young one", async || {
        verdict(&verifier, &young).await == "revocations-stale"
    })
    .await;

    scene.server.open();
    eventually("the end of the outage", async || {
        verdict(&verifier, &old).await == "good"
    })
    .await;
    assert_eq!(complaint(&revocations), "none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_bound_counts_and_so_does_none() {
    let mut scene = Scene::start();
    scene.published().max_age_seconds = 3600;
    let strict = scene
        .ready_verifier(scene.feed().bound(milliseconds(1500)))
        .await;
    let lax = scene
        .ready_verifier(scene.feed().danger_without_bound())
        .await;
    scene.server.close().await;
    let old = scene.token(json!({}));
    eventually("the bound", async || {
        verdict(&strict, &old).await == "revocations-stale"
    })
    .await;
    assert_eq!(verdict(&lax, &old).await, "good");
    assert!(!scene.revocations(&strict).is_fresh());
    assert!(scene.revocations(&lax).is_fresh());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feed_that_was_never_reached_vouches_for_nothing() {
    let mut scene = Scene::start();
    let keys = scene.keys().start().unwrap();
    in_time("keys", keys.ready()).await.unwrap();
    scene.server.close().await;
    let with = |feed| {
        keywright_verifier::Verifier::new(scene.rules(), keys.clone())
            .unwrap()
            .with_revocations(feed)
            .unwrap()
    };
    let old = scene.token(json!({}));
    let young = scene.token(json!({"iat": now_seconds()}));
    let none = scene.token(json!({"iat": null}));
    let by_default = with(scene.feed());
    let bound = with(scene.feed().bound(Duration::from_secs(60)));
    let lax = with(scene.feed().danger_without_bound());
    for (verifier, expected) in [
        (&by_default, ["revocations-stale"; 3]),
        (&bound, ["revocations-stale", "good", "revocations-stale"]),
        (&lax, ["good"; 3]),
    ] {
        for (token, expected) in [&old, &young, &none].into_iter().zip(expected) {
            assert_eq!(verdict(verifier, token).await, expected);
        }
    }
    assert!(!scene.revocations(&lax).is_fresh());
    let unknown = verified(&lax, &none).await.unwrap();
    assert_eq!(unknown.vouched_at, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_token_waits_for_the_first_head() {
    let scene = Scene::start();
    scene.published().revoke("subject", &["mallory"]);
    scene.behave_with_head(|published, request| {
        reply_head(published.signed_head(parameter(request, "nonce"))).after(milliseconds(400))
    });
    let verifier = scene.verifier(scene.feed());
    let mallory = scene.token(json!({"sub": "mallory", "iat": now_seconds()}));
    assert_eq!(verdict(&verifier, &mallory).await, "revoked");
    assert_eq!(verdict(&verifier, &scene.token(json!({}))).await, "good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vouched_at_is_the_time_of_the_head_or_of_a_younger_token() {
    let scene = Scene::start();
    scene.published().lag = Duration::from_secs(4);
    let verifier = scene.ready_verifier(scene.feed()).await;
    let vouched_at = async |issued_at: u64| {
        let token = scene.token(json!({"iat": issued_at}));
        let accepted = verified(&verifier, &token).await.unwrap();
        accepted
            .vouched_at
            .unwrap()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let now = now_seconds();
    let by_head = vouched_at(now - 1000).await;
    assert!(
        (now - 10..=now - 3).contains(&by_head),
        "{by_head} at {now}"
    );
    assert_eq!(vouched_at(now - 1).await, now - 1);
    // No token vouches for what is still to come.
    let future = vouched_at(now + 1000).await;
    assert!((now..now + 20).contains(&future), "{future} at {now}");
    let age = scene.revocations(&verifier).head_age().unwrap();
    assert!((4..20).contains(&age.as_secs()), "{age:?}");
}

// A balancer may lead the next connection to a replica that can answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feed_that_cannot_vouch_is_asked_again_soon() {
    let scene = Scene::start();
    let is_cut_off = Arc::new(AtomicBool::new(true));
    let cut_off = Arc::clone(&is_cut_off);
    scene.behave_with_head(move |published, request| {
        if cut_off.swap(false, Ordering::SeqCst) {
            return Reply::http("503 Service Unavailable", &["retry-after: 30"], "");
        }
        reply_head(published.signed_head(parameter(request, "nonce")))
    });
    let start = now();
    let verifier = scene.ready_verifier(scene.feed()).await;
    assert!(
        start.elapsed() < milliseconds(3000),
        "{:?}",
        start.elapsed()
    );
    assert!(!is_cut_off.load(Ordering::SeqCst));
    assert_eq!(verdict(&verifier, &scene.token(json!({}))).await, "good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_ends_with_the_last_one_who_needs_it() {
    let scene = Scene::start();
    let verifier = scene.ready_verifier(scene.feed()).await;
    let revocations = scene.revocations(&verifier);
    let clone = verifier.clone();
    drop(verifier);
    drop(revocations);
    let before = scene.head_requests().len();
    eventually("another request", async || {
        scene.head_requests().len() > before
    })
    .await;
    drop(clone);
    // One may be under way.
    tokio::time::sleep(milliseconds(300)).await;
    let after = scene.head_requests().len();
    tokio::time::sleep(milliseconds(1500)).await;
    assert_eq!(scene.head_requests().len(), after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn address_can_be_given_instead_of_found() {
    let scene = Scene::start();
    scene.published().revoke("subject", &["mallory"]);
    let address = scene.server.url("/.well-known/revocations");
    let verifier = scene.verifier(keywright_verifier::RevocationFeed::at(&address));
    scene.has_head(&verifier).await;
    let mallory = scene.token(json!({"sub": "mallory"}));
    assert_eq!(verdict(&verifier, &mallory).await, "revoked");
    assert!(
        !scene
            .server
            .paths()
            .iter()
            .any(|path| path.contains("openid-configuration"))
    );
}
