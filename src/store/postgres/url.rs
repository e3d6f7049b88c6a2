//! Where a PostgreSQL database is, as people write it down: with a password in it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// A database's URL, `postgres://user:password@host:port/database?sslmode=…`. It may have several
/// hosts, as in `postgres://user@one:5432,two:5432/database`.
///
/// Its password is shown nowhere: `Debug` and `Display` have `***` in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// The URL with its first host.
    url: Url,
    /// The hosts as they are written, with their ports.
    hosts: Vec<String>,
}

/// Why a text is no URL of a database. It does not repeat the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// It is no URL.
    #[error("it is no URL of the form postgres://user@host:port/database: {0}")]
    Malformed(#[from] url::ParseError),
    /// A password ends the URL's host before it begins.
    #[error(
        "a character of its user name or password has another meaning in a URL: percent-encode it \
         (# is %23, / is %2F, ? is %3F, @ is %40, : is %3A, % is %25)"
    )]
    Unencoded,
    /// Another kind of database.
    #[error("it begins with neither postgres:// nor postgresql://")]
    Scheme,
    /// A parameter that means nothing here.
    #[error(
        "its parameter \"{0}\" is not known; known are {known}",
        known = PARAMETERS.map(|(name, _)| name).join(", ")
    )]
    Parameter(String),
    /// A parameter's value that is not one of its values, or would not do what it says.
    #[error("its {parameter} must be {values}")]
    Value {
        /// The parameter.
        parameter: &'static str,
        /// What is allowed.
        values: &'static str,
    },
    /// Hosts and ports that are not as many.
    #[error("it has several ports, but not one for each host")]
    Ports,
}

/// What a parameter may be.
#[derive(Clone, Copy)]
enum Values {
    /// What sqlx takes.
    Any,
    /// Whole numbers.
    Number,
    /// One of these.
    OneOf(&'static [&'static str], &'static str),
}

/// The parameters that are read. Others are refused and not ignored: who writes `sslrootcrt` must not
/// believe that the certificate is checked.
///
/// `sslmode=allow` is missing: it never encrypts unless the server insists, and protects from no
/// attacker. keywright must write, so no attribute of a session leads to a standby. Those of
/// keep-alives, and `pgbouncer`, are read and not needed: a connection that does not answer is given
/// up in time, and nothing is prepared by name.
const PARAMETERS: [(&str, Values); 22] = [
    ("application_name", Values::Any),
    (
        "channel_binding",
        Values::OneOf(
            &["disable", "prefer", "require"],
            "disable, prefer or require",
        ),
    ),
    ("connect_timeout", Values::Number),
    ("dbname", Values::Any),
    (
        "gssencmode",
        Values::OneOf(&["disable", "prefer"], "disable or prefer"),
    ),
    ("host", Values::Any),
    ("hostaddr", Values::Any),
    ("keepalives", Values::Number),
    ("keepalives_count", Values::Number),
    ("keepalives_idle", Values::Number),
    ("keepalives_interval", Values::Number),
    ("options", Values::Any),
    ("password", Values::Any),
    (
        "pgbouncer",
        Values::OneOf(&["true", "false"], "true or false"),
    ),
    ("port", Values::Any),
    ("sslcert", Values::Any),
    ("sslkey", Values::Any),
    (
        "sslmode",
        Values::OneOf(
            &["disable", "prefer", "require", "verify-ca", "verify-full"],
            "disable, prefer, require, verify-ca or verify-full",
        ),
    ),
    ("sslrootcert", Values::Any),
    (
        "target_session_attrs",
        Values::OneOf(
            &["any", "read-write", "primary"],
            "any, read-write or primary, because keywright has to write",
        ),
    ),
    ("tcp_user_timeout", Values::Number),
    ("user", Values::Any),
];

/// The parameters that sqlx does not know.
const OURS: [&str; 10] = [
    "channel_binding",
    "connect_timeout",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "pgbouncer",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// What stands where a password was.
const HIDDEN: &str = "***";

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        if !Self::is_meant_by(text) {
            return Err(InvalidDatabaseUrl::Scheme);
        }
        let (first, mut hosts) = split_hosts(text);
        // A password's character that ends the authority leaves its "@" behind it.
        let is_cut = after_authority(text).contains('@');
        let url = Url::parse(&first).map_err(|error| match is_cut {
            true => InvalidDatabaseUrl::Unencoded,
            false => error.into(),
        })?;
        if url.fragment().is_some() || url.path().contains('@') {
            return Err(InvalidDatabaseUrl::Unencoded);
        }
        for (name, value) in url.query_pairs() {
            let known = PARAMETERS.iter().find(|(known, _)| *known == name);
            let Some((parameter, values)) = known else {
                return Err(match is_cut {
                    true => InvalidDatabaseUrl::Unencoded,
                    false => InvalidDatabaseUrl::Parameter(name.into_owned()),
                });
            };
            values.check(parameter, &value)?;
        }
        if let Some(listed) = listed_hosts(&url)? {
            hosts = listed;
        }
        Ok(Self { url, hosts })
    }
}

impl Values {
    fn check(self, parameter: &'static str, value: &str) -> Result<(), InvalidDatabaseUrl> {
        let refused = |values| Err(InvalidDatabaseUrl::Value { parameter, values });
        match self {
            Self::Number if value.parse::<u32>().is_err() => refused("a whole number"),
            Self::OneOf(values, described) if !values.contains(&value) => refused(described),
            Self::Any | Self::Number | Self::OneOf(..) => Ok(()),
        }
    }
}

/// A URL's parts before, in and after its authority.
fn authority_of(text: &str) -> (&str, &str, &str) {
    let start = text.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = text.split_at_checked(start).unwrap_or((text, ""));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    (scheme, authority, after)
}

fn after_authority(text: &str) -> &str {
    authority_of(text).2
}

/// The URL with its first host alone, and all hosts with their ports.
fn split_hosts(text: &str) -> (String, Vec<String>) {
    let (scheme, authority, after) = authority_of(text);
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    let (user, hosts) = authority.split_at_checked(at).unwrap_or(("", authority));
    let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
    let first = hosts.first().map_or("", String::as_str);
    (format!("{scheme}{user}{first}{after}"), hosts)
}

/// The hosts that the parameters `host` and `port` list (libpq, "Specifying Multiple Hosts"): one port
/// for each, or one for all.
fn listed_hosts(url: &Url) -> Result<Option<Vec<String>>, InvalidDatabaseUrl> {
    let last = |wanted: &str| {
        let pairs = url.query_pairs().filter(|(name, _)| name == wanted);
        pairs.last().map(|(_, value)| value.into_owned())
    };
    let Some(hosts) = last("host").filter(|hosts| hosts.contains(',')) else {
        return Ok(None);
    };
    let ports = last("port").unwrap_or_default();
    let hosts: Vec<&str> = hosts.split(',').collect();
    let ports: Vec<&str> = ports.split(',').collect();
    let with_port = |(index, host): (usize, &&str)| {
        let port = match ports.as_slice() {
            [one] => one,
            several => several.get(index).ok_or(InvalidDatabaseUrl::Ports)?,
        };
        Ok(match *port {
            "" => (*host).to_owned(),
            port => format!("{host}:{port}"),
        })
    };
    if ports.len() > hosts.len() {
        return Err(InvalidDatabaseUrl::Ports);
    }
    let hosts: Result<Vec<_>, _> = hosts.iter().enumerate().map(with_port).collect();
    hosts.map(Some)
}

impl DatabaseUrl {
    /// Whether a text claims to be the URL of a PostgreSQL database.
    pub fn is_meant_by(text: &str) -> bool {
        let scheme = text.split("://").next().unwrap_or_default();
        let is_known = |known| scheme.eq_ignore_ascii_case(known);
        scheme.len() < text.len() && (is_known("postgres") || is_known("postgresql"))
    }

    /// How to connect to each of the hosts, in their order. What the URL leaves open is taken from
    /// `PGHOST`, `PGPASSFILE` and their like.
    ///
    /// Where neither names a `sslmode`, a database on this machine is preferred with TLS, and one
    /// elsewhere must prove its name. So must one that is to bind the channel: sqlx cannot, and what
    /// the binding proves is that no one else is at the other end.
    pub(super) fn options(&self) -> Result<Vec<PgConnectOptions>, sqlx::Error> {
        let [_, _, ..] = self.hosts.as_slice() else {
            return Ok(vec![self.options_of(&self.url)?]);
        };
        let hosts = self.hosts.iter().map(|host| {
            let mut url = self.url.clone();
            let (host, port) = match host.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
                _ => (host.as_str(), None),
            };
            let pairs = self.url.query_pairs();
            let others = pairs.filter(|(name, _)| name != "host" && name != "port");
            url.query_pairs_mut().clear().extend_pairs(others);
            url.query_pairs_mut().append_pair("host", host);
            if url.port().is_some() {
                // Any URL with a port has a host, so that this cannot fail.
                let _ = url.set_port(None);
            }
            if let Some(port) = port {
                url.query_pairs_mut().append_pair("port", port);
            }
            self.options_of(&url)
        });
        hosts.collect()
    }

    fn options_of(&self, url: &Url) -> Result<PgConnectOptions, sqlx::Error> {
        let mut known = url.clone();
        let pairs = url.query_pairs();
        let pairs = pairs.filter(|(name, _)| !OURS.contains(&&**name));
        known.query_pairs_mut().clear().extend_pairs(pairs);
        let options = PgConnectOptions::from_url(&known)?
            // A pooler hands a connection to others between two transactions: what is prepared in
            // one would be missing or double in the next.
            .statement_cache_capacity(0)
            // Poolers refuse start-up parameters that they do not know.
            .extra_float_digits(None);
        // The brackets around an IPv6 address belong to the URL.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        let mode = match options.get_ssl_mode() {
            PgSslMode::Disable => PgSslMode::Disable,
            _ if self.value("channel_binding").as_deref() == Some("require")
                && options.get_socket().is_none() =>
            {
                PgSslMode::VerifyFull
            }
            PgSslMode::Prefer if self.value("sslmode").is_none() && !is_here(&options, &host) => {
                PgSslMode::VerifyFull
            }
            // Roots that are named are meant to be used.
            PgSslMode::Require if self.value("sslrootcert").is_some() => PgSslMode::VerifyCa,
            PgSslMode::Allow => PgSslMode::Prefer,
            mode => mode,
        };
        let options = options.host(&host).ssl_mode(mode);
        Ok(match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("keywright"),
        })
    }

    /// How long a connection to one host may take; `None` where the URL does not say, or says 0.
    pub(super) fn connect_timeout(&self) -> Option<Duration> {
        let seconds = self.value("connect_timeout")?.parse().ok();
        seconds
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    }

    fn value(&self, parameter: &str) -> Option<String> {
        let pairs = self.url.query_pairs().filter(|(name, _)| name == parameter);
        pairs.last().map(|(_, value)| value.into_owned())
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

/// The database that the hosts have, for errors: without the password.
pub(super) fn place(hosts: &[PgConnectOptions]) -> String {
    let database = hosts.first().map_or("", |options| {
        options.get_database().unwrap_or(options.get_username())
    });
    let places: Vec<String> = hosts
        .iter()
        .map(|options| match options.get_socket() {
            Some(folder) => format!("in {}", folder.display()),
            None => format!("on {}:{}", options.get_host(), options.get_port()),
        })
        .collect();
    format!("PostgreSQL database \"{database}\" {}", places.join(", "))
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.url.scheme())?;
        let (user, password) = (self.url.username(), self.url.password());
        match password {
            Some(_) => write!(f, "{user}:{HIDDEN}@")?,
            None if user.is_empty() => {}
            None => write!(f, "{user}@")?,
        }
        // Hosts that parameters list are shown with them.
        let (_, authority, _) = authority_of(self.url.as_str());
        let host = authority.rsplit('@').next().unwrap_or_default();
        match self.hosts.iter().any(|known| known == host) {
            true => f.write_str(&self.hosts.join(","))?,
            false => f.write_str(host)?,
        }
        f.write_str(self.url.path())?;
        if self.url.query().is_none() {
            return Ok(());
        }
        let mut shown = self.url.clone();
        let pairs = self.url.query_pairs().map(|(name, value)| match &*name {
            "password" => (name, HIDDEN.into()),
            _ => (name, value),
        });
        if self.value("password").is_some() {
            shown.query_pairs_mut().clear().extend_pairs(pairs);
        }
        write!(f, "?{}", shown.query().unwrap_or_default())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> DatabaseUrl {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_password_that_is_not_encoded_is_told_apart() {
        for password in [
            "a#b", "1#b", "a/b", "1/b", "a?b", "1?b", "#", "/", "?x=y", "1/x?y", "a#b/c?d",
        ] {
            for host in ["db", "db:5432", "db.example:5432,other:5432"] {
                let text = format!("postgres://user:{password}@{host}/keywright?sslmode=require");
                let error = text.parse::<DatabaseUrl>().unwrap_err();
                assert_eq!(error, InvalidDatabaseUrl::Unencoded, "{text}");
                assert!(error.to_string().contains("%23"), "{error}");
            }
        }
        for text in [
            "postgres://user:a%23%2F%3F%40@db/keywright",
            "postgres://user:a@b@db/keywright",
            "postgres://user@server:a@db/keywright",
            "postgres://db:5432/keywright?user=a@b&password=a@b",
            "postgres:///keywright?host=/run/postgresql&user=a@b",
        ] {
            parse(text);
        }
    }

    #[test]
    fn every_host_is_tried_with_its_port() {
        let hosts = |text: &str| {
            let options = parse(text).options().unwrap();
            let shown = options
                .iter()
                .map(|one| format!("{}:{}", one.get_host(), one.get_port()));
            shown.collect::<Vec<_>>().join(" ")
        };
        let user = "postgres://user:word@";
        assert_eq!(
            hosts(&format!("{user}one:1,two:2,three/db")),
            "one:1 two:2 three:5432"
        );
        assert_eq!(hosts(&format!("{user}[::1]:1,[::2]/db")), "::1:1 ::2:5432");
        let listed = "postgres:///db?user=u&host=one,two&port=";
        assert_eq!(hosts(&format!("{listed}1,2")), "one:1 two:2");
        assert_eq!(hosts(&format!("{listed}7")), "one:7 two:7");
        let error = format!("{listed}1,2,3").parse::<DatabaseUrl>().unwrap_err();
        assert_eq!(error, InvalidDatabaseUrl::Ports);
        for (text, shown) in [
            ("postgres://user:word@one:1,two:2/db?x=", None),
            (
                "postgres://user:word@one:1,two:2/db",
                Some("postgres://user:***@one:1,two:2/db"),
            ),
            ("POSTGRES://one,two/db", Some("postgres://one,two/db")),
            (
                "postgres:///db?host=a,b&password=word",
                Some("postgres:///db?host=a%2Cb&password=***"),
            ),
        ] {
            let read = text.parse::<DatabaseUrl>().ok().map(|url| url.to_string());
            assert_eq!(read.as_deref(), shown);
            if let Some(shown) = shown {
                assert!(shown.contains("***") || shown.parse::<DatabaseUrl>().is_ok());
            }
        }
    }

    #[test]
    fn parameters_of_hosters_are_read_and_no_other_value_passes() {
        for parameters in [
            "sslmode=require&channel_binding=require",
            "connect_timeout=10&application_name=x",
            "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3",
            "tcp_user_timeout=5000&gssencmode=disable",
            "target_session_attrs=read-write",
            "target_session_attrs=any",
            "pgbouncer=true&connect_timeout=0",
        ] {
            let url = parse(&format!(
                "postgres://user:word@db.example/keywright?{parameters}"
            ));
            assert_eq!(url.options().unwrap().len(), 1);
        }
        for (parameters, part) in [
            ("target_session_attrs=standby", "has to write"),
            ("target_session_attrs=prefer-standby", "has to write"),
            ("channel_binding=yes", "disable, prefer or require"),
            ("connect_timeout=soon", "a whole number"),
            ("keepalives=-1", "a whole number"),
            ("gssencmode=require", "disable or prefer"),
            ("sslmode=allow", "verify-full"),
            ("sslrootcrt=x", "connect_timeout"),
        ] {
            let text = format!("postgres://user:word@db.example/keywright?{parameters}");
            let error = text.parse::<DatabaseUrl>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let seconds =
            |text| parse(&format!("postgres://db/k?connect_timeout={text}")).connect_timeout();
        assert_eq!(
            (seconds("10"), seconds("0")),
            (Some(Duration::from_secs(10)), None)
        );
    }

    // The driver cannot bind a channel; what the binding proves, the certificate does.
    #[test]
    fn a_channel_that_must_be_bound_is_one_whose_server_proves_its_name() {
        let mode = |parameters: &str| {
            let url = parse(&format!(
                "postgres://user:word@db.example/keywright?{parameters}"
            ));
            let options = url.options().unwrap();
            format!("{:?}", options[0].get_ssl_mode())
        };
        assert_eq!(mode("sslmode=require"), "Require");
        assert_eq!(mode("sslmode=require&channel_binding=prefer"), "Require");
        assert_eq!(
            mode("sslmode=require&channel_binding=require"),
            "VerifyFull"
        );
        assert_eq!(
            mode("channel_binding=require&sslrootcert=/ca.pem&sslmode=require"),
            "VerifyFull"
        );
    }
}
