//! Copies that are objects of S3-compatible storage: moto (PyPI) stands for it, which writes on the conditions
//! `If-Match` and `If-None-Match: *` as S3 does. It checks no signatures; those are held against AWS's published
//! examples beside the code.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::support::postgres::shared;
use super::support::{Answer, Server, eventually, report, request, start_with};
use super::{create, events, in_state, rotate, successor, text, unhealthy_copies};

/// The secret access key: it must be in no log.
const SECRET: &str = "the-secret-access-key-of-this-test";

/// What moto takes for a request that is not anonymous. It does not verify the signature.
fn signed(more: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let scope = "AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request";
    let value = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
    [&[("authorization", value)], more].concat()
}

/// The storage, with one bucket.
struct Storage {
    process: Child,
    url: String,
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Storage {
    /// `None`, and a line that says so, where moto is missing.
    fn start() -> Option<Self> {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
        let has_moto = Command::new(&python)
            .args(["-c", "import moto.server, flask"])
            .stderr(Stdio::null())
            .status();
        if !has_moto.is_ok_and(|status| status.success()) {
            report("SKIPPED: S3-compatible storage: moto is missing");
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let process = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let storage = Self { process, url };
        eventually("a bucket", || {
            let mut stream = TcpStream::connect(storage.address()).ok()?;
            let head = "PUT /keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n";
            let head = format!("{head}Connection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.starts_with("HTTP/1.1 200").then_some(())
        });
        Some(storage)
    }

    fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    fn object(&self, key: &str) -> Answer {
        request(
            "GET",
            &format!("{}/keys/{key}", self.url),
            &signed(&[]),
            None,
        )
    }

    fn put(&self, key: &str, condition: &[(&'static str, String)], body: &str) -> u16 {
        let body = Some(("application/json", body.as_bytes().to_vec()));
        let url = format!("{}/keys/{key}", self.url);
        request("PUT", &url, &signed(condition), body).status
    }

    fn wait_for_key(&self, key: &str, kid: &str) -> Answer {
        eventually("the copy has the key", || {
            let object = self.object(key);
            let is_there = object.status == 200 && text(&object).contains(kid);
            is_there.then_some(object)
        })
    }
}

fn configuration(endpoint: &str, bucket: &str) -> String {
    format!(
        "push.cdn.s3 = {{ endpoint = \"{endpoint}\", bucket = \"{bucket}\", region = \"eu-central-1\", \
         key = \"sets/{{issuer}} 1.json\", access_key_id = \"AKIDEXAMPLE\", \
         secret_access_key_variable = \"STORAGE_SECRET\" }}\n"
    )
}

const OBJECT: &str = "sets/orders%201.json";

fn start(configuration: &str) -> Server {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    start_with(folder, configuration, &[("STORAGE_SECRET", SECRET)]).unwrap()
}

/// What happens to requests on their way to the storage.
#[derive(Default)]
struct Gate {
    /// Writes do not get through.
    holds_writes: AtomicBool,
    /// Another writer replaces the object just before this many writes come.
    rivals: AtomicUsize,
    held: AtomicUsize,
}

/// A way to the storage.
fn way_to(storage: &Storage, gate: Arc<Gate>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let target = storage.address().to_owned();
    let storage_url = storage.url.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (gate, target, url) = (Arc::clone(&gate), target.clone(), storage_url.clone());
            thread::spawn(move || pass(stream, &gate, &target, &url));
        }
    });
    url
}

/// Passes one request on, and its answer back.
fn pass(mut stream: TcpStream, gate: &Gate, target: &str, storage: &str) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let (head, body) = loop {
        let count = stream.read(&mut chunk).unwrap_or_default();
        bytes.extend_from_slice(&chunk[..count]);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.parse::<usize>().unwrap())
            });
            if bytes.len() >= end + 4 + length.unwrap_or_default() {
                break (head, bytes[end + 4..].to_vec());
            }
        }
        if count == 0 {
            return;
        }
    };
    if head.starts_with("PUT") {
        if gate.holds_writes.load(Ordering::SeqCst) {
            gate.held.fetch_add(1, Ordering::SeqCst);
            while gate.holds_writes.load(Ordering::SeqCst) {
                thread::park_timeout(Duration::from_millis(20));
            }
            return;
        }
        let left = gate.rivals.load(Ordering::SeqCst);
        if left > 0 {
            gate.rivals.store(left - 1, Ordering::SeqCst);
            let body = Some(("text/plain", format!("rival {left}").into_bytes()));
            let url = format!("{storage}/keys/{OBJECT}");
            assert_eq!(request("PUT", &url, &signed(&[]), body).status, 200);
        }
    }
    let mut onward = TcpStream::connect(target).unwrap();
    let head = format!("{head}\r\nConnection: close\r\n\r\n");
    onward.write_all(head.as_bytes()).unwrap();
    onward.write_all(&body).unwrap();
    let mut answer = Vec::new();
    let _ = onward.read_to_end(&mut answer);
    let _ = stream.write_all(&answer);
}

#[test]
fn object_is_what_is_served_with_its_headers_and_a_successor_waits_for_it() {
    let Some(storage) = Storage::start() else {
        return;
    };
    let server = start(&configuration(&storage.url, "keys"));
    create(&server, "orders", &["cdn"]);
    assert_eq!(rotate(&server, "orders", false).status, 200);
    let kid = successor(&server, "orders")["kid"]
        .as_str()
        .unwrap()
        .to_owned();
    let object = storage.wait_for_key(OBJECT, &kid);
    assert_eq!(
        object.body,
        server.fetch("/orders/.well-known/jwks.json").body
    );
    assert_eq!(
        object.header("content-type"),
        Some("application/jwk-set+json")
    );
    assert_eq!(object.header("cache-control"), Some("public, max-age=1"));
    let mark = object.header("x-amz-meta-keywright").unwrap();
    assert!(mark.contains("\"issuer\":\"orders\""), "{mark}");
    let confirmed = eventually("a confirmation", || events(&server, "key-confirmed").pop());
    assert_eq!(confirmed["kid"], kid.as_str());
    eventually("a rotation", || {
        (rotate(&server, "orders", false).status == 200).then_some(())
    });
    assert!(!server.log().contains(SECRET));
}

#[test]
fn of_two_writers_one_is_refused_and_looks_again() {
    let Some(storage) = Storage::start() else {
        return;
    };
    // The storage keeps the conditions that the service relies on.
    assert_eq!(
        storage.put("one", &[("if-none-match", "*".to_owned())], "a"),
        200
    );
    assert_eq!(
        storage.put("one", &[("if-none-match", "*".to_owned())], "b"),
        412
    );
    let tag = storage.object("one").header("etag").unwrap().to_owned();
    assert_eq!(storage.put("one", &[("if-match", tag.clone())], "c"), 200);
    assert_eq!(storage.put("one", &[("if-match", tag)], "d"), 412);

    let gate = Arc::new(Gate::default());
    gate.rivals.store(2, Ordering::SeqCst);
    let server = start(&configuration(&way_to(&storage, Arc::clone(&gate)), "keys"));
    create(&server, "orders", &["cdn"]);
    let kid = successor(&server, "orders")["kid"]
        .as_str()
        .unwrap()
        .to_owned();
    storage.wait_for_key(OBJECT, &kid);
    assert_eq!(gate.rivals.load(Ordering::SeqCst), 0);
    let log = server.log();
    let refusals = log.matches("another process has changed the object meanwhile");
    assert_eq!(refusals.count(), 2, "{log}");
}

#[test]
fn refusal_of_the_storage_is_told_without_the_secret() {
    let Some(storage) = Storage::start() else {
        return;
    };
    let server = start(&configuration(&storage.url, "nowhere"));
    create(&server, "orders", &["cdn"]);
    let unhealthy = eventually("a report", || unhealthy_copies(&server).pop());
    assert_eq!(
        unhealthy["reason"],
        "cannot write the object: status 404 NoSuchBucket"
    );
    assert!(!server.log().contains(SECRET));
}

#[test]
fn replica_that_is_killed_in_a_push_is_replaced_by_another() {
    let (Some(storage), Some(postgres)) = (Storage::start(), shared()) else {
        return;
    };
    let database = postgres.url(&postgres.create_database());
    let gate = Arc::new(Gate::default());
    gate.holds_writes.store(true, Ordering::SeqCst);
    let settings = format!(
        "store.url = \"{database}\"\nstore.max_staleness = \"2s\"\n{}",
        configuration(&way_to(&storage, Arc::clone(&gate)), "keys")
    );
    let first = start(&settings);
    create(&first, "orders", &["cdn"]);
    eventually("a push that does not end", || {
        (gate.held.load(Ordering::SeqCst) > 0).then_some(())
    });
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::create_dir_all(folder.path().join("keys")).unwrap();
    for file in ["master.key", "admin.token"] {
        let path = first.data().join(file);
        std::fs::copy(path, folder.path().join("keys").join(file)).unwrap();
    }
    let second = start_with(folder, &settings, &[("STORAGE_SECRET", SECRET)]).unwrap();
    drop(first.kill());
    gate.holds_writes.store(false, Ordering::SeqCst);
    // The claim of the one that was killed ends by itself after 20 s.
    super::pass(8);
    assert_eq!(storage.object(OBJECT).status, 404);
    let signs = in_state(&second, "orders", "active").unwrap();
    storage.wait_for_key(OBJECT, signs["kid"].as_str().unwrap());
    eventually("a copy that is up to date", || {
        unhealthy_copies(&second).is_empty().then_some(())
    });
    let revoke = format!(
        "/v1/issuers/orders/keys/{}/revoke",
        signs["kid"].as_str().unwrap()
    );
    let exposure = second.call("POST", &revoke, Some(&json!({"reason": "leaked"})));
    assert!(
        exposure.json()["copies"][0]["cached_until"].is_u64(),
        "{}",
        text(&exposure)
    );
}
