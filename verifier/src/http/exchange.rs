//! One exchange with an issuer: whose certificates are trusted, what is read of an answer, and why there
//! is none.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::{Response, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use url::Url;

use super::InvalidAddress;
use crate::JwkSetError;
use crate::json::{BodyError, FieldError};

/// Whose certificates are trusted.
#[derive(Clone, Debug)]
pub(crate) enum Roots {
    /// Those of the system, and these.
    SystemAnd(Vec<CertificateDer<'static>>),
    /// These alone.
    Only(Vec<CertificateDer<'static>>),
}

impl Default for Roots {
    fn default() -> Self {
        Self::SystemAnd(Vec::new())
    }
}

impl Roots {
    /// These alone; `None` when the PEM text holds no certificate, or a garbled one.
    pub(crate) fn only(pem: &[u8]) -> Option<Self> {
        certificates(pem).map(Self::Only)
    }

    /// These too; `None` when the PEM text holds no certificate, or a garbled one.
    pub(crate) fn add(&mut self, pem: &[u8]) -> Option<()> {
        let added = certificates(pem)?;
        let (Self::SystemAnd(roots) | Self::Only(roots)) = self;
        roots.extend(added);
        Some(())
    }
}

/// The certificates of a PEM text, of which there must be one.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty())
}

/// TLS as ring has it, whatever the process has installed for others. A machine without certificates
/// can still ask itself in the clear, if that is what `first` is.
pub(super) fn tls(first: &Url, roots: Roots) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let is_in_the_clear = first.scheme() == "http";
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

/// The body of an answer that has status 200, and at most `limit` bytes, declared or sent. What its type is said to be
/// decides nothing: object stores and static hosts call a key set what they like, and the content is
/// parsed strictly.
pub(crate) async fn body(
    response: Response<Incoming>,
    limit: usize,
) -> Result<Vec<u8>, FetchError> {
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let mut body = response.into_body();
    let declared = body.size_hint().lower();
    if usize::try_from(declared).map_or(true, |declared| declared > limit) {
        return Err(FetchError::TooLarge { limit });
    }
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

/// Why a fetch brought nothing. What was fetched before stays in use up to its limit.
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
    /// A member of the metadata is no address to fetch from.
    #[error("{member} of the metadata is refused")]
    Address {
        /// The name of the member, such as `jwks_uri`.
        member: &'static str,
        /// Why it is refused.
        source: InvalidAddress,
    },
}

impl From<FieldError> for FetchError {
    fn from(error: FieldError) -> Self {
        Self::Metadata(error.into())
    }
}
