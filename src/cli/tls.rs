//! Whose certificates the command line trusts, and which one it shows.

use std::path::{Path, PathBuf};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use zeroize::Zeroizing;

use super::failure::Failure;

/// How the command line proves who it is with TLS, and how it knows the service.
#[derive(clap::Args)]
pub(super) struct TlsArguments {
    /// Trust the service, and the source of a key set, by the roots in this file (PEM) and by no
    /// others [default: the roots of the system].
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "KEYWRIGHT_CA",
        hide_env_values = true,
        value_name = "FILE"
    )]
    ca: Option<PathBuf>,
    /// A certificate (PEM) to show to the service; no credential is needed with it.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "KEYWRIGHT_CLIENT_CERTIFICATE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    client_certificate: Option<PathBuf>,
    /// The private key (PEM) of --client-certificate.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "KEYWRIGHT_CLIENT_KEY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    client_key: Option<PathBuf>,
}

impl TlsArguments {
    /// The file of --ca.
    pub(super) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Whether a certificate says who is calling.
    pub(super) fn names_a_caller(&self) -> bool {
        self.client_certificate.is_some()
    }

    /// For connections to the service.
    pub(super) fn for_service(&self) -> Result<TlsConfig, Failure> {
        let certificate = match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => Some(client_certificate(certificate, key)?),
            (None, None) => None,
            _ => {
                return Err(Failure::Usage(
                    "--client-certificate and --client-key go together".to_owned(),
                ));
            }
        };
        Ok(TlsConfig::builder()
            .root_certs(self.roots()?)
            .client_cert(certificate)
            .build())
    }

    /// The roots of --ca in PEM, for connections to a server that publishes a JWKS. It learns nothing
    /// about the caller.
    pub(super) fn authorities(&self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(path) = &self.ca else {
            return Ok(None);
        };
        certificates(path)?;
        read(path).map(Some)
    }

    fn roots(&self) -> Result<RootCerts, Failure> {
        let Some(path) = &self.ca else {
            return Ok(RootCerts::PlatformVerifier);
        };
        let roots = certificates(path)?;
        Ok(roots.iter().map(owned).collect::<Vec<_>>().into())
    }
}

/// What does not fit together is refused here, because the client takes it for granted.
fn client_certificate(certificate: &Path, key: &Path) -> Result<ClientCert, Failure> {
    let chain = certificates(certificate)?;
    let pem = Zeroizing::new(read(key)?);
    // Whatever is wrong with its PEM, no part of a key may get into an error.
    let unusable = || unusable(key, "no unencrypted private key in PEM");
    let parsed = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| unusable())?;
    CertifiedKey::from_der(chain.clone(), parsed, &default_provider())
        .map_err(|error| unusable_pair(certificate, key, &error))?;
    let key = PrivateKey::from_pem(&pem).map_err(|_| unusable())?;
    let chain: Vec<_> = chain.iter().map(owned).collect();
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(path, error))?;
    if found.is_empty() {
        return Err(unusable(path, "no certificate in PEM"));
    }
    Ok(found)
}

fn owned(certificate: &CertificateDer<'_>) -> Certificate<'static> {
    Certificate::from_der(certificate).to_owned()
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| Failure::Unreadable {
        what: path.display().to_string(),
        source,
    })
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Failure {
    let detail = format!("{}: {}", path.display(), why);
    Failure::rejected("invalid-certificate", detail)
}

fn unusable_pair(certificate: &Path, key: &Path, error: &rustls::Error) -> Failure {
    let detail = format!("{} with {}: {error}", certificate.display(), key.display());
    Failure::rejected("invalid-certificate", detail)
}
