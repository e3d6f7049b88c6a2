//! Webhooks from outside: what a receiver gets, when it fails, and when the service is killed.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::endpoint::{Endpoint, ReceivedRequest};
use crate::support::{Server, eventually, report, start, start_in};
use crate::world::{create_issuer, kid};

const LOCAL: &str = "webhooks.allowed_networks = [\"127.0.0.0/8\"]\n";

/// A message as it came.
#[derive(Debug, Clone)]
struct Received {
    id: String,
    timestamp: String,
    signature: String,
    body: String,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl From<ReceivedRequest> for Received {
    fn from(request: ReceivedRequest) -> Self {
        let head = &request.head;
        assert!(head.starts_with("POST /hook?key=s HTTP/1.1\r\n"), "{head}");
        let header = |name: &str| request.header(name).expect(name).to_owned();
        Self {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            body: request.body.clone(),
        }
    }
}

/// A receiver that answers with these statuses, and then with 204.
struct Receiver(Endpoint);

impl Receiver {
    fn start(statuses: &[u16]) -> Self {
        let answers: Vec<_> = statuses.iter().map(|status| (*status, "")).collect();
        Self(Endpoint::start("/hook?key=s", &answers, 204))
    }

    fn all(&self) -> Vec<Received> {
        self.0.all().into_iter().map(Received::from).collect()
    }

    /// So many messages, as soon as they have come.
    fn wait_for(&self, count: usize) -> Vec<Received> {
        let requests = self.0.wait_for(count).into_iter();
        requests.map(Received::from).collect()
    }
}

fn create(server: &Server, url: &str, events: &[&str]) -> Value {
    let body = json!({"url": url, "events": events});
    let answer = server.call("POST", "/v1/webhooks", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

fn ban(server: &Server, subject: &str) {
    let body = json!({"subject": subject, "ban": true});
    let answer = server.call("POST", "/v1/issuers/default/revocations", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
}

fn show(server: &Server, webhook: &Value) -> Value {
    let path = format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap());
    server.call("GET", &path, None).json()
}

/// Has the library of others check a message with a secret. `None` where there is no Python.
fn is_verified(message: &Received, secret: &Value) -> Option<bool> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    if std::env::var("KEYWRIGHT_SKIP_PYTHON").is_ok_and(|value| value == "1") {
        report("SKIPPED: standardwebhooks: KEYWRIGHT_SKIP_PYTHON=1");
        return None;
    }
    let program = "import json, sys\nfrom standardwebhooks.webhooks import Webhook, WebhookVerificationError\n\
                   given = json.load(sys.stdin)\ntry:\n    Webhook(given['secret']).verify(given['body'], given['headers'])\n\
                   except WebhookVerificationError as error:\n    sys.exit(f'refused: {error}')\n";
    let given = json!({"secret": secret, "body": message.body, "headers": {
        "webhook-id": message.id, "webhook-timestamp": message.timestamp,
        "webhook-signature": message.signature,
    }});
    let mut child = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(given.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() || errors.contains("refused: "),
        "{errors}"
    );
    Some(output.status.success())
}

#[test]
fn a_receiver_is_told_of_what_it_wants_and_the_library_of_others_verifies_it() {
    let server = start(LOCAL);
    let receiver = Receiver::start(&[]);
    let webhook = create(&server, &receiver.0.url, &["ban.created", "key.revoked"]);
    let secret = &webhook["secret"];
    assert!(secret.as_str().unwrap().starts_with("whsec_"));
    assert_eq!(show(&server, &webhook).get("secret"), None);
    // What it does not want, and what is no ban, it is not told of.
    create_issuer(&server, "orders", json!({}));
    let body = json!({"subject": "user-0"});
    let path = "/v1/issuers/default/revocations";
    assert_eq!(server.call("POST", path, Some(&body)).status, 201);
    ban(&server, "user-1");
    let active = kid(&server, "default", "active");
    let path = format!("/v1/issuers/default/keys/{active}/revoke");
    let answer = server.call("POST", &path, Some(&json!({"reason": "leak"})));
    assert_eq!(answer.status, 200, "{}", answer.json());
    let received = receiver.wait_for(2);
    let types: Vec<Value> = received
        .iter()
        .map(|one| one.json()["type"].clone())
        .collect();
    assert_eq!(types, ["ban.created", "key.revoked"]);
    let events = server.call("GET", "/v1/audit?limit=1000&event=key-revoked", None);
    assert_eq!(received[1].json()["data"], events.json()["events"][0]);
    for message in &received {
        assert_ne!(is_verified(message, secret), Some(false));
        let altered = Received {
            body: message
                .body
                .replace("banned", "bonned")
                .replace("kid", "kib"),
            ..message.clone()
        };
        assert_ne!(is_verified(&altered, secret), Some(true));
    }
    // A new secret signs beside the one before.
    let path = format!("/v1/webhooks/{}/secrets", webhook["id"].as_str().unwrap());
    let rotated = server.call("POST", &path, None).json();
    assert_ne!(rotated["secret"], *secret);
    ban(&server, "user-2");
    let third = receiver.wait_for(3)[2].clone();
    for secret in [secret, &rotated["secret"]] {
        assert_ne!(is_verified(&third, secret), Some(false));
    }
    let path = format!("/v1/webhooks/{}/secrets", webhook["id"].as_str().unwrap());
    let last = server
        .call("POST", &path, Some(&json!({"overlap": "0s"})))
        .json();
    ban(&server, "user-3");
    let fourth = receiver.wait_for(4)[3].clone();
    assert_ne!(is_verified(&fourth, &rotated["secret"]), Some(true));
    assert_ne!(is_verified(&fourth, &last["secret"]), Some(false));
}

#[test]
fn a_message_that_is_not_accepted_comes_again_as_it_was_and_in_order() {
    let server = start(LOCAL);
    let receiver = Receiver::start(&[500, 302, 429]);
    let webhook = create(&server, &receiver.0.url, &["ban.created"]);
    ban(&server, "user-1");
    ban(&server, "user-2");
    let failing = eventually("a failure", || {
        let shown = show(&server, &webhook);
        (shown["state"] == "failing").then_some(shown)
    });
    assert!(
        failing["reason"].as_str().unwrap().starts_with("status "),
        "{failing}"
    );
    let received = receiver.wait_for(5);
    let ids: Vec<&str> = received.iter().map(|one| one.id.as_str()).collect();
    assert_eq!((ids[0], ids[1], ids[2]), (ids[3], ids[3], ids[3]));
    assert_ne!(ids[3], ids[4]);
    assert!(received[..4].iter().all(|one| one.body == received[0].body));
    eventually("the end of the failure", || {
        (show(&server, &webhook)["state"] == "accepting").then_some(())
    });
}

#[test]
fn one_that_is_gone_is_paused_and_red_until_a_person_resumes_it() {
    let server = start(LOCAL);
    let receiver = Receiver::start(&[410]);
    let webhook = create(&server, &receiver.0.url, &["ban.created"]);
    ban(&server, "user-1");
    eventually("the pause", || {
        (show(&server, &webhook)["state"] == "paused").then_some(())
    });
    let health = eventually("the health report", || {
        let health = server.call("GET", "/v1/health", None).json();
        (health["webhooks"][0]["state"] == "paused").then_some(health)
    });
    assert_eq!(health["webhooks"][0]["webhook"], webhook["id"]);
    let paused = server
        .call("GET", "/v1/audit?event=webhook-paused", None)
        .json();
    assert_eq!(paused["events"][0]["webhook"], webhook["id"]);
    let path = format!("/v1/webhooks/{}/resume", webhook["id"].as_str().unwrap());
    assert_eq!(server.call("POST", &path, Some(&json!({}))).status, 200);
    let received = receiver.wait_for(2);
    assert_eq!(received[0].id, received[1].id);
    let path = format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap());
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    assert_eq!(server.call("GET", &path, None).status, 404);
}

/// A URL does not lead into the network of the service.
#[test]
fn no_address_is_called_that_the_settings_do_not_name() {
    let server = start("");
    let receiver = Receiver::start(&[]);
    let port = receiver.0.url.split(':').nth(2).unwrap().to_owned();
    let local = create(&server, &receiver.0.url, &["ban.created"]);
    let named = create(
        &server,
        &format!("http://localhost:{port}"),
        &["ban.created"],
    );
    let metadata = create(&server, "http://169.254.169.254/latest", &["ban.created"]);
    ban(&server, "user-1");
    for webhook in [&local, &named, &metadata] {
        let failing = eventually("a refusal", || {
            let shown = show(&server, webhook);
            (shown["state"] == "failing").then_some(shown)
        });
        let reason = failing["reason"].as_str().unwrap();
        assert!(reason.contains("webhooks.allowed_networks"), "{reason}");
    }
    assert_eq!(receiver.all().len(), 0);
    for url in ["ftp://a.example", "https://u:p@a.example", "https://", "x"] {
        let body = json!({"url": url, "events": ["ban.created"]});
        let answer = server.call("POST", "/v1/webhooks", Some(&body));
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("invalid-webhook-url"))
        );
    }
}

#[test]
fn a_service_that_is_killed_loses_no_message() {
    let mut server = start(LOCAL);
    let receiver = Receiver::start(&[]);
    create(&server, &receiver.0.url, &["ban.created"]);
    let mut banned = 0;
    for round in 0..4 {
        for number in 0..5 {
            ban(&server, &format!("user-{round}-{number}"));
            banned += 1;
        }
        thread::sleep(Duration::from_millis(50 * round));
        let folder = server.kill();
        server = start_in(folder, LOCAL).unwrap();
    }
    let begin = Instant::now();
    loop {
        let mut ids: Vec<String> = receiver.all().into_iter().map(|one| one.id).collect();
        ids.sort();
        ids.dedup();
        if ids.len() == banned {
            break;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{} of {banned}",
            ids.len()
        );
        thread::sleep(Duration::from_millis(100));
    }
    // At least once: no more of them than there were kills.
    assert!(receiver.all().len() <= banned + 4);
}
