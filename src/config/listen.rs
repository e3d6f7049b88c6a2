//! Addresses of listeners.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
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

#[cfg(test)]
mod tests {
    use super::*;

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
