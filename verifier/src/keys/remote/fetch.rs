//! One question to an issuer, and what is let in of the answer.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
};
use reqwest::{Client, Response, StatusCode, redirect};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use url::{Host, Url};

use super::cache::ClockReading;
use crate::json::{self, BodyError, FieldError, Object};
use crate::{JwkSet, JwkSetError, MAX_JWK_SET_BYTES};

/// The most bytes of an issuer's metadata that are read.
const MAX_METADATA_BYTES: usize = 65_536;

/// The longest entity tag that is kept and sent back.
const MAX_TAG_BYTES: usize = 256;

/// How long `jwks_uri` is believed. An issuer that moves its keys may lose the old address to an
/// attacker, who would answer it as readily.
const METADATA_BELIEVED_FOR: Duration = Duration::from_secs(3600);

/// How long a connection stays open. Discovery and keys share one; the fetch after that is minutes
/// away, and by then something between may have forgotten the connection without a word.
const IDLE_CONNECTION: Duration = Duration::from_secs(5);

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

/// Asks for sets. One at a time, because it is exclusive.
pub(super) struct Fetcher {
    client: Client,
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
    /// `timeout` is for a whole exchange, from the name to the last byte. `roots` are trusted beside
    /// those of the system.
    pub(super) fn new(
        location: KeySetLocation,
        timeout: Duration,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, SetupError> {
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls(&location, roots)?)
            .pool_idle_timeout(IDLE_CONNECTION)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("keywright-verifier/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(1);
        if is_loopback(location.url()) {
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build()?,
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
        let mut request = self
            .client
            .get(url.clone())
            .header(ACCEPT, "application/jwk-set+json, application/json");
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, &tag.value);
        }
        let response = request.send().await?;
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
        let mut response = self.get(openid_configuration(url)).await?;
        if response.status() == StatusCode::NOT_FOUND {
            response = self.get(authorization_server_metadata(url)).await?;
        }
        let bytes = body(response, MAX_METADATA_BYTES).await?;
        let mut metadata = Object::parse(&bytes, json::DEFAULT_MAX_DEPTH, "issuer metadata")?;
        if metadata.string("issuer")? != issuer {
            return Err(FetchError::OtherIssuer);
        }
        Ok(parse_jwks_uri(&metadata.string("jwks_uri")?, url)?)
    }

    async fn get(&self, url: Url) -> Result<Response, FetchError> {
        Ok(self
            .client
            .get(url)
            .header(ACCEPT, "application/json")
            .send()
            .await?)
    }
}

/// TLS as ring has it, whatever the process has installed for others. A machine without certificates
/// can still ask itself in the clear.
fn tls(
    location: &KeySetLocation,
    roots: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let is_in_the_clear = location.url().scheme() == "http" && roots.is_empty();
    if is_in_the_clear && matches!(location, KeySetLocation::Jwks(_)) {
        let none = versions.with_root_certificates(RootCertStore::empty());
        return Ok(none.with_no_client_auth());
    }
    // What an issuer says in the clear may still point to an https address.
    let config = match Verifier::new_with_extra_roots(roots, provider) {
        Ok(verifier) => versions
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier)),
        Err(_) if is_in_the_clear => versions.with_root_certificates(RootCertStore::empty()),
        Err(error) => return Err(error),
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
fn is_loopback(url: &Url) -> bool {
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

/// The body of an answer that is JSON, has status 200, and at most `limit` bytes.
async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, FetchError> {
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    if !is_json(response.headers()) {
        return Err(FetchError::ContentType);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len().saturating_add(chunk.len()) > limit {
            return Err(FetchError::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Whether the content is said to be JSON: `application/json`, or anything that ends in `+json`. A
/// page that says that one must log in first is neither.
fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|essence| essence.trim().to_ascii_lowercase());
    essence.is_some_and(|essence| essence == "application/json" || essence.ends_with("+json"))
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

/// Why nothing could be set up to fetch keys with.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

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
    /// The answer does not say that it is JSON.
    #[error("the answer is not application/json or application/jwk-set+json")]
    ContentType,
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

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Exchange(Box::new(error))
    }
}

impl From<FieldError> for FetchError {
    fn from(error: FieldError) -> Self {
        Self::Metadata(error.into())
    }
}

#[cfg(test)]
mod tests;
