//! A client's page, and whether it would get a token.

use serde_json::json;

use crate::browser::{Browser, text};
use crate::support::start;
use crate::world::{create_client, create_issuer, credential};

#[test]
fn a_client_is_asked_for_a_token_that_nothing_signs() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let body = json!({
        "name": "orders <b>", "roles": ["issuer"],
        "limits": {"audiences": ["orders"], "rate": {"signatures_per_second": 1, "burst": 1}},
    });
    let client = server.call("POST", "/v1/clients", Some(&body)).json();
    let path = format!("/console/clients/{}", client["id"].as_str().unwrap());
    let mut browser = Browser::signed_in(&server, &server.admin);
    assert!(browser.page("/console/clients").contains(&path));
    let page = browser.page(&path);
    for shown in [
        "orders &lt;b&gt;",
        "For orders.",
        "1 a second, 1 at once.",
        "Would this be signed?",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let mut ask = |claims: &str, more: (&str, &str)| {
        let fields = [("issuer", "shop"), ("claims", claims), more];
        let answer = browser.submit(&page, &path, &fields);
        (answer.status, text(&answer))
    };
    let good = "{\r\n  \"sub\": \"user-1\",\r\n  \"aud\": \"orders\"\r\n}";
    for _ in 0..3 {
        let (status, page) = ask(good, ("expires_in", "60"));
        assert_eq!(status, 200);
        assert!(page.contains("A token would be signed."), "{page}");
        assert!(page.contains("http://127.0.0.1:8080/shop"), "{page}");
    }
    let other = "{\"aud\": \"<i>elsewhere\"}";
    for (claims, more, expected, words) in [
        (other, ("typ", ""), 200, "<code>client-limit</code>"),
        (good, ("expires_in", "soon"), 400, "<code>field-type</code>"),
        (good, ("alg", "none"), 400, "<code>unknown-algorithm</code>"),
        (
            "{\"sub\": \"a\", \"sub\": \"b\"}",
            ("typ", ""),
            400,
            "No token would be signed.",
        ),
    ] {
        let (status, page) = ask(claims, more);
        assert_eq!(status, expected, "{page}");
        assert!(page.contains("No token would be signed."), "{page}");
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(
        ask(other, ("typ", "")).1.contains("&lt;i&gt;elsewhere"),
        "what was typed stays"
    );
    let (status, page) = ask("{\"sub\": ", ("typ", ""));
    assert_eq!(status, 422);
    assert!(page.contains("The claims are no JSON"), "{page}");
    let token = json!({"claims": {"aud": "orders"}});
    let signed = server.call_as(
        Some(&credential(&client)),
        "POST",
        "/v1/issuers/shop/tokens",
        Some(("application/json", token.to_string().into_bytes())),
    );
    assert_eq!(signed.status, 201, "no signature was taken from the rate");
    let auditor = create_client(&server, "auditor", &["auditor"]);
    let mut browser = Browser::signed_in(&server, &credential(&auditor));
    assert_eq!(browser.get(&path).status, 403);
    assert_eq!(browser.get("/console/clients/none").status, 403);
}
