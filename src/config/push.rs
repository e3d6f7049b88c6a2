//! Targets to which key sets are pushed. The operator alone names them: a caller of the API who could name a
//! file would write any file.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::{Host, Url};
use zeroize::Zeroizing;

use super::ConfigError;
use crate::lifecycle::{IssuerName, is_push_target};

/// What stands for the issuer's name in a place.
pub const ISSUER_PLACEHOLDER: &str = "{issuer}";

/// How long a kubelet may take until a mounted ConfigMap has changed: its sync period and its cache, each about
/// a minute (<https://kubernetes.io/docs/concepts/configuration/configmap/>).
const CONFIG_MAP_DELAY: Duration = Duration::from_secs(120);

/// Where a pod finds what it authenticates to the Kubernetes API with.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A target: one place for the copy of each issuer's key set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushTarget {
    /// The one issuer whose key set it takes. Without it, the place has `{issuer}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// How long after a push its last reader may be given the copy before, beside what its headers say.
    #[serde(
        default,
        with = "optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    pub delay: Option<Duration>,
    /// The file that is the copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Whether every replica has the file: that all of them write to one volume.
    #[serde(default)]
    pub shared_volume: bool,
    /// The object that is the copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Bucket>,
    /// The ConfigMap that has the copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMap>,
}

/// An object of S3-compatible storage. What authenticates is named here, and is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Bucket {
    /// The URL of the storage; the bucket is in the path of requests.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The access key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The environment variable that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id_variable: Option<String>,
    /// The file that has the secret access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_file: Option<PathBuf>,
    /// The environment variable that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_variable: Option<String>,
    /// The file that has the session token of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token_file: Option<PathBuf>,
    /// The environment variable that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token_variable: Option<String>,
    /// A PEM file, whose CA certificates are trusted instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Whether requests may cross a network without TLS.
    #[serde(default)]
    pub allow_plaintext: bool,
}

/// A key of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigMap {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The key whose value is the copy.
    pub key: String,
    /// The URL of the Kubernetes API.
    #[serde(default = "in_cluster")]
    pub api_server: String,
    /// The file that has the token of the service account; it is read for each push.
    #[serde(default = "service_account_token")]
    pub token_file: PathBuf,
    /// A PEM file, whose CA certificates are trusted.
    #[serde(default = "service_account_ca")]
    pub ca: PathBuf,
}

fn in_cluster() -> String {
    "https://kubernetes.default.svc".to_owned()
}

fn service_account_token() -> PathBuf {
    format!("{SERVICE_ACCOUNT}/token").into()
}

fn service_account_ca() -> PathBuf {
    format!("{SERVICE_ACCOUNT}/ca.crt").into()
}

impl PushTarget {
    /// How long after a push its last reader may be given the copy before.
    pub fn delay(&self) -> Duration {
        let usual = match self.config_map {
            Some(_) => CONFIG_MAP_DELAY,
            None => Duration::ZERO,
        };
        self.delay.unwrap_or(usual)
    }

    fn fault(&self, name: &str, is_shared: bool) -> Option<String> {
        if !is_push_target(name) {
            return Some("its name must have 1 to 63 characters of a-z, 0-9 and -".to_owned());
        }
        if let Some(Err(error)) = self.issuer.as_deref().map(IssuerName::parse) {
            return Some(format!("issuer: {error}"));
        }
        let (place, fault) = match (&self.file, &self.s3, &self.config_map) {
            (Some(file), None, None) => {
                let place = file.to_str().filter(|place| place.starts_with('/'));
                let Some(place) = place else {
                    return Some("file must be an absolute path in UTF-8".to_owned());
                };
                let is_apart = is_shared && !self.shared_volume;
                let fault = "a file of one replica is not the others' file: set shared_volume = true if \
                             all replicas write to one volume";
                (place.to_owned(), is_apart.then(|| fault.to_owned()))
            }
            (None, Some(s3), None) => (s3.key.clone(), s3.fault()),
            (None, None, Some(map)) => (format!("{}/{}", map.name, map.key), map.fault()),
            _ => return Some("it must have one of file, s3 and config_map".to_owned()),
        };
        if self.issuer.is_none() && !place.contains(ISSUER_PLACEHOLDER) {
            return Some(format!(
                "the place must have {ISSUER_PLACEHOLDER}, or the target an issuer: two key sets do not \
                 fit into one place"
            ));
        }
        fault
    }
}

/// The URL of a server, without user, query and fragment.
fn server(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (["http", "https"].contains(&url.scheme()) && url.has_host() && is_plain).then_some(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

impl S3Bucket {
    fn fault(&self) -> Option<String> {
        let Some(url) = server(&self.endpoint) else {
            return Some(
                "s3.endpoint must be a URL such as \"https://s3.eu-central-1.amazonaws.com\""
                    .to_owned(),
            );
        };
        if url.scheme() == "http" && !is_loopback(&url) && !self.allow_plaintext {
            return Some(
                "s3.endpoint is http on another machine: use https, or set s3.allow_plaintext = true"
                    .to_owned(),
            );
        }
        let is_one = |one: bool, other: bool| one != other;
        let has_id = is_one(
            self.access_key_id.is_some(),
            self.access_key_id_variable.is_some(),
        );
        let has_secret = is_one(
            self.secret_access_key_file.is_some(),
            self.secret_access_key_variable.is_some(),
        );
        (!has_id || !has_secret).then(|| {
            "s3 must have one of access_key_id and access_key_id_variable, and one of \
             secret_access_key_file and secret_access_key_variable"
                .to_owned()
        })
    }
}

impl ConfigMap {
    fn fault(&self) -> Option<String> {
        let url = server(&self.api_server);
        let is_https = url.is_some_and(|url| url.scheme() == "https");
        (!is_https)
            .then(|| "config_map.api_server must be an https URL: a token goes there".to_owned())
    }
}

/// What an environment variable has; `None` when it is not set or is no text.
#[expect(
    clippy::disallowed_methods,
    reason = "a secret that comes in a variable is read when it is needed, and kept nowhere else"
)]
pub fn secret_variable(name: &str) -> Option<Zeroizing<String>> {
    std::env::var(name).ok().map(Zeroizing::new)
}

/// Refuses targets that cannot be pushed to.
pub(super) fn validate(
    targets: &BTreeMap<String, PushTarget>,
    is_shared: bool,
) -> Result<(), ConfigError> {
    let mut faults = targets
        .iter()
        .filter_map(|(name, target)| Some((name, target.fault(name, is_shared)?)));
    match faults.next() {
        None => Ok(()),
        Some((name, reason)) => Err(ConfigError::PushTarget {
            name: name.clone(),
            reason,
        }),
    }
}

/// A duration that may be absent.
mod optional_duration {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    use crate::config::listener::any_duration;

    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => any_duration::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        any_duration::deserialize(deserializer).map(Some)
    }
}
