//! Requests that the service sends to other servers, each on a connection of its own. No redirect is followed and
//! no proxy comes between.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// What the service calls itself.
pub(crate) const AGENT: &str = concat!("keywright/", env!("CARGO_PKG_VERSION"));

/// What a connection is made of.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("the connection speaks no HTTP")]
    Handshake,
    #[error("the connection broke")]
    Broken,
}

/// Does the TLS handshake with a host.
///
/// # Errors
/// When the host has no trusted certificate, or is no server name.
pub(crate) async fn secure(
    stream: TcpStream,
    host: &Host<&str>,
    tls: Arc<ClientConfig>,
) -> io::Result<Box<dyn Stream>> {
    let name = match host {
        Host::Domain(name) => ServerName::try_from((*name).to_owned()).map_err(io::Error::other)?,
        Host::Ipv4(address) => ServerName::from(IpAddr::V4(*address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::V6(*address)),
    };
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    Ok(Box::new(stream))
}

/// Sends one request, and returns the head of its response.
///
/// # Errors
/// [`ExchangeError`].
pub(crate) async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, ExchangeError> {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| ExchangeError::Handshake)?;
    // It ends with the sender and the response.
    tokio::spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await;
    response.map_err(|_| ExchangeError::Broken)
}

/// The target of a request for a URL (RFC 9112 §3.2.1).
pub(crate) fn target(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// The `Host` of a request for a URL (RFC 9112 §3.2).
pub(crate) fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}
