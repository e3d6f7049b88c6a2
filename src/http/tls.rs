//! TLS 1.3 and 1.2: certificates, keys and roots from files, in the form that rustls takes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

use crate::lifecycle::Timestamp;

/// The largest file that is read, in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Where a listener's certificate is, and whom it asks for theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain (PEM), the listener's own certificate first.
    pub certificate: PathBuf,
    /// The private key (PEM); it may stand in the same file.
    pub key: PathBuf,
    /// Whose client certificates are asked for; without it none are.
    pub clients: Option<ClientRoots>,
}

/// Whose client certificates are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRoots {
    /// The roots (PEM).
    pub file: PathBuf,
    /// Whether a client must have one.
    pub mode: ClientCertificateMode,
}

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificateMode {
    /// It need not; one that is shown must be good.
    Optional,
    /// It must.
    Required,
}

/// Why a listener cannot speak TLS with these files. No variant holds anything of a private key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file that is too large to be what it should be.
    #[error("{0} is larger than {LARGEST_FILE} bytes")]
    TooLarge(PathBuf),
    /// A file without a certificate.
    #[error("{0} has no certificate in PEM")]
    NoCertificate(PathBuf),
    /// A file that is no PEM.
    #[error("{path} does not read as PEM: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A certificate that does not read.
    #[error("{path} has a certificate that does not read: {reason}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate's time is over, and there is one in use whose time is not.
    #[error("the certificate in {0} has expired already")]
    Expired(PathBuf),
    /// A file without a usable private key.
    #[error("{0} has no private key in PEM: PKCS#8, PKCS#1 or SEC1, and not encrypted")]
    NoKey(PathBuf),
    /// A private key of a kind that rustls does not use.
    #[error("the private key in {path} cannot be used: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// Certificate and key do not belong together.
    #[error("the private key in {key} is not the one of the certificate in {certificate}")]
    Mismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// Roots that verify nothing.
    #[error("{path} has no roots for client certificates: {source}")]
    Roots {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        source: VerifierBuilderError,
    },
    /// The cryptography does not offer what TLS needs.
    #[error(transparent)]
    Protocol(rustls::Error),
}

/// What the files have held at one time.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    roots: Option<Vec<u8>>,
}

/// What a listener speaks TLS with.
pub(super) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    /// When the first certificate of the chain expires.
    pub(super) expires_at: Timestamp,
}

impl TlsFiles {
    /// Checks that the files can be used together, and answers when the certificate expires.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn check(&self) -> Result<Timestamp, TlsError> {
        let identity = self.identity(&self.read()?)?;
        Ok(identity.expires_at)
    }

    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            certificate: read(&self.certificate)?.to_vec(),
            key: read(&self.key)?,
            roots: match &self.clients {
                Some(roots) => Some(read(&roots.file)?.to_vec()),
                None => None,
            },
        })
    }

    pub(super) fn identity(&self, contents: &Contents) -> Result<Identity, TlsError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let chain = certificates(&contents.certificate, &self.certificate)?;
        let expires_at = expiry(&chain, &self.certificate)?;
        let certified = self.certified(chain, &contents.key, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Protocol)?;
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let mut config = match (&self.clients, &contents.roots) {
            (Some(clients), Some(roots)) => {
                let verifier = verifier(clients, roots, &provider)?;
                let mut config = builder
                    .with_client_cert_verifier(verifier)
                    .with_cert_resolver(resolver);
                // A resumed session does not show its certificate again, which may have expired.
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
                config
            }
            _ => builder.with_no_client_auth().with_cert_resolver(resolver),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Identity {
            config: Arc::new(config),
            expires_at,
        })
    }

    fn certified(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &[u8],
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsError> {
        // Whatever is wrong with its PEM, no part of a key may get into an error.
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey(self.key.clone()))?;
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|source| TlsError::Key {
            path: self.key.clone(),
            source,
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(certified)
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
            }),
            Err(error) => Err(unreadable(&self.certificate)(error)),
        }
    }
}

impl Contents {
    /// SHA-256 of everything, so that a change is seen without a key that is kept for it.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        let roots = self.roots.as_deref().unwrap_or_default();
        for part in [self.certificate.as_slice(), &self.key, roots] {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let mut content = Zeroizing::new(Vec::new());
    let length = File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut content))
        .map_err(|source| TlsError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
    if u64::try_from(length).unwrap_or(u64::MAX) > LARGEST_FILE {
        return Err(TlsError::TooLarge(path.to_owned()));
    }
    Ok(content)
}

fn certificates(content: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(content)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Malformed {
            path: path.to_owned(),
            source,
        })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}

fn expiry(chain: &[CertificateDer<'_>], path: &Path) -> Result<Timestamp, TlsError> {
    let mut expires_at = u64::MAX;
    for certificate in chain {
        let certificate = Certificate::from_der(certificate).map_err(unreadable(path))?;
        let not_after = certificate.tbs_certificate().validity().not_after;
        expires_at = expires_at.min(not_after.to_unix_duration().as_secs());
    }
    Ok(Timestamp::from_seconds(expires_at))
}

fn verifier(
    clients: &ClientRoots,
    content: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(content, &clients.file)? {
        roots.add(root).map_err(unreadable(&clients.file))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match clients.mode {
        ClientCertificateMode::Optional => builder.allow_unauthenticated(),
        ClientCertificateMode::Required => builder,
    };
    builder.build().map_err(|source| TlsError::Roots {
        path: clients.file.clone(),
        source,
    })
}

fn unreadable<E: ToString>(path: &Path) -> impl Fn(E) -> TlsError + '_ {
    move |error| TlsError::Certificate {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
