//! What others have written stays text, wherever it is shown.

use serde_json::json;

use crate::browser::{Browser, encoded};
use crate::support::start;
use crate::world::{create_issuer, kid};

/// Mark-up, quotes, and marks that turn the direction of writing.
fn hostile() -> String {
    let text =
        "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u{202e}gnirts\u{2066}&amp;";
    let fill = "x".repeat(512 - text.chars().count());
    format!("{text}{fill}")
}

fn check(page: &str, place: &str) {
    for part in ["<script>alert", "<img", "\u{202e}", "\u{2066}"] {
        assert!(!page.contains(part), "{part:?} stands in {place}: {page}");
    }
}

#[test]
fn names_and_reasons_stay_text() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let hostile: String = hostile().chars().take(500).collect();
    let name = "<script>alert(1)</script>\"'&";
    let body = json!({"name": name, "roles": ["admin", "security", "auditor"]});
    let client = server.call("POST", "/v1/clients", Some(&body)).json();
    let credential = client["credential"].as_str().unwrap();
    // A reason with marks that cannot be seen may be refused; then without.
    let active = kid(&server, "shop", "active");
    let path = format!("/v1/issuers/shop/keys/{active}/revoke");
    let visible: String = hostile.chars().filter(char::is_ascii).collect();
    let answers = [&hostile, &visible].map(|reason| {
        server
            .call("POST", &path, Some(&json!({"reason": reason})))
            .status
    });
    assert!(answers.contains(&200), "{answers:?}");
    let mut browser = Browser::signed_in(&server, credential);
    for path in [
        "/console".to_owned(),
        "/console/issuers/shop".to_owned(),
        format!("/console/issuers/{}", encoded(&hostile)),
        format!("/console/issuers/shop?span={}", encoded(&hostile)),
        format!("/console?after={}", encoded(&hostile)),
    ] {
        let answer = browser.get(&path);
        check(&crate::browser::text(&answer), &path);
    }
    let page = browser.page("/console/issuers/shop");
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    let mut outside = Browser::at(&server);
    for path in [
        format!("/console/sign-in?to={}", encoded(&hostile)),
        format!("/console/enter?link={}", encoded(&hostile)),
        format!("/console/{}", encoded(&hostile)),
    ] {
        check(&crate::browser::text(&outside.get(&path)), &path);
    }
}
