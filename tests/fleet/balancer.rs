//! What verifiers find under one address: any replica that says it is ready, in turn.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;

use crate::world::{Address, ask};

/// How long a request, or an answer that is not waited for, may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The port of 127.0.0.1 on which one listens for as long as the test runs.
pub(crate) fn start(addresses: Arc<RwLock<Vec<Address>>>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut turn = 0;
        for client in listener.incoming().flatten() {
            let all = addresses.read().unwrap().clone();
            turn += 1;
            let in_turn = all.iter().cycle().skip(turn % all.len()).take(all.len());
            let ready = { in_turn }.find(|address| {
                let url = format!("{}/readyz", address.public);
                ask("GET", &url, None, None).is_ok_and(|answer| answer.status == 200)
            });
            if let Some(address) = ready {
                let target = address.public.trim_start_matches("http://").to_owned();
                thread::spawn(move || pass_on(client, &target));
            }
        }
    });
    port
}

/// One request and its answer.
fn pass_on(mut client: TcpStream, target: &str) -> Option<()> {
    let mut server = TcpStream::connect(target).ok()?;
    client.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let text = String::from_utf8(request).ok()?;
    // What follows the feed says how long its answer may take.
    let line = text.lines().next()?;
    let wait = line.split_once("wait=").map_or("0", |(_, wait)| {
        wait.split(['&', ' ']).next().unwrap_or_default()
    });
    let patience = PATIENCE + Duration::from_secs(wait.parse().ok()?);
    server.set_read_timeout(Some(patience)).ok()?;
    let mut lines: Vec<&str> = text.trim_end().split("\r\n").collect();
    lines.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    lines.push("Connection: close\r\n\r\n");
    server.write_all(lines.join("\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    client.write_all(&answer).ok()
}
