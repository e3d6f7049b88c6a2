//! Addresses of listeners.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a listener is reached, written as `IP:PORT` or `NAME:PORT`. Port 0 takes a free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address of this machine.
    Ip(SocketAddr),
    /// A name of this machine, which is looked up at the start.
    Name {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A text that is no address of a listener.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not IP:PORT or NAME:PORT, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080"
)]
pub struct InvalidListenAddress(String);

impl ListenAddress {
    /// The addresses that it stands for; a listener takes the first that it can have.
    ///
    /// # Errors
    /// When the name cannot be looked up.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::Ip(address) => Ok(vec![*address]),
            Self::Name { host, port } => Ok((host.as_str(), *port).to_socket_addrs()?.collect()),
        }
    }

    /// The address, if it is written as one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Name { .. } => None,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = InvalidListenAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let invalid = || InvalidListenAddress(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        // What ends in a digit is a mistyped IPv4 address and no name (RFC 1123 §2.1).
        let is_name = (1..=253).contains(&host.len())
            && host.bytes().all(is_of_a_name)
            && !host.ends_with(|last: char| last.is_ascii_digit());
        match (is_name, port.parse()) {
            (true, Ok(port)) => Ok(Self::Name {
                host: host.to_owned(),
                port,
            }),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Where callers reach the internal listener: a [`ListenAddress`], or a file of this machine, written
/// as `unix:PATH` or `unix://PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InternalListenAddress {
    /// An address of this machine.
    Network(ListenAddress),
    /// The file of a Unix socket.
    Unix(PathBuf),
}

/// What the path of a Unix socket comes after, with or without two slashes more.
const UNIX_SCHEME: &str = "unix:";

/// A text that is no address of the internal listener.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInternalListenAddress {
    /// It is no address.
    #[error("{0}, and not unix:PATH either")]
    Network(#[from] InvalidListenAddress),
    /// Its path does not begin at the root, or is longer than that of a socket can be.
    #[error(
        "a Unix socket is unix:PATH, with a path from the root and of at most {LONGEST_SOCKET_PATH} bytes"
    )]
    Path,
}

/// The longest path that a socket address has room for, in bytes (`sun_path` of unix(7), and the
/// shorter one of other systems).
const LONGEST_SOCKET_PATH: usize = 103;

impl InternalListenAddress {
    /// As [`ListenAddress::resolve`] does; none for a file, which no other machine can reach.
    ///
    /// # Errors
    /// When the name cannot be looked up.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::Network(address) => address.resolve(),
            Self::Unix(_) => Ok(Vec::new()),
        }
    }

    /// The address, if it is written as one and stands for nothing else.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Network(address) => address.ip(),
            Self::Unix(_) => None,
        }
    }
}

impl FromStr for InternalListenAddress {
    type Err = InvalidInternalListenAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(path) = text.strip_prefix(UNIX_SCHEME) else {
            return Ok(Self::Network(text.parse()?));
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        let is_path = path.starts_with('/') && (2..=LONGEST_SOCKET_PATH).contains(&path.len());
        match is_path {
            true => Ok(Self::Unix(path.into())),
            false => Err(InvalidInternalListenAddress::Path),
        }
    }
}

impl fmt::Display for InternalListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_SCHEME}//{}", path.display()),
        }
    }
}

impl Serialize for InternalListenAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InternalListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_internal_listener_is_at_an_address_or_a_file() {
        let longest = format!("unix:///{}", "a".repeat(LONGEST_SOCKET_PATH - 1));
        for (text, shown) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("localhost:0", "localhost:0"),
            ("unix:/run/a b.sock", "unix:///run/a b.sock"),
            ("unix:///run/a.sock", "unix:///run/a.sock"),
            (&longest, &longest),
        ] {
            let address: InternalListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            let is_file = matches!(address, InternalListenAddress::Unix(_));
            assert_eq!(is_file, text.starts_with("unix:"));
        }
        for text in [
            "",
            "unix",
            "unix:",
            "unix:/",
            "unix:a",
            "unix://a",
            "/run/a.sock",
        ] {
            assert!(text.parse::<InternalListenAddress>().is_err(), "{text}");
        }
        assert!(
            format!("{longest}a")
                .parse::<InternalListenAddress>()
                .is_err()
        );
    }

    #[test]
    fn an_address_is_an_ip_or_a_name_and_a_port() {
        for text in [
            "127.0.0.1:80",
            "[::1]:0",
            "localhost:8080",
            "keys.internal_1-a.example:1",
        ] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "8080",
            ":8080",
            "127.0.0.1",
            "127.0.0.256:80",
            "a:70000",
            "a b:1",
            "::1:80",
            "host-1:80",
        ] {
            let parsed = text.parse::<ListenAddress>();
            assert!(parsed.is_err(), "{text}: {parsed:?}");
        }
    }

    #[test]
    fn a_name_stands_for_its_addresses() {
        let localhost: ListenAddress = "localhost:7".parse().unwrap();
        let found = localhost.resolve().unwrap();
        assert!(
            found
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 7)
        );
        assert!(!found.is_empty());
    }
}
