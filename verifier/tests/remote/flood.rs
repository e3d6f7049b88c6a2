//! Many tokens at once: what they cost the issuer, and what they cost each other.

use std::sync::Arc;
use std::time::Duration;

use keywright_verifier::{JwkSet, Jws, RemoteKeys, Verifier};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::fixtures::{
    Signer, eventually, first_set, forged, hasty, in_time, milliseconds, now, set_of, verdict,
    verifier,
};
use crate::issuer::{Issuer, Reply};

// Attack 73.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_with_made_up_kids_cost_the_issuer_one_request_per_cool_down() {
    const TASKS: usize = 100;
    const TOKENS: usize = 1000;
    let cool_down = milliseconds(200);
    let issuer = Issuer::start(Reply::json(set_of([&Signer::new("known")])));
    let keys = RemoteKeys::at(&issuer.url("/jwks"))
        .cool_down(cool_down)
        .start()
        .unwrap();
    let start = now();
    first_set(&keys).await;
    let verifier = Arc::new(verifier(keys));
    let mut flood = JoinSet::new();
    for task in 0..TASKS {
        let verifier = Arc::clone(&verifier);
        flood.spawn(async move {
            for token in 0..TOKENS {
                let token = forged(&format!("{task}-{token}"));
                assert_eq!(verdict(&verifier, &token).await, "unknown-key");
            }
        });
    }
    tokio::time::timeout(Duration::from_secs(120), flood.join_all())
        .await
        .unwrap();
    let elapsed = start.elapsed();
    let allowed = 1 + elapsed.as_millis() / cool_down.as_millis();
    println!(
        "{} made-up kids in {elapsed:?}: {} requests, {allowed} allowed",
        TASKS * TOKENS,
        issuer.count()
    );
    assert!(u128::try_from(issuer.count()).unwrap() <= allowed);
    assert!(issuer.count() >= 2, "no verifier asked at all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn default_cool_down_lets_a_short_flood_cause_nothing() {
    let issuer = Issuer::start(Reply::json(set_of([&Signer::new("known")])));
    let keys = RemoteKeys::at(&issuer.url("/jwks")).start().unwrap();
    first_set(&keys).await;
    let verifier = verifier(keys);
    for token in 0..1000 {
        assert_eq!(
            verdict(&verifier, &forged(&token.to_string())).await,
            "unknown-key"
        );
    }
    assert_eq!(issuer.count(), 1);
}

/// Shows that the count above would see a flood: what many libraries do, with fewer tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetching_for_each_unknown_kid_would_be_counted() {
    const TOKENS: usize = 300;
    let issuer = Issuer::start(Reply::json(set_of([&Signer::new("known")])));
    let address = issuer.url("").replace("http://", "");
    for token in 0..TOKENS {
        let token = forged(&token.to_string());
        let kid = Jws::parse(&token, 4096).unwrap().kid().cloned();
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream
            .write_all(b"GET /jwks HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let set = JwkSet::parse(body.as_bytes()).unwrap();
        assert!(set.keys().iter().all(|key| Some(key.kid()) != kid.as_ref()));
    }
    assert_eq!(issuer.count(), TOKENS);
}

/// Verifies a token a thousand times at once.
async fn thousand_are_good(verifier: Verifier, token: &str) {
    let verifier = Arc::new(verifier);
    let token: Arc<str> = token.into();
    let mut tokens = JoinSet::new();
    for _ in 0..1000 {
        let (verifier, token) = (Arc::clone(&verifier), Arc::clone(&token));
        tokens.spawn(async move { verdict(&verifier, &token).await });
    }
    let verdicts = in_time("a thousand tokens", tokens.join_all()).await;
    assert!(verdicts.into_iter().all(|verdict| verdict == "good"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_first_tokens_share_one_request() {
    let known = Signer::new("known");
    let issuer = Issuer::start(Reply::json(set_of([&known])).after(milliseconds(200)));
    let keys = RemoteKeys::at(&issuer.url("/jwks")).start().unwrap();
    thousand_are_good(verifier(keys), &known.token()).await;
    assert_eq!(issuer.count(), 1);
}

// Nothing here needs a second thread.
#[tokio::test]
async fn single_thread_serves_fetching_and_waiting_tokens() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(Reply::json(set_of([&old])));
    let keys = RemoteKeys::at(&issuer.url("/jwks"))
        .cool_down(Duration::ZERO)
        .start()
        .unwrap();
    let verifier = verifier(keys);
    assert_eq!(verdict(&verifier, &old.token()).await, "good");
    issuer.answer(Reply::json(set_of([&old, &new])));
    assert_eq!(verdict(&verifier, &new.token()).await, "good");
    assert_eq!(issuer.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_tokens_of_a_new_key_share_one_request() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(Reply::json(set_of([&old])));
    let keys = RemoteKeys::at(&issuer.url("/jwks"))
        .cool_down(milliseconds(1))
        .start()
        .unwrap();
    first_set(&keys).await;
    tokio::time::sleep(milliseconds(2)).await;
    issuer.answer(Reply::json(set_of([&old, &new])).after(milliseconds(300)));
    thousand_are_good(verifier(keys), &new.token()).await;
    assert_eq!(issuer.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_of_a_known_key_does_not_wait_for_a_fetch_that_hangs() {
    let known = Signer::new("known");
    let issuer = Issuer::start(Reply::json(set_of([&known])));
    let keys = RemoteKeys::at(&issuer.url("/jwks"))
        .cool_down(Duration::ZERO)
        .timeout(Duration::from_secs(3))
        .start()
        .unwrap();
    first_set(&keys).await;
    issuer.answer(Reply::Silence);
    let verifier = Arc::new(verifier(keys));
    let waiting = {
        let verifier = Arc::clone(&verifier);
        tokio::spawn(async move { verdict(&verifier, &forged("unknown")).await })
    };
    eventually("a second request", async || issuer.count() >= 2).await;
    let token = known.token();
    let start = now();
    for _ in 0..100 {
        assert_eq!(verdict(&verifier, &token).await, "good");
    }
    assert!(!waiting.is_finished(), "after {:?}", start.elapsed());
    // The one that waits is told no lie: the set at hand is in order, and does not have its key.
    assert_eq!(waiting.await.unwrap(), "unknown-key");
    assert_eq!(issuer.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_that_nobody_waits_for_any_more_holds_nothing_up() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(Reply::json(set_of([&old])));
    let keys = RemoteKeys::at(&issuer.url("/jwks"))
        .cool_down(Duration::ZERO)
        .start()
        .unwrap();
    first_set(&keys).await;
    issuer.answer(Reply::json(set_of([&old, &new])).after(milliseconds(200)));
    let verifier = Arc::new(verifier(keys));
    let mut tokens = JoinSet::new();
    for _ in 0..50 {
        let (verifier, token) = (Arc::clone(&verifier), new.token());
        tokens.spawn(async move { verdict(&verifier, &token).await });
    }
    eventually("a second request", async || issuer.count() >= 2).await;
    tokens.shutdown().await;
    // The fetch that they caused goes on without them, and serves the next.
    assert_eq!(verdict(&verifier, &new.token()).await, "good");
    assert_eq!(issuer.count(), 2);
}

// Whatever comes in whatever order: no caller hangs or is told a lie, and the issuer is not flooded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsteady_issuer_keeps_nobody_waiting() {
    let known = Signer::new("known");
    let issuer = Issuer::start(Reply::json(set_of([&known])));
    let keys = hasty(RemoteKeys::at(&issuer.url("/jwks")))
        .timeout(milliseconds(100))
        .stale_limit(milliseconds(300))
        .cool_down(milliseconds(1))
        .start()
        .unwrap();
    first_set(&keys).await;
    let set = set_of([&known]);
    let turn = std::sync::atomic::AtomicU64::new(0);
    issuer.behave(move |_| {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match turn % 40 {
            15 => Reply::Silence,
            30 => Reply::bytes(""),
            _ => Reply::json(&set).after(milliseconds(turn * 37 % 60)),
        }
    });
    let verifier = Arc::new(verifier(keys));
    let start = now();
    let mut tasks = JoinSet::new();
    for task in 0..64_u64 {
        let (verifier, token) = (Arc::clone(&verifier), known.token());
        tasks.spawn(async move {
            let mut longest = Duration::ZERO;
            let mut turn = task;
            while start.elapsed() < milliseconds(2500) {
                turn += 1;
                let before = now();
                if turn % 3 == 0 {
                    let verdict = verdict(&verifier, &forged(&turn.to_string())).await;
                    assert!(["unknown-key", "keys-unavailable"].contains(&verdict));
                } else {
                    let verdict = verdict(&verifier, &token).await;
                    assert!(["good", "keys-unavailable"].contains(&verdict));
                }
                longest = longest.max(before.elapsed());
                tokio::time::sleep(milliseconds(turn * 13 % 11)).await;
            }
            longest
        });
    }
    let longest = in_time("the unsteady issuer", tasks.join_all()).await;
    let longest = longest.into_iter().max().unwrap();
    println!(
        "an unsteady issuer: {} requests, {longest:?} the longest wait",
        issuer.count()
    );
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}
