//! Settings from the environment: which variables are settings, and which are not meant as such.

use std::collections::BTreeSet;
use std::net::IpAddr;

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Serialized};

use super::{Config, ConfigError, master_key, nearest};

/// What the name of every variable of ours begins with.
const PREFIX: &str = "KEYWRIGHT_";

/// Variables that begin like settings and belong to the command-line client.
const CLIENT_VARIABLES: [&str; 5] = ["url", "token", "ca", "client_certificate", "client_key"];

/// The settings in the environment. A variable that is set and empty is not set.
///
/// # Errors
/// [`ConfigError::Unknown`] for a variable that is no setting, unless a container platform sets
/// variables of this form for every service that is called like us.
pub(super) fn settings() -> Result<Env, ConfigError> {
    let known = known_settings("");
    let mut accepted = BTreeSet::new();
    for (variable, value) in std::env::vars_os() {
        let (variable, value) = (variable.to_string_lossy(), value.to_string_lossy());
        let Some((prefix, name)) = variable.split_at_checked(PREFIX.len()) else {
            continue;
        };
        if !prefix.eq_ignore_ascii_case(PREFIX) || value.is_empty() {
            continue;
        }
        let name = name.to_ascii_lowercase();
        let field = name.replace("__", ".");
        // A table may come in one variable, as `{certificate="…",key="…"}`.
        let table = format!("{field}.");
        if known
            .iter()
            .any(|setting| *setting == field || setting.starts_with(&table))
        {
            accepted.insert(name);
            continue;
        }
        let name = name.as_str();
        if CLIENT_VARIABLES.contains(&name)
            || master_key::SECRET_VARIABLES.contains(&name)
            || is_service_link(name, &value)
        {
            continue;
        }
        let nearest = nearest(&field, known.iter().map(String::as_str));
        return Err(ConfigError::Unknown {
            nearest: nearest.map(|setting| format!("{} (\"{setting}\")", variable_of(setting))),
            place: format!("the environment variable {variable}"),
            field,
        });
    }
    let is_accepted = move |name: &str| accepted.contains(&name.to_ascii_lowercase());
    Ok(Env::prefixed(PREFIX)
        .filter(move |name| is_accepted(name.as_str()))
        .split("__"))
}

/// The variable of a setting.
pub(super) fn variable_of(setting: &str) -> String {
    format!(
        "{PREFIX}{}",
        setting.replace('.', "__").to_ascii_uppercase()
    )
}

/// Whether an error's place is the environment.
pub(super) fn is_place(name: &str) -> bool {
    name.contains(PREFIX)
}

/// Every setting at a path and below it, as the types name them: a member that there cannot be is
/// offered, and the refusal lists those that there are.
pub(super) fn known_settings(path: &str) -> Vec<String> {
    let below = |member: &str| match path {
        "" => member.to_owned(),
        path => format!("{path}.{member}"),
    };
    let probe = Figment::from(Serialized::default(&below("?"), ""));
    match probe.extract::<Config>().map_err(|error| error.kind) {
        Err(Kind::UnknownField(_, members)) => members
            .iter()
            .flat_map(|member| known_settings(&below(member)))
            .collect(),
        _ => vec![path.to_owned()],
    }
}

/// Whether a variable has the form in which Kubernetes and Docker tell a container of a service
/// whose name begins with `keywright`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>,
/// <https://docs.docker.com/engine/network/links/#environment-variables>). Name and value must fit.
fn is_service_link(name: &str, value: &str) -> bool {
    let name = format!("_{name}");
    let is_protocol = |text: &str| ["tcp", "udp", "sctp"].contains(&text);
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let is_url = |text: &str| {
        let (protocol, place) = text.split_once("://").unwrap_or_default();
        let (_, port) = place.rsplit_once(':').unwrap_or_default();
        is_protocol(protocol) && is_port(port)
    };
    // The parts of PORT_8080_TCP_ADDR, after the first.
    let is_port_link = |parts: &str| {
        let parts: Vec<&str> = parts.split('_').collect();
        match parts.as_slice() {
            [port, protocol, rest @ ..] if is_port(port) && is_protocol(protocol) => match rest {
                [] | ["start" | "end"] => is_url(value),
                ["port"] | ["port", "start" | "end"] => is_port(value),
                ["addr"] => is_address(value),
                ["proto"] => is_protocol(value),
                _ => false,
            },
            _ => false,
        }
    };
    let is_alias = || {
        let (_, alias) = value.strip_prefix('/')?.split_once('/')?;
        let alias = alias.replace('-', "_").to_ascii_lowercase();
        Some(format!("{}_name", alias.strip_prefix("keywright")?) == name)
    };
    (name.ends_with("_service_host") && is_address(value))
        || ((name.ends_with("_service_port") || name.contains("_service_port_")) && is_port(value))
        || (name.ends_with("_port") && is_url(value))
        || is_alias().unwrap_or(false)
        || name.contains("_env_")
        || name
            .match_indices("_port_")
            .any(|(at, link)| name.get(at + link.len()..).is_some_and(is_port_link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_those_of_the_types() {
        let known = known_settings("");
        for setting in [
            "data_dir",
            "further_master_keys",
            "public.tls.certificate",
            "internal.listen",
            "internal.tls.client_certificates",
            "store.listen_url",
            "store.max_staleness",
            "default_issuer.url",
            "issuance_log.to",
            "log.format",
        ] {
            assert!(
                known.iter().any(|one| one == setting),
                "{setting}: {known:?}"
            );
        }
        assert!(!known.iter().any(|one| one == "public" || one.contains('?')));
    }

    #[test]
    fn the_links_of_container_platforms_are_told_from_settings() {
        for (name, value) in [
            ("port", "tcp://10.0.0.1:8080"),
            ("port", "udp://[fd00::1]:53"),
            ("service_host", "10.0.0.1"),
            ("service_host", "fd00::1"),
            ("service_port", "8080"),
            ("service_port_http", "8080"),
            ("service_port_service_host", "8080"),
            ("port_8080_tcp", "tcp://10.0.0.1:8080"),
            ("port_8080_tcp_proto", "tcp"),
            ("port_8080_tcp_port", "8080"),
            ("port_8080_tcp_addr", "10.0.0.1"),
            ("port_8080_tcp_port_end", "8090"),
            ("internal_port", "tcp://10.0.0.1:8081"),
            ("store_service_host", "10.0.0.1"),
            ("public_service_port_https", "443"),
            ("internal_port_8081_tcp_addr", "10.0.0.1"),
            ("service_port_53_udp_port_53_udp", "udp://10.0.0.1:53"),
            ("name", "/web/keywright"),
            ("public_name", "/web/keywright-public"),
            ("env_path", "/usr/bin"),
        ] {
            assert!(is_service_link(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("port", "8080"),
            ("port", "tcp://10.0.0.1"),
            ("port", "http://10.0.0.1:8080"),
            ("service_host", "keywright.example"),
            ("service_port", "70000"),
            ("service_port_http", "tcp://10.0.0.1:8080"),
            ("internal_port", "8081"),
            ("port_8080_tcp", "8080"),
            ("port_8080_tcp_addr", "somewhere"),
            ("port_http_tcp", "tcp://10.0.0.1:8080"),
            ("port_8080_tcp_proto", "http"),
            ("name", "/web/other"),
            ("log_file_name", "/var/log"),
            ("public_listen", "127.0.0.1:8080"),
            ("data_dri", "keys"),
        ] {
            assert!(!is_service_link(name, value), "{name}={value}");
        }
    }
}
