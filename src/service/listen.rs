//! The sockets of the two listeners: reserved before anything is made, opened when it is served.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use tokio::net::{TcpSocket, UnixSocket};

use crate::config::{ListenAddress, SocketAccess};
use crate::http::{ListeningSocket, SocketFile};

/// How many connections wait to be accepted.
const BACKLOG: u32 = 1024;

/// An address that this process has taken. Connections are refused until [`ReservedSocket::listen`].
pub(crate) struct ReservedSocket {
    setting: String,
    socket: BoundSocket,
}

enum BoundSocket {
    Tcp(TcpSocket),
    Unix(UnixSocket, SocketFile),
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
        let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in resolved {
            match bind(*address) {
                Ok(socket) => {
                    let socket = BoundSocket::Tcp(socket);
                    return Ok(Self { setting, socket });
                }
                Err(error) => failure = error,
            }
        }
        Err(cannot_listen(&setting, &failure))
    }

    /// Makes the file of a Unix socket, in the place of one that an earlier process has left.
    ///
    /// # Errors
    /// As for [`ReservedSocket::take`].
    pub(crate) fn take_file(
        setting: String,
        path: &Path,
        access: SocketAccess,
    ) -> Result<Self, String> {
        let socket = remove_stale_file(path).and_then(|()| bind_file(path, access));
        let (socket, file) = socket.map_err(|error| cannot_listen(&setting, &error))?;
        let socket = BoundSocket::Unix(socket, file);
        Ok(Self { setting, socket })
    }

    /// Lets connections come.
    ///
    /// # Errors
    /// As for [`ReservedSocket::take`]: another process may have taken the address as well.
    pub(crate) fn listen(self) -> Result<ListeningSocket, String> {
        let Self { setting, socket } = self;
        let listening = match socket {
            BoundSocket::Tcp(socket) => socket.listen(BACKLOG).map(ListeningSocket::Tcp),
            BoundSocket::Unix(socket, file) => {
                let socket = socket.listen(BACKLOG);
                socket.map(|socket| ListeningSocket::Unix(socket, file))
            }
        };
        listening.map_err(|error| cannot_listen(&setting, &error))
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

/// The permissions are set before a client can connect: that takes [`ReservedSocket::listen`].
fn bind_file(path: &Path, access: SocketAccess) -> io::Result<(UnixSocket, SocketFile)> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile::new(path.to_owned());
    fs::set_permissions(path, Permissions::from_mode(access.mode()))?;
    Ok((socket, file))
}

/// Removes the socket of a process that has ended without doing so. What is no socket, and a socket
/// that a process answers at, stays.
fn remove_stale_file(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "a file that is no socket is there",
        ));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another process listens there",
        )),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn cannot_listen(setting: &str, error: &io::Error) -> String {
    format!("cannot listen on {setting}: {error}")
}
