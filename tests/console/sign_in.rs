//! Every way in and out.

use std::process::Command;

use serde_json::json;

use crate::browser::{Browser, hidden, text};
use crate::support::{Server, postgres, request, start, start_in};
use crate::world::{create_client, credential};

const COOKIE: &str = "__Host-keywright";

#[test]
fn a_credential_signs_in_and_the_session_is_its_clients() {
    let server = start("");
    let mut browser = Browser::at(&server);
    let answer = browser.get("/console");
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), Some("/console/sign-in"));
    let answer = browser.get("/console/issuers/default?span=day");
    let back = answer.header("location").unwrap().to_owned();
    assert!(browser.page(&back).contains("Credential"));
    let fields = [
        ("credential", server.admin.as_str()),
        ("to", "/console/issuers/default?span=day"),
    ];
    let answer = browser.send("/console/sign-in", &fields);
    assert_eq!(answer.status, 303);
    assert_eq!(
        answer.header("location"),
        Some("/console/issuers/default?span=day")
    );
    let cookie = answer.header("set-cookie").unwrap();
    for part in [
        "__Host-keywright=",
        "Secure",
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let page = browser.page("/console");
    assert!(
        page.contains("bootstrap") && page.contains("default"),
        "{page}"
    );
    // The service keeps a hash of the secret, and nothing logs it.
    let secret = &browser.cookies[COOKIE];
    assert!(!crate::support::files_contain(
        &server.data(),
        secret.as_bytes()
    ));
    assert!(!server.log().contains(secret.as_str()));
    let answer = browser.submit(&page, "/console/sign-out", &[]);
    assert_eq!(answer.status, 303);
    assert!(browser.cookies.is_empty());
    assert_eq!(browser.get("/console").status, 303);
}

#[test]
fn what_is_no_credential_signs_nobody_in_and_counts_against_the_address() {
    let server = start("");
    let mut browser = Browser::at(&server);
    for wrong in ["", "kw_bootstrap_x", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"] {
        let answer = browser.sign_in(wrong);
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(!text(&answer).contains("eyJhbGci"));
        assert!(browser.cookies.is_empty());
    }
    let mut statuses = (0..40).map(|_| browser.sign_in("kw_bootstrap_x").status);
    assert!(statuses.any(|status| status == 429), "no bound on failures");
}

#[test]
fn a_sign_in_begins_a_session_of_its_own_whatever_the_browser_had() {
    let server = start("");
    let mut browser = Browser::at(&server);
    let fixed = "f".repeat(43);
    browser.cookies.insert(COOKIE.to_owned(), fixed.clone());
    assert_eq!(browser.sign_in(&server.admin).status, 303);
    let first = browser.cookies[COOKIE].clone();
    assert_ne!(first, fixed);
    // Signing in again ends the session before.
    assert_eq!(browser.sign_in(&server.admin).status, 303);
    assert_ne!(browser.cookies[COOKIE], first);
    let mut other = Browser::at(&server);
    for ended in [fixed, first] {
        other.cookies.insert(COOKIE.to_owned(), ended);
        assert_eq!(other.get("/console").status, 303);
    }
}

#[test]
fn a_session_ends_with_its_credential_and_with_its_client() {
    let server = start("");
    for end in ["credential", "client"] {
        let client = create_client(&server, "reader", &["auditor"]);
        let id = client["id"].as_str().unwrap();
        let mut browser = Browser::signed_in(&server, &credential(&client));
        assert_eq!(browser.get("/console").status, 200);
        let name = client["credentials"][0]["id"].as_str().unwrap();
        let path = match end {
            "credential" => format!("/v1/clients/{id}/credentials/{name}"),
            _ => format!("/v1/clients/{id}"),
        };
        assert_eq!(server.call("DELETE", &path, None).status, 204);
        assert_eq!(browser.get("/console").status, 303, "{end}");
    }
}

#[test]
fn a_client_has_a_bounded_number_of_sessions() {
    let server = start("");
    let client = create_client(&server, "reader", &["auditor"]);
    let credential = credential(&client);
    let mut first = Browser::signed_in(&server, &credential);
    let mut others: Vec<_> = (0..16)
        .map(|_| Browser::signed_in(&server, &credential))
        .collect();
    assert_eq!(
        first.get("/console").status,
        303,
        "the oldest has given way"
    );
    assert_eq!(others[15].get("/console").status, 200);
    let mut admin = Browser::signed_in(&server, &server.admin);
    assert_eq!(admin.get("/console").status, 200);
}

fn link(server: &Server) -> String {
    let answer = server.call("POST", "/v1/console/links", Some(&json!({})));
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()["path"].as_str().unwrap().to_owned()
}

#[test]
fn a_link_signs_in_once() {
    let server = start("");
    let path = link(&server);
    let secret = path.split_once('=').unwrap().1.to_owned();
    // Looking at it does not use it up.
    let mut browser = Browser::at(&server);
    assert!(browser.page(&path).contains("Sign in as"));
    let page = browser.page(&path);
    let field = hidden(&page, "link");
    assert_eq!(field, secret);
    assert_eq!(
        browser.send("/console/enter", &[("link", &field)]).status,
        303
    );
    assert_eq!(browser.get("/console").status, 200);
    let mut second = Browser::at(&server);
    assert_eq!(second.get(&path).status, 401);
    assert_eq!(
        second.send("/console/enter", &[("link", &field)]).status,
        401
    );
    assert!(second.cookies.is_empty());
    // It is no session, and a session is no link.
    second.cookies.insert(COOKIE.to_owned(), secret);
    assert_eq!(second.get("/console").status, 303);
    let session = &browser.cookies[COOKIE];
    assert_eq!(
        second.get(&format!("/console/enter?link={session}")).status,
        401
    );
    assert!(!server.log().contains(&field));
}

#[test]
fn of_two_who_open_a_link_at_once_one_is_signed_in() {
    let server = start("");
    for _ in 0..5 {
        let path = link(&server);
        let secret = path.split_once('=').unwrap().1;
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut browser = Browser::at(&server);
                        browser.send("/console/enter", &[("link", secret)]).status
                    })
                })
                .collect();
            racers
                .into_iter()
                .map(|racer| racer.join().unwrap())
                .collect()
        });
        let signed_in = statuses.iter().filter(|status| **status == 303).count();
        assert_eq!(signed_in, 1, "{statuses:?}");
    }
}

#[test]
fn the_command_line_makes_a_link() {
    let server = start("");
    let output = Command::new(env!("CARGO_BIN_EXE_keywright"))
        .args(["console", "--print", "--data-dir"])
        .arg(server.data())
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let url = said.trim();
    let path = url
        .strip_prefix(&server.internal)
        .expect("the service's URL");
    assert!(Browser::at(&server).page(path).contains("bootstrap"));
}

#[test]
fn replicas_share_sessions() {
    let Some(database) = postgres::shared() else {
        return;
    };
    let url = database.database();
    let extra = format!("store.url = \"{url}\"\n");
    let folders = [(); 2].map(|()| std::sync::Arc::new(tempfile::tempdir().unwrap()));
    let one = start_in(std::sync::Arc::clone(&folders[0]), &extra).expect("it starts");
    std::fs::create_dir_all(folders[1].path().join("keys")).unwrap();
    for file in ["master.key", "admin.token"] {
        let path = |folder: &tempfile::TempDir| folder.path().join("keys").join(file);
        std::fs::copy(path(&folders[0]), path(&folders[1])).unwrap();
    }
    let other = start_in(std::sync::Arc::clone(&folders[1]), &extra).expect("it starts");
    let mut browser = Browser::signed_in(&one, &one.admin);
    let mut elsewhere = Browser::at(&other);
    elsewhere.cookies = browser.cookies.clone();
    let page = elsewhere.page("/console");
    assert!(page.contains("2 replicas"), "{page}");
    // What one ends is over at the other.
    assert_eq!(
        elsewhere.submit(&page, "/console/sign-out", &[]).status,
        303
    );
    assert_eq!(browser.get("/console").status, 303);
    // A link of one opens a session at the other.
    let path = link(&one);
    assert_eq!(Browser::at(&other).get(&path).status, 200);
}

#[test]
fn without_the_console_there_is_none() {
    let server = start("console.enabled = false\n");
    let answer = request("GET", &format!("{}/console", server.internal), &[], None);
    assert_eq!(answer.status, 404);
    let answer = server.call("POST", "/v1/console/links", None);
    assert_eq!(answer.status, 404, "{}", answer.json());
}
