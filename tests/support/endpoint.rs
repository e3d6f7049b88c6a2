//! A server that others send messages to: it keeps what comes, and answers as it is told.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::eventually;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    pub head: String,
    pub body: String,
}

impl ReceivedRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A server on a port of its own.
pub struct Endpoint {
    pub url: String,
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl Endpoint {
    /// Answers with these statuses and bodies, and then with `usual` and nothing.
    pub fn start(target: &str, answers: &[(u16, &'static str)], usual: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let url = format!("http://{address}{target}");
        let received: Arc<Mutex<Vec<ReceivedRequest>>> = Arc::default();
        let (kept, mut answers) = (Arc::clone(&received), VecDeque::from(answers.to_vec()));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                if let Some(request) = read(&mut stream) {
                    kept.lock().expect("no panic").push(request);
                }
                let (status, body) = answers.pop_front().unwrap_or((usual, ""));
                let answer = format!(
                    "HTTP/1.1 {status} x\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { url, received }
    }

    pub fn all(&self) -> Vec<ReceivedRequest> {
        self.received.lock().expect("no panic").clone()
    }

    /// So many requests, as soon as they have come.
    pub fn wait_for(&self, count: usize) -> Vec<ReceivedRequest> {
        eventually("requests", || {
            let all = self.all();
            (all.len() >= count).then_some(all)
        })
    }
}

fn read(stream: &mut TcpStream) -> Option<ReceivedRequest> {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a time-out");
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let received = ReceivedRequest {
                head: head.to_owned(),
                body: body.to_owned(),
            };
            let length: usize = received.header("content-length")?.parse().ok()?;
            if body.len() >= length {
                return Some(received);
            }
        }
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            length => bytes.extend_from_slice(&chunk[..length]),
        }
    }
}
