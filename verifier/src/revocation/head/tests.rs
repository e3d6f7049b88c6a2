use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::revocation::{Digest, feed_url};

fn head() -> Head {
    let record = |byte| Record {
        digest: Digest::new([byte; 16]),
        issued_before: Some(u64::from(byte)),
    };
    Head {
        issuer: "https://id.example".to_owned(),
        feed: feed_url("https://id.example"),
        issued_at_milliseconds: 1_767_225_600_123,
        max_age_seconds: 60,
        nonce: Some("abc-_9".to_owned()),
        content: Content {
            salt: Salt::new([5; 32]),
            kinds: SelectorKinds::from_iter([SelectorKind::Jti, SelectorKind::SubjectAndSession]),
            recent: vec![record(1), record(2)],
            segments: vec![
                SegmentReference {
                    hash: [1; 32],
                    count: 1,
                },
                SegmentReference {
                    hash: [2; 32],
                    count: u32::MAX,
                },
            ],
        },
    }
}

#[test]
fn claims_are_those_of_the_format() {
    let claims = Value::Object(head().claims());
    assert_eq!(claims["iss"], "https://id.example");
    assert_eq!(claims["sub"], "https://id.example/.well-known/revocations");
    assert_eq!(claims["iat"].to_string(), "1767225600.123");
    assert_eq!(claims["exp"].to_string(), "1767225660");
    assert_eq!(claims["max_age"], 60);
    assert_eq!(claims["nonce"], "abc-_9");
    assert_eq!(claims["recent"].as_str().unwrap().len(), 64);
    assert_eq!(claims["segments"][1]["count"], u32::MAX);
    let names: Vec<_> = claims.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        names.join(" "),
        "exp iat iss kinds max_age nonce recent root salt segments sub"
    );
    assert_eq!(claims["kinds"], json!([1, 9]));
    let whole = Head {
        issued_at_milliseconds: 1000,
        nonce: None,
        ..head()
    };
    assert_eq!(whole.claims()["iat"].to_string(), "1");
    assert!(!whole.claims().contains_key("nonce"));
}

#[test]
fn path_of_an_issuer_stands_before_that_of_its_feed() {
    for issuer in ["https://id.example/tenant", "https://id.example/tenant/"] {
        assert_eq!(
            feed_url(issuer),
            "https://id.example/tenant/.well-known/revocations"
        );
    }
}

#[test]
fn claims_that_are_no_head_are_refused() {
    let zeroes = |bytes: usize| json!(base64url::encode(&vec![0; bytes]));
    let segment = |hash: usize, count: Value| json!({"hash": zeroes(hash), "count": count});
    for (claim, value) in [
        ("iss", json!(1)),
        ("sub", json!(null)),
        ("iat", json!("1767225600")),
        ("iat", json!(-1)),
        ("iat", json!(1e15)),
        ("exp", json!(1_767_225_661)),
        ("max_age", json!(0)),
        ("max_age", json!(86_401)),
        ("max_age", json!(60.5)),
        ("max_age", json!(-60)),
        ("kinds", json!("1")),
        ("kinds", json!(["1"])),
        ("kinds", json!([-1])),
        ("salt", zeroes(31)),
        ("salt", json!("not base64url!")),
        ("root", zeroes(32)),
        ("root", zeroes(16)),
        ("recent", zeroes(23)),
        ("recent", zeroes(65 * 24)),
        ("recent", zeroes(24)),
        ("segments", json!({})),
        ("segments", json!(["x"])),
        ("segments", json!([])),
        ("segments", json!([segment(31, json!(1))])),
        ("segments", json!([segment(32, json!(0))])),
        ("segments", json!([segment(32, json!(4_294_967_296_u64))])),
        ("segments", json!([segment(32, json!(-1))])),
        (
            "segments",
            json!([segment(32, json!(1)), segment(32, json!(1))]),
        ),
        ("segments", json!(vec![segment(32, json!(1)); 65])),
        ("nonce", json!("")),
        ("nonce", json!("a b")),
        ("nonce", json!("a".repeat(65))),
        ("aud", json!("orders")),
        ("scope", json!("orders:read")),
        ("client_id", json!("orders")),
    ] {
        let mut claims = head().claims();
        claims.insert(claim.to_owned(), value.clone());
        let refusal = Head::read(claims, HeadKind::Feed).map(drop);
        assert!(refusal.is_err(), "{claim} {value}");
    }
    let is_required = |claim: &&String| !["nonce", "kinds"].contains(&claim.as_str());
    for claim in head().claims().keys().filter(is_required) {
        let mut claims = head().claims();
        claims.remove(claim);
        assert!(Head::read(claims, HeadKind::Feed).is_err(), "no {claim}");
    }
}

#[test]
fn unknown_claims_are_passed_over() {
    let mut claims = head().claims();
    claims.insert("later".to_owned(), json!([1]));
    assert_eq!(Head::read(claims, HeadKind::Feed), Ok(head()));
}

#[test]
fn max_age_has_other_bounds_in_a_file() {
    let is_valid = |max_age_seconds, kind| {
        let claims = Head {
            max_age_seconds,
            ..head()
        }
        .claims();
        Head::read(claims, kind).is_ok()
    };
    for (seconds, in_feed, in_file) in [
        (0, false, false),
        (1, true, false),
        (59, true, false),
        (60, true, true),
        (86_400, true, true),
        (86_401, false, true),
        (31_622_400, false, true),
        (31_622_401, false, false),
    ] {
        assert_eq!(is_valid(seconds, HeadKind::Feed), in_feed, "{seconds}");
        assert_eq!(is_valid(seconds, HeadKind::File), in_file, "{seconds}");
    }
}

#[test]
fn a_head_that_names_no_kinds_may_have_all() {
    let mut claims = head().claims();
    claims.remove("kinds");
    let read = Head::read(claims, HeadKind::Feed).unwrap();
    assert_eq!(read.content.kinds, SelectorKinds::ALL);
    assert_eq!(
        read.content.kinds,
        SelectorKinds::from_iter(SelectorKind::ALL)
    );
    let mut claims = head().claims();
    claims.insert("kinds".to_owned(), json!([3, 200]));
    let read = Head::read(claims, HeadKind::Feed).unwrap();
    let kinds: Vec<_> = read.content.kinds.iter().collect();
    assert_eq!(kinds, [SelectorKind::Subject]);
}

proptest! {
    #[test]
    fn head_is_read_as_it_was_written(
        issued_at_milliseconds in 0_u64..10_000_000_000_000,
        max_age_seconds in 1_u64..=86_400,
    ) {
        let head = Head { issued_at_milliseconds, max_age_seconds, ..head() };
        let text = Value::Object(head.claims()).to_string();
        let claims = crate::json::parse(text.as_bytes(), 8).unwrap();
        let claims = claims.as_object().unwrap().clone();
        prop_assert_eq!(Head::read(claims, HeadKind::Feed), Ok(head));
    }
}
