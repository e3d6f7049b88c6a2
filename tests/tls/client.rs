//! A blocking TLS client that hides nothing.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::authority::{Authority, Pair};
use crate::exchange::Raw;
pub use crate::support::eventually;

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

pub const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

#[derive(Clone)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    /// Trusts this authority, and shows a certificate if it has one.
    pub fn new(trusted: &Authority, shown: Option<&Pair>) -> Self {
        Self::with_versions(trusted, shown, &[&TLS13])
    }

    pub fn with_versions(
        trusted: &Authority,
        shown: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let Self(config) = Self::resuming(trusted, shown, versions);
        let mut config = Arc::unwrap_or_clone(config);
        // Every connection shall see the certificate of its moment.
        config.resumption = Resumption::disabled();
        Self(Arc::new(config))
    }

    pub fn resuming(
        trusted: &Authority,
        shown: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.der.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            Some(pair) => builder
                .with_client_auth_cert(vec![pair.der.clone()], pair.private_key())
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        Self(Arc::new(config))
    }

    /// A connection whose handshake is done, as far as the client can tell.
    pub fn connect(&self, base: &str) -> io::Result<Stream> {
        let address = base.strip_prefix("https://").expect("a TLS URL");
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }

    /// One request on a connection of its own.
    pub fn send(&self, base: &str, request: &str) -> io::Result<Raw> {
        exchange(&mut self.connect(base)?, request)
    }
}

/// The certificate that the server has shown.
pub fn shown(stream: &Stream) -> CertificateDer<'static> {
    stream.conn.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

/// One request and its answer on a connection that stays open.
pub fn exchange(stream: &mut (impl Read + Write), request: &str) -> io::Result<Raw> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    answer(stream)
}

/// An answer of a known length.
pub fn answer(stream: &mut impl Read) -> io::Result<Raw> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    let mut raw = crate::exchange::parse(&bytes);
    let length = raw
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    raw.body = vec![0; length];
    stream.read_exact(&mut raw.body)?;
    Ok(raw)
}

/// A request that leaves the connection open.
pub fn get(path: &str, credential: Option<&str>) -> String {
    let authorization = credential
        .map(|credential| format!("Authorization: Bearer {credential}\r\n"))
        .unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{authorization}\r\n")
}

/// How long it takes until the other side closes; whatever it sends before is put into `said`.
pub fn closes_after(stream: &mut impl Read, said: &mut Vec<u8>) -> Duration {
    let begin = Instant::now();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return begin.elapsed(),
            Ok(length) => said.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("the connection stays open: {error}")
            }
            // A reset, or an end without TLS's own farewell.
            Err(_) => return begin.elapsed(),
        }
    }
}

/// Tells other threads that it is over, also when this one panics.
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
