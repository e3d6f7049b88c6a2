//! Clients that are slow, or that take too many connections: each is disconnected, and no other
//! client notices.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::authority::{Authority, Files};
use crate::client::{Client, Over, Stream, answer, closes_after, eventually, get};
use crate::exchange::{Raw, head, parse};
use crate::support::{Server, start};

/// What the time-outs are set to here, and when a connection must be gone.
const TIMEOUT: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(6);

const SHORT: &str = r#"
    public.idle_timeout = "2s"
    internal.idle_timeout = "2s"
    internal.request_timeout = "2s"
"#;

/// A connection, with or without TLS.
trait Wire: Read + Write {
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for Stream {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

struct World {
    server: Server,
    /// With TLS, if the server has it.
    client: Option<Client>,
    _files: Option<Files>,
}

fn plain(settings: &str) -> World {
    World {
        server: start(settings),
        client: None,
        _files: None,
    }
}

fn encrypted(settings: &str) -> World {
    let own = Authority::new();
    let files = Files::new(&own.server());
    World {
        server: start(&format!("{settings}{}", files.settings())),
        client: Some(Client::new(&own, None)),
        _files: Some(files),
    }
}

impl World {
    fn connect(&self, base: &str) -> Box<dyn Wire> {
        match &self.client {
            Some(client) => Box::new(client.connect(base).unwrap()),
            None => Box::new(crate::exchange::connect(base)),
        }
    }

    fn send(&self, base: &str, request: &str) -> Raw {
        crate::client::exchange(&mut self.connect(base), request).unwrap()
    }

    /// Runs something while another client is served without a pause.
    fn undisturbed<T>(&self, disturb: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut longest = Duration::ZERO;
                while !over.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    let jwks = get("/.well-known/jwks.json", None);
                    assert_eq!(self.send(&self.server.public, &jwks).status, 200);
                    let issuers = get("/v1/issuers", Some(&self.server.admin));
                    assert_eq!(self.send(&self.server.internal, &issuers).status, 200);
                    longest = longest.max(begin.elapsed());
                    std::thread::sleep(Duration::from_millis(50));
                }
                longest
            });
            let ends = Over(&over);
            let result = disturb();
            drop(ends);
            let longest = other.join().unwrap();
            assert!(
                longest < Duration::from_secs(1),
                "others waited {longest:?}"
            );
            result
        })
    }
}

/// Sends a byte every fifth of a second until the other side closes: when, and what it said.
fn dribble(wire: &mut dyn Wire, bytes: impl Iterator<Item = u8>) -> (Duration, Vec<u8>) {
    let pause = Some(Duration::from_millis(200));
    wire.socket().set_read_timeout(pause).unwrap();
    let (begin, mut said) = (Instant::now(), Vec::new());
    let mut chunk = [0; 4096];
    for byte in bytes {
        let sent = wire.write_all(&[byte]).and_then(|()| wire.flush());
        match wire.read(&mut chunk) {
            Ok(0) => return (begin.elapsed(), said),
            Ok(length) => said.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(sent.is_ok() || !said.is_empty(), "{sent:?}");
            }
            Err(_) => return (begin.elapsed(), said),
        }
        assert!(begin.elapsed() < SOON, "the connection stays open");
    }
    panic!("the other side has read everything");
}

fn in_time(after: Duration) {
    let early = TIMEOUT - Duration::from_millis(500);
    assert!(after > early && after < SOON, "closed after {after:?}");
}

fn request_with_body(server: &Server, length: usize) -> String {
    let authorization = format!("Bearer {}", server.admin);
    let length = length.to_string();
    head(
        "POST",
        "/v1/issuers/default/tokens",
        &[
            ("Authorization", &authorization),
            ("Content-Type", "application/json"),
            ("Content-Length", &length),
        ],
    )
}

#[test]
fn a_head_that_dribbles_in_ends_its_connection() {
    for world in [plain(SHORT), encrypted(SHORT)] {
        let (public, internal) = (&world.server.public, &world.server.internal);
        world.undisturbed(|| {
            for base in [public, internal] {
                let mut wire = world.connect(base);
                let endless = b"GET / HTTP/1.1\r\nX: ".iter().copied();
                let (after, _) = dribble(&mut *wire, endless.chain(std::iter::repeat(b'x')));
                in_time(after);
            }
        });
    }
}

#[test]
fn a_body_that_dribbles_in_is_answered_408() {
    for world in [plain(SHORT), encrypted(SHORT)] {
        world.undisturbed(|| {
            let mut wire = world.connect(&world.server.internal);
            let request = request_with_body(&world.server, 1000);
            wire.write_all(request.as_bytes()).unwrap();
            let (after, said) = dribble(&mut *wire, std::iter::repeat(b' '));
            let answer = parse(&said);
            assert_eq!(answer.status, 408);
            assert_eq!(answer.json()["code"], "request-timeout");
            in_time(after);
        });
    }
}

#[test]
fn an_idle_connection_is_closed_before_its_first_request_and_after() {
    for world in [plain(SHORT), encrypted(SHORT)] {
        let (public, internal) = (&world.server.public, &world.server.internal);
        for base in [public, internal] {
            let mut silent = world.connect(base);
            in_time(closes_after(&mut silent, &mut Vec::new()));
            let mut used = world.connect(base);
            let asked = crate::client::exchange(&mut used, &get("/nothing", None)).unwrap();
            assert_eq!(asked.status, 404);
            in_time(closes_after(&mut used, &mut Vec::new()));
        }
    }
}

#[test]
fn a_handshake_that_never_ends_is_cut_off() {
    let world = encrypted(SHORT);
    // A record of a handshake (RFC 8446 §5.1) that announces 512 bytes.
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    world.undisturbed(|| {
        for base in [&world.server.public, &world.server.internal] {
            let base = base.replace("https://", "http://");
            let mut silent = crate::exchange::connect(&base);
            in_time(closes_after(&mut silent, &mut Vec::new()));
            let mut slow = crate::exchange::connect(&base);
            let bytes = hello.into_iter().chain(std::iter::repeat(0));
            in_time(dribble(&mut slow, bytes).0);
        }
    });
}

#[test]
fn a_client_that_reads_no_answer_loses_its_connection() {
    for world in [plain(SHORT), encrypted(SHORT)] {
        world.undisturbed(|| {
            let mut wire = world.connect(&world.server.public);
            let limit = Some(Duration::from_secs(15));
            wire.socket().set_write_timeout(limit).unwrap();
            let requests = get("/.well-known/jwks.json", None).repeat(1000);
            let error = loop {
                if let Err(error) = wire.write_all(requests.as_bytes()) {
                    break error;
                }
            };
            let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(gone.contains(&error.kind()), "{error:?}");
        });
    }
}

#[test]
fn a_further_connection_takes_the_place_of_the_oldest_idle_one() {
    let settings = "public.max_connections = 2\ninternal.max_connections = 2\n";
    for world in [plain(settings), encrypted(settings)] {
        for base in [&world.server.public, &world.server.internal] {
            let mut held = [world.connect(base), world.connect(base)];
            for wire in &mut held {
                let first = crate::client::exchange(wire, &get("/nothing", None)).unwrap();
                assert_eq!(first.status, 404);
            }
            assert_eq!(world.send(base, &get("/nothing", None)).status, 404);
            let [first, second] = &mut held;
            let again = crate::client::exchange(second, &get("/nothing", None)).unwrap();
            assert_eq!(again.status, 404, "the younger one stays");
            closes_after(first, &mut Vec::new());
        }
    }
}

#[test]
fn further_connections_wait_while_all_are_busy() {
    let settings = "internal.max_connections = 2\n";
    let body = json!({ "claims": { "sub": "user-1" } }).to_string();
    for world in [plain(settings), encrypted(settings)] {
        let base = &world.server.internal;
        let mut held = [world.connect(base), world.connect(base)];
        for wire in &mut held {
            let request = request_with_body(&world.server, body.len());
            wire.write_all(request.as_bytes()).unwrap();
            wire.flush().unwrap();
        }
        // They are busy as soon as their heads are read.
        std::thread::sleep(Duration::from_millis(300));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| world.send(base, &get("/nothing", None)).status);
            std::thread::sleep(Duration::from_millis(700));
            assert!(!waiting.is_finished(), "a third connection");
            for wire in &mut held {
                wire.write_all(body.as_bytes()).unwrap();
                wire.flush().unwrap();
                assert_eq!(answer(wire).unwrap().status, 201, "they are not disturbed");
            }
            assert_eq!(waiting.join().unwrap(), 404);
        });
    }
}

#[test]
fn a_handshake_without_the_certificate_that_is_required_ends_soon() {
    let (own, callers) = (Authority::new(), Authority::new());
    let files = Files::new(&own.server());
    let server = start(&files.settings_with(&callers, "required"));
    let base = server.internal.replace("https://", "http://");
    // A record of a handshake (RFC 8446 §5.1) that announces 512 bytes.
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    for said in [&[][..], &hello[..5], &hello[..]] {
        let mut stranger = crate::exchange::connect(&base);
        stranger.write_all(said).unwrap();
        let after = closes_after(&mut stranger, &mut Vec::new());
        assert!(after < SOON, "closed after {after:?}");
    }
}

#[test]
fn requests_over_the_limit_are_refused_at_once_and_the_others_end_well() {
    // Half of the requests are signatures, and of these one caller has a quarter.
    let world = encrypted("internal.max_requests = 16\n");
    let body = json!({ "claims": { "sub": "user-1" } }).to_string();
    let internal = &world.server.internal;
    let mut held: Vec<_> = (0..2).map(|_| world.connect(internal)).collect();
    for wire in &mut held {
        let request = request_with_body(&world.server, body.len());
        wire.write_all(request.as_bytes()).unwrap();
        wire.write_all(&body.as_bytes()[..5]).unwrap();
        wire.flush().unwrap();
    }
    let request = request_with_body(&world.server, body.len()) + &body;
    let refused = eventually("a refusal", || {
        let answer = world.send(internal, &request);
        (answer.status != 201).then_some(answer)
    });
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["code"], "too-many-requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Other classes of routes have slots of their own, and verifiers a listener.
    let issuers = get("/v1/issuers", Some(&world.server.admin));
    assert_eq!(world.send(internal, &issuers).status, 200);
    let jwks = get("/.well-known/jwks.json", None);
    assert_eq!(world.send(&world.server.public, &jwks).status, 200);
    for wire in &mut held {
        wire.write_all(&body.as_bytes()[5..]).unwrap();
        wire.flush().unwrap();
        let signed = answer(wire).unwrap();
        assert_eq!(signed.status, 201, "{}", signed.json());
    }
    assert_eq!(world.send(internal, &request).status, 201);
}

#[test]
fn an_unfinished_handshake_does_not_hold_up_the_end() {
    let world = encrypted("");
    let base = world.server.public.replace("https://", "http://");
    let _silent = crate::exchange::connect(&base);
    // It has been accepted when a later one is answered.
    assert_eq!(
        world
            .send(&world.server.public, &get("/nothing", None))
            .status,
        404
    );
    let begin = Instant::now();
    let (code, _) = world.server.terminate();
    assert_eq!(code, Some(0));
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}
