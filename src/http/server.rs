//! Listeners: how many connections at a time, and an orderly end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::watch;

use super::certificate_reload::Certificates;
use super::connection::AcceptedConnection;
use super::connections::{ConnectionLimits, OpenConnection, OpenConnections};
use super::socket::{ListeningSocket, Stream};

/// Handles the requests of a listener. Each carries a [`Peer`](super::Peer).
pub trait RequestHandler: Clone + Send + 'static {
    /// Returns the response to one request.
    fn handle(self, request: Request<Incoming>) -> impl Future<Output = Response> + Send;
}

/// A listener.
pub struct Listener<H> {
    /// Its name in the log.
    pub name: &'static str,
    /// The bound socket.
    pub socket: Socket,
    /// What it speaks TLS with; without it, it speaks plain HTTP.
    pub certificates: Option<Arc<Certificates>>,
    /// What clients may take.
    pub limits: Limits,
    /// Handles its requests.
    pub handler: H,
}

/// A bound socket, until it is closed. A listener that is started again goes on with it.
pub struct Socket(Mutex<Option<Arc<ListeningSocket>>>);

impl From<ListeningSocket> for Socket {
    fn from(socket: ListeningSocket) -> Self {
        Self(Mutex::new(Some(Arc::new(socket))))
    }
}

impl Socket {
    fn open(&self) -> Option<Arc<ListeningSocket>> {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        socket.clone()
    }

    /// From now on connections are refused, once those that hold it let go of it.
    fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// What the clients of a listener may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections at a time.
    pub connections: ConnectionLimits,
    /// How long a client may take for the head of a request, to ask again, and to take any of what
    /// it is sent.
    pub idle_timeout: Duration,
}

/// How long requests in progress may take after the end was announced.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `shutdown` becomes true, then lets the requests in progress end.
pub async fn serve<A: RequestHandler>(
    listener: Arc<Listener<A>>,
    mut shutdown: watch::Receiver<bool>,
) {
    let Listener {
        name,
        socket: bound,
        certificates,
        limits,
        handler,
    } = &*listener;
    let Some(socket) = bound.open() else {
        return;
    };
    let name = *name;
    let connections = OpenConnections::new(limits.connections.clone());
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, address, open) = tokio::select! {
            accepted = accept(&socket, &connections) => match accepted {
                Ok(Some(accepted)) => accepted,
                Ok(None) => continue,
                Err(error) => {
                    // Out of file descriptors, most likely: give connections time to close.
                    tracing::warn!(listener = name, %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = announced(&mut shutdown) => break,
        };
        let connection = AcceptedConnection {
            stream,
            address,
            activity: open.activity(),
            idle_timeout: limits.idle_timeout,
        };
        let (handler, watcher) = (handler.clone(), graceful.watcher());
        match certificates.clone() {
            None => tokio::spawn(async move {
                tokio::select! {
                    () = connection.serve(handler, watcher) => {}
                    () = open.closed() => {}
                }
            }),
            Some(certificates) => {
                let shutdown = shutdown.clone();
                tokio::spawn(async move {
                    let served = connection.serve_tls(&certificates, handler, watcher, shutdown);
                    let served = tokio::select! {
                        served = served => served,
                        () = open.closed() => Ok(()),
                    };
                    if let Err(error) = served {
                        tracing::debug!(listener = name, %address, %error, "no TLS connection");
                    }
                })
            }
        };
    }
    drop(socket);
    bound.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            listener = name,
            "requests were cut off: they took too long to end"
        );
    }
}

/// Accepts a connection. `None` when its address may not have another one; it is closed then.
async fn accept(
    socket: &ListeningSocket,
    connections: &Arc<OpenConnections>,
) -> std::io::Result<Option<(Stream, SocketAddr, OpenConnection)>> {
    let (stream, address) = socket.accept().await?;
    let open = connections.open(address.ip()).await;
    Ok(open.map(|open| (stream, address, open)))
}

/// Returns when the shutdown is announced, or when its sender is gone.
async fn announced(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
