use super::*;

/// An address that refuses connections.
fn refused() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/jwks", listener.local_addr().unwrap())
}

// The clock may be set back between a request and its fetch. If the cool-down were checked again then,
// it would refuse, while a caller waits for a fetch that would never come.
#[tokio::test]
async fn request_is_served_though_the_clock_would_forbid_it_by_now() {
    let keys = RemoteKeys::at(&refused()).start().unwrap();
    keys.ready().await.unwrap_err();
    let mut progress = keys.progress.clone();
    for ended in 1..=3 {
        assert!(!keys.shared.cache().may_fetch(keys.shared.now()));
        keys.shared.request_fetch(ended);
        let waiting = progress.wait_for(|progress| progress.ended > ended);
        // Sooner than the backoff, which is the next reason to fetch.
        tokio::time::timeout(Duration::from_millis(400), waiting)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn request_for_a_fetch_that_has_ended_causes_no_other() {
    let keys = RemoteKeys::at(&refused()).start().unwrap();
    keys.ready().await.unwrap_err();
    keys.shared.request_fetch(0);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(keys.progress.borrow().ended, 1);
}

// A set may come between a look at the cache and the question for another one.
#[tokio::test]
async fn question_in_the_cool_down_is_answered_with_what_is_at_hand() {
    let keys = RemoteKeys::at(&refused()).start().unwrap();
    keys.ready().await.unwrap_err();
    let now = keys.shared.now();
    let answer = fetch::FetchResult::Set {
        keys: JwkSet::default(),
        tag: None,
        fresh_for: None,
    };
    let filled = keys.shared.cache().after_fetch(answer, now, now, 0.5);
    *keys.shared.cache.write().unwrap() = Arc::new(filled);
    assert!(!keys.shared.cache().may_fetch(keys.shared.now()));
    assert!(keys.refetched().await.is_ok());
    assert_eq!(keys.progress.borrow().ended, 1);
}
