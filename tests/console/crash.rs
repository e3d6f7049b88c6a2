//! `kill -9` in the middle of a revocation that was made in the console.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::{Browser, text};
use crate::support::{Server, report, start, start_in};
use crate::world::{create_issuer, jwks_path, keys, kid, ok};

const REVOKE: &str = "/console/issuers/shop/revoke";

/// How long after the form was sent the service is killed, in milliseconds.
const WAITS: [u64; 6] = [0, 2, 5, 9, 15, 400];

fn state_of(server: &Server, kid: &str) -> Value {
    let mut keys = keys(server, "shop").into_iter();
    let key = keys.find(|key| key["kid"] == kid);
    key.expect("the key")["state"].take()
}

/// Why the key is revoked: no other key has the same reason.
fn reason(kid: &str) -> String {
    format!("INC of {kid}")
}

/// The page of the issuer after the crash tells what is so, and the form does what is left to do.
fn assert_page_is_true(server: &Server, browser: &mut Browser, kid: &str) -> bool {
    let is_revoked = state_of(server, kid) == "revoked";
    let page = browser.page("/console/issuers/shop");
    let offers = page.contains(&format!("revoke?kid={kid}"));
    assert_eq!(
        offers, !is_revoked,
        "the page offers what is left to do: {page}"
    );
    assert_eq!(page.contains(&reason(kid)), is_revoked, "{page}");
    let published = text(&server.fetch(&jwks_path("shop"))).contains(kid);
    assert_eq!(published, !is_revoked, "the key set says the same");
    let path = format!("/v1/audit?event=key-revoked&kid={kid}");
    let events = ok(server.call("GET", &path, None));
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.len(), usize::from(is_revoked), "{events:?}");
    assert!(
        events
            .iter()
            .all(|event| event["actor"]["via"] == "console")
    );
    let reason = reason(kid);
    let fields = [("kid", kid), ("reason", &reason), ("typed", &kid[..8])];
    let again = browser.submit(&page, REVOKE, &fields);
    let expected = match is_revoked {
        true => (409, "cannot be revoked any more"),
        false => (200, "Revoked at"),
    };
    assert_eq!(again.status, expected.0);
    assert!(text(&again).contains(expected.1), "{}", text(&again));
    assert_eq!(state_of(server, kid), "revoked");
    is_revoked
}

#[test]
fn a_revocation_that_is_killed_has_happened_or_not_and_the_page_says_which() {
    let mut server = start("");
    create_issuer(&server, "shop", json!({}));
    let mut browser = Browser::signed_in(&server, &server.admin);
    let (mut done, mut undone) = (0, 0);
    for wait in WAITS {
        let active = kid(&server, "shop", "active");
        let page = browser.page(&format!("{REVOKE}?kid={active}"));
        let reason = reason(&active);
        let fields = [
            ("kid", active.as_str()),
            ("reason", &reason),
            ("typed", &active[..8]),
        ];
        let sent = thread::spawn(browser.sender(&page, REVOKE, &fields));
        thread::sleep(Duration::from_millis(wait));
        let folder = server.kill();
        let answer = sent.join().expect("the sender");
        server = start_in(folder, "").unwrap_or_else(|log| panic!("no start: {log}"));
        browser = browser.moved_to(&server);
        let is_revoked = assert_page_is_true(&server, &mut browser, &active);
        if let Some(answer) = answer {
            assert!(text(&answer).contains("Revoked at"), "{}", text(&answer));
            assert!(is_revoked, "what was acknowledged is there");
        }
        done += usize::from(is_revoked);
        undone += usize::from(!is_revoked);
    }
    assert!(done > 0, "the last one had all the time that it needs");
    report(&format!(
        "revocations in the console: {done} done, {undone} not"
    ));
}
