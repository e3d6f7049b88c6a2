//! `If-Match`: a record is replaced only if it is what the caller has read (RFC 9110 §13.1.1).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Answer, Server, request, start, start_in};
use crate::world::{self, create_client, create_issuer, credential, ok, policy};

/// What lines of `If-Match` a request has, for the tag of what is stored.
type Lines<'a> = &'a dyn Fn(&str) -> Vec<String>;

/// A PUT with these lines of `If-Match`.
fn put(server: &Server, path: &str, body: &Value, if_match: &[&str]) -> Answer {
    let mut headers = vec![("authorization", format!("Bearer {}", server.admin))];
    headers.extend(if_match.iter().map(|line| ("if-match", (*line).to_owned())));
    let body = Some(("application/json", body.to_string().into_bytes()));
    request("PUT", &format!("{}{path}", server.internal), &headers, body)
}

/// The strong entity tag of an answer.
fn tag(answer: &Answer) -> String {
    let tag = answer.header("etag").expect("an entity tag");
    let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let is_strong = inner.is_some_and(|tag| tag.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(is_strong, "{tag}");
    tag.to_owned()
}

fn read(server: &Server, path: &str) -> String {
    let answer = server.call("GET", path, None);
    assert_eq!(answer.status, 200, "{path}");
    tag(&answer)
}

/// What can be replaced: where it is, and a body for each number.
type Replaceable = (String, Box<dyn Fn(u64) -> Value + Sync>);

fn replaceable(server: &Server) -> [Replaceable; 2] {
    create_issuer(server, "a", json!({}));
    let client = create_client(server, "orders", &["issuer"]);
    let id = client["id"].as_str().unwrap();
    // No whole minutes: they would be shown as such.
    let terms = |number| {
        let limits = json!({ "max_ttl": format!("{}s", 2 * number + 61) });
        json!({ "name": "orders", "roles": ["issuer"], "limits": limits })
    };
    let lifetimes = |number| {
        policy(
            "a",
            json!({ "default_token_ttl": format!("{}s", 2 * number + 61) }),
        )
    };
    [
        ("/v1/issuers/a".to_owned(), Box::new(lifetimes)),
        (format!("/v1/clients/{id}"), Box::new(terms)),
    ]
}

fn assert_refused(answer: &Answer, what: &str) {
    let code = &answer.json()["code"];
    assert_eq!(
        (answer.status, code),
        (412, &json!("precondition-failed")),
        "{what}"
    );
}

#[test]
fn an_entity_tag_is_another_one_after_every_write_and_the_same_after_a_restart() {
    let server = start("");
    let records = replaceable(&server);
    for (path, body) in &records {
        let mut seen = BTreeSet::new();
        for number in 0..3 {
            assert!(seen.insert(read(&server, path)), "{path}");
            assert_eq!(read(&server, path), read(&server, path), "{path}");
            let answer = put(&server, path, &body(number), &[]);
            assert_eq!(answer.status, 200, "{path}: {}", answer.json());
            assert_eq!(tag(&answer), read(&server, path), "{path}");
        }
    }
    // What else writes a record makes its tag another one, too.
    let (issuer, client) = (&records[0].0, &records[1].0);
    let before = (read(&server, issuer), read(&server, client));
    ok(server.call(
        "POST",
        &format!("{issuer}/rotate"),
        Some(&json!({ "force": true })),
    ));
    ok(server.call("POST", &format!("{client}/credentials"), Some(&json!({}))));
    let after = (read(&server, issuer), read(&server, client));
    assert!(before.0 != after.0 && before.1 != after.1);
    let folder = server.kill();
    let server = start_in(folder, "").unwrap();
    assert_eq!(after, (read(&server, issuer), read(&server, client)));
}

#[test]
fn a_record_is_replaced_if_one_of_the_strong_tags_is_its_own() {
    let server = start("");
    for (path, body) in replaceable(&server) {
        let mut number = 0;
        let mut try_with = |lines: Lines<'_>| {
            number += 1;
            let lines = lines(&read(&server, &path));
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            put(&server, &path, &body(number), &lines)
        };
        let other = format!("\"{}\"", "0".repeat(32));
        let taken: [Lines<'_>; 5] = [
            &|tag| vec![tag.to_owned()],
            &|tag| vec![format!("{other}, {tag}")],
            &|tag| vec![other.clone(), tag.to_owned()],
            &|tag| vec![format!("W/\"a,b\" ,, {tag},")],
            &|_| vec!["*".to_owned()],
        ];
        for lines in taken {
            let answer = try_with(lines);
            assert_eq!(answer.status, 200, "{path}: {}", answer.json());
        }
        let refused: [Lines<'_>; 8] = [
            &|_| vec![other.clone()],
            &|tag| vec![format!("W/{tag}")],
            &|tag| vec![tag.trim_matches('"').to_owned()],
            &|tag| vec![tag.to_uppercase().replace('"', "'")],
            &|_| vec![String::new()],
            &|_| vec!["\"\"".to_owned()],
            &|_| vec!["\"*\"".to_owned()],
            &|_| vec!["*, *".to_owned()],
        ];
        let before = world::state(&server);
        for (index, lines) in refused.into_iter().enumerate() {
            assert_refused(&try_with(lines), &format!("{path}, {index}"));
        }
        before.assert_same(&world::state(&server));
    }
}

#[test]
fn a_tag_that_was_read_before_another_write_replaces_nothing() {
    let server = start("");
    for (path, body) in replaceable(&server) {
        let first = read(&server, &path);
        let second = tag(&put(&server, &path, &body(1), &[&first]));
        let before = world::state(&server);
        assert_refused(&put(&server, &path, &body(2), &[&first]), &path);
        // Also where the record would stay as it is.
        assert_refused(&put(&server, &path, &body(1), &[&first]), &path);
        before.assert_same(&world::state(&server));
        assert_eq!(put(&server, &path, &body(2), &[&second]).status, 200);
    }
}

#[test]
fn what_is_not_there_fulfils_no_condition() {
    let server = start("");
    let other = format!("\"{}\"", "0".repeat(32));
    let before = world::state(&server);
    for condition in ["*", other.as_str()] {
        let answer = put(
            &server,
            "/v1/issuers/b",
            &policy("b", json!({})),
            &[condition],
        );
        assert_refused(&answer, condition);
        // What would be refused anyway is refused as ever (RFC 9110 §13.2.1).
        let terms = json!({ "name": "orders", "roles": ["issuer"] });
        let answer = put(
            &server,
            "/v1/clients/0123456789abcdef",
            &terms,
            &[condition],
        );
        assert_eq!(answer.status, 404);
        let answer = put(&server, "/v1/issuers/b", &json!({}), &[condition]);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("field-missing"))
        );
    }
    before.assert_same(&world::state(&server));
    let created = put(&server, "/v1/issuers/b", &policy("b", json!({})), &[]);
    assert_eq!(
        (created.status, tag(&created)),
        (201, read(&server, "/v1/issuers/b"))
    );
}

// Issue 10, case 16.
#[test]
fn of_sixteen_that_replace_a_record_with_one_tag_exactly_one_does() {
    let server = start("");
    for (path, body) in replaceable(&server) {
        for round in 0..5 {
            let tag = read(&server, &path);
            let (server, path, body, tag) = (&server, &path, &body, &tag);
            let answers: Vec<(u64, Answer)> = std::thread::scope(|scope| {
                let calls = (0..16).map(|number| {
                    let number = round * 16 + number;
                    let call = move || (number, put(server, path, &body(number), &[tag]));
                    scope.spawn(call)
                });
                let calls: Vec<_> = calls.collect();
                calls.into_iter().map(|call| call.join().unwrap()).collect()
            });
            let (won, lost): (Vec<_>, Vec<_>) = answers
                .into_iter()
                .partition(|(_, answer)| answer.status == 200);
            assert_eq!((won.len(), lost.len()), (1, 15), "{path}");
            for (number, answer) in &lost {
                assert_refused(answer, &format!("{path}, {number}"));
            }
            // What is there is what the one has written.
            let sent = body(won[0].0);
            let shown = ok(server.call("GET", path, None));
            let same = |shown: &Value, sent: &Value, member: &str| {
                assert_eq!(shown[member], sent[member], "{path}");
            };
            match shown.get("policy") {
                Some(policy) => same(policy, &sent, "default_token_ttl"),
                None => same(&shown["limits"], &sent["limits"], "max_ttl"),
            }
        }
    }
}

#[test]
fn a_policy_that_waits_for_a_second_person_is_bound_to_the_one_that_was_there() {
    let server = start("");
    let guarded = |ttl: &str| {
        let members = json!({ "confirmation": "second-person", "default_token_ttl": ttl });
        policy("a", members)
    };
    create_issuer(&server, "a", json!({ "confirmation": "second-person" }));
    let second = credential(&create_client(&server, "second", &["security"]));
    let open = policy("a", json!({}));
    let path = "/v1/issuers/a";
    let first = read(&server, path);
    let ask = |condition: &str| {
        let asked = put(&server, path, &open, &[condition]);
        assert_eq!(asked.status, 202, "{}", asked.json());
        asked.json()["approval"]["id"].as_str().unwrap().to_owned()
    };
    let confirm = |approval: &str| {
        let path = format!("/v1/approvals/{approval}/confirm");
        server.call_as(Some(&second), "POST", &path, None)
    };
    let (outdated, any) = (ask(&first), ask("*"));
    assert_refused(
        &put(&server, path, &open, &[&format!("W/{first}")]),
        "nothing waits",
    );
    let changed = put(&server, path, &guarded("1m"), &[&first]);
    assert_eq!(changed.status, 200, "{}", changed.json());
    for outdated in [&outdated, &any] {
        let refused = confirm(outdated);
        assert_eq!(refused.status, 409, "the policy is another one since");
        assert_eq!(refused.json()["code"], "approval-outdated");
    }
    let issuer = ok(server.call("GET", path, None));
    assert_eq!(issuer["policy"]["confirmation"], "second-person");
    assert_eq!(confirm(&ask("*")).status, 200);
    let issuer = ok(server.call("GET", path, None));
    assert_eq!(issuer["policy"]["confirmation"], "none");
}
