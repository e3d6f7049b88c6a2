//! Whose certificates the command line trusts, and which one it shows.

use std::path::{Path, PathBuf};

use keywright_client::{InvalidTls, Tls};
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
    pub(super) fn for_service(&self) -> Result<Tls, Failure> {
        let tls = self.roots()?;
        let (certificate, key) = match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => return Ok(tls),
            _ => {
                return Err(Failure::Usage(
                    "--client-certificate and --client-key go together".to_owned(),
                ));
            }
        };
        let (chain, private_key) = (read(certificate)?, Zeroizing::new(read(key)?));
        tls.with_certificate(&chain, &private_key)
            .map_err(|error| match error {
                InvalidTls::NoPrivateKey => unusable(key, error),
                InvalidTls::Certificate(_) => {
                    let place = format!("{} with {}", certificate.display(), key.display());
                    Failure::rejected("invalid-certificate", format_args!("{place}: {error}"))
                }
                _ => unusable(certificate, error),
            })
    }

    /// The roots of --ca in PEM, for connections to a server that publishes a JWKS. It learns nothing
    /// about the caller.
    pub(super) fn authorities(&self) -> Result<Option<Vec<u8>>, Failure> {
        self.roots()?;
        self.ca().map(read).transpose()
    }

    fn roots(&self) -> Result<Tls, Failure> {
        let Some(path) = self.ca() else {
            return Ok(Tls::default());
        };
        let tls = Tls::default().with_roots(&read(path)?);
        tls.map_err(|error| unusable(path, error))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| Failure::Unreadable {
        what: path.display().to_string(),
        source,
    })
}

fn unusable(path: &Path, why: InvalidTls) -> Failure {
    let detail = format!("{}: {why}", path.display());
    Failure::rejected("invalid-certificate", detail)
}
