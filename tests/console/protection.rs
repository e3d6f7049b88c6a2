//! What a page elsewhere cannot do.

use serde_json::json;

use crate::browser::{Browser, FORM, form, hidden, text};
use crate::support::{request, start};
use crate::world::{create_client, credential};

#[test]
fn every_answer_has_the_headers_that_protect_it() {
    let server = start("");
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page("/console");
    let style = page
        .split("href=\"")
        .find(|rest| rest.starts_with("/console/assets/"));
    let style = style.unwrap().split('"').next().unwrap().to_owned();
    let mut answers = vec![
        browser.get("/console"),
        browser.get("/console/issuers/default"),
        browser.get("/console/issuers/unknown"),
        browser.get("/console/no-such-page"),
        browser.get(&style),
    ];
    answers.push(Browser::at(&server).get("/console"));
    answers.push(Browser::at(&server).get("/console/sign-in"));
    answers.push(Browser::at(&server).sign_in("kw_wrong"));
    for answer in &answers {
        let header = |name| answer.header(name).unwrap_or_else(|| panic!("no {name}"));
        let policy = header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let page = text(answer);
        for inline in [" style=", "<style", " onclick", "javascript:", "<script>"] {
            assert!(!page.contains(inline), "{inline} in {page}");
        }
    }
    assert_eq!(answers[0].header("cache-control"), Some("no-store"));
    let cached = answers[4].header("cache-control").unwrap();
    assert!(cached.contains("immutable"), "{cached}");
}

#[test]
fn a_form_from_elsewhere_changes_nothing() {
    let server = start("");
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page("/console/issuers/default");
    let token = hidden(&page, "form_token");
    let path = "/console/issuers/default/rotate";
    let origin = server.internal.clone();
    let version = || server.call("GET", "/v1/issuers/default", None).json()["version"].clone();
    let before = version();
    let whole = [("form_token", token.as_str()), ("force", "yes")];
    for from in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site"), ("origin", &origin)],
        &[("sec-fetch-site", "none")],
        &[("origin", "http://attacker.example")],
        &[("origin", "null")],
        &[],
    ] {
        let answer = browser.send_from(from, path, &whole);
        assert_eq!(answer.status, 403, "{from:?}");
    }
    // A token of another session, a wrong one, and none.
    let client = create_client(&server, "second", &["security"]);
    let mut second = Browser::signed_in(&server, &credential(&client));
    let foreign = hidden(&second.page("/console/issuers/default"), "form_token");
    for token in [foreign.as_str(), "x", ""] {
        let answer = browser.send(path, &[("form_token", token), ("force", "yes")]);
        assert_eq!(answer.status, 403, "{token}");
    }
    assert_eq!(version(), before);
    // A browser that says only its origin is one, too.
    let answer = browser.send_from(&[("origin", &origin)], path, &whole);
    assert_eq!(answer.status, 200, "{}", text(&answer));
    assert_ne!(version(), before);
    // Another site cannot sign a user in either.
    let mut other = Browser::at(&server);
    let fields = [("credential", server.admin.as_str())];
    let answer = other.send_from(
        &[("sec-fetch-site", "cross-site")],
        "/console/sign-in",
        &fields,
    );
    assert_eq!(answer.status, 403);
    assert!(other.cookies.is_empty());
}

#[test]
fn a_loopback_console_is_known_by_names_of_the_machine_alone() {
    let server = start("console.hosts = [\"keys.example\"]\n");
    for (host, expected) in [
        ("localhost", 200),
        ("127.0.0.1:1", 200),
        ("keys.example", 200),
        ("attacker.example", 421),
        ("127.0.0.1.attacker.example:8081", 421),
    ] {
        let url = format!("{}/console/sign-in", server.internal);
        let answer = request("GET", &url, &[("host", host.to_owned())], None);
        assert_eq!(answer.status, expected, "{host}");
        let headers = [
            ("host", host.to_owned()),
            ("sec-fetch-site", "same-origin".to_owned()),
        ];
        let body = Some((FORM, form(&[("credential", "kw_wrong")])));
        let answer = request("POST", &url, &headers, body);
        assert_eq!(answer.status == 421, expected == 421, "{host}");
    }
    // The API derives nothing from the host, and answers.
    let headers = [
        ("host", "attacker.example".to_owned()),
        ("authorization", format!("Bearer {}", server.admin)),
    ];
    let url = format!("{}/v1/issuers", server.internal);
    assert_eq!(request("GET", &url, &headers, None).status, 200);
}

#[test]
fn the_console_does_nothing_that_the_api_would_not() {
    let server = start("");
    let client = create_client(&server, "reader", &["auditor"]);
    let mut browser = Browser::signed_in(&server, &credential(&client));
    let page = browser.page("/console/issuers/default");
    assert!(page.contains("You may look, not act"), "{page}");
    let answer = browser.submit(
        &page,
        "/console/issuers/default/rotate",
        &[("force", "yes")],
    );
    assert_eq!(answer.status, 403);
    assert!(
        text(&answer).contains("This needs the role security"),
        "{}",
        text(&answer)
    );
    // Limits hold, too.
    let body = json!({"name": "other", "roles": ["auditor"], "limits": {"issuers": ["other"]}});
    let client = server.call("POST", "/v1/clients", Some(&body)).json();
    let mut browser = Browser::signed_in(&server, &credential(&client));
    assert_eq!(browser.get("/console/issuers/default").status, 403);
    assert!(
        !browser
            .page("/console")
            .contains("/console/issuers/default")
    );
    // An issuer sees that it sees nothing.
    let client = create_client(&server, "signer", &["issuer"]);
    let mut browser = Browser::signed_in(&server, &credential(&client));
    let page = browser.page("/console");
    assert!(page.contains("You may not see this"), "{page}");
}

#[test]
fn events_say_that_the_console_was_the_way() {
    let server = start("");
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page("/console/issuers/default");
    let fields = [("force", "yes"), ("reason", "a drill")];
    let answer = browser.submit(&page, "/console/issuers/default/rotate", &fields);
    assert_eq!(answer.status, 200, "{}", text(&answer));
    let path = "/v1/audit?event=key-activated&limit=1000";
    let events = server.call("GET", path, None).json();
    let events = events["events"].as_array().unwrap().clone();
    let event = events.iter().find(|event| event["reason"] == "a drill");
    let actor = &event.expect("the event")["actor"];
    assert_eq!(actor["via"], "console", "{actor}");
    assert_eq!(actor["name"], "bootstrap");
    assert!(actor["credential"].is_string(), "{actor}");
}
