//! A status list at a replica that cannot read the store: it is not called fresh, and comes again.

use std::thread::sleep;
use std::time::{Duration, Instant};

use keywright_verifier::Jws;
use keywright_verifier::status_list::{INVALID, StatusListToken, VALID};
use serde_json::{Value, json};

use crate::proxy::Line;
use crate::support::postgres::Postgres;
use crate::support::{Answer, now_millis, request};
use crate::turn;
use crate::world::{Fleet, ISSUER, STALENESS};

/// The replica that is cut off.
const CUT: usize = 1;

/// Another one.
const OTHER: usize = 0;

/// A list as a replica serves it.
fn fetch(fleet: &Fleet<'_>, replica: usize, path: &str) -> Answer {
    let public = fleet.addresses.read().unwrap()[replica].public.clone();
    request("GET", &format!("{public}{path}"), &[], None)
}

/// When a list says that it was true, and the status of an entry.
fn read(answer: &Answer, index: u64) -> (u64, u8) {
    assert_eq!(answer.status, 200);
    let jws = std::str::from_utf8(&answer.body).unwrap();
    let claims = Jws::inspect(jws, 65_536).unwrap().claims;
    let issued_at = claims["iat"].as_u64().unwrap();
    let list = StatusListToken::read(claims, 131_072).unwrap();
    (issued_at, list.list.status(index).unwrap())
}

#[test]
fn a_status_list_that_cannot_be_read_from_the_store_is_no_list_until_it_can() {
    let _turn = turn();
    let Some(postgres) = Postgres::start("") else {
        return;
    };
    let fleet = Fleet::start(&postgres);
    let path = "/v1/issuers/default";
    let mut policy = fleet.call(OTHER, "GET", path, None).unwrap().json()["policy"].take();
    policy["status"] = json!(true);
    policy["rotation"] = json!({"every": "1h"});
    policy["default_token_ttl"] = json!("5m");
    policy["max_token_ttl"] = json!("5m");
    let set = fleet.call(OTHER, "PUT", path, Some(&policy)).unwrap();
    assert_eq!(set.status, 200, "{}", set.json());
    fleet.recovers();
    let body = json!({"claims": {"sub": "user-1"}});
    let signed = fleet.call(OTHER, "POST", &format!("{path}/tokens"), Some(&body));
    let signed = signed.unwrap().json();
    let claims = Jws::inspect(signed["token"].as_str().unwrap(), 65_536)
        .unwrap()
        .claims;
    let entry = &claims["status"]["status_list"];
    let list = entry["uri"]
        .as_str()
        .unwrap()
        .strip_prefix(ISSUER)
        .unwrap()
        .to_owned();
    let index = entry["idx"].as_u64().unwrap();
    assert_eq!(read(&fetch(&fleet, CUT, &list), index).1, VALID);

    fleet.proxies[CUT].set(Line::Silent);
    let cut_at = now_millis() / 1000;
    let taken = json!({"jti": signed["jti"]});
    let revoked = fleet.call(OTHER, "POST", &format!("{path}/revocations"), Some(&taken));
    assert_eq!(revoked.unwrap().status, 201);
    // What it still says is of a moment at which it knew the store.
    let refused = loop {
        let answer = fetch(&fleet, CUT, &list);
        if answer.status != 200 {
            break answer;
        }
        let (issued_at, status) = read(&answer, index);
        assert!(issued_at <= cut_at + 1, "{issued_at} is after {cut_at}");
        assert_eq!(status, VALID);
        let longest = STALENESS.as_secs() + 35;
        assert!(
            now_millis() / 1000 < cut_at + longest,
            "an old list is served on and on"
        );
        sleep(Duration::from_millis(100));
    };
    assert_eq!(refused.status, 503);
    let problem: Value = refused.json();
    assert_eq!(problem["code"], "revocations-unavailable", "{problem}");
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(read(&fetch(&fleet, OTHER, &list), index).1, INVALID);

    fleet.proxies[CUT].set(Line::Whole);
    let began = Instant::now();
    while fetch(&fleet, CUT, &list).status != 200 {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "it never came again"
        );
        sleep(Duration::from_millis(100));
    }
    let (issued_at, status) = read(&fetch(&fleet, CUT, &list), index);
    assert!(issued_at > cut_at, "{issued_at} is not after {cut_at}");
    assert_eq!(status, INVALID);
}
