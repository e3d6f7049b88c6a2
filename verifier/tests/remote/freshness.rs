//! What an issuer says about how long its answer is good, and whether it has changed.

use std::time::Duration;

use keywright_verifier::RemoteKeys;

use crate::fixtures::{
    Signer, complaint, eventually, first_set, hasty, in_time, milliseconds, now, set_of, together,
    verdict, verifier,
};
use crate::issuer::{Issuer, Reply, Request};

fn tagged(tag: &str, body: &[u8]) -> Reply {
    let tag = format!("etag: {tag}");
    Reply::http("200 OK", &["content-type: application/json", &tag], body)
}

/// Like an issuer that knows RFC 9110 §13.1.2.
fn conditional(request: &Request, tag: &str, body: &[u8]) -> Reply {
    match request.field("if-none-match") {
        Some(known) if known == tag => {
            let tag = format!("etag: {tag}");
            Reply::http("304 Not Modified", &[&tag, "cache-control: max-age=1"], "")
        }
        _ => tagged(tag, body),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cache_control_decides_within_the_bounds() {
    let mut issuers = Vec::new();
    for (lines, is_short) in [
        (&["cache-control: no-store"][..], true),
        (&["cache-control: no-cache, max-age=3600"], true),
        (&["cache-control: max-age=0"], true),
        (&["cache-control: max-age=soon"], true),
        (&["cache-control: public, max-age=1"], true),
        (&["cache-control: max-age=3600", "age: 3600"], true),
        (
            &["cache-control: max-age=3600", "age: 99999999999999999999"],
            true,
        ),
        (
            &["cache-control: max-age=3600", "cache-control: no-store"],
            true,
        ),
        (&[], false),
        (&["cache-control: max-age=3600"], false),
        (&["cache-control: max-age=18446744073709551615"], false),
        (&["cache-control: max-age=99999999999999999999999"], false),
        (&["expires: 0"], false),
        (&["cache-control: max-age=3600", "age: 60"], false),
    ] {
        issuers.push(async move {
            let known = Signer::new("known");
            let lines = [&["content-type: application/json"], lines].concat();
            let issuer = Issuer::start(Reply::http("200 OK", &lines, set_of([&known])));
            let keys = RemoteKeys::at(&issuer.url("/jwks"))
                .freshness(Duration::from_secs(1)..=Duration::from_secs(4))
                .start()
                .unwrap();
            first_set(&keys).await;
            eventually("a second request", async || issuer.count() >= 2).await;
            // 70 to 90 % of 1 s, or of 4 s, less what the first answer took on a machine that is busy.
            let requests = issuer.requests();
            let elapsed = requests[1].at - requests[0].at;
            let is_early = elapsed < milliseconds(2000);
            assert_eq!(is_early, is_short, "{lines:?}: {elapsed:?}");
            assert!(elapsed > milliseconds(450), "{lines:?}: {elapsed:?}");
            assert_eq!(verdict(&verifier(keys), &known.token()).await, "good");
        });
    }
    together(issuers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_set_is_not_sent_again_and_stays_in_use() {
    let known = Signer::new("known");
    let set = set_of([&known]);
    let issuer = Issuer::start(Reply::Silence);
    issuer.behave(move |request| conditional(request, "W/\"one\"", &set));
    let keys = hasty(RemoteKeys::at(&issuer.url("/jwks"))).start().unwrap();
    first_set(&keys).await;
    let verifier = verifier(keys.clone());
    let token = known.token();
    let start = now();
    // Longer than the set would be used if it were not renewed.
    while start.elapsed() < milliseconds(2500) {
        assert_eq!(verdict(&verifier, &token).await, "good");
        assert!(keys.age().unwrap() < milliseconds(1500));
        tokio::time::sleep(milliseconds(10)).await;
    }
    let requests = issuer.requests();
    assert!(requests.len() >= 3, "{requests:?}");
    assert_eq!(requests[0].field("if-none-match"), None);
    for request in &requests[1..] {
        assert_eq!(request.field("if-none-match"), Some("W/\"one\""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_set_comes_with_a_changed_tag() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let (old_set, new_set) = (set_of([&old]), set_of([&new]));
    let issuer = Issuer::start(Reply::Silence);
    issuer.behave(move |request| conditional(request, "\"one\"", &old_set));
    let keys = hasty(RemoteKeys::at(&issuer.url("/jwks"))).start().unwrap();
    first_set(&keys).await;
    let verifier = verifier(keys);
    issuer.behave(move |request| conditional(request, "\"two\"", &new_set));
    eventually("the new set", async || {
        verdict(&verifier, &new.token()).await == "good"
    })
    .await;
    assert_eq!(verdict(&verifier, &old.token()).await, "unknown-key");
    let count = issuer.count();
    eventually("another request", async || issuer.count() > count).await;
    let last = issuer.requests().pop().unwrap();
    assert_eq!(last.field("if-none-match"), Some("\"two\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failure_forgets_no_tag() {
    let known = Signer::new("known");
    let set = set_of([&known]);
    let issuer = Issuer::start(tagged("\"one\"", &set));
    let keys = hasty(RemoteKeys::at(&issuer.url("/jwks"))).start().unwrap();
    first_set(&keys).await;
    issuer.answer(Reply::http("500 Oh", &["etag: \"bad\""], ""));
    eventually("a failure", async || keys.last_error().is_some()).await;
    issuer.behave(move |request| conditional(request, "\"one\"", &set));
    eventually("recovery", async || keys.last_error().is_none()).await;
    let last = issuer.requests().pop().unwrap();
    assert_eq!(last.field("if-none-match"), Some("\"one\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tag_that_is_too_long_is_not_sent_back() {
    let known = Signer::new("known");
    let long = format!("\"{}\"", "x".repeat(300));
    let issuer = Issuer::start(tagged(&long, &set_of([&known])));
    let keys = hasty(RemoteKeys::at(&issuer.url("/jwks"))).start().unwrap();
    first_set(&keys).await;
    eventually("a second request", async || issuer.count() >= 2).await;
    assert_eq!(issuer.requests()[1].field("if-none-match"), None);
}

// The verifier has nothing that could be unchanged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_without_a_set_is_a_failure() {
    let issuer = Issuer::start(Reply::http("304 Not Modified", &["etag: \"one\""], ""));
    let keys = RemoteKeys::at(&issuer.url("/jwks")).start().unwrap();
    assert!(in_time("a failure", keys.ready()).await.is_err());
    assert!(complaint(&keys).contains("304"), "{}", complaint(&keys));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_tells_the_issuer_what_it_may_answer_and_no_more() {
    let issuer = Issuer::start(Reply::json(set_of([&Signer::new("known")])));
    let keys = RemoteKeys::at(&issuer.url("/jwks?tenant=1"))
        .start()
        .unwrap();
    first_set(&keys).await;
    let request = issuer.requests().pop().unwrap();
    assert_eq!(request.path, "/jwks?tenant=1");
    assert_eq!(
        request.field("accept"),
        Some("application/jwk-set+json, application/json")
    );
    assert!(
        request
            .field("user-agent")
            .unwrap()
            .starts_with("keywright-verifier/")
    );
    for absent in ["accept-encoding", "cookie", "authorization", "referer"] {
        assert_eq!(request.field(absent), None, "{absent}");
    }
}

// Object stores and static hosts call a key set what they like; what it is says its content.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_taken_whatever_their_type_is_said_to_be() {
    let known = Signer::new("known");
    for lines in [
        &["content-type: application/json"][..],
        &["content-type: application/jwk-set+json; charset=utf-8"],
        &["content-type: text/plain"],
        &["content-type: text/html"],
        &["content-type: application/octet-stream"],
        &["content-type: binary/octet-stream"],
        &["content-type: ;"],
        &["content-type: application/json", "content-type: text/plain"],
        &[],
    ] {
        let issuer = Issuer::start(Reply::http("200 OK", lines, set_of([&known])));
        // Kept fresh, and for a single check.
        let keys = RemoteKeys::at(&issuer.url("/jwks")).start().unwrap();
        first_set(&keys).await;
        let once = RemoteKeys::at(&issuer.url("/jwks")).fetch().await.unwrap();
        assert_eq!(once.keys(), [known.jwk()], "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_fetch_says_why_no_keys_came() {
    for (reply, part) in [
        (Reply::http("404 Not Found", &[], ""), "status 404"),
        (
            Reply::http("302 Found", &["location: /jwks"], ""),
            "status 302",
        ),
        (Reply::http("304 Not Modified", &[], ""), "status 304"),
        (Reply::json("<html>"), "no usable JWK set"),
        (Reply::json(r#"{"keys":[]}"#), "no usable JWK set"),
    ] {
        let issuer = Issuer::start(reply);
        let error = RemoteKeys::at(&issuer.url("/jwks"))
            .fetch()
            .await
            .unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = RemoteKeys::at("http://id.example/jwks")
        .fetch()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("https"), "{error}");
}
