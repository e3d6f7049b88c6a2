use super::*;

/// An address that refuses connections.
fn refused() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/jwks", listener.local_addr().unwrap())
}

// The clock may be set back between the wish and its fulfilment, and then the cool-down, asked once
// more, says no, while somebody waits for a fetch that would never come.
#[tokio::test]
async fn wish_is_fulfilled_though_the_clock_would_forbid_it_by_now() {
    let keys = RemoteKeys::at(&refused()).start().unwrap();
    keys.ready().await.unwrap_err();
    let mut progress = keys.progress.clone();
    for ended in 1..=3 {
        assert!(!keys.shared.cache().may_ask(keys.shared.now()));
        keys.shared.wish_for_fetch_after(ended);
        let waiting = progress.wait_for(|progress| progress.ended > ended);
        // Sooner than the backoff, which is the next reason to fetch.
        tokio::time::timeout(Duration::from_millis(400), waiting)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn wish_for_a_fetch_that_has_ended_causes_no_other() {
    let keys = RemoteKeys::at(&refused()).start().unwrap();
    keys.ready().await.unwrap_err();
    keys.shared.wish_for_fetch_after(0);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(keys.progress.borrow().ended, 1);
}

// A set may come between a look at the cache and the question for another one.
#[tokio::test]
async fn question_in_the_cool_down_is_answered_with_what_is_at_hand() {
    let keys = RemoteKeys::at(&refused()).start().unwrap();
    keys.ready().await.unwrap_err();
    let now = keys.shared.now();
    let answer = fetch::Answer::Set {
        keys: JwkSet::default(),
        tag: None,
        fresh_for: None,
    };
    let filled = keys.shared.cache().after_answer(answer, now, now, 0.5);
    *keys.shared.cache.write().unwrap() = Arc::new(filled);
    assert!(!keys.shared.cache().may_ask(keys.shared.now()));
    assert!(keys.asked_again().await.is_ok());
    assert_eq!(keys.progress.borrow().ended, 1);
}
