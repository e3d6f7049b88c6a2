//! A panic in the loop that accepts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Request;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use keywright::clock::Clock;
use keywright::http::{ConnectionLimits, Limits, Listener, ListeningSocket, RequestHandler, serve};
use keywright::supervision::supervise;
use keywright::telemetry::{Metrics, TaskState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::world::{BEGIN, SECOND, eventually};

/// RequestHandler with "hello". When it is told to, the next connection is a panic in the loop, which
/// clones it.
struct Fragile(Arc<AtomicBool>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(!self.0.swap(false, Ordering::SeqCst), "on purpose");
        Self(Arc::clone(&self.0))
    }
}

impl RequestHandler for Fragile {
    async fn handle(self, _: Request<Incoming>) -> Response {
        "hello".into_response()
    }
}

async fn ask(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let question = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(question).await.unwrap();
    let mut answer = String::new();
    // A connection that is reset says nothing.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn a_panic_while_a_connection_is_accepted_does_not_close_the_listener() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let fatal = Arc::<AtomicBool>::default();
    let listener = Arc::new(Listener {
        name: "test",
        socket: ListeningSocket::Tcp(socket).into(),
        certificates: None,
        limits: Limits {
            connections: ConnectionLimits {
                total: 8,
                per_address: 8,
                proxies: Vec::new(),
            },
            idle_timeout: SECOND * 10,
        },
        handler: Fragile(Arc::clone(&fatal)),
    });
    let (clock, metrics) = (Clock::manual(BEGIN), Arc::<Metrics>::default());
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(supervise(
        "listener-test",
        clock.clone(),
        Arc::clone(&metrics),
        move || serve(Arc::clone(&listener), stopped.clone()),
    ));
    assert!(ask(address).await.ends_with("hello"));
    fatal.store(true, Ordering::SeqCst);
    assert_eq!(ask(address).await, "");
    let health = || metrics.tasks().all()["listener-test"];
    eventually("the panic", || health().restarts == 1).await;
    clock.set(BEGIN.after(SECOND));
    assert!(ask(address).await.ends_with("hello"));

    stop.send_replace(true);
    task.await.unwrap();
    assert_eq!(health().state, TaskState::Ended);
    assert!(TcpStream::connect(address).await.is_err());
}
