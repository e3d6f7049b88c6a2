//! Whose certificates are trusted, and which one is shown.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// How TLS with a service is done. By default the roots of the system are trusted, and no certificate is
/// shown. TLS is done by ring, whatever the process has installed for others.
#[derive(Clone, Default)]
pub struct Tls {
    /// Trusted instead of the roots of the system.
    roots: Option<Vec<CertificateDer<'static>>>,
    shown: Option<Arc<Shown>>,
}

/// A certificate chain, and its private key in PKCS#8, PKCS#1 or SEC 1.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Why TLS cannot be done so. It holds no part of a private key.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTls {
    /// A PEM text has no certificate.
    #[error("no certificate in PEM")]
    NoCertificate,
    /// A PEM text cannot be read.
    #[error("{0}")]
    Pem(String),
    /// A PEM text has no private key, or an encrypted one.
    #[error("no unencrypted private key in PEM")]
    NoPrivateKey,
    /// A certificate is not usable as a root, or the private key is another one's.
    #[error("{0}")]
    Certificate(rustls::Error),
}

impl Tls {
    /// Trusts these roots (PEM) and no others.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::NoCertificate`], [`InvalidTls::Pem`] or [`InvalidTls::Certificate`].
    pub fn with_roots(mut self, pem: &[u8]) -> Result<Self, InvalidTls> {
        let roots = certificates(pem)?;
        root_store(&roots)?;
        self.roots = Some(roots);
        Ok(self)
    }

    /// Shows this certificate (PEM, its chain after it), whose private key is `key` (PEM).
    ///
    /// # Errors
    ///
    /// [`InvalidTls`].
    pub fn with_certificate(mut self, chain: &[u8], key: &[u8]) -> Result<Self, InvalidTls> {
        let chain = certificates(chain)?;
        // Whatever is wrong with its PEM, no part of a key may get into an error.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| InvalidTls::NoPrivateKey)?;
        self.shown = Some(Arc::new(Shown { chain, key }));
        // What does not fit together is refused here, and not by the first handshake.
        self.config_with(RootCertStore::empty())?;
        Ok(self)
    }

    /// The same for connections of another kind.
    ///
    /// # Errors
    ///
    /// [`InvalidTls`].
    pub fn config(&self) -> Result<ClientConfig, InvalidTls> {
        if let Some(roots) = &self.roots {
            return self.config_with(root_store(roots)?);
        }
        let provider = Arc::new(default_provider());
        let verifier = Verifier::new(provider).map_err(InvalidTls::Certificate)?;
        let mut config = self.config_with(RootCertStore::empty())?;
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(verifier));
        Ok(config)
    }

    fn config_with(&self, roots: RootCertStore) -> Result<ClientConfig, InvalidTls> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(InvalidTls::Certificate)?
            .with_root_certificates(roots);
        match self.shown.as_deref() {
            None => Ok(builder.with_no_client_auth()),
            Some(Shown { chain, key }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(InvalidTls::Certificate),
        }
    }
}

fn root_store(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, InvalidTls> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(InvalidTls::Certificate)?;
    }
    Ok(store)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| InvalidTls::Pem(error.to_string()))?;
    match found.is_empty() {
        true => Err(InvalidTls::NoCertificate),
        false => Ok(found),
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("own_roots", &self.roots.as_ref().map(Vec::len))
            .field("shows_certificate", &self.shown.is_some())
            .finish()
    }
}
