//! What a client is told of its rate, and that the numbers are right.

use std::time::Instant;

use axum::http::HeaderMap;
use serde_json::{Value, json};

use crate::world::{Api, World};

struct Limited {
    api: Api,
    credential: String,
    since: Instant,
}

/// A client with one signature a second, and this burst.
async fn limited(burst: u64) -> Limited {
    let world = World::new().await;
    world.issuer("a", json!({})).await;
    world.issuer("b", json!({})).await;
    let rate = json!({"signatures_per_second": 1, "burst": burst});
    let (_, credential) = world.client(json!({"limits": {"rate": rate}})).await;
    Limited {
        api: Api::of(&world),
        credential,
        since: Instant::now(),
    }
}

impl Limited {
    async fn call(&self, call: &str, body: Value) -> (u16, HeaderMap, Value) {
        self.api.answer(&self.credential, call, &body).await
    }

    async fn signs(&self) -> (u16, HeaderMap, Value) {
        self.call("POST /issuers/a/tokens", json!({"claims": {}}))
            .await
    }

    async fn batch(&self, count: usize) -> (u16, HeaderMap, Value) {
        let requests = vec![json!({"claims": {}}); count];
        self.call(
            "POST /issuers/a/tokens/batch",
            json!({"requests": requests}),
        )
        .await
    }

    /// So many are left of the burst, or more if a second has passed meanwhile.
    fn assert_left(&self, headers: &HeaderMap, burst: u64, left: u64) {
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!(
            text("ratelimit-policy"),
            format!("\"signatures\";q={burst};w={burst}")
        );
        let limit = text("ratelimit");
        let number = |name: &str| -> u64 {
            let part = limit.split(';').find_map(|part| part.strip_prefix(name));
            part.unwrap().parse().unwrap()
        };
        let refilled = self.since.elapsed().as_secs();
        let (said, full_in) = (number("r="), number("t="));
        assert!(
            (left..=left + refilled).contains(&said),
            "{limit}, not {left}"
        );
        assert_eq!(full_in, burst - said, "{limit}");
    }
}

#[tokio::test]
async fn each_signature_is_counted_and_the_one_too_many_is_told_when_to_come_back() {
    let limited = limited(5).await;
    for left in (0..5).rev() {
        let (status, headers, _) = limited.signs().await;
        assert_eq!(status, 201);
        limited.assert_left(&headers, 5, left);
    }
    let mut refused = limited.signs().await;
    while refused.0 == 201 {
        refused = limited.signs().await;
    }
    let (status, headers, problem) = refused;
    assert_eq!((status, &problem["code"]), (429, &json!("rate-limited")));
    assert_eq!(headers["retry-after"], "1");
    limited.assert_left(&headers, 5, 0);
    // Another issuer has no other bucket.
    let (status, ..) = limited
        .call("POST /issuers/b/tokens", json!({"claims": {}}))
        .await;
    assert!(status == 429 || limited.since.elapsed().as_secs() > 0);
}

#[tokio::test]
async fn a_batch_takes_what_it_has_and_a_refused_one_takes_nothing() {
    let limited = limited(1000).await;
    let (status, headers, _) = limited.batch(600).await;
    assert_eq!(status, 200);
    limited.assert_left(&headers, 1000, 400);
    for _ in 0..2 {
        let (status, headers, problem) = limited.batch(600).await;
        assert_eq!((status, &problem["code"]), (429, &json!("rate-limited")));
        limited.assert_left(&headers, 1000, 400);
        let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(
            (190..=200).contains(&wait),
            "{wait} seconds for 200 signatures"
        );
    }
    let (status, headers, _) = limited.batch(300).await;
    assert_eq!(status, 200);
    limited.assert_left(&headers, 1000, 100);
}

#[tokio::test]
async fn a_batch_over_the_burst_will_never_be_signed_and_is_told_so() {
    let limited = limited(5).await;
    let (status, headers, problem) = limited.batch(6).await;
    assert_eq!((status, &problem["code"]), (403, &json!("client-limit")));
    assert_eq!(
        (&problem["rule"], &problem["claim"]),
        (&json!("rate"), &json!("requests"))
    );
    assert!(!headers.contains_key("retry-after"));
    assert_eq!(limited.batch(5).await.0, 200, "nothing was taken");
}

#[tokio::test]
async fn a_request_that_breaks_a_limit_costs_a_signature_and_one_without_a_role_none() {
    let limited = limited(3).await;
    let (status, ..) = limited
        .call("POST /issuers/a/tokens", json!({"claim": {}}))
        .await;
    assert_eq!(status, 400);
    let (status, ..) = limited.call("GET /issuers/a/keys", Value::Null).await;
    assert_eq!(status, 403);
    let (_, headers, _) = limited.signs().await;
    limited.assert_left(&headers, 3, 1);
}

#[tokio::test]
async fn a_client_without_a_rate_is_told_of_none() {
    let world = World::new().await;
    world.issuer("a", json!({})).await;
    let (_, credential) = world.client(json!({})).await;
    let api = Api::of(&world);
    for _ in 0..100 {
        let request = json!({"claims": {}});
        let call = api.answer(&credential, "POST /issuers/a/tokens", &request);
        let (status, headers, _) = call.await;
        assert_eq!(status, 201);
        assert!(!headers.contains_key("ratelimit") && !headers.contains_key("ratelimit-policy"));
    }
}
