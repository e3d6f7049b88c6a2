//! How the fetching begins and ends.

use std::time::Duration;

use keywright_verifier::{KeysUnavailable, RemoteKeys, RemoteKeysError};
use tokio::runtime::{Builder, Runtime};

use crate::fixtures::{
    Signer, complaint, eventually, first_set, forged, hasty, in_process_with, in_time, is_child,
    milliseconds, now, set_of, verdict, verifier,
};
use crate::issuer::{Issuer, Reply};

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetching_ends_with_the_last_clone() {
    let issuer = Issuer::start(Reply::json(set_of([&Signer::new("known")])));
    let keys = hasty(RemoteKeys::at(&issuer.url("/jwks"))).start().unwrap();
    let verifier = verifier(keys.clone());
    first_set(&keys).await;
    drop(keys);
    eventually("a refresh", async || issuer.count() >= 2).await;
    drop(verifier);
    tokio::time::sleep(milliseconds(50)).await;
    let count = issuer.count();
    tokio::time::sleep(milliseconds(1200)).await;
    assert_eq!(issuer.count(), count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_under_way_ends_with_the_last_clone() {
    let issuer = Issuer::start(Reply::Trickle {
        head: b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec(),
        chunk: b" ".to_vec(),
    });
    let keys = RemoteKeys::at(&issuer.url("/jwks"))
        .timeout(Duration::MAX)
        .start()
        .unwrap();
    eventually("a first byte", async || issuer.written() > 0).await;
    drop(keys);
    let mut written = 0;
    eventually("the end", async || {
        tokio::time::sleep(milliseconds(200)).await;
        let before = std::mem::replace(&mut written, issuer.written());
        before == written
    })
    .await;
    assert_eq!(issuer.count(), 1);
}

#[test]
fn keys_outlive_the_runtime_up_to_their_limit_and_nobody_hangs() {
    let (server, fetching, asking) = (runtime(), runtime(), runtime());
    let known = Signer::new("known");
    let issuer = {
        let _inside = server.enter();
        Issuer::start(Reply::json(set_of([&known])))
    };
    let keys = {
        let _inside = fetching.enter();
        hasty(RemoteKeys::at(&issuer.url("/jwks"))).start().unwrap()
    };
    asking.block_on(async {
        first_set(&keys).await;
        let verifier = verifier(keys.clone());
        let token = known.token();
        // In the middle of a fetch that a caller waits for.
        issuer.answer(Reply::Silence);
        let waiting = {
            let verifier = verifier.clone();
            tokio::spawn(async move { verdict(&verifier, &forged("unknown")).await })
        };
        eventually("a request", async || issuer.count() >= 2).await;
        fetching.shutdown_background();
        assert_eq!(
            in_time("the one that waits", waiting).await.unwrap(),
            "unknown-key"
        );

        assert_eq!(verdict(&verifier, &token).await, "good");
        assert_eq!(verdict(&verifier, &forged("unknown")).await, "unknown-key");
        eventually("the limit", async || {
            verdict(&verifier, &token).await == "keys-unavailable"
        })
        .await;
        assert!(keys.age().unwrap() >= milliseconds(2000));
        assert_eq!(
            in_time("nothing", keys.ready()).await,
            Err(KeysUnavailable::TooOld)
        );
    });
}

#[test]
fn start_without_a_runtime_is_an_error() {
    let refusal = RemoteKeys::at("https://id.example/jwks").start();
    assert!(matches!(refusal, Err(RemoteKeysError::NoRuntime)));
}

// Fetching is impossible without the runtime's clock, and tokio says so in a panic of the task.
#[test]
fn runtime_without_a_clock_makes_nobody_wait() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let keys = {
        let _inside = runtime.enter();
        RemoteKeys::at("http://127.0.0.1:9/jwks").start().unwrap()
    };
    let asking = self::runtime();
    let verdict = asking.block_on(async { in_time("nothing", keys.ready()).await });
    assert_eq!(verdict, Err(KeysUnavailable::NeverFetched));
}

#[tokio::test]
async fn settings_that_cannot_be_meant_are_refused_at_the_start() {
    let at = || RemoteKeys::at("http://127.0.0.1:9/jwks");
    for bounds in [
        Duration::ZERO..=Duration::from_secs(10),
        milliseconds(999)..=Duration::from_secs(10),
        Duration::from_secs(11)..=Duration::from_secs(10),
    ] {
        let refusal = at().freshness(bounds.clone()).start();
        assert!(
            matches!(refusal, Err(RemoteKeysError::Freshness)),
            "{bounds:?}"
        );
    }
    let refusal = at().timeout(Duration::ZERO).start();
    assert!(matches!(refusal, Err(RemoteKeysError::Timeout)));
    for url in ["http://id.example/jwks", "jwks", "file:///jwks"] {
        let refusal = RemoteKeys::at(url).start();
        assert!(matches!(refusal, Err(RemoteKeysError::Address(_))), "{url}");
    }
    for pem in [&b""[..], b"x", b"-----BEGIN CERTIFICATE-----\nAA"] {
        let refusal = at().trust_certificates(pem);
        assert!(matches!(refusal, Err(RemoteKeysError::Certificates)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_without_an_end_are_taken_as_such() {
    let known = Signer::new("known");
    let issuer = Issuer::start(Reply::http(
        "200 OK",
        &[
            "content-type: application/json",
            "cache-control: max-age=18446744073709551615",
        ],
        set_of([&known]),
    ));
    let keys = RemoteKeys::at(&issuer.url("/jwks"))
        .freshness(Duration::from_secs(1)..=Duration::MAX)
        .stale_limit(Duration::MAX)
        .cool_down(Duration::MAX)
        .timeout(Duration::MAX)
        .start()
        .unwrap();
    first_set(&keys).await;
    let verifier = verifier(keys);
    assert_eq!(verdict(&verifier, &known.token()).await, "good");
    assert_eq!(verdict(&verifier, &forged("unknown")).await, "unknown-key");
    tokio::time::sleep(milliseconds(100)).await;
    assert_eq!(issuer.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_waits_for_the_first_fetch_and_for_no_second() {
    let issuer = Issuer::start(Reply::http("500 Oh", &[], "").after(milliseconds(200)));
    let start = now();
    let keys = RemoteKeys::at(&issuer.url("/jwks")).start().unwrap();
    assert!(keys.last_error().is_none());
    assert_eq!(keys.age(), None);
    assert!(!keys.has_keys());
    assert_eq!(
        in_time("a failure", keys.ready()).await,
        Err(KeysUnavailable::NeverFetched)
    );
    assert!(
        start.elapsed() >= milliseconds(200),
        "{:?}",
        start.elapsed()
    );
    assert!(complaint(&keys).contains("500"));
    // In the backoff the answer is known already.
    let start = now();
    assert!(in_time("a failure", keys.ready()).await.is_err());
    assert!(start.elapsed() < milliseconds(190), "{:?}", start.elapsed());

    issuer.answer(Reply::json(set_of([&Signer::new("known")])));
    eventually("keys", async || keys.ready().await.is_ok()).await;
    assert!(keys.last_error().is_none());
}

#[test]
fn keys_at_hand_are_used_without_async() {
    let runtime = runtime();
    let known = Signer::new("known");
    let verifier = runtime.block_on(async {
        let issuer = Issuer::start(Reply::json(set_of([&known])));
        let keys = RemoteKeys::at(&issuer.url("/jwks")).start().unwrap();
        first_set(&keys).await;
        verifier(keys)
    });
    let verify = |token: &str| {
        let now = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        verifier
            .verify_with_held_keys::<serde_json::Value>(token, now)
            .map_or_else(|error| error.code(), |_| "good")
    };
    assert_eq!(verify(&known.token()), "good");
    assert_eq!(verify(&forged("unknown")), "unknown-key");
}

// A proxy of the environment would see the keys of this machine's own issuer, and could replace them.
#[test]
fn this_machine_is_asked_without_a_proxy() {
    if !is_child() {
        let proxy = "http://127.0.0.1:9";
        return in_process_with(
            "lifetime::this_machine_is_asked_without_a_proxy",
            &[
                ("http_proxy", proxy),
                ("https_proxy", proxy),
                ("all_proxy", proxy),
                ("no_proxy", ""),
            ],
        );
    }
    runtime().block_on(async {
        let issuer = Issuer::start(Reply::json(set_of([&Signer::new("known")])));
        let keys = RemoteKeys::at(&issuer.url("/jwks")).start().unwrap();
        assert!(
            in_time("the first set", keys.ready()).await.is_ok(),
            "{}",
            complaint(&keys)
        );
    });
}

// TLS goes through it, from one end to the other.
#[test]
fn public_issuer_is_asked_through_the_proxy_of_the_environment() {
    let address = "https://id.example/jwks";
    if is_child() {
        runtime().block_on(async {
            let keys = RemoteKeys::at(address).start().unwrap();
            assert!(in_time("a refusal", keys.ready()).await.is_err());
        });
        return;
    }
    let server = runtime();
    let proxy = {
        let _inside = server.enter();
        Issuer::start(Reply::http("502 Bad Gateway", &[], ""))
    };
    in_process_with(
        "lifetime::public_issuer_is_asked_through_the_proxy_of_the_environment",
        &[("https_proxy", &proxy.url("")), ("no_proxy", "")],
    );
    assert!(proxy.count() > 0);
    assert!(proxy.paths().iter().all(|path| path == "id.example:443"));
}
