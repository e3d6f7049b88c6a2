//! Settings of the OAuth endpoints.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::ListenAddress;
use super::listener::any_duration;
use crate::http::{ClientCertificateMode, ClientRoots, TlsFiles};
use crate::lifecycle::format_duration;
use crate::oauth::grant::GrantSettings;
use crate::oauth::refresh::LONGEST_GRACE;
use crate::oauth::{DpopNonces, Endpoints};

/// The OAuth endpoints on the public listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Oauth {
    /// Whether they are served.
    #[serde(deserialize_with = "figment::util::bool_from_str_or_int")]
    pub enabled: bool,
    /// The origins whose pages may call them.
    pub allowed_origins: Vec<Origin>,
    /// For how long the refresh token before the current one is answered again.
    #[serde(with = "any_duration")]
    pub refresh_grace: Duration,
    /// The most live grants that one client has opened on one issuer.
    pub max_grants_per_client: u64,
    /// The most live grants of one issuer.
    pub max_grants_per_issuer: u64,
    /// Whether DPoP proofs need a nonce of this service.
    #[serde(deserialize_with = "figment::util::bool_from_str_or_int")]
    pub dpop_nonce: bool,
    /// Whether client secrets may cross a network to the public listener in the clear.
    #[serde(deserialize_with = "figment::util::bool_from_str_or_int")]
    pub allow_plaintext: bool,
    /// The listener that asks clients for a certificate, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls: Option<Mtls>,
}

/// A listener of its own for the same endpoints, which asks clients for a certificate (RFC 8705).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mtls {
    /// Its address.
    pub listen: ListenAddress,
    /// Where clients reach it: scheme, host and port.
    pub url: MtlsUrl,
    /// The file with the certificate chain (PEM), the listener's own first.
    pub certificate: PathBuf,
    /// The file with the private key (PEM).
    pub key: PathBuf,
    /// The file with the roots (PEM) of client certificates.
    pub client_ca: PathBuf,
}

impl Mtls {
    /// The files behind its TLS.
    pub fn tls_files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            clients: Some(ClientRoots {
                file: self.client_ca.clone(),
                mode: ClientCertificateMode::Required,
            }),
        }
    }
}

/// The address of a listener for clients with certificates: `https://mtls.id.example`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MtlsUrl(String);

/// A text is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an address such as \"https://mtls.id.example\": https, host and port, no path"
)]
pub struct InvalidMtlsUrl(String);

impl MtlsUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MtlsUrl {
    type Error = InvalidMtlsUrl;

    fn try_from(text: String) -> Result<Self, InvalidMtlsUrl> {
        let url = Url::parse(&text).ok();
        let is_address = url.is_some_and(|url| {
            url.scheme() == "https" && url.origin().ascii_serialization() == text
        });
        is_address
            .then(|| Self(text.clone()))
            .ok_or(InvalidMtlsUrl(text))
    }
}

impl From<MtlsUrl> for String {
    fn from(MtlsUrl(text): MtlsUrl) -> Self {
        text
    }
}

/// The refresh token before the current one would be answered for too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "oauth.refresh_grace = \"{}\" is longer than {}", format_duration(*.0),
    format_duration(LONGEST_GRACE)
)]
pub struct InvalidGrace(Duration);

impl Default for Oauth {
    fn default() -> Self {
        let GrantSettings {
            grace,
            most_of_a_client,
            most_of_an_issuer,
        } = GrantSettings::default();
        Self {
            enabled: false,
            allowed_origins: Vec::new(),
            refresh_grace: grace,
            max_grants_per_client: most_of_a_client,
            max_grants_per_issuer: most_of_an_issuer,
            dpop_nonce: false,
            allow_plaintext: false,
            mtls: None,
        }
    }
}

impl Oauth {
    pub(super) fn validate(&self) -> Result<(), InvalidGrace> {
        match self.refresh_grace > LONGEST_GRACE {
            true => Err(InvalidGrace(self.refresh_grace)),
            false => Ok(()),
        }
    }

    /// What holds for all grants.
    pub fn grants(&self) -> GrantSettings {
        GrantSettings {
            grace: self.refresh_grace,
            most_of_a_client: self.max_grants_per_client,
            most_of_an_issuer: self.max_grants_per_issuer,
        }
    }

    /// Whether DPoP proofs need a nonce.
    pub fn dpop_nonces(&self) -> DpopNonces {
        match self.dpop_nonce {
            true => DpopNonces::Required,
            false => DpopNonces::Accepted,
        }
    }

    /// Whether the metadata of issuers names the endpoints.
    pub fn endpoints(&self) -> Endpoints {
        match self.enabled {
            true => Endpoints::On {
                mtls: (self.mtls.as_ref()).map(|mtls| mtls.url.as_str().into()),
            },
            false => Endpoints::Off,
        }
    }
}

/// The origin of a page, as browsers send it: `https://app.example` (RFC 6454 §6.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

/// A text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin such as \"https://app.example\": scheme, host and port, no path")]
pub struct InvalidOrigin(String);

impl Origin {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidOrigin;

    /// Reads an origin. A browser sends it in one spelling only, and it is compared as text.
    fn try_from(text: String) -> Result<Self, InvalidOrigin> {
        let url = Url::parse(&text).ok();
        let is_origin = url.is_some_and(|url| {
            ["http", "https"].contains(&url.scheme()) && url.origin().ascii_serialization() == text
        });
        is_origin
            .then(|| Self(text.clone()))
            .ok_or(InvalidOrigin(text))
    }
}

impl From<Origin> for String {
    fn from(Origin(text): Origin) -> Self {
        text
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for text in [
            "https://app.example",
            "http://127.0.0.1:3000",
            "http://[::1]:8080",
        ] {
            assert_eq!(Origin::try_from(text.to_owned()).unwrap().as_str(), text);
        }
        for text in [
            "*",
            "null",
            "",
            "app.example",
            "https://app.example/",
            "https://app.example:443",
            "https://App.example",
            "https://app.example/path",
            "https://user@app.example",
            "file:///tmp",
        ] {
            assert!(Origin::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
