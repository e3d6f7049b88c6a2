//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::access::certificate::PeerCertificate;

/// Who is at the other end of a connection. Every request carries it in its extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    /// The address that the connection comes from: a proxy's, if one is between.
    pub(super) address: SocketAddr,
    /// The client's certificate, verified in the handshake.
    pub(super) certificate: Option<Arc<PeerCertificate>>,
}
