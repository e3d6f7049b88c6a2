//! What a first start tells: what is where, and what to do next.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::data_folder::DataFolder;
use crate::store::StoreLocation;

/// What a first start has made, and where it serves.
#[derive(Debug, Serialize)]
pub struct FirstStart {
    /// The URL of the listener for verifiers.
    pub public: String,
    /// The URL of the listener for issuers and operators.
    pub internal: String,
    /// The URL of the key set of the first issuer, as this machine reaches it.
    pub jwks: String,
    /// The embedded database, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<PathBuf>,
    /// The file with the master key, where it was generated beside the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_key_file: Option<PathBuf>,
    /// The file with the bootstrap credential.
    pub admin_token_file: PathBuf,
}

impl FirstStart {
    pub(super) fn of(
        folder: &DataFolder,
        location: &StoreLocation,
        public: &str,
        internal: &str,
    ) -> Self {
        let master_key = folder.master_key_file();
        Self {
            public: public.to_owned(),
            internal: internal.to_owned(),
            jwks: format!("{public}/.well-known/jwks.json"),
            database: matches!(location, StoreLocation::Sqlite(_)).then(|| folder.database()),
            master_key_file: master_key.exists().then_some(master_key),
            admin_token_file: folder.admin_token_file(),
        }
    }

    /// One line of JSON, for programs.
    pub fn to_json(&self) -> String {
        let line = serde_json::json!({ "event": "first-start", "made": self });
        line.to_string()
    }
}

impl fmt::Display for FirstStart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |place: &dyn fmt::Display, meaning: &str| {
            writeln!(formatter, "  {:<46} {meaning}", place.to_string())
        };
        row(&self.jwks, "the key set, for verifiers")?;
        row(&self.internal, "the API, for issuers and operators")?;
        row(
            &self.admin_token_file.display(),
            "the bootstrap credential, which may do everything",
        )?;
        if let Some(database) = &self.database {
            row(&database.display(), "keys, clients and the audit log")?;
        }
        if let Some(master_key) = &self.master_key_file {
            row(
                &master_key.display(),
                "the master key, which decrypts the private keys",
            )?;
        }
        writeln!(formatter, "\nIn a second terminal:\n")?;
        writeln!(
            formatter,
            "  keywright token sign --claim sub=user-1 --claim aud=orders"
        )?;
        writeln!(formatter, "  keywright keys list")?;
        writeln!(formatter, "\nTo make it last:\n")?;
        if self.master_key_file.is_some() {
            writeln!(
                formatter,
                "  - keep the master key apart from the data (master_key_file)"
            )?;
        }
        writeln!(
            formatter,
            "  - take backups: keywright backup --output FILE"
        )?;
        writeln!(
            formatter,
            "  - give each service its own client, and delete the client bootstrap"
        )?;
        write!(
            formatter,
            "  - set expect_store = true, so that no later start begins with new keys"
        )
    }
}
