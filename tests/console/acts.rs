//! What buttons do: the same as the API's calls, after what they will do has been said.

use serde_json::json;

use crate::browser::{Browser, hidden, text};
use crate::support::{Server, start};
use crate::world::{create_client, create_issuer, credential, eventually, kid, kids, ok};

fn revoke_page(browser: &mut Browser, issuer: &str, kid: &str) -> String {
    browser.page(&format!("/console/issuers/{issuer}/revoke?kid={kid}"))
}

#[test]
fn whose_tokens_stop_working_is_shown_before_a_key_is_revoked() {
    let server = start("issuance_log.to = \"file\"\n");
    let client = create_client(&server, "web", &["issuer"]);
    let claims = json!({ "claims": { "sub": "alice", "aud": "orders" } });
    let signed = server.call_as(
        Some(&credential(&client)),
        "POST",
        "/v1/issuers/default/tokens",
        Some(("application/json", claims.to_string().into_bytes())),
    );
    let kid = ok(signed)["kid"].as_str().unwrap().to_owned();
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = eventually("a counted token", || {
        let page = revoke_page(&mut browser, "default", &kid);
        page.contains("1 live token</strong>").then_some(page)
    });
    let id = client["id"].as_str().unwrap();
    for shown in [id, "client", "orders", "audience", "There may be more"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("alice"));

    let server = start("");
    let kid = self::kid(&server, "default", "active");
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = revoke_page(&mut browser, "default", &kid);
    assert!(page.contains("Live tokens are not counted"), "{page}");
}

#[test]
fn a_key_is_revoked_once_the_person_has_seen_what_that_does() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let active = kid(&server, "shop", "active");
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page("/console/issuers/shop/revoke");
    assert!(
        page.contains("1. Choose") && !page.contains("for good"),
        "{page}"
    );
    let page = revoke_page(&mut browser, "shop", &active);
    for shown in [
        "What will happen",
        "This cannot be undone.",
        "Our signers",
        "for good",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let first: String = active.chars().take(8).collect();
    for (reason, typed, wrong) in [
        ("", first.as_str(), "Give a reason."),
        ("leak", "", "Type the first eight characters"),
        ("leak", "otherkey", "This is not the beginning of the key."),
    ] {
        let fields = [
            ("kid", active.as_str()),
            ("reason", reason),
            ("typed", typed),
        ];
        let answer = browser.submit(&page, "/console/issuers/shop/revoke", &fields);
        assert_eq!(answer.status, 422);
        assert!(text(&answer).contains(wrong), "{}", text(&answer));
        assert_eq!(
            kid(&server, "shop", "active"),
            active,
            "nothing has happened"
        );
    }
    let fields = [
        ("kid", active.as_str()),
        ("reason", "leak"),
        ("typed", &first),
    ];
    let answer = browser.submit(&page, "/console/issuers/shop/revoke", &fields);
    assert_eq!(answer.status, 200);
    let done = text(&answer);
    for shown in ["Revoked at", "is out of the set", "What is in force where"] {
        assert!(done.contains(shown), "{shown}: {done}");
    }
    assert_eq!(
        kids(&server, "shop", "ES256", "revoked"),
        std::slice::from_ref(&active)
    );
    // Sent twice, it says so and changes nothing.
    let answer = browser.submit(&page, "/console/issuers/shop/revoke", &fields);
    assert_eq!(answer.status, 409);
    assert!(
        text(&answer).contains("cannot be revoked any more"),
        "{}",
        text(&answer)
    );
}

#[test]
fn a_subject_is_banned_and_the_ban_is_lifted() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let bans = "/console/issuers/shop/bans";
    let mut browser = Browser::signed_in(&server, &server.admin);
    let grant = json!({"claims": {"sub": "user-1", "aud": "orders"}, "client": "public"});
    ok(server.call("POST", "/v1/issuers/shop/grants", Some(&grant)));
    let page = browser.page(&format!("{bans}?by=subject&value=user-1"));
    assert!(
        page.contains("from 1 session") && page.contains("no ban, no logout"),
        "{page}"
    );
    let answer = browser.submit(
        &page,
        bans,
        &[
            ("by", "subject"),
            ("value", "user-1"),
            ("what", "ban"),
            ("reason", "INC-1"),
        ],
    );
    assert_eq!(answer.status, 303, "{}", text(&answer));
    let told = browser.page(
        answer
            .header("location")
            .unwrap()
            .split('#')
            .next()
            .unwrap(),
    );
    for shown in [
        "Banned",
        "What is in force where",
        "whatever fails",
        "It holds.",
    ] {
        assert!(told.contains(shown), "{shown}: {told}");
    }
    let sign = || {
        let body = json!({"claims": {"sub": "user-1", "aud": "orders"}});
        server
            .call("POST", "/v1/issuers/shop/tokens", Some(&body))
            .status
    };
    assert_eq!(sign(), 403);
    let page = browser.page(bans);
    let lift = page
        .split("href=\"")
        .find(|rest| rest.contains("?lift="))
        .unwrap();
    let lift = lift.split('"').next().unwrap().to_owned();
    let page = browser.page(&lift);
    assert_eq!(sign(), 403, "looking lifts nothing");
    let id = hidden(&page, "revocation");
    let answer = browser.submit(&page, &format!("{bans}/lift"), &[("revocation", &id)]);
    assert!(
        text(&answer).contains("The ban is lifted."),
        "{}",
        text(&answer)
    );
    assert_eq!(sign(), 201);
}

#[test]
fn a_ban_with_an_end_needs_one_and_a_session_is_logged_out() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let bans = "/console/issuers/shop/bans";
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page(&format!("{bans}?by=subject&value=user-1"));
    let mut send = |until: &str| {
        let fields = [
            ("by", "subject"),
            ("value", "user-1"),
            ("what", "until"),
            ("until", until),
        ];
        browser.submit(&page, bans, &fields)
    };
    assert_eq!(send("").status, 422);
    assert_eq!(send("tomorrow").status, 422);
    let answer = send("2001-01-01T00:00");
    assert!(
        text(&answer).contains("The ban would have ended already."),
        "{}",
        text(&answer)
    );
    assert_eq!(send("2999-01-01T00:00").status, 303);
    let fields = [("by", "session"), ("value", "s-1"), ("what", "once")];
    assert_eq!(browser.submit(&page, bans, &fields).status, 303);
    let page = browser.page(bans);
    assert!(
        page.contains("In force now: 2") && page.contains("s-1"),
        "{page}"
    );
}

#[test]
fn a_revoker_acts_within_its_limits() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let body = json!({"name": "desk", "roles": ["revoker"], "limits": {"subjects": ["user-*"]}});
    let desk = server.call("POST", "/v1/clients", Some(&body)).json();
    let mut browser = Browser::signed_in(&server, &credential(&desk));
    let page = browser.page("/console");
    let bans = "/console/issuers/shop/bans";
    let fields = |value| [("by", "subject"), ("value", value), ("what", "once")];
    let answer = browser.submit(&page, bans, &fields("svc-17"));
    assert_eq!(answer.status, 403, "{}", text(&answer));
    let answer = browser.submit(&page, bans, &fields("user-17"));
    assert!(answer.status < 400, "{}", text(&answer));
}

fn ask(server: &Server) -> String {
    let asked = server.call(
        "POST",
        "/v1/issuers/shop/rotate",
        Some(&json!({"force": true})),
    );
    assert_eq!(asked.status, 202);
    asked.json()["approval"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn the_second_person_confirms_and_the_first_cannot() {
    let server = start("");
    create_issuer(&server, "shop", json!({"confirmation": "second-person"}));
    let active = kid(&server, "shop", "active");
    let id = ask(&server);
    let confirm = format!("/console/approvals/{id}/confirm");
    let mut first = Browser::signed_in(&server, &server.admin);
    let page = first.page("/console/approvals");
    assert!(
        page.contains("You asked for it") && !page.contains(&confirm),
        "{page}"
    );
    assert_eq!(first.submit(&page, &confirm, &[]).status, 403);
    let client = create_client(&server, "second", &["security"]);
    let mut second = Browser::signed_in(&server, &credential(&client));
    let page = second.page("/console/approvals");
    assert!(page.contains(&confirm) && page.contains("1<span"), "{page}");
    let answer = second.submit(&page, &confirm, &[]);
    assert!(
        text(&answer).contains("Confirmed and done."),
        "{}",
        text(&answer)
    );
    assert_ne!(kid(&server, "shop", "active"), active);
    let reject = format!("/console/approvals/{}/reject", ask(&server));
    let answer = second.submit(&page, &reject, &[]);
    assert!(
        text(&answer).contains("It will not happen."),
        "{}",
        text(&answer)
    );
    assert!(text(&answer).contains("Nothing waits"), "{}", text(&answer));
}

#[test]
fn the_audit_log_is_read_newest_first_and_whole_by_those_who_may() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let mut browser = Browser::signed_in(&server, &server.admin);
    let page = browser.page("/console/audit");
    let head = server.call("GET", "/v1/audit/head", None).json();
    let sequence = head["sequence"].to_string();
    assert!(
        page.contains(&format!("data-sequence=\"{sequence}\"")),
        "{page}"
    );
    let page = browser.page("/console/audit?issuer=shop&event=issuer-created&since=&until=&kid=");
    assert!(page.contains("1 shown of"), "{page}");
    let export = browser.get("/console/data/audit");
    let whole = server.call("GET", "/v1/audit/export", None);
    assert_eq!(export.body, whole.body);
    let file = browser.get("/console/audit/download");
    assert!(
        file.header("content-disposition")
            .unwrap()
            .contains("attachment")
    );
    let client = create_client(&server, "admin-2", &["admin"]);
    let mut other = Browser::signed_in(&server, &credential(&client));
    assert_eq!(other.get("/console/audit").status, 403);
    assert_eq!(other.get("/console/data/audit").status, 403);
    assert!(other.page("/console/clients").contains("admin-2"));
}

#[test]
fn the_inspector_gets_sets_that_are_the_same_for_every_token() {
    let server = start("");
    create_issuer(&server, "shop", json!({}));
    let mut browser = Browser::signed_in(&server, &server.admin);
    let sets = browser.get("/console/data/sets").json();
    let shop = sets["issuers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|set| set["name"] == "shop");
    let shop = shop.expect("the issuer");
    assert_eq!(shop["jwks"]["keys"].as_array().unwrap().len(), 2);
    assert!(shop["revocations"].is_array());
    let file = browser.get("/console/inspector/offline");
    assert!(
        file.header("content-disposition")
            .unwrap()
            .contains("attachment")
    );
    let file = text(&file);
    assert!(
        !file.contains("src=") && !file.contains("<link"),
        "it loads nothing"
    );
    assert!(file.contains("id=\"sets\""), "it has the sets");
    // Who may not read revocations gets the sets without them.
    let client = create_client(&server, "admin-2", &["admin"]);
    let mut other = Browser::signed_in(&server, &credential(&client));
    let sets = other.get("/console/data/sets").json();
    assert!(sets["issuers"][0].get("revocations").is_none());
}
