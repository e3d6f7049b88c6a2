//! Where a PostgreSQL database is, as people write it down: with a password in it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// A database's URL, `postgres://user:password@host:port/database?sslmode=…`.
///
/// Its password is shown nowhere: `Debug` and `Display` have `***` in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Url);

/// Why a text is no URL of a database. It does not repeat the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// It is no URL.
    #[error("it is no URL of the form postgres://user@host:port/database: {0}")]
    Malformed(#[from] url::ParseError),
    /// Another kind of database.
    #[error("it begins with neither postgres:// nor postgresql://")]
    Scheme,
    /// A parameter that means nothing here.
    #[error(
        "its parameter \"{0}\" is not known; known are {known}",
        known = PARAMETERS.join(", ")
    )]
    Parameter(String),
    /// A `sslmode` that would not do what it says.
    #[error("its sslmode is none of disable, prefer, require, verify-ca and verify-full")]
    TlsMode,
}

/// The parameters that are handed on. Others are refused and not ignored: who writes
/// `sslrootcrt` must not believe that the certificate is checked.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// `allow` is missing: it never encrypts unless the server insists, and protects from no attacker.
const TLS_MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// What stands where a password was.
const HIDDEN: &str = "***";

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        if !Self::is_meant_by(text) {
            return Err(InvalidDatabaseUrl::Scheme);
        }
        let url = Url::parse(text)?;
        for (name, value) in url.query_pairs() {
            if !PARAMETERS.contains(&&*name) {
                return Err(InvalidDatabaseUrl::Parameter(name.into_owned()));
            }
            if name == "sslmode" && !TLS_MODES.contains(&&*value) {
                return Err(InvalidDatabaseUrl::TlsMode);
            }
        }
        Ok(Self(url))
    }
}

impl DatabaseUrl {
    /// Whether a text claims to be the URL of a PostgreSQL database.
    pub fn is_meant_by(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// How to connect. What the URL leaves open is taken from `PGHOST`, `PGPASSFILE` and their like.
    ///
    /// Where neither names a `sslmode`, a database on this machine is preferred with TLS, and one
    /// elsewhere must prove its name.
    pub(super) fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let options = PgConnectOptions::from_url(&self.0)?
            // A pooler hands a connection to others between two transactions: what is prepared in
            // one would be missing or double in the next.
            .statement_cache_capacity(0)
            // Poolers refuse start-up parameters that they do not know.
            .extra_float_digits(None);
        // The brackets around an IPv6 address belong to the URL.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        let mode = match options.get_ssl_mode() {
            PgSslMode::Prefer if !self.names("sslmode") && !is_here(&options, &host) => {
                PgSslMode::VerifyFull
            }
            // Roots that are named are meant to be used.
            PgSslMode::Require if self.names("sslrootcert") => PgSslMode::VerifyCa,
            PgSslMode::Allow => PgSslMode::Prefer,
            mode => mode,
        };
        let options = options.host(&host).ssl_mode(mode);
        Ok(match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("keywright"),
        })
    }

    fn names(&self, parameter: &str) -> bool {
        self.0.query_pairs().any(|(name, _)| name == parameter)
    }
}

fn is_here(options: &PgConnectOptions, host: &str) -> bool {
    let is_loopback = |host: &str| {
        host.parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
    };
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || is_loopback(host)
}

/// The database that options lead to, for errors: without the password.
pub(super) fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    let (host, port) = (options.get_host(), options.get_port());
    match options.get_socket() {
        Some(folder) => format!("PostgreSQL database \"{database}\" in {}", folder.display()),
        None => format!("PostgreSQL database \"{database}\" on {host}:{port}"),
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.password().is_some() && shown.set_password(Some(HIDDEN)).is_err() {
            return f.write_str(HIDDEN);
        }
        if self.names("password") {
            let pairs = self.0.query_pairs();
            let shown_pairs = pairs.map(|(name, value)| match &*name {
                "password" => (name, HIDDEN.into()),
                _ => (name, value),
            });
            shown.query_pairs_mut().clear().extend_pairs(shown_pairs);
        }
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}
