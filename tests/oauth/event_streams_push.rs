//! Security event tokens that are pushed: what a receiver gets (RFC 8935), when it fails, and when the service
//! is killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::event_streams::{PUSH, Receiver, ban, call};
use crate::support::endpoint::Endpoint;
use crate::support::{Server, eventually, files_contain, start_in, start_with};
use crate::world::service;

const LOCAL: &str = "webhooks.allowed_networks = [\"127.0.0.0/8\"]\n";
const AUTHORIZATION: &str = "Bearer a-secret-of-the-receiver";

/// An endpoint that answers with these statuses and bodies, and then with 202.
fn receiving(answers: &[(u16, &'static str)]) -> Endpoint {
    Endpoint::start("/events", answers, 202)
}

/// A stream that is pushed to it.
fn pushed_to(endpoint: &Endpoint) -> Value {
    json!({"delivery": {
        "method": PUSH, "endpoint_url": endpoint.url, "authorization_header": AUTHORIZATION,
    }})
}

/// How the deliveries of a stream go, as the health report has it.
fn health(server: &Server, stream: &str, state: &str) -> Value {
    eventually("the health report", || {
        let health = server.call("GET", "/v1/health", None).json();
        let streams = health["event_streams"].as_array().cloned();
        let mut streams = streams.unwrap_or_default().into_iter();
        streams.find(|one| one["stream"] == stream && one["state"] == state)
    })
}

#[test]
fn a_pushed_token_comes_with_the_receivers_authorization_which_is_never_shown() {
    let server = service(LOCAL);
    let endpoint = receiving(&[]);
    let receiver = Receiver::with(&server, &pushed_to(&endpoint));
    let delivery = json!({"method": PUSH, "endpoint_url": endpoint.url});
    assert_eq!(receiver.stream["delivery"], delivery);
    let revocation = ban(&server, "user-1");
    let first = endpoint.wait_for(1).remove(0);
    assert!(
        first.head.starts_with("POST /events HTTP/1.1\r\n"),
        "{first:?}"
    );
    for (name, value) in [
        ("content-type", "application/secevent+jwt"),
        ("accept", "application/json"),
        ("authorization", AUTHORIZATION),
    ] {
        assert_eq!(first.header(name), Some(value), "{first:?}");
    }
    assert_eq!(receiver.checked(&first.body)["txn"], revocation);
    // A verification comes at once.
    let body = json!({"stream_id": receiver.id(), "state": "s"});
    assert_eq!(
        receiver.call("POST", "/ssf/verification", &body).status,
        204
    );
    let second = endpoint.wait_for(2).remove(1);
    let events = &receiver.checked(&second.body)["events"];
    assert!(events.to_string().contains(r#"{"state":"s"}"#), "{events}");
    assert!(!files_contain(&server.data(), AUTHORIZATION.as_bytes()));
    assert!(!server.log().contains(AUTHORIZATION));
    // It stays where the URL does, and does not go to another.
    let other = receiving(&[]);
    let mut delivery = delivery;
    for (to, sent) in [(&endpoint, Some(AUTHORIZATION)), (&other, None)] {
        delivery["endpoint_url"] = json!(to.url);
        let body = json!({"stream_id": receiver.id(), "delivery": delivery});
        assert_eq!(receiver.call("PATCH", "/ssf/streams", &body).status, 200);
        let count = to.all().len();
        ban(&server, "user-2");
        let received = to.wait_for(count + 1);
        assert_eq!(received[count].header("authorization"), sent);
    }
    // What is pushed is not fetched.
    let path = format!("/ssf/poll?stream_id={}", receiver.id());
    assert_eq!(receiver.call("POST", &path, &json!({})).status, 400);
}

#[test]
fn a_token_that_is_refused_comes_again_with_the_same_jti_and_in_order() {
    let server = service(LOCAL);
    let invalid_key = r#"{"err": "invalid_key", "description": "no such key"}"#;
    let endpoint = receiving(&[(400, invalid_key), (302, "")]);
    let receiver = Receiver::with(&server, &pushed_to(&endpoint));
    ban(&server, "user-1");
    ban(&server, "user-2");
    let failing = health(&server, receiver.id(), "failing");
    let reason = failing["reason"].as_str().unwrap();
    assert!(
        [
            "status 400: invalid_key",
            "status 302: redirects are not followed"
        ]
        .contains(&reason),
        "{failing}"
    );
    assert_eq!(
        (&failing["issuer"], &failing["client"]),
        (&json!("default"), &json!(receiver.client.id))
    );
    let received = endpoint.wait_for(4);
    let tokens = received.iter().map(|one| receiver.checked(&one.body));
    let ids: Vec<Value> = tokens.map(|claims| claims["jti"].clone()).collect();
    assert_eq!((&ids[0], &ids[1]), (&ids[2], &ids[2]));
    assert_ne!(ids[2], ids[3]);
    assert_eq!(receiver.status()["status"], "enabled");
}

#[test]
fn a_receiver_that_is_gone_is_paused_and_red_until_it_enables_its_stream() {
    let server = service(LOCAL);
    let endpoint = receiving(&[(410, "")]);
    let receiver = Receiver::with(&server, &pushed_to(&endpoint));
    ban(&server, "user-1");
    health(&server, receiver.id(), "paused");
    let status = receiver.status();
    assert_eq!(status["status"], "paused", "{status}");
    assert!(
        status["reason"].as_str().unwrap().contains("410"),
        "{status}"
    );
    let paused = "/v1/audit?limit=1000&event=event-stream-paused";
    let events = server.call("GET", paused, None).json();
    assert_eq!(events["events"][0]["stream"], receiver.stream["stream_id"]);
    receiver.set_status("enabled");
    let received = endpoint.wait_for(2);
    let tokens = received.iter().map(|one| receiver.checked(&one.body));
    let ids: Vec<Value> = tokens.map(|claims| claims["jti"].clone()).collect();
    assert_eq!(ids[0], ids[1]);
    // A receiver that pauses its stream itself is not called, and nothing is wrong.
    receiver.set_status("paused");
    ban(&server, "user-2");
    let health = server.call("GET", "/v1/health", None).json();
    assert_eq!(health.get("event_streams"), None, "{health}");
    assert_eq!(endpoint.all().len(), 2);
    receiver.set_status("enabled");
    endpoint.wait_for(3);
    // A client that lost the role is not told either.
    let path = format!("/v1/clients/{}", receiver.client.id);
    let body = json!({"name": "x", "roles": ["issuer"]});
    assert_eq!(server.call("PUT", &path, Some(&body)).status, 200);
    ban(&server, "user-3");
    let body = json!({"name": "x", "roles": ["receiver"]});
    assert_eq!(server.call("PUT", &path, Some(&body)).status, 200);
    assert_eq!(endpoint.all().len(), 3);
    ban(&server, "user-4");
    endpoint.wait_for(5);
}

#[test]
fn no_address_is_called_that_the_settings_do_not_name() {
    let server = service("");
    let endpoint = receiving(&[]);
    let receiver = Receiver::with(&server, &pushed_to(&endpoint));
    ban(&server, "user-1");
    let failing = health(&server, receiver.id(), "failing");
    let reason = failing["reason"].as_str().unwrap();
    assert!(reason.contains("webhooks.allowed_networks"), "{reason}");
    assert_eq!(endpoint.all().len(), 0);
}

#[test]
fn a_service_that_is_killed_tells_each_revocation_and_no_other() {
    let oauth = format!("oauth.enabled = true\n{LOCAL}");
    let mut server = service(LOCAL);
    let endpoint = receiving(&[]);
    let made = Receiver::with(&server, &pushed_to(&endpoint));
    let (client, stream) = (made.client, made.stream);
    let mut revocations = BTreeSet::new();
    for round in 0..3 {
        for number in 0..4 {
            revocations.insert(ban(&server, &format!("user-{round}-{number}")));
        }
        thread::sleep(Duration::from_millis(40 * round));
        let folder = server.kill();
        server = start_in(folder, &oauth).unwrap();
    }
    let claims = |server: &Server| -> Vec<Value> {
        let keys = server.fetch("/.well-known/jwks.json");
        assert_eq!(keys.status, 200);
        let received = endpoint.all().into_iter();
        let claims = received.map(|one| crate::world::verified(server, &one.body).1);
        claims.collect()
    };
    let all = eventually("all revocations", || {
        let all = claims(&server);
        let told: BTreeSet<String> = all
            .iter()
            .map(|claims| claims["txn"].as_str().unwrap().to_owned())
            .collect();
        assert!(told.is_subset(&revocations));
        (told == revocations).then_some(all)
    });
    // What came twice has come with the same identifier.
    let ids: BTreeSet<&str> = all.iter().map(|one| one["jti"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), revocations.len());
    assert!(all.len() <= revocations.len() + 3);
    let path = format!(
        "/ssf/streams?stream_id={}",
        stream["stream_id"].as_str().unwrap()
    );
    assert_eq!(call(&server, &client, "GET", &path, None).json(), stream);
}

#[test]
fn the_authorization_is_sealed_anew_with_another_master_key() {
    let master_key = "AQEB".repeat(10) + "AQE=";
    let further = [("KEYWRIGHT_FURTHER_MASTER_KEY", master_key.as_str())];
    let oauth = format!("oauth.enabled = true\n{LOCAL}");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = start_with(folder, &oauth, &further).unwrap();
    let endpoint = receiving(&[]);
    let sealed = |server: &Server| server.call("GET", "/v1/master-key", None).json();
    let records = |state: &Value| -> Vec<u64> {
        let keys = state["keys"].as_array().unwrap().iter();
        keys.map(|key| key["records"].as_u64().unwrap()).collect()
    };
    let before = records(&sealed(&server));
    let _receiver = Receiver::with(&server, &pushed_to(&endpoint));
    // A receiver that fetches has nothing that is sealed.
    Receiver::with(&server, &json!({}));
    let with_stream = records(&sealed(&server));
    assert_eq!(
        with_stream.iter().sum::<u64>(),
        before.iter().sum::<u64>() + 1
    );
    let rotated = server.call("POST", "/v1/master-key/rotate", Some(&json!({})));
    let rotated = rotated.json();
    assert_eq!(
        (
            &rotated["resealed"],
            &rotated["left"],
            &rotated["unopenable"]
        ),
        (
            &json!(with_stream.iter().sum::<u64>()),
            &json!(0),
            &json!(0)
        )
    );
    ban(&server, "user-1");
    let received = endpoint.wait_for(1);
    assert_eq!(received[0].header("authorization"), Some(AUTHORIZATION));
}

#[test]
fn a_receiver_that_does_not_answer_delays_no_other() {
    let server = service(LOCAL);
    // It accepts connections, and answers none.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}/", silent.local_addr().unwrap());
    let (tokens, messages) = (receiving(&[]), Endpoint::start("/hook", &[], 204));
    let to_silent = json!({"delivery": {"method": PUSH, "endpoint_url": silent}});
    let _silent = Receiver::with(&server, &to_silent);
    let _fast = Receiver::with(&server, &pushed_to(&tokens));
    for url in [&silent, &messages.url] {
        let body = json!({"url": url, "events": ["ban.created"]});
        assert_eq!(server.call("POST", "/v1/webhooks", Some(&body)).status, 201);
    }
    let began = Instant::now();
    for number in 1..=3 {
        ban(&server, &format!("user-{number}"));
        tokens.wait_for(number);
        messages.wait_for(number);
    }
    // The silent ones have not been given up yet.
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
}
