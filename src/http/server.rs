//! Connections: limits, time-outs, request ids, and an orderly end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::response::Problem;
use crate::engine::random;

/// What a listener serves and how it is told apart in the log.
pub struct Listener {
    /// Its name in the log.
    pub name: &'static str,
    /// The bound socket.
    pub socket: TcpListener,
    /// What answers.
    pub router: Router,
}

/// Open connections at a time, for each listener.
const MOST_CONNECTIONS: usize = 4096;

/// Requests in progress at a time, for each listener.
const MOST_REQUESTS: usize = 2048;

/// How long a client may take to send the head of a request, and a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long requests in progress may take after the end was announced.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `shutdown` becomes true, then lets the requests in progress end.
pub async fn serve(listener: Listener, mut shutdown: watch::Receiver<bool>) {
    let Listener {
        name,
        socket,
        router,
    } = listener;
    let guard = Arc::new(Guard {
        requests: Semaphore::new(MOST_REQUESTS),
        ids: RequestIds::new(),
    });
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            break;
        };
        let stream = tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: give connections time to close.
                    tracing::warn!(listener = name, %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = announced(&mut shutdown) => break,
        };
        let connection = graceful.watch(connect(stream, router.clone(), Arc::clone(&guard)));
        tokio::spawn(async move {
            // A connection that breaks is the client's affair.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(socket);
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

/// Returns when the end is announced, or when nobody is left to announce it.
async fn announced(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

fn connect(
    stream: TcpStream,
    router: Router,
    guard: Arc<Guard>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    // Without it, a small answer may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (router, guard) = (router.clone(), Arc::clone(&guard));
        async move { Ok::<_, std::convert::Infallible>(guard.answer(router, request).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(stream), service)
}

/// What every request passes.
struct Guard {
    requests: Semaphore,
    ids: RequestIds,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Guard {
    async fn answer(&self, router: Router, request: Request<Incoming>) -> Response {
        let Ok(_permit) = self.requests.try_acquire() else {
            return Problem::overloaded().into_response();
        };
        let id = self.ids.of(&request);
        let span = tracing::info_span!(
            "request",
            id = id.to_str().unwrap_or_default(),
            method = %request.method(),
            path = request.uri().path(),
        );
        let answer = router
            .oneshot(request.map(Body::new))
            .instrument(span.clone());
        let mut response = match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(infallible)) => match infallible {},
            Err(_) => Problem::timeout().into_response(),
        };
        span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
}

/// Names for requests: the caller's own, if it sent a usable one, or a new one.
struct RequestIds {
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        // The prefix only tells the processes of a log apart.
        let prefix = random::<4>().map_or(0, u32::from_be_bytes);
        Self {
            prefix: format!("{prefix:08x}"),
            next: AtomicU64::new(1),
        }
    }

    fn of(&self, request: &Request<Incoming>) -> HeaderValue {
        let usable = |value: &&HeaderValue| {
            (1..=64).contains(&value.len())
                && value
                    .as_bytes()
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        };
        match request.headers().get(REQUEST_ID).filter(usable) {
            Some(id) => id.clone(),
            None => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let id = format!("{}-{number}", self.prefix);
                HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unknown"))
            }
        }
    }
}
