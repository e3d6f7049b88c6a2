//! Streams of security events that their receiver polls, by a receiver that was written from RFC 8417,
//! RFC 8936 and the Shared Signals Framework alone.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Server, eventually, request};
use crate::world::{Client, ISSUER, client, client_with, now, service, verified};

pub const SESSION_REVOKED: &str =
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
pub const PUSH: &str = "urn:ietf:rfc:8935";
pub const POLL: &str = "urn:ietf:rfc:8936";

/// A receiver with its stream.
pub struct Receiver<'s> {
    pub server: &'s Server,
    pub client: Client,
    pub stream: Value,
}

/// A client that may have streams.
pub fn receiver(server: &Server) -> Client {
    client_with(server, json!({"roles": ["receiver"]}))
}

/// A call of a client to an endpoint for receivers.
pub fn call(
    server: &Server,
    client: &Client,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    let url = format!("{}{path}", server.public);
    let headers = [("authorization", format!("Bearer {}", client.secret))];
    let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
    request(method, &url, &headers, body)
}

impl<'s> Receiver<'s> {
    /// A new client with a new stream.
    pub fn with(server: &'s Server, request: &Value) -> Self {
        let client = receiver(server);
        let answer = call(server, &client, "POST", "/ssf/streams", Some(request));
        assert_eq!(answer.status, 201, "{}", answer.json());
        let stream = answer.json();
        Self {
            server,
            client,
            stream,
        }
    }

    pub fn id(&self) -> &str {
        self.stream["stream_id"].as_str().unwrap()
    }

    pub fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        call(self.server, &self.client, method, path, Some(body))
    }

    /// What a request for tokens is answered, at once unless it says otherwise.
    fn poll_answer(&self, body: &Value) -> Answer {
        let mut body = body.clone();
        if let Some(members) = body.as_object_mut() {
            let at_once = members.entry("returnImmediately");
            at_once.or_insert(json!(true));
        }
        let body = &body;
        let path = format!("/ssf/poll?stream_id={}", self.id());
        self.call("POST", &path, body)
    }

    fn poll(&self, body: &Value) -> Value {
        let answer = self.poll_answer(body);
        assert_eq!(answer.status, 200, "{}", answer.json());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer.json()
    }

    /// The tokens that wait, verified, as `jti` and claims.
    fn waiting(&self, body: &Value) -> Vec<(String, Value)> {
        let polled = self.poll(body);
        let sets = polled["sets"].as_object().unwrap();
        let claims = sets.iter().map(|(jti, token)| {
            let claims = self.checked(token.as_str().unwrap());
            assert_eq!(claims["jti"], *jti);
            (jti.clone(), claims)
        });
        claims.collect()
    }

    /// The claims of a token that is as RFC 8417 and SSF want it.
    pub fn checked(&self, token: &str) -> Value {
        let (header, claims) = verified(self.server, token);
        assert_eq!(header["typ"], "secevent+jwt");
        assert_eq!(
            (&claims["iss"], &claims["aud"]),
            (&json!(ISSUER), &self.stream["aud"])
        );
        let issued = claims["iat"].as_u64().unwrap();
        assert!((now() - 30..=now() + 1).contains(&issued), "{claims}");
        for member in ["sub", "exp", "nbf"] {
            assert_eq!(claims.get(member), None, "{claims}");
        }
        assert_eq!(claims["events"].as_object().unwrap().len(), 1, "{claims}");
        claims
    }

    pub fn set_status(&self, status: &str) -> Value {
        let body = json!({"stream_id": self.id(), "status": status, "reason": "a test"});
        let answer = self.call("POST", "/ssf/status", &body);
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    }

    pub fn status(&self) -> Value {
        let path = format!("/ssf/status?stream_id={}", self.id());
        call(self.server, &self.client, "GET", &path, None).json()
    }
}

/// Takes tokens back. The identifier of the revocation.
pub fn revoke(server: &Server, selector: &Value) -> String {
    let answer = server.call("POST", "/v1/issuers/default/revocations", Some(selector));
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()["id"].as_str().unwrap().to_owned()
}

pub fn ban(server: &Server, subject: &str) -> String {
    revoke(server, &json!({"subject": subject, "ban": true}))
}

/// The subject of a token as RFC 9493 says it.
fn user(subject: &str) -> Value {
    json!({"format": "iss_sub", "iss": ISSUER, "sub": subject})
}

#[test]
fn a_ban_is_told_until_its_token_is_acknowledged_and_with_the_same_jti() {
    let server = service("");
    ban(&server, "before");
    let receiver = Receiver::with(&server, &json!({}));
    assert_eq!(receiver.waiting(&json!({})), []);
    let revocation = ban(&server, "user-1");
    let first = receiver.waiting(&json!({}));
    let (jti, claims) = &first[0];
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(
        (&claims["txn"], &claims["sub_id"]),
        (
            &json!(revocation),
            &json!({"format": "complex", "user": user("user-1")})
        )
    );
    let event = &claims["events"][SESSION_REVOKED];
    let at = event["event_timestamp"].as_u64().unwrap();
    assert!((now() - 30..=now()).contains(&at), "{event}");
    assert_eq!(
        (&event["initiating_entity"], &event["reason_admin"]),
        (&json!("admin"), &json!({"en": "banned"}))
    );
    // The answer was lost: the same comes again.
    assert_eq!(receiver.waiting(&json!({}))[0].0, *jti);
    ban(&server, "user-2");
    let next = receiver.waiting(&json!({"ack": [jti, "another"]}));
    assert_eq!(next.len(), 1, "{next:?}");
    assert_ne!(next[0].0, *jti);
    // An acknowledgement that is repeated changes nothing.
    assert_eq!(receiver.waiting(&json!({"ack": [jti]}))[0].0, next[0].0);
    // What the receiver cannot take is not sent again.
    let refused = json!({"setErrs": {next[0].0.clone(): {"err": "invalid_audience"}}});
    assert_eq!(receiver.waiting(&refused), []);
    // Another receiver is told by another token.
    let other = Receiver::with(&server, &json!({}));
    let third = ban(&server, "user-3");
    let (one, two) = (receiver.waiting(&json!({})), other.waiting(&json!({})));
    assert_eq!((one.len(), two.len()), (1, 1));
    assert_ne!(one[0].0, two[0].0);
    assert_eq!(
        (&one[0].1["txn"], &two[0].1["txn"]),
        (&json!(third), &json!(third))
    );
}

#[test]
fn tokens_come_in_order_as_many_as_are_wanted_and_may_be_acknowledged_in_any_order() {
    let server = service("");
    let receiver = Receiver::with(&server, &json!({}));
    let revocations: Vec<String> = (0..5).map(|n| ban(&server, &format!("user-{n}"))).collect();
    let two = receiver.poll(&json!({"maxEvents": 2, "returnImmediately": true}));
    assert_eq!(
        (
            two["sets"].as_object().unwrap().len(),
            &two["moreAvailable"]
        ),
        (2, &json!(true))
    );
    let none = receiver.poll(&json!({"maxEvents": 0}));
    assert_eq!(none, json!({"sets": {}, "moreAvailable": true}));
    let all = receiver.waiting(&json!({}));
    let jti_of = |revocation: &String| {
        let mut all = all.iter();
        let found = all.find(|(_, claims)| claims["txn"] == *revocation);
        found.unwrap().0.clone()
    };
    // The second and the fourth are taken, then the rest but the last.
    let taken = [&revocations[1], &revocations[3]].map(jti_of);
    assert_eq!(receiver.waiting(&json!({"ack": taken})).len(), 3);
    let taken = [&revocations[2], &revocations[0]].map(jti_of);
    let left = receiver.waiting(&json!({"ack": taken}));
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].1["txn"], revocations[4]);
    let done = receiver.poll(&json!({"ack": [left[0].0]}));
    assert_eq!(done, json!({"sets": {}, "moreAvailable": false}));
}

#[test]
fn only_what_ends_sessions_is_told() {
    let server = service("");
    let receiver = Receiver::with(&server, &json!({}));
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    let with_user = |member: &str, id: &str| json!({"format": "complex", "user": user("u1"), member: opaque(id)});
    let told = [
        (json!({"session": "s1"}), opaque("s1")),
        (
            json!({"jti": "j1"}),
            json!({"format": "jwt_id", "iss": ISSUER, "jti": "j1"}),
        ),
        (
            json!({"subject": "u1", "session": "s2"}),
            with_user("session", "s2"),
        ),
        (
            json!({"subject": "u1", "client": "c1"}),
            with_user("application", "c1"),
        ),
    ];
    for selector in [
        json!({"client": "c1"}),
        json!({"audience": "a1"}),
        json!({"subject": "u1", "audience": "a1"}),
    ] {
        revoke(&server, &selector);
    }
    for (selector, subject) in told {
        revoke(&server, &selector);
        let waiting = receiver.waiting(&json!({}));
        assert_eq!(waiting.len(), 1, "{selector}: {waiting:?}");
        let (jti, claims) = &waiting[0];
        assert_eq!(claims["sub_id"], subject, "{selector}");
        let reason = &claims["events"][SESSION_REVOKED]["reason_admin"];
        assert_eq!(*reason, json!({"en": "tokens revoked"}));
        assert_eq!(receiver.waiting(&json!({"ack": [jti]})), []);
    }
    // What was erased before it was told names no user any more.
    let erased = ban(&server, "user-9");
    let path = format!("/v1/issuers/default/revocations/{erased}/erase");
    assert_eq!(server.call("POST", &path, None).status, 200);
    assert_eq!(receiver.waiting(&json!({})), []);
    // A receiver that wants other events gets none of these.
    let other = json!({"events_requested": ["https://a.example/event"]});
    let other = Receiver::with(&server, &other);
    assert_eq!(other.stream["events_delivered"], json!([]));
    ban(&server, "user-8");
    assert_eq!(other.waiting(&json!({})), []);
}

#[test]
fn a_verification_carries_its_state_until_it_is_taken() {
    let server = service("");
    let receiver = Receiver::with(&server, &json!({}));
    let verify = |state: &str| {
        let body = json!({"stream_id": receiver.id(), "state": state});
        let answer = receiver.call("POST", "/ssf/verification", &body);
        assert_eq!((answer.status, answer.body.len()), (204, 0));
    };
    verify("a state that is replaced");
    verify("VGhpcyBpcyBhbiBleGFtcGxl");
    let waiting = receiver.waiting(&json!({}));
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    let (jti, claims) = &waiting[0];
    assert_eq!(
        claims["sub_id"],
        json!({"format": "opaque", "id": receiver.id()})
    );
    let event = json!({ VERIFICATION: {"state": "VGhpcyBpcyBhbiBleGFtcGxl"} });
    assert_eq!(claims["events"], event);
    assert_eq!(receiver.waiting(&json!({}))[0].0, *jti);
    assert_eq!(receiver.waiting(&json!({"ack": [jti]})), []);
}

#[test]
fn a_paused_stream_keeps_events_and_a_disabled_one_drops_them() {
    let server = service("");
    let receiver = Receiver::with(&server, &json!({}));
    let status = json!({"stream_id": receiver.id(), "status": "enabled"});
    assert_eq!(receiver.status(), status);
    assert_eq!(receiver.set_status("paused")["status"], "paused");
    let kept = ban(&server, "user-1");
    let empty = json!({"sets": {}, "moreAvailable": false});
    assert_eq!(receiver.poll(&json!({})), empty);
    assert_eq!(
        receiver.status(),
        json!({"stream_id": receiver.id(), "status": "paused", "reason": "a test"})
    );
    receiver.set_status("enabled");
    let waiting = receiver.waiting(&json!({}));
    assert_eq!(waiting[0].1["txn"], kept);
    receiver.set_status("disabled");
    ban(&server, "user-2");
    assert_eq!(receiver.poll(&json!({})), empty);
    let body = json!({"stream_id": receiver.id()});
    let refused = receiver.call("POST", "/ssf/verification", &body);
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (409, &json!("event-stream-disabled"))
    );
    receiver.set_status("enabled");
    assert_eq!(receiver.poll(&json!({})), empty);
    let told = ban(&server, "user-3");
    let waiting = receiver.waiting(&json!({}));
    assert_eq!((waiting.len(), &waiting[0].1["txn"]), (1, &json!(told)));
}

#[test]
fn a_stream_is_that_of_its_client_alone() {
    let server = service("");
    let receiver = Receiver::with(&server, &json!({"description": "the gateway"}));
    let other = self::receiver(&server);
    let id = receiver.id();
    ban(&server, "user-1");
    let by_id = |path: &str| format!("{path}?stream_id={id}");
    let named = json!({"stream_id": id, "status": "paused"});
    for (method, path, body) in [
        ("GET", by_id("/ssf/streams"), None),
        ("DELETE", by_id("/ssf/streams"), None),
        ("PATCH", "/ssf/streams".to_owned(), Some(&named)),
        ("PUT", "/ssf/streams".to_owned(), Some(&named)),
        ("GET", by_id("/ssf/status"), None),
        ("POST", "/ssf/status".to_owned(), Some(&named)),
        ("POST", "/ssf/verification".to_owned(), Some(&named)),
        ("POST", by_id("/ssf/poll"), Some(&named)),
    ] {
        let answer = call(&server, &other, method, &path, body);
        let document = answer.json();
        assert_eq!(
            (answer.status, &document["code"]),
            (404, &json!("unknown-event-stream")),
            "{method} {path}: {document}"
        );
    }
    let all = call(&server, &other, "GET", "/ssf/streams", None);
    assert_eq!((all.status, all.json()), (200, json!([])));
    let own = call(&server, &receiver.client, "GET", "/ssf/streams", None);
    assert_eq!(own.json(), json!([receiver.stream]));
    assert_eq!(receiver.status()["status"], "enabled");
    assert_eq!(receiver.waiting(&json!({})).len(), 1);
    // Without the role, or at an issuer beyond its limits, a client has none.
    let signer = client(&server, json!({}));
    let limits = json!({"issuers": ["elsewhere"]});
    let elsewhere = client_with(&server, json!({"roles": ["receiver"], "limits": limits}));
    for (client, status, code) in [
        (&signer, 403, "role-missing"),
        (&elsewhere, 403, "client-limit"),
    ] {
        let answer = call(&server, client, "POST", "/ssf/streams", Some(&json!({})));
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (status, &json!(code))
        );
    }
    let stranger = request("GET", &format!("{}/ssf/streams", server.public), &[], None);
    assert_eq!(stranger.status, 401, "{}", stranger.json());
    // A client that is gone has none either, and one that comes later does not inherit it.
    let path = format!("/v1/clients/{}", receiver.client.id);
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    crate::support::eventually("the end of the stream", || {
        let deleted = "/v1/audit?limit=1000&event=event-stream-deleted";
        let events = server.call("GET", deleted, None).json();
        (events["events"][0]["stream"] == *id).then_some(())
    });
}

#[test]
fn a_receiver_that_waits_is_answered_when_there_is_something_and_waits_alone() {
    let server = service("");
    let receiver = Receiver::with(&server, &json!({}));
    let waits = json!({"returnImmediately": false});
    let answered = |body: &Value| {
        let began = Instant::now();
        let sets = receiver.poll(body)["sets"].as_object().unwrap().len();
        (sets, began.elapsed())
    };
    let second = Duration::from_secs(1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            loop {
                let answer = answered(&waits);
                if answer.0 > 0 {
                    return answer;
                }
            }
        });
        // A second request of the stream does not wait. One that comes before it waits itself.
        eventually("a request that waits", || {
            let (sets, took) = answered(&waits);
            (sets == 0 && took < second * 4).then_some(())
        });
        ban(&server, "user-1");
        let (sets, took) = waiting.join().unwrap();
        assert_eq!(sets, 1);
        assert!(took < second * 8, "{took:?}");
    });
    let taken: Vec<String> = receiver
        .waiting(&json!({}))
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert_eq!(receiver.poll(&json!({"ack": taken}))["sets"], json!({}));
    let (sets, took) = answered(&json!({"returnImmediately": false, "maxEvents": 0}));
    assert!(sets == 0 && took < second * 4, "{sets} {took:?}");
    // One that is not enabled has nothing to wait for.
    receiver.set_status("paused");
    let (sets, took) = answered(&waits);
    assert!(sets == 0 && took < second * 4, "{sets} {took:?}");
    receiver.set_status("enabled");
    // The wait has an end, and a verification ends it, which leaves no event in the log.
    let (sets, took) = answered(&waits);
    assert!(sets == 0 && took >= second * 7, "{sets} {took:?}");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| answered(&waits));
        let body = json!({"stream_id": receiver.id(), "state": "s"});
        assert_eq!(
            receiver.call("POST", "/ssf/verification", &body).status,
            204
        );
        let (sets, took) = waiting.join().unwrap();
        assert_eq!(sets, 1);
        assert!(took < second * 6, "{took:?}");
    });
}

#[test]
fn a_wait_ends_before_the_time_of_a_request_does() {
    let server = service("internal.request_timeout = \"2s\"\n");
    let receiver = Receiver::with(&server, &json!({}));
    let began = Instant::now();
    let answer = receiver.poll_answer(&json!({"returnImmediately": false}));
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert!(began.elapsed() < Duration::from_secs(6));
}
