//! The audit log as it grows, as server-sent events.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use keywright_client::{AuditFilter, Client, Credential, ServiceAddress};
use serde_json::{Map, Value, json};

use crate::exchange::connect;
use crate::support::{Server, eventually, start};
use crate::world::{create_client, create_issuer, credential, ok};

/// A stream of events, chunk by chunk.
struct Events {
    reader: BufReader<TcpStream>,
    head: String,
}

impl Events {
    fn open(server: &Server, bearer: &str, query: &str, headers: &str) -> Self {
        let mut stream = connect(&server.internal);
        let request = format!(
            "GET /v1/events{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        Self { reader, head }
    }

    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The next chunk; `None` at the end, however it comes.
    fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        if self.reader.read_line(&mut size).ok()? == 0 {
            return None;
        }
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        (size > 0).then(|| String::from_utf8(chunk).unwrap())
    }

    /// The next event, with its number.
    fn event(&mut self) -> Option<(u64, Value)> {
        loop {
            let chunk = self.chunk()?;
            let Some(rest) = chunk.strip_prefix("id: ") else {
                continue;
            };
            let (id, data) = rest.split_once("\ndata: ").unwrap();
            let data = data.strip_suffix("\n\n").unwrap();
            return Some((id.parse().unwrap(), serde_json::from_str(data).unwrap()));
        }
    }
}

fn auditor(server: &Server) -> (String, String) {
    let client = create_client(server, "siem", &["auditor"]);
    let id = client["id"].as_str().unwrap().to_owned();
    (id, credential(&client))
}

fn listed(server: &Server) -> Vec<Value> {
    let page = ok(server.call("GET", "/v1/audit?limit=1000", None));
    page["events"].as_array().unwrap().clone()
}

#[test]
fn events_come_as_they_happen_and_go_on_after_the_last_that_was_seen() {
    let server = start("");
    let (_, bearer) = auditor(&server);
    let mut now = Events::open(&server, &bearer, "", "");
    assert_eq!(now.status(), 200, "{}", now.head);
    let head = now.head.to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    let begin = Instant::now();
    create_issuer(&server, "orders", json!({}));
    let (id, first) = now.event().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(first["issuer"], "orders");
    // Each is what the listing has, under its number.
    let all = listed(&server);
    let from = |after: u64| -> Vec<Value> {
        let later = |event: &&Value| event["sequence"].as_u64().unwrap() > after;
        all.iter().filter(later).cloned().collect()
    };
    let read = |query: &str, headers: &str, count: usize| -> Vec<Value> {
        let mut events = Events::open(&server, &bearer, query, headers);
        let read = (0..count).map(|_| events.event().unwrap());
        read.map(|(id, event)| {
            assert_eq!(event["sequence"], id);
            event
        })
        .collect()
    };
    assert_eq!(read("?after=0", "", all.len()), all);
    let rest = from(id);
    let resumed = format!("Last-Event-ID: {id}\r\n");
    assert_eq!(read("?after=0", &resumed, rest.len()), rest);
    // What is filtered is filtered as in the listing.
    let path = "/v1/audit?limit=1000&event=key-published&issuer=orders";
    let published = ok(server.call("GET", path, None));
    let published = published["events"].as_array().unwrap().clone();
    let query = "?after=0&event=key-published&issuer=orders";
    assert!(!published.is_empty());
    assert_eq!(read(query, "", published.len()), published);
}

#[test]
fn only_an_auditor_follows_and_only_what_it_may_read() {
    let server = start("");
    create_issuer(&server, "orders", json!({}));
    let signer = credential(&create_client(&server, "signer", &["issuer"]));
    assert_eq!(Events::open(&server, &signer, "", "").status(), 403);
    assert_eq!(Events::open(&server, "kw_0_x", "", "").status(), 401);
    let body = json!({"name": "a", "roles": ["auditor"], "limits": {"issuers": ["orders"]}});
    let limited = server.call("POST", "/v1/clients", Some(&body)).json();
    let limited = credential(&limited);
    for (query, status) in [("", 403), ("?issuer=default", 403), ("?issuer=orders", 200)] {
        let events = Events::open(&server, &limited, query, "");
        assert_eq!(events.status(), status, "{query}");
    }
    let (_, bearer) = auditor(&server);
    for id in ["x", "-1", "1, 2", "99999", "9223372036854775808"] {
        let headers = format!("Last-Event-ID: {id}\r\n");
        assert_eq!(
            Events::open(&server, &bearer, "", &headers).status(),
            400,
            "{id}"
        );
    }
}

#[test]
fn a_stream_ends_with_its_credential_its_time_and_the_service() {
    let server = start("");
    let (id, bearer) = auditor(&server);
    let (other, kept) = auditor(&server);
    assert_ne!(id, other);
    let mut short = Events::open(&server, &kept, "?max_seconds=1", "");
    while short.chunk().is_some() {}
    let mut ends = Events::open(&server, &bearer, "", "");
    let mut stays = Events::open(&server, &kept, "", "");
    let path = format!("/v1/clients/{id}");
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    // The other one is told of it.
    assert_eq!(stays.event().unwrap().1["event"], "client-deleted");
    while let Some(chunk) = ends.chunk() {
        assert!(!chunk.starts_with("id: "), "{chunk}");
    }
    let begin = Instant::now();
    let ended = thread::spawn(move || while stays.chunk().is_some() {});
    let (code, _) = server.terminate();
    assert_eq!(code, Some(0));
    ended.join().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10));
}

/// One caller has a quarter of the streams, and a request of another class is answered beside them.
#[test]
fn streams_are_bounded_and_take_nothing_from_others() {
    let server = start("internal.max_requests = 128\n");
    let (_, bearer) = auditor(&server);
    // 128 / 16 are streams, of which one caller has two.
    let open = || Events::open(&server, &bearer, "", "");
    let held = [open(), open()];
    assert_eq!(held.each_ref().map(Events::status), [200, 200]);
    assert_eq!(open().status(), 429);
    let page = server.call_as(Some(&bearer), "GET", "/v1/audit", None);
    assert_eq!(page.status, 200);
    drop(held);
    eventually("a place that was left", || {
        (open().status() == 200).then_some(())
    });
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let server = start("internal.idle_timeout = \"1s\"\ninternal.max_requests = 64\n");
    let (_, bearer) = auditor(&server);
    // A log that is larger than what the buffers of a connection hold.
    let path = "/v1/issuers/default/revocations/batch";
    for batch in 0..8 {
        let jti =
            |number: u32| json!({"jti": format!("{batch}-{number}"), "reason": "r".repeat(500)});
        let body = json!({"revocations": (0..1000).map(jti).collect::<Vec<_>>()});
        let answer = server.call("POST", path, Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.json());
    }
    // It has the one stream that one caller may have.
    let deaf = Events::open(&server, &bearer, "?after=0", "");
    assert_eq!(deaf.status(), 200);
    let open = || Events::open(&server, &bearer, "", "").status();
    assert_eq!(open(), 429);
    eventually("the end of the deaf one", || (open() == 200).then_some(()));
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_follows_and_goes_on() {
    let server = start("");
    let (_, bearer) = auditor(&server);
    let address = ServiceAddress::parse(&server.internal).unwrap();
    let client = Client::new(&address).unwrap();
    let client = client.with_credential(Credential::parse(&bearer).unwrap());
    let filter = AuditFilter::default();
    let mut events = client.follow_events(&filter, Some(0)).await.unwrap();
    let all = listed(&server);
    let mut read = Vec::new();
    for _ in 0..3 {
        let event = events.next::<Map<String, Value>>().await.unwrap().unwrap();
        read.push(Value::Object(event));
    }
    let last = events.last();
    assert_eq!(last, all[2]["sequence"].as_u64());
    drop(events);
    let mut events = client.follow_events(&filter, last).await.unwrap();
    for _ in 3..all.len() {
        let event = events.next::<Map<String, Value>>().await.unwrap().unwrap();
        read.push(Value::Object(event));
    }
    assert_eq!(read, all);
    let nowhere = client.follow_events(&filter, Some(1_000_000)).await;
    assert!(nowhere.unwrap_err().to_string().contains("invalid-query"));
}
