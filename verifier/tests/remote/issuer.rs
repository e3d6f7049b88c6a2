//! An issuer that does what a test wants, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::fixtures::now;

/// What a request is answered with.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes, after a while; then the connection ends.
    Bytes { after: Duration, bytes: Vec<u8> },
    /// These bytes, one by one.
    Drip { every: Duration, bytes: Vec<u8> },
    /// First the one, then the other without an end, as fast as the network takes it.
    Endless { head: Vec<u8>, chunk: Vec<u8> },
    /// The same, so slowly that nothing waits unread in a buffer.
    Trickle { head: Vec<u8>, chunk: Vec<u8> },
    /// Nothing, and the connection stays open.
    Silence,
}

impl Reply {
    pub(crate) fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bytes {
            after: Duration::ZERO,
            bytes: bytes.into(),
        }
    }

    /// An answer with these header lines, a correct length, and this body.
    pub(crate) fn http(status: &str, lines: &[&str], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
        for line in lines {
            bytes.push_str(line);
            bytes.push_str("\r\n");
        }
        bytes.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(body);
        Self::bytes(bytes)
    }

    pub(crate) fn json(body: impl AsRef<[u8]>) -> Self {
        Self::http("200 OK", &["content-type: application/json"], body)
    }

    pub(crate) fn after(self, after: Duration) -> Self {
        match self {
            Self::Bytes { bytes, .. } => Self::Bytes { after, bytes },
            other => other,
        }
    }
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) at: Instant,
    head: String,
}

impl Request {
    /// The value of a header field, by its name in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.to_ascii_lowercase() == name).then_some(value.trim())
        })
    }
}

type Behaviour = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

struct State {
    behaviour: Mutex<Behaviour>,
    requests: Mutex<Vec<Request>>,
    written: AtomicU64,
}

/// A server on a port of this machine.
pub(crate) struct Issuer {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    acceptor: Option<TlsAcceptor>,
    listening: Option<JoinHandle<()>>,
    /// Keeps the port while no server listens.
    reserved: Option<TcpSocket>,
}

impl Issuer {
    /// A server that answers each request alike.
    pub(crate) fn start(reply: Reply) -> Self {
        let mut issuer = Self::closed(reply, None);
        issuer.open();
        issuer
    }

    /// A server that speaks TLS.
    pub(crate) fn start_tls(reply: Reply, acceptor: TlsAcceptor) -> Self {
        let mut issuer = Self::closed(reply, Some(acceptor));
        issuer.open();
        issuer
    }

    /// A port that refuses connections until [`Issuer::open`].
    pub(crate) fn closed(reply: Reply, acceptor: Option<TlsAcceptor>) -> Self {
        let socket = bound(([127, 0, 0, 1], 0).into());
        Self {
            address: socket.local_addr().unwrap(),
            scheme: if acceptor.is_some() { "https" } else { "http" },
            state: Arc::new(State {
                behaviour: Mutex::new(Arc::new(move |_| reply.clone())),
                requests: Mutex::new(Vec::new()),
                written: AtomicU64::new(0),
            }),
            acceptor,
            listening: None,
            reserved: Some(socket),
        }
    }

    pub(crate) fn open(&mut self) {
        let listener = self.reserved.take().unwrap().listen(2048).unwrap();
        let state = Arc::clone(&self.state);
        self.listening = Some(tokio::spawn(serve(listener, state, self.acceptor.clone())));
    }

    /// Refuses connections from now on.
    pub(crate) async fn close(&mut self) {
        let listening = self.listening.take().unwrap();
        listening.abort();
        let _ = listening.await;
        self.reserved = Some(bound(self.address));
    }

    /// Answers each request alike from now on.
    pub(crate) fn answer(&self, reply: Reply) {
        self.behave(move |_| reply.clone());
    }

    pub(crate) fn behave(&self, behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.state.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    /// An address by the server's own IP address.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.requests()
            .into_iter()
            .map(|request| request.path)
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.requests.lock().unwrap().len()
    }

    /// How many bytes of endless answers the network has taken.
    pub(crate) fn written(&self) -> u64 {
        self.state.written.load(Ordering::Relaxed)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn serve(listener: TcpListener, state: Arc<State>, acceptor: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let state = Arc::clone(&state);
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match acceptor {
                None => answer(stream, &state).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => answer(stream, &state).await,
                    Err(_) => None,
                },
            }
        });
    }
}

/// Answers one request; `None` when the other side has gone.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &State) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let request = Request {
        path: head.split(' ').nth(1)?.to_owned(),
        at: now(),
        head,
    };
    let behaviour = Arc::clone(&state.behaviour.lock().unwrap());
    let reply = behaviour(&request);
    state.requests.lock().unwrap().push(request);
    match reply {
        Reply::Bytes { after, bytes } => {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            stream.write_all(&bytes).await.ok()?;
            stream.shutdown().await.ok()?;
        }
        Reply::Drip { every, bytes } => {
            for byte in bytes {
                stream.write_u8(byte).await.ok()?;
                stream.flush().await.ok()?;
                tokio::time::sleep(every).await;
            }
        }
        Reply::Endless { head, chunk } => {
            write_forever(stream, state, &head, &chunk, Duration::ZERO).await?;
        }
        Reply::Trickle { head, chunk } => {
            write_forever(stream, state, &head, &chunk, Duration::from_millis(5)).await?;
        }
        Reply::Silence => std::future::pending().await,
    }
    Some(())
}

async fn write_forever(
    mut stream: impl AsyncWrite + Unpin,
    state: &State,
    head: &[u8],
    chunk: &[u8],
    every: Duration,
) -> Option<()> {
    stream.write_all(head).await.ok()?;
    loop {
        stream.write_all(chunk).await.ok()?;
        let length = u64::try_from(chunk.len()).unwrap();
        state.written.fetch_add(length, Ordering::Relaxed);
        if !every.is_zero() {
            tokio::time::sleep(every).await;
        }
    }
}
