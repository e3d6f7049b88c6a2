//! Where the service is and who is calling.

use std::fs;
use std::path::{Path, PathBuf};

use keywright_client::{Credential, ServiceAddress};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::client::Client;
use super::failure::Failure;
use super::tls::TlsArguments;

/// The data folder when none is named.
const DATA_DIR: &str = "keys";

/// Where the service on this machine listens.
#[derive(Deserialize)]
struct Listeners {
    internal: String,
    public: Option<String>,
}

/// How to reach the service. What is absent comes from the data folder: the address from
/// `listen.json`, the credential from `admin.token`, unless a certificate says who is calling.
#[derive(clap::Args)]
pub(super) struct ConnectionArguments {
    /// The internal listener: http, https, or unix:///PATH of a socket [default: the one in
    /// DATA_DIR/listen.json].
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "KEYWRIGHT_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    url: Option<String>,
    /// The credential. Everyone on the machine can read an argument: prefer the environment or
    /// --token-file [default: the one in DATA_DIR/admin.token].
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "KEYWRIGHT_TOKEN",
        hide_env_values = true,
        value_name = "CREDENTIAL"
    )]
    token: Option<String>,
    /// Read the credential from this file. Overrides --token.
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The data folder of the service [default: keys].
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "KEYWRIGHT_DATA_DIR",
        hide_env_values = true,
        value_name = "DIR"
    )]
    pub(super) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) tls: TlsArguments,
}

impl ConnectionArguments {
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let (url, named) = match &self.url {
            Some(url) => (url.clone(), true),
            None => (self.listener()?, false),
        };
        let address =
            ServiceAddress::parse(&url).map_err(|error| Failure::Usage(error.to_string()))?;
        let tls = self.tls.for_service()?;
        let service = keywright_client::Client::with_tls(&address, &tls)
            .map_err(|error| Failure::rejected("invalid-certificate", error))?;
        Client::new(match self.credential(named && !address.is_local())? {
            Some(credential) => service.with_credential(credential),
            None => service,
        })
    }

    /// Where a browser reaches the service, without a slash at its end.
    pub(super) fn browser_url(&self) -> Result<String, Failure> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => self.listener()?,
        };
        match url.starts_with("unix:") {
            true => Err(Failure::Usage(
                "a browser does not reach a Unix socket: name the URL of a proxy in front with --url"
                    .to_owned(),
            )),
            false => Ok(url.trim_end_matches('/').to_owned()),
        }
    }

    /// The URL of an issuer whose endpoints are called, and the credential: the named one, or that of the service
    /// on this machine, whose first issuer is its public listener.
    pub(super) fn issuer(&self, named: Option<&str>) -> Result<(String, Credential), Failure> {
        let (url, is_elsewhere) = match named {
            Some(url) => {
                let address = ServiceAddress::parse(url)
                    .map_err(|error| Failure::Usage(format!("--issuer-url: {error}")))?;
                (url.to_owned(), !address.is_local())
            }
            None => {
                let public = self.listeners()?.public;
                let public = public.ok_or_else(|| Failure::NoConnection {
                    what: "listen.json names no public listener".to_owned(),
                    hint: "name the issuer with --issuer-url",
                });
                (public?, false)
            }
        };
        let credential = self.credential(is_elsewhere)?;
        let credential = credential.ok_or_else(|| Failure::NoConnection {
            what: "these endpoints take a credential, not a certificate".to_owned(),
            hint: "set KEYWRIGHT_TOKEN or --token-file",
        })?;
        Ok((url, credential))
    }

    /// The data folder of the service on this machine.
    pub(super) fn data_dir(&self) -> &Path {
        self.data_dir.as_deref().unwrap_or(Path::new(DATA_DIR))
    }

    fn listener(&self) -> Result<String, Failure> {
        Ok(self.listeners()?.internal)
    }

    fn listeners(&self) -> Result<Listeners, Failure> {
        let path = self.data_dir().join("listen.json");
        let missing = |why: String| Failure::NoConnection {
            what: format!("{}: {why}", path.display()),
            hint: "is the service running? Name it with --url, or its data folder with --data-dir",
        };
        let text = fs::read_to_string(&path).map_err(|error| missing(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| missing(error.to_string()))
    }

    /// The bootstrap credential holds every role and belongs to this machine's service: it is not
    /// sent to a host `elsewhere` that the user named, nor beside a client certificate.
    fn credential(&self, elsewhere: bool) -> Result<Option<Credential>, Failure> {
        if let Some(path) = &self.token_file {
            return credential_file(path).map(Some);
        }
        if let Some(token) = &self.token {
            return Credential::parse(token)
                .map(Some)
                .map_err(|_| not_a_credential("--token or KEYWRIGHT_TOKEN"));
        }
        if self.tls.names_a_caller() {
            return Ok(None);
        }
        if elsewhere {
            return Err(Failure::NoConnection {
                what: "the credential of this machine's service is not sent to another host"
                    .to_owned(),
                hint: "set KEYWRIGHT_TOKEN, --token-file or --client-certificate",
            });
        }
        credential_file(&self.data_dir().join("admin.token")).map(Some)
    }
}

fn credential_file(path: &Path) -> Result<Credential, Failure> {
    let unreadable = |error: std::io::Error| Failure::NoConnection {
        what: format!("no credential: {}: {error}", path.display()),
        hint: "set KEYWRIGHT_TOKEN or --token-file",
    };
    let text = Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?);
    Credential::parse(&text).map_err(|_| not_a_credential(&path.display().to_string()))
}

fn not_a_credential(place: &str) -> Failure {
    Failure::NoConnection {
        what: format!("{place} has no credential: one word of visible ASCII"),
        hint: "set KEYWRIGHT_TOKEN or --token-file",
    }
}
