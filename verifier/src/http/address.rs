//! Addresses that an issuer may be asked at, and where its metadata stands.

use url::{Host, Url};

/// Reads an address that keys may be fetched from.
pub(crate) fn parse_address(text: &str) -> Result<Url, InvalidAddress> {
    let url = Url::parse(text).map_err(|_| InvalidAddress)?;
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    let is_safe = match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(&url),
        _ => false,
    };
    if is_anonymous && is_safe {
        Ok(url)
    } else {
        Err(InvalidAddress)
    }
}

/// Reads an issuer's URL, which has neither query nor fragment (RFC 8414 §2).
pub(crate) fn parse_issuer(text: &str) -> Result<Url, InvalidAddress> {
    let url = parse_address(text)?;
    if url.query().is_none() && url.fragment().is_none() {
        Ok(url)
    } else {
        Err(InvalidAddress)
    }
}

/// Reads an address that an issuer's metadata gives. A public issuer has no business on this machine's
/// own ports.
pub(super) fn parse_address_of(text: &str, issuer: &Url) -> Result<Url, InvalidAddress> {
    let url = parse_address(text)?;
    if may_be_this_machine(&url) && !is_loopback(issuer) {
        return Err(InvalidAddress);
    }
    Ok(url)
}

/// Whether the host is this machine for sure.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether the host is this machine, or a way to write it that some systems take for it.
fn may_be_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => {
            let mapped = address.to_ipv4_mapped();
            address.is_loopback()
                || address.is_unspecified()
                || mapped.is_some_and(|address| address.is_loopback() || address.is_unspecified())
        }
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        None => true,
    }
}

/// OpenID Connect Discovery §4: after the issuer's path.
pub(super) fn openid_configuration(issuer: &Url) -> Url {
    let path = issuer.path().trim_end_matches('/');
    with_path(issuer, &format!("{path}/.well-known/openid-configuration"))
}

/// RFC 8414 §3.1: between host and path.
pub(super) fn authorization_server_metadata(issuer: &Url) -> Url {
    let path = issuer.path().trim_end_matches('/');
    with_path(
        issuer,
        &format!("/.well-known/oauth-authorization-server{path}"),
    )
}

fn with_path(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    url.set_path(path);
    url
}

/// An address is not one that keys may be fetched from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an https URL without user name and password (http is for this machine alone)")]
pub struct InvalidAddress;

#[cfg(test)]
mod tests;
