//! The two names of an issuer: the short one in our paths and the URL in every token.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub use keywright_api::{InvalidIssuerName, IssuerName};
use url::{Host, Url};

/// The issuer URL: the `iss` claim, byte for byte, and the root of the issuer's public documents.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuerUrl {
    text: Arc<str>,
    origin_end: usize,
}

/// Why a text is no issuer URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIssuerUrl {
    /// It does not parse as an absolute URL, or not to the same bytes.
    #[error("an issuer URL is an absolute URL in its normal form, of at most 512 bytes")]
    NotNormal,
    /// It has a query, a fragment, a user name or a password (RFC 8414 §2).
    #[error("an issuer URL has no query, fragment, user name or password")]
    ForbiddenPart,
    /// It is neither https nor http on a loopback host.
    #[error("an issuer URL is https, unless its host is a loopback address")]
    Plaintext,
    /// Its path has an empty segment or an unusual character.
    #[error("the path of an issuer URL has segments of letters, digits and . _ ~ - only")]
    UnusualPath,
}

impl IssuerUrl {
    /// Reads an issuer URL.
    ///
    /// # Errors
    /// [`InvalidIssuerUrl`] names the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidIssuerUrl> {
        if text.len() > 512 {
            return Err(InvalidIssuerUrl::NotNormal);
        }
        let url = Url::parse(text).map_err(|_| InvalidIssuerUrl::NotNormal)?;
        if text.contains(['?', '#', '@']) {
            return Err(InvalidIssuerUrl::ForbiddenPart);
        }
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
            None => return Err(InvalidIssuerUrl::NotNormal),
        };
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(InvalidIssuerUrl::Plaintext),
            _ => return Err(InvalidIssuerUrl::NotNormal),
        }
        let origin = url.origin().ascii_serialization();
        let Some(path) = text.strip_prefix(&origin) else {
            return Err(InvalidIssuerUrl::NotNormal);
        };
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        let segments = path.strip_suffix('/').unwrap_or(path);
        if !segments.is_empty() {
            let Some(rest) = segments.strip_prefix('/') else {
                return Err(InvalidIssuerUrl::NotNormal);
            };
            for segment in rest.split('/') {
                let dots = segment == "." || segment == "..";
                if segment.is_empty() || dots || !segment.bytes().all(usual) {
                    return Err(InvalidIssuerUrl::UnusualPath);
                }
                if segment == ".well-known" {
                    return Err(InvalidIssuerUrl::UnusualPath);
                }
            }
        }
        Ok(Self {
            text: text.into(),
            origin_end: origin.len(),
        })
    }

    /// The URL, byte for byte as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path without a terminating `/`: empty, or `/` and segments. No two issuers share it,
    /// because it alone tells their public documents apart.
    pub fn path(&self) -> &str {
        let path = self.text.get(self.origin_end..).unwrap_or_default();
        path.strip_suffix('/').unwrap_or(path)
    }

    /// Where the issuer's key set is published.
    pub fn jwks_url(&self) -> String {
        let base = self.text.strip_suffix('/').unwrap_or(&self.text);
        format!("{base}/.well-known/jwks.json")
    }
}

impl fmt::Debug for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_urls_keep_their_bytes_and_yield_their_path() {
        for (text, path) in [
            ("https://id.example.com", ""),
            ("https://id.example.com/", ""),
            ("https://id.example.com/tenants/a", "/tenants/a"),
            ("https://id.example.com:8443/a/", "/a"),
            ("http://127.0.0.1:8080", ""),
            ("http://localhost:8080/x", "/x"),
            ("http://[::1]:8080", ""),
        ] {
            let url = IssuerUrl::parse(text).unwrap();
            assert_eq!((url.as_str(), url.path()), (text, path));
        }
    }

    #[test]
    fn issuer_urls_that_break_a_rule_are_refused_with_that_rule() {
        use InvalidIssuerUrl::{ForbiddenPart, NotNormal, Plaintext, UnusualPath};
        for (text, expected) in [
            ("https://a.example?x=1", ForbiddenPart),
            ("https://a.example/#f", ForbiddenPart),
            ("https://u:p@a.example", ForbiddenPart),
            ("http://a.example", Plaintext),
            ("ftp://a.example", NotNormal),
            ("a.example", NotNormal),
            ("https://A.example", NotNormal),
            ("https://a.example:443", NotNormal),
            ("https://a.example//b", UnusualPath),
            ("https://a.example/a/../b", UnusualPath),
            ("https://a.example/%61", UnusualPath),
            ("https://a.example/.well-known", UnusualPath),
            (" https://a.example", NotNormal),
        ] {
            assert_eq!(IssuerUrl::parse(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn an_issuer_url_is_at_most_512_bytes_long() {
        let url = |length: usize| format!("https://a.example/{}", "a".repeat(length - 18));
        assert!(IssuerUrl::parse(&url(512)).is_ok());
        assert_eq!(
            IssuerUrl::parse(&url(513)),
            Err(InvalidIssuerUrl::NotNormal)
        );
    }

    #[test]
    fn names_and_urls_are_shown_as_they_are() {
        let url = IssuerUrl::parse("https://a.example/b/").unwrap();
        let shown = format!("{url} {url:?} {}", url.jwks_url());
        let text = "https://a.example/b/";
        assert_eq!(
            shown,
            format!("{text} {text:?} {text}.well-known/jwks.json")
        );
        let name = IssuerName::parse("orders").unwrap();
        assert_eq!(format!("{name} {name:?}"), "orders \"orders\"");
        assert!(std::collections::BTreeSet::from([name]).contains("orders"));
    }

    #[test]
    fn issuer_names_are_short_and_plain() {
        assert!(IssuerName::parse("orders-2").is_ok());
        for text in ["", "Orders", "a/b", "..", "a b", &"a".repeat(64)] {
            assert_eq!(IssuerName::parse(text), Err(InvalidIssuerName), "{text}");
        }
    }
}
