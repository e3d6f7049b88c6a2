//! Webhooks and event streams of three real processes on one store: one sends at a time, another goes on where it
//! is killed, nothing is lost, and what comes twice is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::event_streams::{PUSH, ban, call, receiver};
use crate::lines::folder_like;
use crate::support::postgres::shared;
use crate::support::{Server, report, start_in};
use crate::world::verified;

const REPLICAS: usize = 3;

/// How long a sender has a message to itself, and a while for another process to look.
const FAIL_OVER: Duration = Duration::from_secs(60);

/// A receiver that answers while others wait, and holds a message back when it is told to.
#[derive(Clone)]
struct Receiver {
    url: String,
    state: Arc<Mutex<State>>,
    in_progress: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    /// The identifier of each message and its body, in the order in which they came.
    received: Vec<(String, String)>,
    /// Whether the next message is held back.
    holds: bool,
    /// Where the message comes from that is held back.
    held: Option<SocketAddr>,
    /// The most messages that came at the same time.
    most_in_progress: usize,
}

impl Receiver {
    /// One whose messages are named by this function of their head and body.
    fn start(name: fn(&str, &str) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let receiver = Self {
            url,
            state: Arc::default(),
            in_progress: Arc::default(),
        };
        let accepting = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let receiver = accepting.clone();
                thread::spawn(move || receiver.serve(stream, name));
            }
        });
        receiver
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream, name: fn(&str, &str) -> String) {
        let mut received = Vec::new();
        let mut chunk = [0; 4096];
        let (head, body) = loop {
            let text = String::from_utf8_lossy(&received).into_owned();
            let parts = text.split_once("\r\n\r\n");
            let whole = parts.filter(|(head, body)| {
                let mut lines = head.lines();
                let length = lines.find_map(|line| line.strip_prefix("content-length: "));
                length.is_some_and(|length| body.len() >= length.parse().unwrap())
            });
            if let Some((head, body)) = whole {
                break (head.to_owned(), body.to_owned());
            }
            match stream.read(&mut chunk) {
                Ok(length) if length > 0 => received.extend_from_slice(&chunk[..length]),
                _ => return,
            }
        };
        let now = self.in_progress.fetch_add(1, Ordering::SeqCst) + 1;
        let is_held = {
            let mut state = self.state();
            state.most_in_progress = state.most_in_progress.max(now);
            let is_held = std::mem::take(&mut state.holds);
            match is_held {
                true => state.held = Some(stream.peer_addr().unwrap()),
                false => state.received.push((name(&head, &body), body)),
            }
            is_held
        };
        if is_held {
            // Until its sender is gone.
            let _ = stream.read(&mut chunk);
        }
        // While this one is answered another one would be seen.
        thread::sleep(Duration::from_millis(30));
        self.in_progress.fetch_sub(1, Ordering::SeqCst);
        let _ =
            stream.write_all(b"HTTP/1.1 202 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }

    /// Has the next message held back, and says where it comes from.
    fn hold(&self, cause: impl FnOnce()) -> SocketAddr {
        self.state().holds = true;
        cause();
        within(FAIL_OVER, "a message", || self.state().held.take())
    }

    /// What came, by its identifier, and how often at most.
    fn told(&self) -> (BTreeMap<String, String>, usize) {
        let mut times = BTreeMap::<String, usize>::new();
        let mut told = BTreeMap::new();
        for (id, body) in &self.state().received {
            *times.entry(id.clone()).or_default() += 1;
            told.insert(id.clone(), body.clone());
        }
        (told, times.values().copied().max().unwrap_or_default())
    }
}

fn within<T>(length: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < length, "{what} never happened");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The index of the process whose connection this is.
fn owner_of(servers: &[Option<Server>], connection: SocketAddr) -> usize {
    let port = format!(":{:04X}", connection.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // The local address, and the number of the socket.
    let inode = table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[1].ends_with(&port).then(|| fields[9].to_owned())
    });
    let socket = format!("socket:[{}]", inode.expect("a socket"));
    let has_it = |server: &Option<Server>| {
        let pid = server.as_ref().map(Server::process);
        let files = pid.and_then(|pid| std::fs::read_dir(format!("/proc/{pid}/fd")).ok());
        files.is_some_and(|mut files| {
            files.any(|file| {
                let link = file
                    .ok()
                    .and_then(|file| std::fs::read_link(file.path()).ok());
                link.is_some_and(|link| link.to_string_lossy() == socket)
            })
        })
    };
    servers
        .iter()
        .position(has_it)
        .expect("one of the replicas")
}

fn jti_of(_: &str, token: &str) -> String {
    let claims = keywright_verifier::Jws::inspect(token, 65_536)
        .unwrap()
        .claims;
    claims["jti"].as_str().unwrap().to_owned()
}

fn webhook_id(head: &str, _: &str) -> String {
    let mut lines = head.lines();
    let id = lines.find_map(|line| line.strip_prefix("webhook-id: "));
    id.unwrap().to_owned()
}

#[test]
fn of_three_replicas_one_sends_at_a_time_and_another_goes_on_where_it_is_killed() {
    let Some(postgres) = shared() else {
        return;
    };
    let settings = format!(
        "oauth.enabled = true\nwebhooks.allowed_networks = [\"127.0.0.0/8\"]\nstore.url = \"{}\"\n\
         store.max_staleness = \"3s\"\n",
        postgres.database()
    );
    let first = start_in(Arc::new(tempfile::tempdir().unwrap()), &settings).unwrap();
    let (stream, hook) = (Receiver::start(jti_of), Receiver::start(webhook_id));
    let delivery = json!({"delivery": {"method": PUSH, "endpoint_url": stream.url}});
    let client = receiver(&first);
    assert_eq!(
        call(&first, &client, "POST", "/ssf/streams", Some(&delivery)).status,
        201
    );
    let body = json!({"url": hook.url, "events": ["ban.created"]});
    assert_eq!(first.call("POST", "/v1/webhooks", Some(&body)).status, 201);
    let mut servers = vec![Some(first)];
    for _ in 1..REPLICAS {
        let folder = folder_like(servers[0].as_ref().unwrap());
        servers.push(Some(start_in(folder, &settings).unwrap()));
    }
    let mut bans = BTreeSet::new();
    let mut slowest = Duration::ZERO;
    // The sender of the one is killed with a message that was not answered, and then that of the other.
    for (round, killed) in [&stream, &hook].into_iter().enumerate() {
        let connection = killed.hold(|| {
            for number in 0..6 {
                let server = servers[number % REPLICAS].as_ref().unwrap();
                bans.insert(ban(server, &format!("user-{round}-{number}")));
            }
        });
        let index = owner_of(&servers, connection);
        let folder = servers[index].take().unwrap().kill();
        let died = Instant::now();
        for number in 6..9 {
            let alive = servers.iter().flatten().nth(number % 2).unwrap();
            bans.insert(ban(alive, &format!("user-{round}-{number}")));
        }
        for receiver in [&stream, &hook] {
            within(FAIL_OVER, "what was not told", || {
                (receiver.told().0.len() >= bans.len()).then_some(())
            });
        }
        slowest = slowest.max(died.elapsed());
        servers[index] = Some(start_in(folder, &settings).unwrap());
    }
    let (tokens, most_tokens) = stream.told();
    let (messages, most_messages) = hook.told();
    let server = servers[0].as_ref().unwrap();
    let told = tokens.values().map(|token| {
        let claims = verified(server, token).1;
        claims["txn"].as_str().unwrap().to_owned()
    });
    assert_eq!(
        told.collect::<BTreeSet<_>>(),
        bans,
        "each has one token, and no token another jti"
    );
    let told = messages.values().map(|message| {
        let message: Value = serde_json::from_str(message).unwrap();
        message["data"]["revocation"].as_str().unwrap().to_owned()
    });
    assert_eq!(told.collect::<BTreeSet<_>>(), bans);
    assert_eq!((tokens.len(), messages.len()), (bans.len(), bans.len()));
    assert!(most_tokens <= 2 && most_messages <= 2);
    let most = [&stream, &hook].map(|receiver| receiver.state().most_in_progress);
    assert_eq!(most, [1, 1], "one process sends at a time");
    report(&format!(
        "{} bans told by three replicas, a sender killed twice; all were told {:.1} s after it at the latest",
        bans.len(),
        slowest.as_secs_f64()
    ));
}
