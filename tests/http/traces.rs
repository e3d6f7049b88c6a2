//! What a collector of OpenTelemetry receives, from a real service.

mod collector;

use std::collections::BTreeSet;
use std::time::Duration;

use keywright_client::{Client, Credential, ServiceAddress};
use serde_json::{Value, json};

use crate::support::{Answer, Server, eventually, request, since_epoch, start};
use crate::world::{create_client, credential};
use collector::{Answers, Collector};

const SPAN: &str = "00f067aa0ba902b7";

/// The trace with this number.
fn trace(number: u32) -> String {
    format!("4bf92f3577b34da6a3ce929d{number:08x}")
}

fn traceparent(trace_id: &str, flags: &str) -> (&'static str, String) {
    ("traceparent", format!("00-{trace_id}-{SPAN}-{flags}"))
}

/// A call of the internal listener that is part of a trace.
fn call(server: &Server, path: &str, body: &Value, headers: &[(&'static str, String)]) -> Answer {
    let mut all = vec![("authorization", format!("Bearer {}", server.admin))];
    all.extend(headers.iter().cloned());
    let body = Some(("application/json", body.to_string().into_bytes()));
    request("POST", &format!("{}{path}", server.internal), &all, body)
}

fn of<'s>(spans: &'s [Value], trace_id: &str) -> Vec<&'s Value> {
    let is_of = |span: &&Value| span["trace_id"] == trace_id;
    spans.iter().filter(is_of).collect()
}

/// The first span in the service, and the names of its steps. Each step is part of it, and within its time.
fn tree<'s>(spans: &[&'s Value]) -> (&'s Value, BTreeSet<&'s str>) {
    let is_root = |span: &&&Value| span["kind"] != "SPAN_KIND_INTERNAL";
    let roots: Vec<_> = spans.iter().filter(is_root).collect();
    assert_eq!(roots.len(), 1, "{spans:#?}");
    let root = *roots[0];
    let began = |span: &Value| span["began"].as_u64().unwrap();
    let ended = |span: &Value| span["ended"].as_u64().unwrap();
    let mut steps = BTreeSet::new();
    for span in spans.iter().filter(|span| **span != root) {
        assert_eq!(span["parent"], root["span_id"]);
        // The caller's part is not remote to a step.
        assert_eq!(span["flags"], 0x101);
        assert!(began(root) <= began(span) && began(span) <= ended(span));
        steps.insert(span["name"].as_str().unwrap());
    }
    assert!(began(root) < ended(root));
    let now = u64::try_from(since_epoch().as_nanos()).unwrap();
    assert!(now - began(root) < 60_000_000_000);
    (root, steps)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// The values of this member in the log lines that have it.
fn logged(server: &Server, place: &str, member: &str) -> BTreeSet<String> {
    let lines = server.log();
    let lines = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let values = lines.filter_map(|line| line[place][member].as_str().map(str::to_owned));
    values.collect()
}

#[test]
fn callers_of_the_internal_listener_decide_and_steps_are_part_of_their_traces() {
    let collector = Collector::start(Answers::Accepts);
    let log = "log.format = \"json\"\nlog.filter = \"keywright=debug,info\"\n";
    let server = start(&format!("{}{log}", collector.settings("0.0")));
    let subject = "subject-that-is-nobodys-business";
    let sign = |algorithm: &str, headers: &[(&'static str, String)]| {
        let body = json!({ "claims": { "sub": subject }, "alg": algorithm });
        let answer = call(&server, "/v1/issuers/default/tokens", &body, headers);
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()["token"].as_str().unwrap().to_owned()
    };
    // Not sampled, and not valid.
    sign("ES256", &[]);
    sign("ES256", &[traceparent(&trace(1), "00")]);
    sign(
        "ES256",
        &[("traceparent", format!("00-{}-{SPAN}-0", trace(2)))],
    );
    // A stranger.
    let url = format!("{}/.well-known/jwks.json", server.public);
    assert_eq!(
        request("GET", &url, &[traceparent(&trace(3), "01")], None).status,
        200
    );
    // The operator's.
    let state = ("tracestate", "vendor=value".to_owned());
    let token = sign("ES256", &[traceparent(&trace(4), "01"), state]);
    sign("RS256", &[traceparent(&trace(5), "01")]);
    let refused = call(
        &server,
        "/v1/issuers/none/tokens",
        &json!({}),
        &[traceparent(&trace(6), "01")],
    );
    assert_eq!(refused.status, 404);
    let rotate = json!({ "algorithm": "ES256", "force": true, "reason": "an exercise" });
    let rotated = call(
        &server,
        "/v1/issuers/default/rotate",
        &rotate,
        &[traceparent(&trace(7), "01")],
    );
    assert_eq!(rotated.status, 200, "{}", rotated.json());

    let Some(spans) = collector.spans_until(&trace(7)) else {
        return;
    };
    for number in 1..=3 {
        assert_eq!(of(&spans, &trace(number)), [&Value::Null; 0], "{number}");
    }
    let (root, steps) = tree(&of(&spans, &trace(4)));
    assert_eq!(root["name"], "POST /v1/issuers/{issuer}/tokens");
    assert_eq!(root["kind"], "SPAN_KIND_SERVER");
    assert_eq!(root["parent"], SPAN);
    assert_eq!(root["flags"], 0x301);
    assert_eq!(root["state"], "vendor=value");
    assert_eq!(root["status"], "STATUS_CODE_UNSET");
    assert_eq!(root["scope"], "keywright");
    let attributes = json!({
        "http.request.method": "POST",
        "http.route": "/v1/issuers/{issuer}/tokens",
        "http.response.status_code": 201,
        "keywright.issuer": "default",
        "keywright.listener": "internal",
    });
    assert_eq!(root["attributes"], attributes);
    let resource = &root["resource"];
    assert_eq!(resource["service.name"], "keywright");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    let of_signature = ["authenticate", "check", "read", "record", "sign"];
    assert_eq!(steps, of_signature.into());

    let (_, steps) = tree(&of(&spans, &trace(5)));
    let of_rsa = ["sign on a thread", "wait for a signing thread"];
    assert_eq!(steps, of_signature.into_iter().chain(of_rsa).collect());

    let (root, steps) = tree(&of(&spans, &trace(6)));
    assert_eq!(root["attributes"]["http.response.status_code"], 404);
    assert_eq!(root["attributes"].get("keywright.issuer"), None);
    assert_eq!(steps, ["authenticate"].into());

    let (root, steps) = tree(&of(&spans, &trace(7)));
    assert_eq!(root["name"], "POST /v1/issuers/{issuer}/rotate");
    let of_change = [
        "authenticate",
        "lock",
        "decide",
        "open keys",
        "commit",
        "install",
    ];
    assert!(steps.is_superset(&of_change.into()), "{steps:?}");

    let exported = collector.bytes();
    assert!(contains(&exported, "POST /v1/traces HTTP/1.1\r\n"));
    assert!(contains(
        &exported,
        "content-type: application/x-protobuf\r\n"
    ));
    let jti = token.split('.').nth(1).unwrap();
    for secret in [subject, &token, jti, &server.admin, "an exercise"] {
        assert!(!contains(&exported, secret), "{secret}");
    }

    // The log names the same traces, and no others.
    let sampled = BTreeSet::from([4, 5, 6, 7].map(trace));
    assert_eq!(logged(&server, "fields", "trace_id"), sampled);
    assert_eq!(logged(&server, "span", "trace_id"), [trace(7)].into());
    let span_id = root["span_id"].as_str().unwrap().to_owned();
    assert_eq!(logged(&server, "span", "span_id"), [span_id].into());
}

#[test]
fn a_share_of_what_begins_here_is_traced_and_webhooks_learn_of_it() {
    let collector = Collector::start(Answers::Accepts);
    let receiver = Collector::start(Answers::Accepts);
    let more = "webhooks.allowed_networks = [\"127.0.0.0/8\"]\n\n[oauth]\nenabled = true\n";
    let server = start(&format!("{}{more}", collector.settings("1.0")));
    // All of it, also of strangers and whatever their flag says; whose trace goes on.
    let url = format!("{}/.well-known/jwks.json", server.public);
    request("GET", &url, &[traceparent(&trace(1), "00")], None);
    let webhook = json!({ "url": receiver.url, "events": ["ban.created"] });
    let answer = server.call("POST", "/v1/webhooks", Some(&webhook));
    assert_eq!(answer.status, 201, "{}", answer.json());
    let ban = json!({ "subject": "user-2", "ban": true, "reason": "a theft" });
    let path = "/v1/issuers/default/revocations";
    assert_eq!(server.call("POST", path, Some(&ban)).status, 201);
    let sent = receiver.wait_for("the message", |received| {
        let head = received.first()?.head.clone();
        head.split("traceparent: ").nth(1).map(str::to_owned)
    });
    let [_, sent_trace, sent_span, _] =
        sent.lines().next().unwrap().split('-').collect::<Vec<_>>()[..]
    else {
        panic!("{sent}");
    };
    let client = create_client(&server, "web", &["issuer"]);
    let pair = format!("{}:{}", client["id"].as_str().unwrap(), credential(&client));
    let basic = format!(
        "Basic {}",
        base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pair)
    );
    let form = b"grant_type=client_credentials&resource=https://api.example".to_vec();
    let headers = [("authorization", basic), traceparent(&trace(2), "00")];
    let form = Some(("application/x-www-form-urlencoded", form));
    let answer = request("POST", &format!("{}/token", server.public), &headers, form);
    assert_eq!(answer.status, 200, "{}", answer.json());

    collector.spans_until(sent_trace);
    let Some(spans) = collector.spans_until(&trace(2)) else {
        return;
    };
    let (root, steps) = tree(&of(&spans, &trace(1)));
    assert_eq!(root["name"], "GET /.well-known/jwks.json");
    assert_eq!(root["parent"], SPAN);
    assert_eq!(root["attributes"]["keywright.listener"], "public");
    assert_eq!(steps, [].into());

    let (root, _) = tree(&of(&spans, sent_trace));
    assert_eq!(root["span_id"], sent_span);
    assert_eq!(
        (&root["kind"], &root["parent"]),
        (&json!("SPAN_KIND_CLIENT"), &json!(""))
    );

    let (root, steps) = tree(&of(&spans, &trace(2)));
    assert_eq!(root["name"], "POST /token");
    assert_eq!(steps, ["authenticate", "check", "record", "sign"].into());
    let exported = collector.bytes();
    for secret in [
        &*credential(&client),
        client["id"].as_str().unwrap(),
        "user-2",
    ] {
        assert!(!contains(&exported, secret), "{secret}");
    }
}

fn counted(server: &Server, name: &str) -> u64 {
    let answer = request("GET", &format!("{}/metrics", server.internal), &[], None);
    let text = String::from_utf8(answer.body).unwrap();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    value.unwrap().parse().unwrap()
}

/// Has one request traced by a service with such a collector, and waits until its span is counted as this.
fn trace_one(answers: Answers, counted_as: &str) -> Server {
    let collector = Collector::start(answers);
    let server = start(&collector.settings("0.0"));
    let path = "/nowhere";
    let answer = call(&server, path, &json!({}), &[traceparent(&trace(1), "01")]);
    assert_eq!(answer.status, 404);
    let others = [
        "keywright_spans_exported_total",
        "keywright_spans_dropped_total",
    ];
    eventually("the export", || {
        (counted(&server, counted_as) == 1).then_some(())
    });
    let both: u64 = others.iter().map(|name| counted(&server, name)).sum();
    assert_eq!(both, 1);
    server
}

#[test]
fn spans_that_the_collector_does_not_take_are_counted() {
    trace_one(Answers::RejectsOne, "keywright_spans_dropped_total");
    let server = trace_one(Answers::Refuses, "keywright_spans_dropped_total");
    let log = server.log();
    assert!(log.contains("spans are not exported"), "{log}");
    assert!(log.contains("status 400"), "{log}");
}

#[test]
fn spans_for_which_the_collector_is_busy_are_sent_again() {
    trace_one(Answers::IsBusyAtFirst, "keywright_spans_exported_total");
}

#[tokio::test]
async fn the_client_makes_a_call_a_part_of_its_trace() {
    let collector = Collector::start(Answers::Accepts);
    let server = start(&collector.settings("0.0"));
    let address = ServiceAddress::parse(&server.internal).unwrap();
    let credential = Credential::parse(&server.admin).unwrap();
    let client = Client::new(&address).unwrap().with_credential(credential);
    let (_, traceparent) = traceparent(&trace(1), "01");
    let listed = client.list_issuers().with_traceparent(&traceparent).await;
    assert_eq!(listed.unwrap().issuers.len(), 1);
    if let Some(spans) = collector.spans_until(&trace(1)) {
        let (root, _) = tree(&of(&spans, &trace(1)));
        assert_eq!(root["name"], "GET /v1/issuers");
    }
}

#[test]
fn a_collector_that_hangs_or_is_gone_delays_no_request_and_hardly_the_end() {
    let hanging = Collector::start(Answers::Hangs);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone_url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let gone = format!("telemetry.otlp_endpoint = \"{gone_url}\"\ntelemetry.trace_share = 1\n");
    for settings in [hanging.settings("1.0"), gone] {
        let server = start(&settings);
        let began = since_epoch();
        for _ in 0..20 {
            server.sign("default", &json!({ "claims": { "sub": "user-1" } }));
        }
        assert!(since_epoch() - began < Duration::from_secs(2));
        if settings.contains(&hanging.url) {
            hanging.wait_for("an export", |received| (!received.is_empty()).then_some(()));
        }
        let began = since_epoch();
        assert_eq!(server.terminate().0, Some(0));
        let took = since_epoch() - began;
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}
