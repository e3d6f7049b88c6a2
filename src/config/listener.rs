//! Settings of the two listeners: addresses, limits, TLS.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{InternalListenAddress, ListenAddress};
use crate::http::{
    ClientCertificateMode, ClientRoots, ConnectionLimits, Limits, RequestLimits, TlsFiles,
};

/// The listener for verifiers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// Its address.
    pub listen: ListenAddress,
    /// Open connections at a time; the oldest idle one gives way to a further one.
    pub max_connections: NonZeroU32,
    /// Proxies in front of it, whose connections are bound by `max_connections` alone.
    #[serde(default, with = "networks", skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<IpNet>,
    /// How long a client may take for the head of a request, and a connection may be idle.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Its certificate; without one it speaks plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<PublicTls>,
}

/// The listener for everyone who signs, rotates and audits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Internal {
    /// Its address.
    pub listen: InternalListenAddress,
    /// Who on this machine may connect, where `listen` is a file.
    #[serde(default)]
    pub socket_access: SocketAccess,
    /// Whether credentials may cross a network in the clear.
    pub allow_plaintext: bool,
    /// What assertions that clients sign themselves must name as their `aud`. Without it there are
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Open connections at a time; the oldest idle one gives way to a further one.
    pub max_connections: NonZeroU32,
    /// Proxies in front of it, whose connections are bound by `max_connections` alone.
    #[serde(default, with = "networks", skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<IpNet>,
    /// How long a client may take for the head of a request, and a connection may be idle.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Requests in progress at a time; further ones are refused.
    pub max_requests: NonZeroU32,
    /// How long a request may take, its body included.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// Its certificate; without one it speaks plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<InternalTls>,
}

/// Who on a machine may connect to a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketAccess {
    /// The user that the service runs as.
    #[default]
    Owner,
    /// That user and the group of the file.
    Group,
    /// Every user of the machine.
    Everyone,
}

impl SocketAccess {
    /// The permissions of the file.
    pub fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o660,
            Self::Everyone => 0o666,
        }
    }
}

/// What the public listener proves itself with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicTls {
    /// The file with the certificate chain (PEM), the listener's own first.
    pub certificate: PathBuf,
    /// The file with the private key (PEM).
    pub key: PathBuf,
}

/// What the internal listener proves itself with, and what it asks of callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InternalTls {
    /// The file with the certificate chain (PEM), the listener's own first.
    pub certificate: PathBuf,
    /// The file with the private key (PEM).
    pub key: PathBuf,
    /// The file with the roots (PEM) of client certificates; without it none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Whether a caller may come without a certificate.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
}

/// Whether a caller may come without a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// It may; one that is shown must be good.
    #[default]
    Optional,
    /// It may not.
    Required,
}

impl Public {
    /// What one client may take.
    pub fn limits(&self) -> Limits {
        // Many verifiers stand behind one address, and each is answered from memory: a connection
        // is idle as soon as it has its answer, so that a large share of them keeps no one out.
        limits(
            count(self.max_connections),
            2,
            &self.proxies,
            self.idle_timeout,
        )
    }

    /// The files behind its TLS.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        self.tls.clone().map(PublicTls::files)
    }
}

impl PublicTls {
    /// Its files. No client certificates are asked for.
    pub(super) fn files(self) -> TlsFiles {
        let Self { certificate, key } = self;
        TlsFiles {
            certificate,
            key,
            clients: None,
        }
    }
}

impl Internal {
    /// What one client may take.
    pub fn limits(&self) -> Limits {
        limits(
            count(self.max_connections),
            4,
            &self.proxies,
            self.idle_timeout,
        )
    }

    /// What all requests together may take.
    pub fn request_limits(&self) -> RequestLimits {
        RequestLimits {
            in_progress: count(self.max_requests),
            timeout: self.request_timeout,
        }
    }

    /// The files behind its TLS.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        let InternalTls {
            certificate,
            key,
            client_ca,
            client_certificates,
        } = self.tls.clone()?;
        let mode = match client_certificates {
            ClientCertificates::Optional => ClientCertificateMode::Optional,
            ClientCertificates::Required => ClientCertificateMode::Required,
        };
        Some(TlsFiles {
            certificate,
            key,
            clients: client_ca.map(|file| ClientRoots { file, mode }),
        })
    }
}

/// One address may have a part of the connections, of so many equal parts.
pub(super) fn limits(
    total: usize,
    parts: usize,
    proxies: &[IpNet],
    idle_timeout: Duration,
) -> Limits {
    Limits {
        connections: ConnectionLimits {
            total,
            per_address: total.div_ceil(parts),
            proxies: proxies.to_vec(),
        },
        idle_timeout,
    }
}

pub(super) fn count(number: NonZeroU32) -> usize {
    usize::try_from(number.get()).unwrap_or(usize::MAX)
}

/// Networks, or single addresses, as text.
pub(super) mod networks {
    use std::net::IpAddr;

    use ipnet::IpNet;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::config) fn serialize<S: Serializer>(
        networks: &[IpNet],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(networks.iter().map(IpNet::to_string))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<IpNet>, D::Error> {
        let parse = |text: &String| {
            let address = || text.parse::<IpAddr>().map(IpNet::from);
            text.parse().or_else(|_| address()).map_err(|_| {
                D::Error::custom(format!(
                    "\"{text}\" is not an IP address or a network in CIDR"
                ))
            })
        };
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(parse).collect()
    }
}

/// Durations as policies write them, and never zero: a time-out of nothing refuses everyone.
pub(super) mod duration {
    use std::time::Duration;

    use serde::Deserializer;
    use serde::de::Error as _;

    pub(in crate::config) use super::any_duration::serialize;

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let duration = super::any_duration::deserialize(deserializer)?;
        if duration.is_zero() {
            return Err(D::Error::custom("a time-out is at least \"1s\""));
        }
        Ok(duration)
    }
}

/// A duration that may be zero.
pub(super) mod any_duration {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::lifecycle::{format_duration, parse_duration};

    pub(in crate::config) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*duration))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map_err(D::Error::custom)
    }
}
