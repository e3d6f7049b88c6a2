//! Connections: their limits, and an orderly end.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// What answers the requests of a listener.
pub trait Answers: Clone + Send + 'static {
    /// Answers one request.
    fn answer(self, request: Request<Incoming>) -> impl Future<Output = Response> + Send;
}

/// A listener.
pub struct Listener<A> {
    /// Its name in the log.
    pub name: &'static str,
    /// The bound socket.
    pub socket: TcpListener,
    /// What answers.
    pub answers: A,
}

/// Open connections at a time, for each listener.
const MOST_CONNECTIONS: usize = 4096;

/// How long a client may take to send the head of a request, and a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long requests in progress may take after the end was announced.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `shutdown` becomes true, then lets the requests in progress end.
pub async fn serve<A: Answers>(listener: Listener<A>, mut shutdown: watch::Receiver<bool>) {
    let Listener {
        name,
        socket,
        answers,
    } = listener;
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, permit) = tokio::select! {
            accepted = accept(&socket, &connections) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: give connections time to close.
                    tracing::warn!(listener = name, %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = announced(&mut shutdown) => break,
        };
        let connection = graceful.watch(connect(stream, answers.clone()));
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

async fn accept(
    socket: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    Ok((stream, permit))
}

/// Returns when the end is announced, or when nobody is left to announce it.
async fn announced(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

fn connect<A: Answers>(
    stream: TcpStream,
    answers: A,
) -> impl GracefulConnection<Error = hyper::Error> {
    // Without it, a small answer may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let answer = answers.clone().answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(stream), service)
}
