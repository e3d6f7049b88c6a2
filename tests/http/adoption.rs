//! The adoption gate of real processes: a rotation waits for verifiers that lack the successor.

use serde_json::{Value, json};

use crate::support::{Server, eventually, request, start};

/// A policy whose rotations are due after so long, and wait for so long.
fn policy(server: &Server, name: &str, every: &str, within: &str) -> Value {
    json!({
        "url": format!("{}/{name}", server.public), "algorithms": ["ES256"],
        "rotation": {"every": every}, "lead": "2s", "jwks_max_age": "1s", "stale_if_error": "0s",
        "clock_skew": "0s", "default_token_ttl": "5s", "max_token_ttl": "5s",
        "adoption": {"share": 0.99, "within": within},
    })
}

fn call(server: &Server, method: &str, path: &str, body: Option<&Value>) -> Value {
    let answer = server.call(method, path, body);
    assert!(answer.status < 300, "{path}: {}", answer.json());
    answer.json()
}

/// Lets a verifier fetch the key set of an issuer.
fn fetch(server: &Server, issuer: &str) {
    let url = format!("{}/{issuer}/.well-known/jwks.json", server.public);
    let headers = [("user-agent", "behind".to_owned())];
    assert_eq!(request("GET", &url, &headers, None).status, 200);
}

fn of_issuer(issuer: &str, rest: &str) -> String {
    format!("/v1/issuers/{issuer}/{rest}")
}

fn kid_in(server: &Server, issuer: &str, state: &str) -> Value {
    let keys = call(server, "GET", &of_issuer(issuer, "keys"), None);
    let mut keys = keys["keys"].as_array().unwrap().iter();
    let key = keys.find(|key| key["state"] == state);
    key.unwrap_or_else(|| panic!("no key is {state}"))["kid"].clone()
}

/// Creates an issuer, and rotates once, so that a verifier lacks the successor that stands by.
fn create_with_a_verifier_behind(server: &Server, issuer: &str, every: &str, within: &str) {
    let policy = policy(server, issuer, every, within);
    let created = call(
        server,
        "PUT",
        &format!("/v1/issuers/{issuer}"),
        Some(&policy),
    );
    assert_eq!(created["policy"]["adoption"], policy["adoption"]);
    fetch(server, issuer);
    let force = json!({"force": true});
    call(server, "POST", &of_issuer(issuer, "rotate"), Some(&force));
}

#[test]
fn a_rotation_waits_for_the_verifier_that_lacks_the_successor_and_not_for_ever() {
    let server = start("");
    for (issuer, every, within) in [("fetches", "18s", "14s"), ("stays-behind", "8s", "2s")] {
        create_with_a_verifier_behind(&server, issuer, every, within);
    }
    let next = kid_in(&server, "fetches", "pending");

    // By hand it is refused as soon as the lead alone would allow it.
    let refused = eventually("a ready successor", || {
        let answer = server
            .call("POST", &of_issuer("fetches", "rotate"), None)
            .json();
        (answer["code"] != "successor-not-ready").then_some(answer)
    });
    assert_eq!(refused["code"], "successor-not-adopted", "{refused}");
    assert_eq!(refused["algorithm"], "ES256");

    // The schedule waits, and says for whom.
    let waiting = eventually("a rotation that waits", || {
        let verifiers = call(&server, "GET", &of_issuer("fetches", "verifiers"), None);
        let waiting = verifiers["waiting"].get(0)?.clone();
        let lacks = verifiers["verifiers"][0]["lacks"].as_array().unwrap();
        assert!(lacks.contains(&next), "{verifiers}");
        Some(waiting)
    });
    let told = (&waiting["kid"], &waiting["holders"], &waiting["verifiers"]);
    assert_eq!(told, (&next, &json!(0), &json!(1)), "{waiting}");
    assert_eq!(waiting["share"], 0.99);
    let plan = format!("plan?until={}", waiting["until"]);
    let plan = call(&server, "GET", &of_issuer("fetches", &plan), None);
    assert_eq!(plan["waiting"][0], waiting);
    let metrics = server.call("GET", "/metrics", None).body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let waits = "keywright_waiting_rotations{issuer=\"fetches\",algorithm=\"ES256\"} 1";
    assert!(metrics.contains(waits), "{metrics}");

    // Once it has fetched, the successor signs, well before the time is over.
    fetch(&server, "fetches");
    eventually("the rotation", || {
        (kid_in(&server, "fetches", "active") == next).then_some(())
    });
    let events = |issuer: &str, event: &str| {
        let path = format!("/v1/audit?issuer={issuer}&event={event}");
        call(&server, "GET", &path, None)["events"]
            .as_array()
            .unwrap()
            .clone()
    };
    let activated = events("fetches", "key-activated");
    let by_schedule = activated.last().unwrap();
    assert_eq!(
        (&by_schedule["kid"], &by_schedule["forced"]),
        (&next, &json!(false))
    );
    assert!(
        by_schedule["at"].as_f64() < waiting["until"].as_f64(),
        "{by_schedule}"
    );
    assert_eq!(events("fetches", "adoption-missed"), [Value::Null; 0]);

    // The other one rotates when its time is over, and the log says without whom.
    let missed = eventually("a gate that is given up", || {
        events("stays-behind", "adoption-missed").first().cloned()
    });
    let told = ["share", "holders", "verifiers", "uncounted_replicas"].map(|one| &missed[one]);
    assert_eq!(
        told,
        [&json!(0.99), &json!(0), &json!(1), &json!(0)],
        "{missed}"
    );
    let activated = events("stays-behind", "key-activated");
    assert!(activated.iter().any(|event| event["kid"] == missed["kid"]));
}

#[test]
fn a_gate_that_is_no_gate_is_refused() {
    let server = start("");
    let refusal = |adoption: Value| {
        let mut policy = policy(&server, "a", "8s", "1s");
        policy["adoption"] = adoption;
        let answer = server.call("PUT", "/v1/issuers/a", Some(&policy));
        assert!(answer.status >= 400, "{}", answer.json());
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    let share = "a share is a number more than 0 and at most 1, with at most four \
                 decimals, such as 0.99";
    for wrong in [
        json!(0),
        json!(-0.5),
        json!(1.01),
        json!(0.99999),
        json!(99),
    ] {
        assert_eq!(refusal(json!({"share": wrong, "within": "1s"})), share);
    }
    for (wrong, told) in [
        (json!({"share": "0.99", "within": "1s"}), "a number"),
        (json!({"share": 1}), "within"),
        (json!({"share": 1, "within": "1s", "for": "1s"}), "for"),
        (
            json!({"share": 1, "within": "0s"}),
            "adoption.within must be at least 1s",
        ),
        (json!({"share": 1, "within": "5s"}), "8s < 2 × 2s + 5s + 0s"),
        (json!(null), "object"),
    ] {
        let detail = refusal(wrong);
        assert!(detail.contains(told), "{detail}");
    }
}
