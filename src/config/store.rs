//! Settings of the store.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::listener::duration;
use crate::lifecycle::{Timing, format_duration};
use crate::store::StoreLocation;
use crate::store::postgres::{DatabaseUrl, InvalidDatabaseUrl, PostgresSettings};

/// Where key sets rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite`, or the URL of a PostgreSQL database.
    pub url: StoreUrl,
    /// The database itself, where `url` leads to a pooler: changes of other replicas are listened
    /// for there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_url: Option<ListenUrl>,
    /// Connections to the database at a time.
    pub max_connections: NonZeroU32,
    /// How long one statement may take.
    #[serde(with = "duration")]
    pub statement_timeout: Duration,
    /// For how long a replica may sign without having heard of the database. All replicas must
    /// agree on it.
    #[serde(with = "duration")]
    pub max_staleness: Duration,
}

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// The file `DATA_DIR/keywright.db`.
    Sqlite,
    /// A PostgreSQL database.
    Postgres(DatabaseUrl),
}

/// The URL of a database that is listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenUrl(DatabaseUrl);

/// Why a text names no store. It repeats nothing that could be a password.
#[derive(Debug, thiserror::Error)]
pub enum InvalidStoreUrl {
    /// A store that is not built in.
    #[error(
        "store.url = \"{0}\" is not known; a store is \"sqlite\", or \"postgres\" as in \
         postgres://user@host/database"
    )]
    Unknown(String),
    /// A path for the embedded database, which has none of its own.
    #[error(
        "store.url = \"sqlite\" takes no path: the database is the file keywright.db in data_dir, so \
         set data_dir to its folder"
    )]
    SqlitePath,
    /// A database's URL that breaks a rule.
    #[error("store.url of PostgreSQL: {0}")]
    Database(#[from] InvalidDatabaseUrl),
}

/// Why a store cannot be used as it is set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStore {
    /// No replica could live with it.
    #[error(
        "store.max_staleness = \"{}\" is not between {} and {}",
        format_duration(*.0), format_duration(SHORTEST_STALENESS), format_duration(LONGEST_STALENESS)
    )]
    Staleness(Duration),
    /// No caller would wait so long.
    #[error(
        "store.statement_timeout = \"{}\" is longer than {}",
        format_duration(*.0), format_duration(LONGEST_STATEMENT)
    )]
    Statement(Duration),
}

const SQLITE: &str = "sqlite";
const MAX_CONNECTIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_STALENESS: Duration = Duration::from_secs(30);
const SHORTEST_STALENESS: Duration = Duration::from_secs(2);
const LONGEST_STALENESS: Duration = Duration::from_secs(300);
const LONGEST_STATEMENT: Duration = Duration::from_secs(300);

impl Default for Store {
    fn default() -> Self {
        Self {
            url: StoreUrl::Sqlite,
            listen_url: None,
            max_connections: MAX_CONNECTIONS,
            statement_timeout: STATEMENT_TIMEOUT,
            max_staleness: MAX_STALENESS,
        }
    }
}

impl Store {
    /// How the processes of the store take a change over.
    pub fn timing(&self) -> Timing {
        match self.url {
            StoreUrl::Sqlite => Timing::single(),
            StoreUrl::Postgres(_) => Timing::shared(self.max_staleness),
        }
    }

    pub(super) fn validate(&self) -> Result<(), InvalidStore> {
        if !(SHORTEST_STALENESS..=LONGEST_STALENESS).contains(&self.max_staleness) {
            return Err(InvalidStore::Staleness(self.max_staleness));
        }
        if self.statement_timeout > LONGEST_STATEMENT {
            return Err(InvalidStore::Statement(self.statement_timeout));
        }
        Ok(())
    }

    /// Which store to open, where `file` is the embedded one's.
    pub fn location(&self, file: PathBuf) -> StoreLocation {
        match &self.url {
            StoreUrl::Sqlite => StoreLocation::Sqlite(file),
            StoreUrl::Postgres(url) => StoreLocation::Postgres(Box::new(PostgresSettings {
                url: url.clone(),
                listen_url: self.listen_url.as_ref().map(|ListenUrl(url)| url.clone()),
                max_connections: self.max_connections,
                statement_timeout: self.statement_timeout,
            })),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidStoreUrl> {
        // A file that a variable was read from ends with a line break.
        let text = text.trim();
        if text == SQLITE {
            return Ok(Self::Sqlite);
        }
        if DatabaseUrl::is_meant_by(text) {
            return Ok(Self::Postgres(text.parse()?));
        }
        let scheme = text.split(':').next().unwrap_or_default();
        if ["sqlite", "sqlite3", "file"].contains(&&*scheme.to_ascii_lowercase()) {
            return Err(InvalidStoreUrl::SqlitePath);
        }
        Err(InvalidStoreUrl::Unknown(scheme.to_owned()))
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Sqlite => serializer.serialize_str(SQLITE),
            Self::Postgres(url) => serializer.collect_str(url),
        }
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for ListenUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ListenUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let url = text.trim().parse();
        url.map(Self)
            .map_err(|error| D::Error::custom(format_args!("store.listen_url: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_after_sqlite_is_refused_with_where_the_file_is() {
        for text in [
            "sqlite:///var/lib/keywright.db",
            "sqlite:x.db",
            "sqlite3://x",
            "file:x.db",
            "SQLite://",
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(error.contains("keywright.db in data_dir"), "{error}");
            assert!(!error.contains("x.db"), "{error}");
        }
        for text in ["sqlite", " sqlite\n"] {
            assert_eq!(text.parse::<StoreUrl>().unwrap(), StoreUrl::Sqlite);
        }
        for text in ["postgres://db/k\n", "PostgreSQL://db/k"] {
            assert!(
                matches!(text.parse::<StoreUrl>(), Ok(StoreUrl::Postgres(_))),
                "{text}"
            );
        }
        for text in [
            "mysql://u:word@db/k",
            "postgres",
            "jdbc:postgresql://db/k",
            "",
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(error.contains("postgres://user@host/database"), "{error}");
            assert!(!error.contains("word"), "{error}");
        }
    }
}
