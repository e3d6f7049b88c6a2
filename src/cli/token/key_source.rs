//! Where the keys come from that a token is verified with.

use std::time::Duration;

use keywright_verifier::{JwkSet, MAX_JWK_SET_BYTES};
use ureq::Agent;
use ureq::tls::TlsConfig;
use url::Url;

use crate::cli::connection::is_loopback;
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
        let limit = u64::try_from(MAX_JWK_SET_BYTES).unwrap_or(u64::MAX);
        let bytes = match self {
            Self::File(path) => input::bytes(path, limit)?.to_vec(),
            Self::Url(url) => fetch(url, tls.for_key_sets()?, limit)?,
        };
        JwkSet::parse_usable(&bytes).map_err(|error| Failure::rejected("invalid-jwks", error))
    }
}

fn fetch(url: &Url, tls: TlsConfig, limit: u64) -> Result<Vec<u8>, Failure> {
    let unreachable = |source: ureq::Error| Failure::Unreachable {
        url: url.to_string(),
        source: Box::new(source),
    };
    let mut config = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .tls_config(tls)
        .user_agent(concat!("keywright/", env!("CARGO_PKG_VERSION")));
    if is_loopback(url) {
        config = config.proxy(None);
    }
    let agent = config.build().new_agent();
    let mut response = agent
        .get(url.as_str())
        .header("accept", "application/jwk-set+json, application/json")
        .call()
        .map_err(unreachable)?;
    if response.status() != 200 {
        let detail = format!("{url} answered status {}", response.status().as_u16());
        return Err(Failure::rejected("jwks-unavailable", detail));
    }
    response
        .body_mut()
        .with_config()
        .limit(limit)
        .read_to_vec()
        .map_err(unreachable)
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
