//! What signals do to a service with a request in flight.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::{Server, eventually, start};

fn signal(server: &Server, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &server.process().to_string()])
        .status();
    assert!(sent.unwrap().success(), "{name}");
}

/// A request for a token of which the last byte is missing.
struct Request {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Request {
    fn begin(server: &Server) -> Self {
        let address = server.internal.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let timeout = Some(Duration::from_secs(20));
        stream.set_read_timeout(timeout).unwrap();
        let body = json!({ "claims": { "sub": "user-1" } }).to_string();
        let head = format!(
            "POST /v1/issuers/default/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            server.admin,
            body.len()
        );
        let (sent, rest) = body.as_bytes().split_at(body.len() - 1);
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(sent).unwrap();
        // The service has read the head when it answers another request that came after it.
        assert_eq!(server.fetch("/healthz").status, 200);
        Self {
            stream,
            rest: rest.to_vec(),
        }
    }

    fn end(mut self) -> String {
        self.stream.write_all(&self.rest).unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn signals_that_ask_for_the_end_let_a_request_in_flight_end() {
    for name in ["TERM", "INT", "QUIT", "XCPU", "PWR"] {
        let server = start("");
        let request = Request::begin(&server);
        signal(&server, name);
        eventually("draining", || {
            server.log().contains("keywright drains").then_some(())
        });
        let answer = request.end();
        assert!(answer.starts_with("HTTP/1.1 201"), "{name}: {answer}");
        let process = format!("/proc/{}/stat", server.process());
        eventually("the end", || {
            let stat = std::fs::read_to_string(&process).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        });
        let log = server.log();
        assert!(log.contains("keywright has ended"), "{name}: {log}");
        assert_eq!(server.exit_code(), Some(0), "{name}");
    }
}

#[test]
fn other_signals_neither_end_the_service_nor_a_request() {
    let server = start("");
    for name in [
        "HUP", "USR1", "USR2", "ALRM", "PIPE", "VTALRM", "PROF", "IO", "XFSZ", "STKFLT", "CHLD",
        "WINCH", "URG", "CONT", "34", "40", "64", "HUP",
    ] {
        let request = Request::begin(&server);
        signal(&server, name);
        let answer = request.end();
        assert!(answer.starts_with("HTTP/1.1 201"), "{name}: {answer}");
        assert!(!server.log().contains("keywright drains"), "{name}");
    }
    eventually("a reload", || server.log().contains("SIGHUP").then_some(()));
    assert_eq!(server.terminate().0, Some(0));
}

#[test]
fn a_hangup_while_the_service_drains_does_not_kill_it() {
    let server = start("");
    let request = Request::begin(&server);
    signal(&server, "TERM");
    eventually("draining", || {
        server.log().contains("keywright drains").then_some(())
    });
    for name in ["HUP", "USR1", "QUIT", "TERM", "HUP"] {
        signal(&server, name);
    }
    assert!(request.end().starts_with("HTTP/1.1 201"));
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_write_over_the_limit_of_size_is_an_error_and_no_end() {
    let server = start("");
    let folder = server.folder();
    let limit = Command::new("prlimit")
        .args(["--fsize=1", "--pid", &server.process().to_string()])
        .status();
    if !limit.is_ok_and(|status| status.success()) {
        crate::support::report("SKIPPED: there is no `prlimit`");
        return;
    }
    let policy = json!({ "url": format!("{}/shop", server.public) });
    let answer = server.call("PUT", "/v1/issuers/shop", Some(&policy));
    assert_eq!(answer.status, 503, "{}", answer.json());
    server.sign("default", &json!({ "claims": {} }));
    drop(folder);
}
