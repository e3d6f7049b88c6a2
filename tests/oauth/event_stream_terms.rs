//! What receivers decide of their streams of security events, what is refused, and where it all is.

use serde_json::{Value, json};

use crate::event_streams::{POLL, PUSH, Receiver, SESSION_REVOKED, call};
use crate::world::{ISSUER, service};

#[test]
fn a_stream_is_changed_by_what_its_receiver_decides_alone() {
    let server = service("");
    let receiver = Receiver::with(&server, &json!({"description": "one"}));
    let poll_url = format!("{ISSUER}/ssf/poll?stream_id={}", receiver.id());
    assert_eq!(
        receiver.stream,
        json!({
            "stream_id": receiver.id(), "iss": ISSUER, "aud": receiver.client.id,
            "events_supported": [SESSION_REVOKED], "events_delivered": [SESSION_REVOKED],
            "delivery": {"method": POLL, "endpoint_url": poll_url}, "description": "one",
        })
    );
    let change = |method: &str, members: Value| {
        let mut body = json!({"stream_id": receiver.id()});
        let members = members.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(members);
        let answer = receiver.call(method, "/ssf/streams", &body);
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    };
    let events = json!([SESSION_REVOKED, "https://a.example/event"]);
    let patched = change("PATCH", json!({ "events_requested": events }));
    assert_eq!(
        (&patched["events_requested"], &patched["description"]),
        (&events, &json!("one"))
    );
    assert_eq!(patched["events_delivered"], json!([SESSION_REVOKED]));
    // A receiver may send what it was shown, and members that are not known here.
    let mut shown = patched.clone();
    shown["aud"] = json!([receiver.client.id]);
    shown["format"] = json!("iss_sub");
    assert_eq!(change("PATCH", shown), patched);
    let replaced = change("PUT", json!({"description": "two"}));
    assert_eq!(
        (replaced.get("events_requested"), &replaced["description"]),
        (None, &json!("two"))
    );
    let path = format!("/ssf/streams?stream_id={}", receiver.id());
    let (server, client) = (receiver.server, &receiver.client);
    assert_eq!(call(server, client, "GET", &path, None).json(), replaced);
    let deleted = call(server, client, "DELETE", &path, None);
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_eq!(call(server, client, "GET", &path, None).status, 404);
    let changes = "/v1/audit?limit=1000&event=event-stream-changed";
    let events = server.call("GET", changes, None).json();
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!(events[0]["actor"]["id"], json!(client.id));
}

#[test]
fn what_is_refused_changes_nothing() {
    let server = service("");
    let receiver = Receiver::with(&server, &json!({}));
    let push = |url: &str| json!({"method": PUSH, "endpoint_url": url});
    let with_header = |value: &str| {
        let mut delivery = push("https://a.example");
        delivery["authorization_header"] = json!(value);
        json!({ "delivery": delivery })
    };
    let long = "x".repeat(257);
    for (members, code) in [
        (
            json!({"delivery": {"method": "urn:x"}}),
            "invalid-event-stream",
        ),
        (
            json!({"delivery": {"method": PUSH}}),
            "invalid-event-stream",
        ),
        (
            json!({"delivery": push("ftp://a.example")}),
            "invalid-event-stream",
        ),
        (
            json!({"delivery": push("https://u:p@a.example")}),
            "invalid-event-stream",
        ),
        (with_header(""), "invalid-event-stream"),
        (with_header("Bearer a\r\nx: y"), "invalid-event-stream"),
        (with_header(&"x".repeat(2049)), "invalid-event-stream"),
        (
            json!({"delivery": {"method": POLL, "authorization_header": "Bearer a"}}),
            "invalid-event-stream",
        ),
        (json!({ "description": long }), "invalid-event-stream"),
        (
            json!({"events_requested": ["x".repeat(513)]}),
            "invalid-event-stream",
        ),
        (json!({"events_requested": vec!["x"; 51]}), "invalid-body"),
        (json!({"events_requested": "x"}), "field-type"),
        (json!({"delivery": {}}), "field-missing"),
    ] {
        let mut body = members.clone();
        let created = receiver.call("POST", "/ssf/streams", &body);
        body["stream_id"] = json!(receiver.id());
        for answer in [
            created,
            receiver.call("PATCH", "/ssf/streams", &body),
            receiver.call("PUT", "/ssf/streams", &body),
        ] {
            let document = answer.json();
            assert_eq!(
                (answer.status, &document["code"]),
                (400, &json!(code)),
                "{members}: {document}"
            );
        }
    }
    let id = json!(receiver.id());
    let by_id = format!("?stream_id={}", receiver.id());
    let many: serde_json::Map<_, _> = (0..1001)
        .map(|n| (n.to_string(), json!({"err": "x"})))
        .collect();
    for (method, path, body, status, code) in [
        ("PATCH", "/ssf/streams", json!({}), 400, "field-missing"),
        (
            "PATCH",
            "/ssf/streams",
            json!({"stream_id": "x"}),
            404,
            "unknown-event-stream",
        ),
        (
            "PATCH",
            "/ssf/streams",
            json!({"stream_id": id, "iss": "x"}),
            400,
            "invalid-event-stream",
        ),
        (
            "PATCH",
            "/ssf/streams",
            json!({"stream_id": id, "aud": "x"}),
            400,
            "invalid-event-stream",
        ),
        (
            "PATCH",
            "/ssf/streams",
            json!({"stream_id": id, "events_delivered": []}),
            400,
            "invalid-event-stream",
        ),
        (
            "POST",
            "/ssf/status",
            json!({"stream_id": id}),
            400,
            "field-missing",
        ),
        (
            "POST",
            "/ssf/status",
            json!({"stream_id": id, "status": "off"}),
            400,
            "invalid-body",
        ),
        (
            "POST",
            "/ssf/status",
            json!({"stream_id": id, "status": "paused", "reason": long}),
            400,
            "invalid-event-stream",
        ),
        (
            "POST",
            "/ssf/verification",
            json!({"stream_id": id, "state": "x".repeat(1025)}),
            400,
            "invalid-event-stream",
        ),
        ("POST", "/ssf/poll", json!({}), 400, "invalid-query"),
        (
            "POST",
            &format!("/ssf/poll{by_id}"),
            json!({"ack": vec!["x"; 1001]}),
            400,
            "invalid-body",
        ),
        (
            "POST",
            &format!("/ssf/poll{by_id}"),
            json!({"maxEvents": -1}),
            400,
            "field-type",
        ),
        (
            "POST",
            &format!("/ssf/poll{by_id}"),
            json!({ "setErrs": many }),
            400,
            "invalid-event-stream",
        ),
        ("DELETE", "/ssf/streams", json!({}), 400, "invalid-query"),
        (
            "DELETE",
            &format!("/ssf/streams{by_id}&x=y"),
            json!({}),
            400,
            "invalid-query",
        ),
        (
            "DELETE",
            "/ssf/status",
            json!({}),
            405,
            "method-not-allowed",
        ),
        (
            "OPTIONS",
            "/ssf/streams",
            json!({}),
            405,
            "method-not-allowed",
        ),
    ] {
        let answer = receiver.call(method, path, &body);
        let document = answer.json();
        assert_eq!(
            (answer.status, &document["code"]),
            (status, &json!(code)),
            "{method} {path}: {document}"
        );
    }
    let all = call(&server, &receiver.client, "GET", "/ssf/streams", None);
    assert_eq!(all.json(), json!([receiver.stream]));
    // A client has at most five.
    for _ in 1..5 {
        let answer = receiver.call("POST", "/ssf/streams", &json!({}));
        assert_eq!(answer.status, 201);
    }
    let answer = receiver.call("POST", "/ssf/streams", &json!({}));
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (409, &json!("too-many-event-streams"))
    );
}

#[test]
fn the_configuration_names_the_endpoints_where_they_are_served() {
    let server = service("");
    let policy = json!({"url": "https://id.example/shop"});
    let answer = server.call("PUT", "/v1/issuers/shop", Some(&policy));
    assert_eq!(answer.status, 201, "{}", answer.json());
    for (path, issuer) in [("", ISSUER), ("/shop", "https://id.example/shop")] {
        let answer = server.fetch(&format!("/.well-known/ssf-configuration{path}"));
        assert_eq!(
            answer.json(),
            json!({
                "spec_version": "1_0", "issuer": issuer,
                "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
                "delivery_methods_supported": [PUSH, POLL],
                "configuration_endpoint": format!("{issuer}/ssf/streams"),
                "status_endpoint": format!("{issuer}/ssf/status"),
                "verification_endpoint": format!("{issuer}/ssf/verification"),
                "authorization_schemes": [
                    {"spec_urn": "urn:ietf:rfc:6750"}, {"spec_urn": "urn:ietf:rfc:7617"},
                ],
                "default_subjects": "ALL",
            })
        );
    }
    let off = crate::support::start("");
    assert_eq!(off.fetch("/.well-known/ssf-configuration").status, 404);
    assert_eq!(off.fetch("/ssf/streams").status, 404);
}
