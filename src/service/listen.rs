//! The sockets of the two listeners: reserved before anything is made, opened when it is served.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use crate::config::ListenAddress;

/// How many connections wait to be accepted.
const BACKLOG: u32 = 1024;

/// An address that this process has taken. Connections are refused until [`ReservedSocket::listen`].
pub(crate) struct ReservedSocket {
    setting: String,
    socket: TcpSocket,
}

impl ReservedSocket {
    /// Takes the first of the addresses that can be had.
    ///
    /// # Errors
    /// Which setting cannot be had, with its value and why.
    pub(crate) fn take(
        setting: &'static str,
        address: &ListenAddress,
        resolved: &[SocketAddr],
    ) -> Result<Self, String> {
        let setting = format!("{setting} = \"{address}\"");
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in resolved {
            match bind(*address) {
                Ok(socket) => return Ok(Self { setting, socket }),
                Err(error) => failure = error,
            }
        }
        Err(cannot_listen(&setting, &failure))
    }

    /// Lets connections come.
    ///
    /// # Errors
    /// As for [`ReservedSocket::take`]: another process may have taken the address as well.
    pub(crate) fn listen(self) -> Result<TcpListener, String> {
        let Self { setting, socket } = self;
        socket
            .listen(BACKLOG)
            .map_err(|error| cannot_listen(&setting, &error))
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Otherwise a restart waits for the connections of the process before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn cannot_listen(setting: &str, error: &io::Error) -> String {
    format!("cannot listen on {setting}: {error}")
}
