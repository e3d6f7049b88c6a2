//! Where a service is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::{Host, Url};

/// The internal listener of a service: `http://HOST[:PORT]`, `https://HOST[:PORT]`, or
/// `unix:///PATH` of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Url(Url),
    Socket(PathBuf),
}

/// Why a text is no address of a service. It does not repeat the text, of which a part may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the service's URL is http or https, without user name, password, query or fragment, or \
     unix:///PATH of a socket"
)]
pub struct InvalidServiceAddress;

/// How a connection to a service is made.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    Tcp {
        host: Host<String>,
        port: u16,
        is_tls: bool,
    },
    Socket(PathBuf),
}

impl ServiceAddress {
    /// Reads an address. A path is kept: it may lead through a proxy.
    ///
    /// # Errors
    ///
    /// [`InvalidServiceAddress`].
    pub fn parse(text: &str) -> Result<Self, InvalidServiceAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            // One slash or three: unix:/run/a.sock, unix:///run/a.sock.
            let path = path.strip_prefix("//").unwrap_or(path);
            let is_path = path.starts_with('/') && path.len() > 1 && !path.contains('\0');
            return match is_path {
                true => Ok(Self(Place::Socket(path.into()))),
                false => Err(InvalidServiceAddress),
            };
        }
        let url = Url::parse(text).map_err(|_| InvalidServiceAddress)?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        match is_plain && matches!(url.scheme(), "http" | "https") && url.has_host() {
            true => Ok(Self(Place::Url(url))),
            false => Err(InvalidServiceAddress),
        }
    }

    /// Whether it leads to this machine.
    pub fn is_local(&self) -> bool {
        let Place::Url(url) = &self.0 else {
            return true;
        };
        match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// The path of its Unix socket, if it is one.
    pub fn socket(&self) -> Option<&Path> {
        match &self.0 {
            Place::Url(_) => None,
            Place::Socket(path) => Some(path),
        }
    }

    /// What paths are appended to. A socket has no name of its own to put into requests.
    pub(crate) fn base(&self) -> &str {
        match &self.0 {
            Place::Url(url) => url.as_str().trim_end_matches('/'),
            Place::Socket(_) => "http://localhost",
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        match &self.0 {
            Place::Socket(path) => Endpoint::Socket(path.clone()),
            Place::Url(url) => {
                let is_tls = url.scheme() == "https";
                Endpoint::Tcp {
                    // Both schemes have a host, and a port by default.
                    host: url
                        .host()
                        .map_or_else(|| Host::Domain(String::new()), |host| host.to_owned()),
                    port: url
                        .port_or_known_default()
                        .unwrap_or(if is_tls { 443 } else { 80 }),
                    is_tls,
                }
            }
        }
    }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Url(_) => f.write_str(self.base()),
            Place::Socket(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl FromStr for ServiceAddress {
    type Err = InvalidServiceAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_without_secrets_or_a_socket() {
        for (text, shown, is_local) in [
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081", true),
            ("http://[::1]:8081/", "http://[::1]:8081", true),
            ("https://a.example/b/", "https://a.example/b", false),
            ("https://localhost", "https://localhost", true),
            ("unix:///run/a.sock", "unix:///run/a.sock", true),
            ("unix:/run/a.sock", "unix:///run/a.sock", true),
        ] {
            let address = ServiceAddress::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.is_local(), is_local, "{text}");
        }
    }

    #[test]
    fn whatever_else_is_refused_and_not_repeated() {
        for text in [
            "",
            "8081",
            "ftp://a.example",
            "https://user@a.example",
            "https://:secret@a.example",
            "https://a.example/?b",
            "https://a.example/#b",
            "unix:",
            "unix://a.sock",
            "unix:///",
        ] {
            let error = ServiceAddress::parse(text).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{text}");
        }
    }
}
