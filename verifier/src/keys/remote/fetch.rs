//! One question to an issuer, and what is let in of the answer.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{AGE, CACHE_CONTROL, ETAG, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use url::{Host, Url};

use super::cache::ClockReading;
use super::http::HttpClient;
use crate::json::{self, BodyError, FieldError, Object};
use crate::{JwkSet, JwkSetError, MAX_JWK_SET_BYTES};

/// The most bytes of an issuer's metadata that are read.
const MAX_METADATA_BYTES: usize = 65_536;

/// The longest entity tag that is kept and sent back.
const MAX_TAG_BYTES: usize = 256;

/// How long `jwks_uri` is believed. An issuer that moves its keys may lose the old address to an
/// attacker, who would answer it as readily.
const METADATA_BELIEVED_FOR: Duration = Duration::from_secs(3600);

/// An entity tag, as it came. It says nothing about what another address answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tag {
    url: Url,
    value: HeaderValue,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub(super) enum KeySetLocation {
    /// At this address.
    Jwks(Url),
    /// Where the metadata of this issuer says. `url` is `issuer`, parsed.
    Issuer { issuer: String, url: Url },
}

impl KeySetLocation {
    const fn url(&self) -> &Url {
        match self {
            Self::Jwks(url) | Self::Issuer { url, .. } => url,
        }
    }
}

/// Whose certificates are trusted.
#[derive(Clone, Debug)]
pub(super) enum Roots {
    /// Those of the system, and these.
    SystemAnd(Vec<CertificateDer<'static>>),
    /// These alone.
    Only(Vec<CertificateDer<'static>>),
}

/// Asks for sets. One at a time, because it is exclusive.
pub(super) struct Fetcher {
    client: HttpClient,
    timeout: Duration,
    location: KeySetLocation,
    /// What the metadata said last; asked anew after every failure.
    discovered: Option<DiscoveredUrl>,
}

/// `jwks_uri` of an issuer's metadata.
struct DiscoveredUrl {
    url: Url,
    at: ClockReading,
}

/// What an issuer answered.
pub(super) enum FetchResult {
    Set {
        keys: JwkSet,
        tag: Option<Tag>,
        fresh_for: Option<Duration>,
    },
    Unchanged {
        fresh_for: Option<Duration>,
    },
}

impl FetchResult {
    pub(super) const fn fresh_for(&self) -> Option<Duration> {
        match self {
            Self::Set { fresh_for, .. } | Self::Unchanged { fresh_for } => *fresh_for,
        }
    }
}

impl Fetcher {
    /// `timeout` is for a whole exchange, from the name to the last byte.
    pub(super) fn new(
        location: KeySetLocation,
        timeout: Duration,
        roots: Roots,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            client: HttpClient::new(tls(&location, roots)?),
            timeout,
            location,
            discovered: None,
        })
    }

    /// Asks once. Nothing is retried here.
    pub(super) async fn fetch(
        &mut self,
        tag: Option<&Tag>,
        now: ClockReading,
    ) -> Result<FetchResult, FetchError> {
        let answer = tokio::time::timeout(self.timeout, self.ask(tag, now))
            .await
            .unwrap_or(Err(FetchError::Timeout));
        if answer.is_err() {
            self.discovered = None;
        }
        answer
    }

    async fn ask(
        &mut self,
        tag: Option<&Tag>,
        now: ClockReading,
    ) -> Result<FetchResult, FetchError> {
        let url = match &self.location {
            KeySetLocation::Jwks(url) => url.clone(),
            KeySetLocation::Issuer { issuer, url } => match &self.discovered {
                Some(discovered) if now.since(discovered.at) < METADATA_BELIEVED_FOR => {
                    discovered.url.clone()
                }
                _ => {
                    let discovered = self.discover(issuer, url).await?;
                    let discovered = self.discovered.insert(DiscoveredUrl {
                        url: discovered,
                        at: now,
                    });
                    discovered.url.clone()
                }
            },
        };
        let tag = tag.filter(|tag| tag.url == url);
        let accept = "application/jwk-set+json, application/json";
        let known = tag.map(|tag| &tag.value);
        let response = self.get(&url, accept, known).await?;
        let fresh_for = freshness(response.headers());
        if tag.is_some() && response.status() == StatusCode::NOT_MODIFIED {
            return Ok(FetchResult::Unchanged { fresh_for });
        }
        let tag = response.headers().get(ETAG).cloned();
        let tag = tag.filter(|value| value.len() <= MAX_TAG_BYTES);
        let body = body(response, MAX_JWK_SET_BYTES).await?;
        let keys = JwkSet::parse_usable(&body)?;
        Ok(FetchResult::Set {
            keys,
            tag: tag.map(|value| Tag { url, value }),
            fresh_for,
        })
    }

    /// Asks the issuer's metadata for the address of its keys: OpenID Connect Discovery §4, and where
    /// that is not found, RFC 8414 §3.
    async fn discover(&self, issuer: &str, url: &Url) -> Result<Url, FetchError> {
        let mut response = self.get_metadata(openid_configuration(url)).await?;
        if response.status() == StatusCode::NOT_FOUND {
            response = self
                .get_metadata(authorization_server_metadata(url))
                .await?;
        }
        let bytes = body(response, MAX_METADATA_BYTES).await?;
        let mut metadata = Object::parse(&bytes, json::DEFAULT_MAX_DEPTH, "issuer metadata")?;
        if metadata.string("issuer")? != issuer {
            return Err(FetchError::OtherIssuer);
        }
        Ok(parse_jwks_uri(&metadata.string("jwks_uri")?, url)?)
    }

    async fn get_metadata(&self, url: Url) -> Result<Response<Incoming>, FetchError> {
        self.get(&url, "application/json", None).await
    }

    async fn get(
        &self,
        url: &Url,
        accept: &'static str,
        known: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, FetchError> {
        let answer = self.client.get(url, accept, known).await;
        answer.map_err(FetchError::Exchange)
    }
}

/// TLS as ring has it, whatever the process has installed for others. A machine without certificates
/// can still ask itself in the clear.
fn tls(location: &KeySetLocation, roots: Roots) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let is_in_the_clear = location.url().scheme() == "http";
    let config = match roots {
        Roots::Only(roots) => {
            let mut store = RootCertStore::empty();
            for root in roots {
                store.add(root)?;
            }
            versions.with_root_certificates(store)
        }
        Roots::SystemAnd(roots) => {
            let is_needed = !is_in_the_clear || !roots.is_empty();
            // What an issuer says in the clear may still point to an https address.
            match Verifier::new_with_extra_roots(roots, provider) {
                Ok(verifier) => versions
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier)),
                Err(error) if is_needed => return Err(error),
                Err(_) => versions.with_root_certificates(RootCertStore::empty()),
            }
        }
    };
    Ok(config.with_no_client_auth())
}

/// Reads an address that keys may be fetched from.
pub(super) fn parse_address(text: &str) -> Result<Url, InvalidAddress> {
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
pub(super) fn parse_issuer(text: &str) -> Result<Url, InvalidAddress> {
    let url = parse_address(text)?;
    if url.query().is_none() && url.fragment().is_none() {
        Ok(url)
    } else {
        Err(InvalidAddress)
    }
}

/// Reads what an issuer says is the address of its keys. A public one has no business on this machine's
/// own ports.
fn parse_jwks_uri(text: &str, issuer: &Url) -> Result<Url, InvalidAddress> {
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
fn openid_configuration(issuer: &Url) -> Url {
    let path = issuer.path().trim_end_matches('/');
    with_path(issuer, &format!("{path}/.well-known/openid-configuration"))
}

/// RFC 8414 §3.1: between host and path.
fn authorization_server_metadata(issuer: &Url) -> Url {
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

/// The body of an answer that has status 200, and at most `limit` bytes. What its type is said to be
/// decides nothing: object stores and static hosts call a key set what they like, and the content is
/// parsed strictly.
async fn body(response: Response<Incoming>, limit: usize) -> Result<Vec<u8>, FetchError> {
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(exchange)?.into_data() else {
            continue;
        };
        if bytes.len().saturating_add(chunk.len()) > limit {
            return Err(FetchError::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn exchange(error: hyper::Error) -> FetchError {
    FetchError::Exchange(Box::new(error))
}

/// How long an answer stays fresh (RFC 9111 §4.2): `max-age`, less the time that it spent in other
/// caches. None of it after `no-cache` or `no-store`, or when `max-age` is no number; the shortest when
/// it stands there twice (§4.2.1).
fn freshness(headers: &HeaderMap) -> Option<Duration> {
    let mut max_age: Option<u64> = None;
    for directive in headers
        .get_all(CACHE_CONTROL)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-cache" | "no-store" => return Some(Duration::ZERO),
            "max-age" => {
                let seconds = delta_seconds(argument.trim().trim_matches('"')).unwrap_or(0);
                max_age = Some(max_age.map_or(seconds, |known| known.min(seconds)));
            }
            _ => {}
        }
    }
    let age = headers
        .get(AGE)
        .and_then(|value| delta_seconds(value.to_str().ok()?.trim()))
        .unwrap_or(0);
    max_age.map(|seconds| Duration::from_secs(seconds.saturating_sub(age)))
}

/// RFC 9111 §1.2.2: a number that is too large counts as the largest.
fn delta_seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// An address is not one that keys may be fetched from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an https URL without user name and password (http is for this machine alone)")]
pub struct InvalidAddress;

/// Why a fetch brought no keys. The keys that were fetched before stay in use up to their limit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The issuer took too long.
    #[error("the issuer took too long to answer")]
    Timeout,
    /// The issuer cannot be reached, or its certificate is not trusted.
    #[error("the issuer cannot be reached")]
    Exchange(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The status is not 200; redirects are not followed.
    #[error("the issuer answered status {0}")]
    Status(u16),
    /// The answer is too long.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// The most bytes that are read.
        limit: usize,
    },
    /// The answer is no JWK set, or one without a key that a token could be verified with.
    #[error("the answer is no usable JWK set")]
    Set(#[from] JwkSetError),
    /// The issuer's metadata is not strict JSON, or a member is missing.
    #[error("the issuer's metadata is malformed")]
    Metadata(#[from] BodyError),
    /// The metadata is another issuer's (RFC 8414 §3.3).
    #[error("the metadata names another issuer")]
    OtherIssuer,
    /// `jwks_uri` of the metadata is no address to fetch keys from.
    #[error("jwks_uri of the metadata is refused")]
    Address(#[from] InvalidAddress),
}

impl From<FieldError> for FetchError {
    fn from(error: FieldError) -> Self {
        Self::Metadata(error.into())
    }
}

#[cfg(test)]
mod tests;
