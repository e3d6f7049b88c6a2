//! One connection: the handshake, who is at the other end, requests, and the end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate_reload::Certificates;
use super::connections::Activity;
use super::problem::Problem;
use super::response::until_sent;
use super::server::RequestHandler;
use super::socket::Stream;
use crate::access::certificate::{PeerCertificate, UnreadableCertificate};

/// Who is at the other end of a connection. Every request carries it in its extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The address that the connection comes from: a proxy's, if one is between.
    pub address: SocketAddr,
    /// The client's certificate, verified in the handshake.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("the handshake took too long")]
    Timeout,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Certificate(#[from] UnreadableCertificate),
}

/// A connection that a listener has accepted, before any handshake.
pub(super) struct AcceptedConnection {
    pub(super) stream: Stream,
    pub(super) address: SocketAddr,
    pub(super) activity: Activity,
    pub(super) idle_timeout: Duration,
}

impl AcceptedConnection {
    /// Serves plain HTTP until the client leaves, is idle for too long, or the end is announced to
    /// the watcher.
    pub(super) async fn serve<H: RequestHandler>(self, handler: H, watcher: Watcher) {
        let (peer, idle_timeout) = (self.peer(None), self.idle_timeout);
        let requests = Requests {
            peer,
            activity: self.activity.clone(),
            handler,
        };
        serve_connection(self.with_write_timeout(), requests, idle_timeout, watcher).await;
    }

    /// Does the TLS handshake, then serves as [`serve`](Self::serve) does. A handshake is not a
    /// request: a shutdown does not wait for it.
    ///
    /// # Errors
    /// When the handshake fails.
    pub(super) async fn serve_tls<H: RequestHandler>(
        self,
        certificates: &Certificates,
        handler: H,
        watcher: Watcher,
        mut shutdown: watch::Receiver<bool>,
    ) -> Result<(), HandshakeError> {
        let mut peer = self.peer(None);
        let (activity, idle_timeout) = (self.activity.clone(), self.idle_timeout);
        let limit = certificates.handshake_timeout().min(idle_timeout);
        let acceptor = TlsAcceptor::from(certificates.current());
        let handshake = async {
            if self.begins_with_http().await? {
                return Ok(Err(self));
            }
            acceptor.accept(self.with_write_timeout()).await.map(Ok)
        };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(limit, handshake) => {
                shaken.map_err(|_| HandshakeError::Timeout)??
            }
            _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
        };
        let stream = match shaken {
            Ok(stream) => stream,
            Err(plain) => {
                plain.serve(RefusesPlainHttp, watcher).await;
                return Ok(());
            }
        };
        peer.certificate = certificate_of(&stream)?;
        let requests = Requests {
            peer,
            activity,
            handler,
        };
        serve_connection(stream, requests, idle_timeout, watcher).await;
        Ok(())
    }

    /// Whether the client has begun with the method of an HTTP request, which no TLS record begins
    /// like (RFC 8446 §5.1).
    async fn begins_with_http(&self) -> io::Result<bool> {
        let first = self.stream.peek().await?;
        Ok(first.is_some_and(|first| first.is_ascii_uppercase()))
    }

    fn peer(&self, certificate: Option<Arc<PeerCertificate>>) -> Peer {
        // A socket for both families shows an IPv4 address as an IPv6 address.
        let address = SocketAddr::new(self.address.ip().to_canonical(), self.address.port());
        Peer {
            address,
            certificate,
        }
    }

    fn with_write_timeout(self) -> WriteTimeout {
        self.stream.send_at_once();
        WriteTimeout {
            stream: self.stream,
            limit: self.idle_timeout,
            timer: None,
        }
    }
}

/// Tells a client that speaks plain HTTP to a listener with TLS, and closes the connection. What it
/// has sent is not looked at.
#[derive(Clone)]
struct RefusesPlainHttp;

impl RequestHandler for RefusesPlainHttp {
    async fn handle(self, _: hyper::Request<Incoming>) -> Response {
        let mut response = Problem::plain_http().into_response();
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
        response
    }
}

fn certificate_of(
    stream: &TlsStream<WriteTimeout>,
) -> Result<Option<Arc<PeerCertificate>>, UnreadableCertificate> {
    let (_, connection) = stream.get_ref();
    let Some(certificate) = connection.peer_certificates().and_then(<[_]>::first) else {
        return Ok(None);
    };
    PeerCertificate::from_der(certificate).map(|certificate| Some(Arc::new(certificate)))
}

/// Who sends the requests of a connection, and what becomes of them.
struct Requests<H> {
    peer: Peer,
    activity: Activity,
    handler: H,
}

async fn serve_connection<S, H>(
    stream: S,
    requests: Requests<H>,
    idle_timeout: Duration,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    H: RequestHandler,
{
    let Requests {
        peer,
        activity,
        handler,
    } = requests;
    let service = service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(peer.clone());
        let busy = activity.begin_request();
        let response = handler.clone().handle(request);
        async move {
            // A connection that has given way is closed, and not answered.
            let busy = busy.ok_or(io::ErrorKind::ConnectionAborted)?;
            Ok::<_, io::Error>(until_sent(response.await, busy))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle_timeout)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // A connection that breaks is the client's affair.
    let _ = watcher.watch(connection).await;
}

/// A stream that fails when its client reads nothing of a response for too long. Otherwise a client
/// that sends requests and does not read holds its connection indefinitely.
struct WriteTimeout {
    stream: Stream,
    limit: Duration,
    /// Runs while a write makes no progress.
    timer: Option<Pin<Box<Sleep>>>,
}

impl WriteTimeout {
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.timer = None;
            return progress;
        }
        let limit = self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for WriteTimeout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for WriteTimeout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
