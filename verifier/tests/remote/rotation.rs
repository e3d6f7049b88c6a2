//! An issuer that replaces its keys.

use std::time::Duration;

use keywright_verifier::RemoteKeys;

use crate::fixtures::{
    Signer, eventually, first_set, hasty, milliseconds, now, set_of, verdict, verifier,
};
use crate::issuer::{Issuer, Reply};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_of_a_key_that_was_just_published_is_accepted_after_one_more_request() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(Reply::json(set_of([&old])));
    let start = now();
    let keys = RemoteKeys::at(&issuer.url("/jwks"))
        .cool_down(milliseconds(300))
        .start()
        .unwrap();
    first_set(&keys).await;
    let verifier = verifier(keys);
    issuer.answer(Reply::json(set_of([&old, &new])));
    let token = new.token();
    eventually("the cool-down", async || {
        verdict(&verifier, &token).await == "good"
    })
    .await;
    assert!(start.elapsed() >= milliseconds(300));
    assert_eq!(issuer.count(), 2);
    assert_eq!(verdict(&verifier, &old.token()).await, "good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_of_a_key_that_was_just_published_waits_for_it_and_is_accepted_at_once() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(Reply::json(set_of([&old])));
    let keys = RemoteKeys::at(&issuer.url("/jwks"))
        .cool_down(milliseconds(20))
        .start()
        .unwrap();
    first_set(&keys).await;
    let verifier = verifier(keys);
    issuer.answer(Reply::json(set_of([&old, &new])).after(milliseconds(100)));
    tokio::time::sleep(milliseconds(30)).await;
    assert_eq!(verdict(&verifier, &new.token()).await, "good");
    assert_eq!(issuer.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_of_a_key_that_is_published_no_more_is_refused_after_the_refresh() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(Reply::json(set_of([&old, &new])));
    let keys = hasty(RemoteKeys::at(&issuer.url("/jwks"))).start().unwrap();
    first_set(&keys).await;
    let verifier = verifier(keys);
    assert_eq!(verdict(&verifier, &old.token()).await, "good");
    issuer.answer(Reply::json(set_of([&new])));
    let start = now();
    let token = old.token();
    eventually("the refresh", async || {
        verdict(&verifier, &token).await == "unknown-key"
    })
    .await;
    // The freshness is a second; the rest is for a machine that is busy.
    assert!(
        start.elapsed() < milliseconds(2500),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(verdict(&verifier, &new.token()).await, "good");
}

// The one key of a set, replaced by another that has its name, which no issuer may do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_that_takes_the_name_of_another_takes_its_place_too() {
    let (old, new) = (Signer::new("same"), Signer::new("same"));
    let issuer = Issuer::start(Reply::json(set_of([&old])));
    let keys = hasty(RemoteKeys::at(&issuer.url("/jwks"))).start().unwrap();
    first_set(&keys).await;
    let verifier = verifier(keys);
    assert_eq!(verdict(&verifier, &new.token()).await, "bad-signature");
    issuer.answer(Reply::json(set_of([&new])));
    eventually("the refresh", async || {
        verdict(&verifier, &new.token()).await == "good"
    })
    .await;
    assert_eq!(verdict(&verifier, &old.token()).await, "bad-signature");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flapping_set_is_followed_and_no_more_often_than_the_cool_down_allows() {
    let (left, right) = (Signer::new("left"), Signer::new("right"));
    let issuer = Issuer::start(Reply::json(set_of([&left])));
    let cool_down = milliseconds(100);
    let keys = RemoteKeys::at(&issuer.url("/jwks"))
        .cool_down(cool_down)
        .start()
        .unwrap();
    first_set(&keys).await;
    let verifier = verifier(keys);
    let sets = [set_of([&left]), set_of([&right])];
    let turn = std::sync::atomic::AtomicUsize::new(1);
    issuer.behave(move |_| {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Reply::json(&sets[turn % 2])
    });
    let start = now();
    let (left, right) = (left.token(), right.token());
    let mut accepted = [0, 0];
    while start.elapsed() < Duration::from_secs(1) {
        for (token, accepted) in [&left, &right].into_iter().zip(&mut accepted) {
            match verdict(&verifier, token).await {
                "good" => *accepted += 1,
                other => assert_eq!(other, "unknown-key"),
            }
        }
        tokio::time::sleep(milliseconds(1)).await;
    }
    assert!(accepted.iter().all(|accepted| *accepted > 0));
    let allowed = 1 + start.elapsed().as_millis() / cool_down.as_millis();
    assert!(u128::try_from(issuer.count()).unwrap() <= 1 + allowed);
}
