//! A policy is changed, tried and put in force.

use serde_json::{Value, json};

use crate::browser::{Browser, changed, fields, text};
use crate::support::{Answer, Server, start};
use crate::world::{create_client, create_issuer, credential, ok};

const PAGE: &str = "/console/issuers/shop/policy";
const ACTION: &str = "/console/issuers/shop/policy#answer";

fn policy(server: &Server) -> Value {
    ok(server.call("GET", "/v1/issuers/shop", None))["policy"].take()
}

/// The form as it stands in a page.
fn form(page: &str) -> Vec<(String, String)> {
    fields(page, ACTION)
}

/// Has the effect of other values shown, and returns the page.
fn see(browser: &mut Browser, page: &str, others: &[(&str, &str)]) -> Answer {
    let all = changed(&form(page), others);
    browser.send_all(PAGE, &changed(&all, &[("act", "simulate")]))
}

fn save(browser: &mut Browser, page: &str) -> Answer {
    browser.send_all(PAGE, &changed(&form(page), &[("act", "save")]))
}

fn refused(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{}", text(answer));
    assert!(text(answer).contains(words), "{words}: {}", text(answer));
}

#[test]
fn a_policy_is_put_in_force_once_its_effect_was_seen() {
    let server = start("");
    create_issuer(&server, "shop", json!({"lead": "3d"}));
    let before = policy(&server);
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page("/console/issuers/shop");
    assert!(
        page.contains(PAGE) && page.contains("Change the policy"),
        "{page}"
    );
    let page = browser.page(PAGE);
    for member in before.as_object().unwrap().keys() {
        assert!(
            page.contains(&format!("<code>{member}")),
            "{member}: {page}"
        );
    }
    assert!(
        !page.contains("value=\"save\""),
        "nothing is saved that was not seen: {page}"
    );
    // As it is, it changes nothing.
    let same = text(&see(&mut browser, &page, &[]));
    assert!(
        same.contains("Nothing: this is the policy in force."),
        "{same}"
    );
    assert!(
        same.contains("every event comes as it is planned today"),
        "{same}"
    );
    let seen = text(&see(
        &mut browser,
        &page,
        &[("rotation.every", "20d"), ("lead", "7d")],
    ));
    for shown in [
        "What changes in the policy",
        "<code>rotation.every</code>",
        "10 d earlier",
        "class=\"tag ok\">comes",
        "Both timelines",
        "id=\"today-title\"",
        "id=\"after-title\"",
    ] {
        assert!(seen.contains(shown), "{shown}: {seen}");
    }
    assert_eq!(policy(&server), before, "looking changes nothing");
    let saved = text(&save(&mut browser, &seen));
    assert!(saved.contains("The policy is in force."), "{saved}");
    let mut expected = before;
    expected["rotation"]["every"] = "20d".into();
    expected["lead"] = "7d".into();
    assert_eq!(policy(&server), expected);
    let events = ok(server.call("GET", "/v1/audit?event=policy-changed", None));
    assert_eq!(events["events"][0]["actor"]["via"], "console", "{events}");
}

#[test]
fn what_the_api_refuses_is_said_at_its_field_and_nothing_typed_is_lost() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let before = policy(&server);
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page(PAGE);
    for (member, value, id) in [
        ("lead", "1 day & \"a night\"", "policy-lead"),
        ("max_token_bytes", "many", "policy-max_token_bytes"),
        ("rotation.cron", "0 3 1 * *", ""),
        ("lead", "1m", "policy-lead"),
    ] {
        let answer = see(
            &mut browser,
            &page,
            &[(member, value), ("clock_skew", "4m")],
        );
        refused(&answer, 400, "This is no policy that could be set.");
        let page = text(&answer);
        let typed = form(&page);
        for kept in [(member, value), ("clock_skew", "4m")] {
            let kept = (kept.0.to_owned(), kept.1.to_owned());
            assert!(typed.contains(&kept), "{kept:?}: {typed:?}");
        }
        assert!(
            id.is_empty() || page.contains(&format!("href=\"#{id}\"")),
            "{id}: {page}"
        );
        assert!(!page.contains("value=\"save\""), "{page}");
    }
    // A page that was not sent by its own button is none that was seen.
    let all = changed(&form(&page), &[("act", "save"), ("clock_skew", "4m")]);
    let answer = browser.send_all(PAGE, &all);
    refused(&answer, 422, "Nothing has happened yet.");
    assert_eq!(policy(&server), before);
}

#[test]
fn a_policy_that_was_changed_meanwhile_is_not_overwritten() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page(PAGE);
    let seen = text(&see(&mut browser, &page, &[("clock_skew", "4m")]));
    let mut other = policy(&server);
    other["default_token_ttl"] = "10m".into();
    ok(server.call("PUT", "/v1/issuers/shop", Some(&other)));
    let answer = save(&mut browser, &seen);
    refused(
        &answer,
        412,
        "The policy was changed since you opened this form.",
    );
    assert_eq!(policy(&server), other, "nothing was overwritten");
    // It says what would be overwritten, and can be sent again.
    let again = text(&answer);
    assert!(again.contains("<code>default_token_ttl</code>"), "{again}");
    assert!(text(&save(&mut browser, &again)).contains("The policy is in force."));
    assert_eq!(policy(&server)["clock_skew"], "4m");
}

#[test]
fn a_policy_that_takes_two_people_waits_and_one_without_the_role_only_looks() {
    let server = start("");
    create_issuer(&server, "shop", json!({"confirmation": "second-person"}));
    let before = policy(&server);
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page(PAGE);
    let seen = text(&see(&mut browser, &page, &[("confirmation", "none")]));
    let answer = save(&mut browser, &seen);
    assert!(
        text(&answer).contains("keywright approvals confirm"),
        "{}",
        text(&answer)
    );
    assert_eq!(policy(&server), before);
    let auditor = create_client(&server, "auditor", &["auditor"]);
    let mut browser = Browser::signed_in(&server, &credential(&auditor));
    let page = browser.page(PAGE);
    assert!(page.contains("Try another policy"), "{page}");
    let seen = text(&see(&mut browser, &page, &[("lead", "3d")]));
    assert!(
        seen.contains("You may look, not act") && !seen.contains("value=\"save\""),
        "{seen}"
    );
    refused(&save(&mut browser, &seen), 403, "Not done.");
}
