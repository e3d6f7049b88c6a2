//! Configuration: a TOML file, then the environment, then flags, read once at start.
//!
//! | member | default | |
//! | --- | --- | --- |
//! | `data_dir` | `keys` | database, master key, bootstrap credential |
//! | `master_key_file` | `DATA_DIR/master.key`, made on first start | 32 bytes in base64 |
//! | `master_key_command` | none | the program and arguments that print it instead |
//! | `further_master_keys` | none | `[[further_master_keys]]`: each a `file` or a `command` |
//! | `public.listen` | `127.0.0.1:8080` | an address or a name, and a port; port 0 takes any free one |
//! | `public.max_connections` | `4096` | open at a time, half of them of one address; the oldest idle one gives way |
//! | `public.proxies` | none | addresses and networks of which each may have all |
//! | `public.idle_timeout` | `30s` | for the head of a request, and between two requests |
//! | `public.tls.certificate`, `.key` | none: plain HTTP | PEM files, read again when they change |
//! | `internal.listen` | `127.0.0.1:8081` | a loopback address, unless with TLS or `allow_plaintext`; or `unix:PATH` |
//! | `internal.socket_access` | `owner` | or `group` or `everyone`: who may connect to that file |
//! | `internal.allow_plaintext` | `false` | serve the internal API without TLS to other machines |
//! | `internal.audience` | none | the `aud` of assertions that clients sign themselves |
//! | `internal.max_connections` | `4096` | as for `public`, a quarter of one address |
//! | `internal.proxies` | none | as for `public` |
//! | `internal.idle_timeout` | `30s` | as for `public` |
//! | `internal.max_requests` | `2048` | in progress at a time, shared among classes of routes; further ones are refused |
//! | `internal.request_timeout` | `30s` | for a request, its body included |
//! | `internal.tls.certificate`, `.key` | none: plain HTTP | as for `public` |
//! | `internal.tls.client_ca` | none: not asked for | PEM file with the roots of client certificates |
//! | `internal.tls.client_certificates` | `optional` | or `required` |
//! | `store.url` | `sqlite` | the file `DATA_DIR/keywright.db`; or `postgres://…`, a shared database |
//! | `store.listen_url` | `store.url` | the database itself, where `store.url` leads to a pooler |
//! | `store.max_connections` | `8` | to the database, at a time; one more listens |
//! | `store.statement_timeout` | `5s` | for a statement; a call takes at most two and a half times that |
//! | `store.max_staleness` | `30s` | for how long a replica signs without the database; alike everywhere |
//! | `expect_store` | `false` | refuse to start on a store that has nothing yet |
//! | `default_issuer.url` | `http://127.0.0.1:8080` | used once, when the store is empty |
//! | `issuance_log.to` | `off` | or `stdout` or `file`: a line for each token |
//! | `issuance_log.path` | `DATA_DIR-issuance.jsonl` | the file, by default beside the data folder |
//! | `issuance_log.queue` | `65536` | lines that may wait; without room no token is handed out |
//! | `console.enabled` | where `internal.listen` is a loopback address | serve the console at `/console` on the internal listener |
//! | `console.hosts` | none | names by which browsers reach it; on a loopback address beside those of this machine |
//! | `console.environment` | none | what it is called at the top of each page, such as `production` |
//! | `oauth.enabled` | `false` | serve `/token` under each issuer's path on the public listener |
//! | `declared.files` | none | files whose issuers and clients a start makes |
//! | `oauth.allowed_origins` | none | origins whose pages may call it |
//! | `oauth.refresh_grace` | `30s` | for how long a refresh token is answered again whose answer was lost; at most `60s` |
//! | `oauth.max_grants_per_client` | `1000000` | live grants that one client has opened on an issuer |
//! | `oauth.max_grants_per_issuer` | `2000000` | live grants of an issuer |
//! | `oauth.dpop_nonce` | `false` | refuse DPoP proofs without a nonce of this service |
//! | `oauth.mtls` | none | `listen`, `url`, `certificate`, `key`, `client_ca`: a listener that asks clients for a certificate |
//! | `oauth.allow_plaintext` | `false` | take client secrets on a public listener without TLS |
//! | `webhooks.allowed_networks` | none | networks besides the public internet in which receivers of webhooks and of security events may be |
//! | `push` | none | `[push.NAME]`: places to which policies have key sets pushed: each a `file`, an object of `s3` or a `config_map`, with `issuer` and `delay` |
//! | `trusted_issuers` | none | `[[trusted_issuers]]`: whose tokens prove who a caller is |
//! | `log.format` | `text` | or `json` |
//! | `log.filter` | `info` | as in `keywright=debug,info` |
//! | `telemetry.otlp_endpoint` | none | the collector that takes traces; without one, nothing is traced |
//! | `telemetry.trace_share` | `0.01` | how much is traced of what comes without a decision of its caller's |
//!
//! In the environment `internal.allow_plaintext` is `KEYWRIGHT_INTERNAL__ALLOW_PLAINTEXT`; a variable that
//! is set and empty is not set. Two variables are no settings but master keys themselves: `KEYWRIGHT_MASTER_KEY` and `KEYWRIGHT_FURTHER_MASTER_KEY`.

mod console;
mod environment;
mod error;
mod guard;
mod issuance_log;
mod listen;
mod listener;
mod master_key;
mod oauth;
mod push;
mod store;
mod telemetry;
mod trusted_issuer;
mod webhooks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format as _, Serialized, Toml};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::lifecycle::IssuerUrl;
use crate::spelling::nearest;
use crate::telemetry::LogFormat;

pub use console::Console;
pub use error::ConfigError;
pub use guard::{Guard, GuardDpop, GuardIssuer, GuardOverrides, GuardRequirement};
pub use issuance_log::{IssuanceLog, IssuanceLogTo};
pub use listen::{
    InternalListenAddress, InvalidInternalListenAddress, InvalidListenAddress, ListenAddress,
};
pub use listener::{ClientCertificates, Internal, InternalTls, Public, PublicTls, SocketAccess};
pub use master_key::{
    FurtherMasterKey, MASTER_KEY_VARIABLES, MasterKeySource, MasterKeySources,
    UnclearMasterKeySource, master_key_variable,
};
pub use oauth::{InvalidGrace, InvalidMtlsUrl, InvalidOrigin, Mtls, MtlsUrl, Oauth, Origin};
pub use push::{ConfigMap, ISSUER_PLACEHOLDER, PushTarget, S3Bucket, secret_variable};
pub use store::{InvalidStore, InvalidStoreUrl, ListenUrl, Store, StoreUrl};
pub use telemetry::{InvalidOtlpEndpoint, InvalidTraceShare, OtlpEndpoint, Telemetry, TraceShare};
pub use trusted_issuer::TrustedIssuer;
pub use webhooks::Webhooks;

/// A configuration file with every setting, as comments: defaults, and examples of what has none.
pub const EXAMPLE: &str = include_str!("config/example.toml");

/// Everything that an operator sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the embedded database, the master key and the bootstrap credential are.
    pub data_dir: PathBuf,
    /// The file that has the master key; by default one in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_key_file: Option<PathBuf>,
    /// The command that prints the master key: the program and its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub master_key_command: Vec<String>,
    /// Master keys that open what they have sealed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_master_keys: Vec<FurtherMasterKey>,
    /// The listener for verifiers.
    pub public: Public,
    /// The listener for everyone else.
    pub internal: Internal,
    /// Whether the store must have been used before: a start that finds a new one is refused, where
    /// a lost volume or a wrong URL would otherwise begin anew.
    #[serde(default, deserialize_with = "figment::util::bool_from_str_or_int")]
    pub expect_store: bool,
    /// Where key sets rest.
    pub store: Store,
    /// The issuer of an empty store.
    pub default_issuer: DefaultIssuer,
    /// What files declare.
    #[serde(default)]
    pub declared: Declared,
    /// The console on the internal listener.
    pub console: Console,
    /// The OAuth endpoints.
    pub oauth: Oauth,
    /// Who is told of what.
    pub webhooks: Webhooks,
    /// Where key sets are pushed, by names that policies use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub push: BTreeMap<String, PushTarget>,
    /// Whose tokens prove who a caller is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Where each token leaves a line.
    pub issuance_log: IssuanceLog,
    /// What is logged and how.
    pub log: Log,
    /// Where traces go.
    pub telemetry: Telemetry,
}

/// The issuer of an empty store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultIssuer {
    /// Its URL.
    pub url: String,
}

/// What files declare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// The files (TOML), whose issuers and clients a start makes.
    pub files: Vec<PathBuf>,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Lines for people or JSON.
    pub format: LogFormat,
    /// Which events, in the syntax of `EnvFilter`.
    pub filter: String,
}

const MAX_CONNECTIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);
const MAX_REQUESTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(2047);
const TIMEOUT: Duration = Duration::from_secs(30);

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| ListenAddress::Ip(SocketAddr::from(([127, 0, 0, 1], port)));
        Self {
            data_dir: "keys".into(),
            master_key_file: None,
            master_key_command: Vec::new(),
            further_master_keys: Vec::new(),
            expect_store: false,
            public: Public {
                listen: loopback(8080),
                max_connections: MAX_CONNECTIONS,
                proxies: Vec::new(),
                idle_timeout: TIMEOUT,
                tls: None,
            },
            internal: Internal {
                listen: InternalListenAddress::Network(loopback(8081)),
                socket_access: SocketAccess::default(),
                allow_plaintext: false,
                audience: None,
                max_connections: MAX_CONNECTIONS,
                proxies: Vec::new(),
                idle_timeout: TIMEOUT,
                max_requests: MAX_REQUESTS,
                request_timeout: TIMEOUT,
                tls: None,
            },
            store: Store::default(),
            default_issuer: DefaultIssuer {
                url: "http://127.0.0.1:8080".to_owned(),
            },
            declared: Declared::default(),
            console: Console::default(),
            oauth: Oauth::default(),
            webhooks: Webhooks::default(),
            push: BTreeMap::new(),
            trusted_issuers: Vec::new(),
            issuance_log: IssuanceLog::default(),
            log: Log::default(),
            telemetry: Telemetry::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
        }
    }
}

impl Log {
    /// Refuses a filter that does not read.
    fn validate(&self) -> Result<(), ConfigError> {
        let filter = EnvFilter::try_new(&self.filter);
        filter.map(drop).map_err(|source| ConfigError::LogFilter {
            filter: self.filter.clone(),
            source,
        })
    }
}

/// What the command line says; it outranks file and environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--public-listen`
    pub public_listen: Option<ListenAddress>,
    /// `--internal-listen`
    pub internal_listen: Option<InternalListenAddress>,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting and the rule that it breaks.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            figment = figment.merge(Toml::string(&read(file)?));
        }
        figment = figment.merge(environment::settings()?);
        let mut config: Self = figment.extract().map_err(|error| explain(error, file))?;
        let Overrides {
            data_dir,
            public_listen,
            internal_listen,
        } = overrides;
        config.data_dir = data_dir.unwrap_or(config.data_dir);
        config.public.listen = public_listen.unwrap_or(config.public.listen);
        config.internal.listen = internal_listen.unwrap_or(config.internal.listen);
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let internal = &self.internal;
        let (public_ip, internal_ip) = (self.public.listen.ip(), internal.listen.ip());
        self.check_exposure(public_ip.as_slice(), internal_ip.as_slice())?;
        if internal.tls.is_some() && matches!(internal.listen, InternalListenAddress::Unix(_)) {
            return Err(ConfigError::TlsOnUnixSocket);
        }
        if let Some(tls) = &internal.tls
            && tls.client_certificates == ClientCertificates::Required
            && tls.client_ca.is_none()
        {
            return Err(ConfigError::NoClientRoots);
        }
        if self.data_dir.as_os_str().is_empty() {
            return Err(ConfigError::NoDataFolder);
        }
        if let (Some(public), Some(internal)) = (public_ip, internal_ip)
            && take_same_port(public, internal)
        {
            return Err(ConfigError::SamePort(public, internal));
        }
        if internal.audience.as_deref() == Some("") {
            return Err(ConfigError::EmptyAudience);
        }
        self.log.validate()?;
        self.store.validate()?;
        self.console.validate()?;
        self.oauth.validate()?;
        let is_shared = matches!(self.store.url, StoreUrl::Postgres(_));
        push::validate(&self.push, is_shared)?;
        self.telemetry.validate()?;
        self.default_issuer_url()?;
        Ok(())
    }

    /// Whether credentials would cross a network in the clear, if the listeners had these addresses.
    ///
    /// # Errors
    /// [`ConfigError::PlaintextExposed`], [`ConfigError::PlaintextSecrets`].
    pub fn check_exposure(
        &self,
        public: &[SocketAddr],
        internal: &[SocketAddr],
    ) -> Result<(), ConfigError> {
        let is_exposed =
            |addresses: &[SocketAddr]| addresses.iter().any(|address| !address.ip().is_loopback());
        let is_plain = self.internal.tls.is_none() && !self.internal.allow_plaintext;
        if is_plain && is_exposed(internal) {
            let listen = self.internal.listen.to_string();
            return Err(ConfigError::PlaintextExposed(listen));
        }
        let is_plain = self.public.tls.is_none() && !self.oauth.allow_plaintext;
        if self.oauth.enabled && is_plain && is_exposed(public) {
            let listen = self.public.listen.to_string();
            return Err(ConfigError::PlaintextSecrets(listen));
        }
        Ok(())
    }

    /// The default issuer's URL, parsed.
    ///
    /// # Errors
    /// When it breaks a rule of issuer URLs.
    pub fn default_issuer_url(&self) -> Result<IssuerUrl, ConfigError> {
        Ok(IssuerUrl::parse(&self.default_issuer.url)?)
    }

    /// The configuration as TOML, every member with the value in force.
    pub fn to_toml(&self) -> String {
        // Text, numbers and tables always serialise.
        toml::to_string(self).unwrap_or_default()
    }
}

/// An unspecified address is every address of its family, and the one of IPv6 those of IPv4, too.
fn take_same_port(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |one: SocketAddr, other: SocketAddr| {
        one.ip().is_unspecified() && (one.is_ipv6() || other.is_ipv4())
    };
    let is_same = one.ip() == other.ip() || covers(one, other) || covers(other, one);
    is_same && one.port() == other.port() && one.port() != 0
}

/// Settings of a process that has a file alone, and no variables.
fn read_settings<T: Serialize + DeserializeOwned>(
    defaults: &T,
    file: Option<&Path>,
) -> Result<T, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(defaults));
    if let Some(file) = file {
        figment = figment.merge(Toml::string(&read(file)?));
    }
    figment.extract().map_err(|error| explain(error, file))
}

/// The text of a configuration file that is TOML.
fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    toml::from_str::<toml::Table>(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let before = before.unwrap_or_default();
        let last = before.rsplit('\n').next().unwrap_or_default();
        ConfigError::NotToml {
            path: path.to_owned(),
            reason: error.message().trim().replace('\n', ", "),
            line: before.matches('\n').count() + 1,
            column: last.chars().count() + 1,
        }
    })?;
    Ok(text)
}

fn explain(error: figment::Error, file: Option<&Path>) -> ConfigError {
    let place = error.metadata.as_ref().map(|metadata| &*metadata.name);
    let mut path = error.path.clone();
    let file = file.map_or_else(
        || "the configuration".to_owned(),
        |it| it.display().to_string(),
    );
    if let Kind::UnknownField(field, known) = &error.kind {
        let place = match place {
            Some(place) if environment::is_place(place) => place.to_owned(),
            _ => file,
        };
        if path.last() != Some(field) {
            path.push(field.clone());
        }
        let nearest = nearest(field, known.iter().copied());
        return ConfigError::Unknown {
            field: path.join("."),
            nearest: nearest.map(|name| format!("\"{name}\"")),
            place,
        };
    }
    if place.is_some_and(environment::is_place) {
        return ConfigError::Variable {
            variable: environment::variable_of(&path.join(".")),
            reason: error.kind.to_string(),
        };
    }
    ConfigError::Setting {
        setting: path.join("."),
        place: file,
        reason: error.kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_has_every_setting_with_its_default() {
        let uncommented: String = EXAMPLE
            .split_inclusive('\n')
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with([' ', '\n']) => setting,
                _ => line,
            })
            .collect();
        let example: toml::Value = toml::from_str(&uncommented).unwrap();
        let member = |path: &str| {
            path.split('.')
                .try_fold(&example, |table, name| table.get(name))
        };
        let defaults = Figment::from(Serialized::defaults(Config::default()));
        for setting in environment::known_settings("") {
            let shown = member(&setting).unwrap_or_else(|| panic!("{setting} is not there"));
            if let Ok(default) = defaults.extract_inner::<toml::Value>(&setting) {
                assert_eq!(*shown, default, "{setting}");
            }
        }
        let further = Figment::from(Toml::string(&uncommented)).extract::<Config>();
        assert_eq!(further.unwrap().further_master_keys.len(), 2);
        assert_eq!(
            Figment::from(Serialized::defaults(Config::default()))
                .merge(Toml::string(EXAMPLE))
                .extract::<Config>()
                .unwrap(),
            Config::default()
        );
    }
}
