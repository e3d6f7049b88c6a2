//! A collector of OpenTelemetry, as far as the service sees of one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::{eventually, report};

/// What it answers a request with.
#[derive(Clone, Copy)]
pub enum Answers {
    Accepts,
    RejectsOne,
    Refuses,
    Hangs,
    /// 503 at first, and then it accepts.
    IsBusyAtFirst,
}

/// A request that it has received.
pub struct Received {
    pub head: String,
    pub body: Vec<u8>,
}

pub struct Collector {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Collector {
    pub fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let seen = Arc::clone(&received);
        // It ends with the test.
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                let request = read(&stream);
                let is_first = kept.is_empty();
                kept.push(answer(stream, answers, is_first));
                seen.lock().unwrap().push(request);
            }
        });
        Self { url, received }
    }

    /// The settings with which a service sends here, and traces this share.
    pub fn settings(&self, share: &str) -> String {
        let url = &self.url;
        format!("telemetry.otlp_endpoint = \"{url}\"\ntelemetry.trace_share = {share}\n")
    }

    /// What `look` finds in the requests so far, when it does.
    pub fn wait_for<T>(&self, what: &str, look: impl Fn(&[Received]) -> Option<T>) -> T {
        eventually(what, || look(&self.received.lock().unwrap()))
    }

    /// Every byte that was received.
    pub fn bytes(&self) -> Vec<u8> {
        let received = self.received.lock().unwrap();
        let bytes = received.iter().map(|one| [one.head.as_bytes(), &one.body]);
        bytes.flatten().flatten().copied().collect()
    }

    /// The spans that have been received when there is one with this trace's id; `None` without Python.
    pub fn spans_until(&self, trace_id: &str) -> Option<Vec<Value>> {
        let id: Vec<u8> = (0..trace_id.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&trace_id[at..at + 2], 16).unwrap())
            .collect();
        let hexadecimal = |body: &[u8]| {
            let digits: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
            digits + "\n"
        };
        let lines: String = self.wait_for("the trace", |received| {
            let has_it = |one: &Received| one.body.windows(16).any(|window| window == id);
            let all = received.iter().map(|one| hexadecimal(&one.body));
            received.iter().any(has_it).then(|| all.collect())
        });
        decode(&lines)
    }
}

fn read(stream: &TcpStream) -> Received {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let length = head.to_lowercase();
    let length = length.split("content-length: ").nth(1).unwrap();
    let length = length.lines().next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Received { head, body }
}

/// Answers, or hands the connection back that is kept open without an answer.
fn answer(mut stream: TcpStream, answers: Answers, is_first: bool) -> Option<TcpStream> {
    let (status, body): (_, &[u8]) = match answers {
        Answers::IsBusyAtFirst if is_first => ("503 Service Unavailable", b""),
        Answers::IsBusyAtFirst => ("200 OK", b""),
        Answers::Accepts => ("200 OK", b""),
        // `partial_success`, with `rejected_spans` = 1.
        Answers::RejectsOne => ("200 OK", b"\x0a\x02\x08\x01"),
        Answers::Refuses => ("400 Bad Request", b""),
        Answers::Hangs => return Some(stream),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
    None
}

fn decode(lines: &str) -> Option<Vec<Value>> {
    if std::env::var("KEYWRIGHT_SKIP_PYTHON").is_ok_and(|value| value == "1") {
        report("SKIPPED: spans are not read: KEYWRIGHT_SKIP_PYTHON=1");
        return None;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(folder.join("target/venv/bin/python"))
        .arg(folder.join("tests/http/traces/decode.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python: run scripts/test, or set KEYWRIGHT_SKIP_PYTHON=1");
    let mut input = python.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
