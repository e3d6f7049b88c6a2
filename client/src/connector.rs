//! Connections to the one service of a client: TCP, with TLS or without, or a Unix socket.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tower_service::Service;
use url::Host;

use crate::address::Endpoint;
use crate::tls::{InvalidTls, Tls};

/// Connects to one place, whatever a request's URL says: no proxy and no redirect comes between, because
/// both would show the credential to another program.
#[derive(Clone)]
pub(crate) struct Connector {
    endpoint: Arc<Endpoint>,
    tls: Option<TlsConnector>,
}

/// What a connection is made of.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection.
pub(crate) struct ServiceConnection(TokioIo<Box<dyn Stream>>);

impl Connector {
    pub(crate) fn new(endpoint: Endpoint, tls: &Tls) -> Result<Self, InvalidTls> {
        let tls = match &endpoint {
            Endpoint::Tcp { is_tls: true, .. } => Some(TlsConnector::from(Arc::new(tls.config()?))),
            Endpoint::Tcp { is_tls: false, .. } | Endpoint::Socket(_) => None,
        };
        let endpoint = Arc::new(endpoint);
        Ok(Self { endpoint, tls })
    }

    async fn connect(self) -> io::Result<ServiceConnection> {
        let stream: Box<dyn Stream> = match &*self.endpoint {
            Endpoint::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Endpoint::Tcp { host, port, .. } => {
                let stream = match host {
                    Host::Domain(name) => TcpStream::connect((name.as_str(), *port)).await?,
                    Host::Ipv4(address) => TcpStream::connect((*address, *port)).await?,
                    Host::Ipv6(address) => TcpStream::connect((*address, *port)).await?,
                };
                stream.set_nodelay(true)?;
                match &self.tls {
                    None => Box::new(stream),
                    Some(tls) => Box::new(tls.connect(server_name(host)?, stream).await?),
                }
            }
        };
        Ok(ServiceConnection(TokioIo::new(stream)))
    }
}

fn server_name(host: &Host<String>) -> io::Result<ServerName<'static>> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(io::Error::other),
        Host::Ipv4(address) => Ok(ServerName::from(std::net::IpAddr::V4(*address))),
        Host::Ipv6(address) => Ok(ServerName::from(std::net::IpAddr::V6(*address))),
    }
}

impl Service<Uri> for Connector {
    type Response = ServiceConnection;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<ServiceConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

impl Connection for ServiceConnection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for ServiceConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for ServiceConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
