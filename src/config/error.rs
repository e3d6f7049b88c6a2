//! Why a configuration is refused.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{InvalidGrace, InvalidStore};
use crate::lifecycle::InvalidIssuerUrl;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A member that does not exist.
    #[error("unknown setting \"{field}\" in {place}{}", nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    Unknown {
        /// The member.
        field: String,
        /// The known one that looks most like it, as it is written there.
        nearest: Option<String>,
        /// The file or variable.
        place: String,
    },
    /// A target to which key sets cannot be pushed.
    #[error("push.{name}: {reason}")]
    PushTarget {
        /// The target.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is no TOML. Its text is not quoted: it may have a password.
    #[error("{path} is not TOML: {reason} in line {line}, column {column}")]
    NotToml {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
    },
    /// A value does not read.
    #[error("{setting} in {place} does not read: {}", without_passwords(reason))]
    Setting {
        /// The setting.
        setting: String,
        /// The file.
        place: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// The value of a variable does not read.
    #[error(
        "the environment variable {variable} does not read: {}",
        without_passwords(reason)
    )]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Credentials would cross the network in the clear.
    #[error(
        "internal.listen = \"{0}\" is not a loopback address, and the internal API has no certificate: \
         set internal.tls.certificate and internal.tls.key, or internal.allow_plaintext = true where \
         the network itself is trusted"
    )]
    PlaintextExposed(String),
    /// Client secrets would cross the network in the clear.
    #[error(
        "public.listen = \"{0}\" is not a loopback address and has no certificate, but oauth.enabled \
         takes client secrets there: set public.tls.certificate and public.tls.key, or \
         oauth.allow_plaintext = true where a proxy speaks TLS in front of it"
    )]
    PlaintextSecrets(String),
    /// No client speaks TLS to a file.
    #[error("internal.tls is for a network, and internal.listen is a file of this machine")]
    TlsOnUnixSocket,
    /// Spans cannot be sent.
    #[error("telemetry.otlp_endpoint needs a build with the feature otlp, and this one has none")]
    NoOtlp,
    /// Client certificates are required, and nothing says whose.
    #[error(
        "internal.tls.client_certificates = \"required\" needs internal.tls.client_ca, the roots of \
         the certificates"
    )]
    NoClientRoots,
    /// A folder without a name.
    #[error("data_dir is empty: name a folder, such as \".\"")]
    NoDataFolder,
    /// Both listeners would need the same port.
    #[error("public.listen = \"{0}\" and internal.listen = \"{1}\" take the same port")]
    SamePort(SocketAddr, SocketAddr),
    /// An assertion would be good that is meant for no service.
    #[error("internal.audience is empty: name what assertions are meant for, or leave it out")]
    EmptyAudience,
    /// A browser could not have reached the console by it.
    #[error(
        "console.hosts: \"{0}\" is not a host name or an address in its normal form, without a port"
    )]
    ConsoleHost(String),
    /// It does not fit on a badge.
    #[error("console.environment: \"{}\" is not 1 to 32 printable ASCII characters", .0.escape_default())]
    ConsoleEnvironment(String),
    /// The log's filter does not read.
    #[error("log.filter = \"{filter}\": {source}")]
    LogFilter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Both the command line and the file name issuers of a guard.
    #[error(
        "--issuer and --audience cannot be combined with [[issuers]] in the file: name all issuers in the file"
    )]
    IssuersInTwoPlaces,
    /// The store cannot be used as it is set.
    #[error(transparent)]
    Store(#[from] InvalidStore),
    /// The grace of refresh tokens is too long.
    #[error(transparent)]
    Grace(#[from] InvalidGrace),
    /// The default issuer's URL breaks a rule.
    #[error("default_issuer.url: {0}")]
    IssuerUrl(#[from] InvalidIssuerUrl),
}

/// The parser quotes the line that it does not understand, which may be a URL with a password.
fn without_passwords(text: &str) -> String {
    let mut shown = String::new();
    for (index, part) in text.split("://").enumerate() {
        if index == 0 {
            shown.push_str(part);
            continue;
        }
        let end = part.find([' ', '\n', '"', '\'']).unwrap_or(part.len());
        let (url, rest) = part.split_at(end);
        shown.push_str("://");
        match (url.find(':'), url.rfind('@')) {
            (Some(from), Some(to)) if from < to => {
                shown.extend(
                    [url.get(..=from), Some("***"), url.get(to..)]
                        .into_iter()
                        .flatten(),
                );
            }
            _ => shown.push_str(url),
        }
        shown.push_str(rest);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_quoted_has_no_password() {
        for (quoted, shown) in [
            (
                "1 | url = \"postgres://me:pass:w@rd@db/keys\n  |",
                "1 | url = \"postgres://me:***@db/keys\n  |",
            ),
            (
                // A password may have a slash: rather too much is hidden than too little.
                "url = https://id.example:8080/a@b:c",
                "url = https://id.example:***@b:c",
            ),
            ("postgres://me@db:5432/keys", "postgres://me@db:5432/keys"),
            ("a://b:c@d e://f:g@h", "a://b:***@d e://f:***@h"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(without_passwords(quoted), shown);
        }
    }
}
