//! Settings of the console.

use serde::{Deserialize, Deserializer, Serialize};

use super::ConfigError;

/// The longest name of an environment, in characters.
const LONGEST_ENVIRONMENT: usize = 32;

/// The console on the internal listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Console {
    /// Whether it is served; by default where the internal listener has a loopback address.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "maybe_bool"
    )]
    pub enabled: Option<bool>,
    /// The names by which browsers reach it, without ports. On a loopback address those of this machine
    /// are always among them; elsewhere none means any.
    pub hosts: Vec<String>,
    /// What it is called at the top of each page, such as `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

fn maybe_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    figment::util::bool_from_str_or_int(deserializer).map(Some)
}

impl Console {
    /// Refuses what is no host, and an environment that is no short word.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let is_host = |host: &&String| {
            url::Host::parse(host).is_ok_and(|parsed| parsed.to_string() == **host)
        };
        if let Some(host) = self.hosts.iter().find(|host| !is_host(host)) {
            return Err(ConfigError::ConsoleHost(host.clone()));
        }
        let is_word = |name: &String| {
            (1..=LONGEST_ENVIRONMENT).contains(&name.len())
                && name.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        };
        match self.environment.as_ref().filter(|name| !is_word(name)) {
            Some(name) => Err(ConfigError::ConsoleEnvironment(name.clone())),
            None => Ok(()),
        }
    }
}
