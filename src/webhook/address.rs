//! Which addresses messages may be sent to: a URL must not lead into the network of the service
//! (server-side request forgery).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use keywright_api::LONGEST_WEBHOOK_URL;
use url::Url;

/// A text is no URL of a webhook. It is not repeated: it may have a secret in its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "url must be https or http, with a host, without user and fragment, of at most \
     {LONGEST_WEBHOOK_URL} bytes"
)]
pub struct InvalidWebhookUrl;

/// Whether messages can be sent to a URL, as far as its text says it.
///
/// # Errors
/// [`InvalidWebhookUrl`].
pub fn check_url(text: &str) -> Result<(), InvalidWebhookUrl> {
    let has_scheme = text.starts_with("https://") || text.starts_with("http://");
    let url = Url::parse(text).map_err(|_| InvalidWebhookUrl)?;
    let is_bare = url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && url.has_host();
    match has_scheme && is_bare && text.len() <= LONGEST_WEBHOOK_URL {
        true => Ok(()),
        false => Err(InvalidWebhookUrl),
    }
}

/// Whether an address may be called: it is public, or in a network that the settings name.
pub fn may_be_called(address: IpAddr, allowed: &[IpNet]) -> bool {
    let address = address.to_canonical();
    is_public(address) || allowed.iter().any(|network| network.contains(&address))
}

/// Whether an address is one of the public internet (RFC 6890).
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match (a, b, c) {
        // This network, shared addresses (RFC 6598), protocol assignments, 6to4 relays, benchmarks, and what
        // is reserved or for many.
        (0 | 224..=255, ..) | (192, 0, 0) | (192, 88, 99) | (198, 18 | 19, _) => true,
        (100, 64..=127, _) => true,
        _ => false,
    };
    !is_special
        && !address.is_private()
        && !address.is_loopback()
        && !address.is_link_local()
        && !address.is_documentation()
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Global unicast addresses (RFC 4291 §2.4), without those that stand for IPv4 addresses or tunnels
    // (6to4, Teredo, ORCHID) and those for documentation (RFC 3849, RFC 9637).
    let is_special = matches!(
        (a, b),
        (0x2002, _) | (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff)
    );
    (0x2000..=0x3fff).contains(&a) && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_nothing_that_is_not_sent() {
        for url in [
            "https://a.example",
            "http://10.1.2.3:8080/x?y=z",
            "https://[2001:db8::1]/",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        let long = format!("https://a.example/{}", "x".repeat(LONGEST_WEBHOOK_URL));
        for url in [
            "",
            "a.example",
            "ftp://a.example",
            "https://",
            "https://u@a.example",
            "https://u:p@a.example",
            "https://a.example/#x",
            "file:///etc/passwd",
            &long,
        ] {
            assert_eq!(check_url(url), Err(InvalidWebhookUrl), "{url}");
        }
    }

    #[test]
    fn only_public_addresses_are_called_and_those_that_are_named() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::1",
            "3fff::1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert!(!may_be_called(address, &[]), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "192.0.1.1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(may_be_called(address.parse().unwrap(), &[]), "{address}");
        }
        let allowed: Vec<IpNet> = vec!["10.1.0.0/16".parse().unwrap()];
        for (address, may) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.2.3", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(
                may_be_called(address.parse().unwrap(), &allowed),
                may,
                "{address}"
            );
        }
    }
}
