//! Settings of `keywright guard`: a TOML file of its own, then flags.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::listener::{any_duration, count, duration, limits};
use super::{ConfigError, ListenAddress, Log, MAX_CONNECTIONS, PublicTls, read_settings};
use crate::http::{Limits, TlsFiles};

/// Everything that an operator sets of a guard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Where gateways ask. Every path is answered with a verdict.
    pub listen: ListenAddress,
    /// Whether tokens may cross a network in the clear on the way to `listen`.
    pub allow_plaintext: bool,
    /// Where probes and metrics are answered; without it nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_listen: Option<ListenAddress>,
    /// The `realm` of challenges.
    pub realm: String,
    /// Open connections at a time; the oldest idle one gives way to a further one.
    pub max_connections: NonZeroU32,
    /// How long a gateway may take for the head of a request, and a connection may be idle.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Whose tokens are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<GuardIssuer>,
    /// Scopes that every token must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Claims that every token must have, each with this value or in an array with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Value>,
    /// What else a token must have, by the path that the gateway asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<GuardRequirement>,
    /// More headers, each with the claim that it shows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Where clients reach the service behind the gateway; without it tokens that are bound to a key are
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop: Option<GuardDpop>,
    /// The certificate of `listen`; without one it speaks plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<PublicTls>,
    /// What is logged and how.
    pub log: Log,
}

/// The request that a DPoP proof must be about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardDpop {
    /// The address of the service, as its clients write it: `https://api.example`.
    pub url: String,
    /// The header in which the gateway always sends the method of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method_header: Option<String>,
    /// The header in which the gateway always sends the path of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri_header: Option<String>,
}

/// An issuer whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardIssuer {
    /// Its URL, which is the `iss` of its tokens and leads to its metadata.
    pub issuer: String,
    /// The audiences of which a token must have one.
    pub audiences: Vec<String>,
    /// The algorithms that it signs with; ES256 and RS256 when nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<String>,
    /// The `typ` of its tokens; absent or `JWT` when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    /// How far its clock and this one may be apart: nothing unless it is said, 5 minutes at most.
    #[serde(default, with = "any_duration")]
    pub leeway: Duration,
    /// Claims that must be there in addition to `iss`, `aud` and `exp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_claims: Vec<String>,
    /// For how long a head of the revocations, or a token itself, vouches that the token was not
    /// revoked; the issuer's `max_age` when nothing is said.
    // Only the defaults are written, and they have no issuers.
    #[serde(default, deserialize_with = "some_duration", skip_serializing)]
    pub vouched_within: Option<Duration>,
    /// The file of a credential of the issuer's service, for a feed that not everyone may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_credential_file: Option<PathBuf>,
    /// Whether tokens are accepted however long ago the feed was reached.
    #[serde(default)]
    pub danger_without_bound: bool,
    /// Whether tokens are accepted that the issuer has revoked.
    #[serde(default)]
    pub danger_ignore_revocations: bool,
    /// The roots (PEM) by which the issuer is trusted, and no others; those of the system when nothing
    /// is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// What a token must have where a gateway asks for a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardRequirement {
    /// The path's first segment, such as `/orders`.
    pub path: String,
    /// Scopes that the token must have.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Claims that the token must have, each with this value or in an array with it.
    #[serde(default)]
    pub claims: BTreeMap<String, Value>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            listen: ListenAddress::Ip(SocketAddr::from(([127, 0, 0, 1], 9000))),
            allow_plaintext: false,
            health_listen: None,
            realm: "api".to_owned(),
            max_connections: MAX_CONNECTIONS,
            // Longer than gateways keep idle connections, so that they are the ones to close them.
            idle_timeout: Duration::from_secs(75),
            issuers: Vec::new(),
            scopes: Vec::new(),
            claims: BTreeMap::new(),
            requirements: Vec::new(),
            headers: BTreeMap::new(),
            dpop: None,
            tls: None,
            log: Log::default(),
        }
    }
}

impl GuardIssuer {
    /// An issuer with the defaults.
    pub fn new(issuer: String, audiences: Vec<String>) -> Self {
        Self {
            issuer,
            audiences,
            algorithms: Vec::new(),
            typ: None,
            leeway: Duration::ZERO,
            required_claims: Vec::new(),
            vouched_within: None,
            feed_credential_file: None,
            danger_without_bound: false,
            danger_ignore_revocations: false,
            ca: None,
        }
    }
}

/// What the command line says of a guard; it outranks the file.
#[derive(Debug, Clone, Default)]
pub struct GuardOverrides {
    /// `--listen`
    pub listen: Option<ListenAddress>,
    /// `--health-listen`
    pub health_listen: Option<ListenAddress>,
    /// `--issuer` and `--audience`
    pub issuer: Option<GuardIssuer>,
    /// `--ca`, for issuers that name none
    pub ca: Option<PathBuf>,
}

impl Guard {
    /// Reads the settings.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting and the rule that it breaks.
    pub fn load(file: Option<&Path>, overrides: GuardOverrides) -> Result<Self, ConfigError> {
        let mut settings: Self = read_settings(&Self::default(), file)?;
        let GuardOverrides {
            listen,
            health_listen,
            issuer,
            ca,
        } = overrides;
        settings.listen = listen.unwrap_or(settings.listen);
        settings.health_listen = health_listen.or(settings.health_listen);
        if let Some(issuer) = issuer {
            if !settings.issuers.is_empty() {
                return Err(ConfigError::IssuersInTwoPlaces);
            }
            settings.issuers.push(issuer);
        }
        for issuer in &mut settings.issuers {
            issuer.ca = issuer.ca.take().or_else(|| ca.clone());
        }
        settings.log.validate()?;
        Ok(settings)
    }

    /// What gateways may take. They speak for many clients, so that none has a bound of its own.
    pub fn limits(&self) -> Limits {
        limits(count(self.max_connections), 1, &[], self.idle_timeout)
    }

    /// The files behind its TLS.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        self.tls.clone().map(PublicTls::files)
    }
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, overrides: GuardOverrides) -> Result<Guard, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guard.toml");
        std::fs::write(&file, toml).unwrap();
        Guard::load(Some(&file), overrides)
    }

    #[test]
    fn an_issuer_comes_from_the_file_or_from_the_command_line() {
        let flags = || GuardOverrides {
            listen: Some("127.0.0.1:1".parse().unwrap()),
            issuer: Some(GuardIssuer::new("https://a".to_owned(), vec!["b".into()])),
            ..GuardOverrides::default()
        };
        let settings = load("listen = \"127.0.0.1:2\"\nrealm = \"orders\"", flags()).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:1");
        assert_eq!(settings.realm, "orders");
        assert_eq!(settings.issuers.len(), 1);
        let two = "[[issuers]]\nissuer = \"https://c\"\naudiences = [\"d\"]";
        let refused = load(two, flags()).unwrap_err();
        assert!(matches!(refused, ConfigError::IssuersInTwoPlaces));
    }

    #[test]
    fn roots_of_the_command_line_are_for_issuers_that_name_none() {
        let overrides = GuardOverrides {
            ca: Some("all.pem".into()),
            ..GuardOverrides::default()
        };
        let issuer = "[[issuers]]\nissuer = \"https://a\"\naudiences = [\"b\"]\n";
        let toml = format!("{issuer}{issuer}ca = \"own.pem\"");
        let issuers = load(&toml, overrides).unwrap().issuers;
        let roots = issuers
            .iter()
            .map(|issuer| issuer.ca.as_deref().unwrap().to_str().unwrap());
        assert_eq!(roots.collect::<Vec<_>>(), ["all.pem", "own.pem"]);
    }

    #[test]
    fn what_is_not_a_setting_is_named() {
        for (toml, named) in [
            ("audience = \"orders\"", "unknown setting \"audience\""),
            (
                "[[issuers]]\nissuer = \"https://a\"\naudiences = []\nignore_revocations = true",
                "did you mean \"danger_ignore_revocations\"",
            ),
            ("idle_timeout = \"0s\"", "idle_timeout"),
            ("[log]\nfilter = \"a=b=c\"", "log.filter"),
        ] {
            let refused = load(toml, GuardOverrides::default()).unwrap_err();
            let refused = refused.to_string();
            assert!(refused.contains(named), "{refused}");
        }
    }
}
