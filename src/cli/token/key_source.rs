//! Where the keys come from that a token is verified with.

use std::time::Duration;

use keywright_verifier::{FetchError, JwkSet, MAX_JWK_SET_BYTES, RemoteKeys, RemoteKeysError};
use url::{Host, Url};

use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::tls::TlsArguments;

/// How long fetching a JWKS may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A file, or an address to fetch.
#[derive(Clone, Debug)]
pub(super) enum KeySource {
    File(String),
    Url(Url),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a JWKS is a file, or an https URL without user name and password; http only on loopback")]
pub(super) struct InvalidSource;

impl KeySource {
    /// Reads a file's name or a URL. An attacker who can change a JWKS in transit decides which
    /// tokens are accepted, so plain http is for this machine alone.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidSource> {
        if !text.contains("://") {
            return Ok(Self::File(text.to_owned()));
        }
        let url = Url::parse(text).map_err(|_| InvalidSource)?;
        let anonymous = url.username().is_empty() && url.password().is_none();
        match url.scheme() {
            "https" if anonymous => Ok(Self::Url(url)),
            "http" if anonymous && is_loopback(&url) => Ok(Self::Url(url)),
            _ => Err(InvalidSource),
        }
    }

    pub(super) fn read(&self, tls: &TlsArguments) -> Result<JwkSet, Failure> {
        let invalid = |error| Failure::rejected("invalid-jwks", error);
        match self {
            Self::File(path) => {
                let limit = u64::try_from(MAX_JWK_SET_BYTES).unwrap_or(u64::MAX);
                JwkSet::parse_usable(&input::bytes(path, limit)?).map_err(invalid)
            }
            Self::Url(url) => fetch(url, tls),
        }
    }
}

/// Fetches with the client that the service has for the keys of trusted issuers.
fn fetch(url: &Url, tls: &TlsArguments) -> Result<JwkSet, Failure> {
    let failed = |error: RemoteKeysError| match error {
        RemoteKeysError::Fetch(FetchError::Set(error)) => Failure::rejected("invalid-jwks", error),
        RemoteKeysError::Fetch(FetchError::Status(status)) => {
            let detail = format_args!("{url} answered status {status}");
            Failure::rejected("jwks-unavailable", detail)
        }
        other => Failure::Unreachable {
            url: url.to_string(),
            source: innermost(&other).into(),
        },
    };
    let keys = RemoteKeys::at(url.as_str()).timeout(TIMEOUT);
    let keys = match tls.authorities()? {
        Some(pem) => keys.trust_only_certificates(&pem).map_err(failed)?,
        None => keys,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::Service(error.into()))?;
    runtime.block_on(keys.fetch()).map_err(failed)
}

/// The error at the end of the chain, which says what a user can do something about.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Whether a URL leads to this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwks_is_fetched_in_the_clear_from_this_machine_alone() {
        for text in [
            "https://id.example/.well-known/jwks.json",
            "http://127.0.0.1:8080/.well-known/jwks.json",
            "http://[::1]/jwks",
            "http://localhost/jwks",
        ] {
            assert!(matches!(KeySource::parse(text), Ok(KeySource::Url(_))));
        }
        for text in [
            "http://id.example/jwks",
            "http://127.0.0.1.example/jwks",
            "ftp://localhost/jwks",
            "file:///etc/passwd",
            "https://user:word@id.example/jwks",
        ] {
            assert!(KeySource::parse(text).is_err(), "{text}");
        }
        assert!(matches!(
            KeySource::parse("jwks.json"),
            Ok(KeySource::File(_))
        ));
    }
}
