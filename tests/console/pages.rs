//! What pages show.

use serde_json::json;

use crate::browser::{Browser, text};
use crate::support::start;
use crate::world::{create_issuer, eventually, kid};

#[test]
fn the_first_page_shows_every_issuer_and_what_comes() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page("/console");
    for shown in [
        "2 issuers",
        "Nothing waits.",
        "/console/issuers/shop",
        "in order",
        "publishes the next",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

#[test]
fn an_issuers_page_has_its_timeline_as_a_picture_and_as_a_table() {
    let server = start("");
    create_issuer(
        &server,
        "shop",
        json!({"lead": "7d", "rotation": {"every": "30d"}}),
    );
    let active = kid(&server, "shop", "active");
    let mut browser = Browser::signed_in(&server, &server.admin);
    for span in [
        "",
        "?span=day",
        "?span=weeks",
        "?span=year",
        "?span=nonsense",
    ] {
        let page = browser.page(&format!("/console/issuers/shop{span}"));
        for shown in [
            "<svg class=\"chart\"",
            "class=\"bar active\"",
            &format!("title=\"{active}\""),
            "every 30 d",
            "published 7 d before it signs",
        ] {
            assert!(page.contains(shown), "{span} {shown}: {page}");
        }
    }
    // No verifier holds an older set than the first: its successor is ready at once, the next one is not.
    let page = browser.page("/console/issuers/shop");
    let answer = browser.submit(&page, "/console/issuers/shop/rotate", &[]);
    assert!(text(&answer).contains("Rotated."), "{}", text(&answer));
    let active = kid(&server, "shop", "active");
    let page = browser.page("/console/issuers/shop");
    assert!(page.contains("Cannot rotate ES256 yet."), "{page}");
    let answer = browser.submit(&page, "/console/issuers/shop/rotate", &[]);
    assert_eq!(answer.status, 409, "{}", text(&answer));
    assert!(text(&answer).contains("Not done."), "{}", text(&answer));
    let answer = browser.submit(&page, "/console/issuers/shop/rotate", &[("force", "yes")]);
    assert_eq!(answer.status, 200);
    assert!(
        text(&answer).contains("Rotated by force."),
        "{}",
        text(&answer)
    );
    assert_ne!(kid(&server, "shop", "active"), active);
}

#[test]
fn a_rotation_that_takes_two_people_waits_and_says_so() {
    let server = start("");
    create_issuer(&server, "shop", json!({"confirmation": "second-person"}));
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page("/console/issuers/shop");
    let fields = [("force", "yes"), ("reason", "INC-1")];
    let answer = browser.submit(&page, "/console/issuers/shop/rotate", &fields);
    assert!(
        text(&answer).contains("Nothing has happened yet."),
        "{}",
        text(&answer)
    );
    let page = browser.page("/console");
    for shown in [
        "Needs a person: 1",
        "second person",
        "rotate by force",
        "INC-1",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

#[test]
fn a_canary_is_shown_and_taken_back() {
    let server = start("");
    let changes = json!({
        "algorithms": ["ES256"], "rotation": {"every": "12s"}, "lead": "1s", "jwks_max_age": "1s",
        "stale_if_error": "0s", "clock_skew": "0s", "canary": {"share": 0.25, "for": "10s"},
        "default_token_ttl": "60s", "max_token_ttl": "60s",
    });
    create_issuer(&server, "shop", changes);
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page("/console/issuers/shop");
    assert!(!page.contains("A canary signs"), "none signs yet");
    let active = kid(&server, "shop", "active");
    let page = eventually("a canary", || {
        let page = browser.page("/console/issuers/shop");
        page.contains("A canary signs").then_some(page)
    });
    for shown in ["bar canary", "state canary", "signs a share"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let fields = [("reason", "INC-9: a verifier refuses it")];
    let answer = browser.submit(&page, "/console/issuers/shop/canary", &fields);
    let said = text(&answer);
    assert!(said.contains("The canary is taken back."), "{said}");
    assert_eq!(kid(&server, "shop", "active"), active);
    assert!(!said.contains("A canary signs"), "{said}");
}
