//! Where the master keys come from, as settings, variables and files name them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Config;

/// A further master key: it opens what it has sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FurtherMasterKey {
    /// The file that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The command that prints it: the program and its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

/// A place that a master key comes from. It does not have the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKeySource {
    /// `master.key` in the data folder, which is made for a new store.
    DataFolder,
    /// A file.
    File {
        /// The setting that names it.
        setting: &'static str,
        /// Where it is.
        path: PathBuf,
    },
    /// An environment variable.
    Variable(&'static str),
    /// A credential that systemd has put into a file for this process.
    Credential(PathBuf),
    /// A command that prints it.
    Command {
        /// The setting that names it.
        setting: &'static str,
        /// The program and its arguments.
        words: Vec<String>,
    },
}

impl std::fmt::Display for MasterKeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DataFolder => f.write_str("master.key in the data folder"),
            Self::File { setting, path } => write!(f, "{setting} {}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Credential(path) => write!(f, "the systemd credential {}", path.display()),
            Self::Command { setting, words } => {
                // The arguments are left out: an operator may have put a secret there.
                let program = words.first().map_or("", String::as_str);
                write!(f, "{setting} {program}")
            }
        }
    }
}

/// Where the master keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKeySources {
    /// The key that seals a store which is new.
    pub first: MasterKeySource,
    /// Keys that only open, until the store names one of them.
    pub further: Vec<MasterKeySource>,
}

/// Why it is not clear where a master key comes from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnclearMasterKeySource {
    /// Two places at once.
    #[error(
        "the master key is named twice, by {0} and by {1}: leave one out, or make it one of \
         further_master_keys"
    )]
    Two(MasterKeySource, MasterKeySource),
    /// A further key with no place, or with two.
    #[error("further_master_keys: each has either a file or a command")]
    Further,
}

/// The variable that has the master key, and the credential.
const FIRST: (&str, &str) = ("KEYWRIGHT_MASTER_KEY", "keywright.master-key");

/// The variable that has a further master key, and the credential.
const FURTHER: (&str, &str) = (
    "KEYWRIGHT_FURTHER_MASTER_KEY",
    "keywright.further-master-key",
);

/// The variables that have a master key themselves, as figment calls them: no settings.
pub(super) const SECRET_VARIABLES: [&str; 2] = ["master_key", "further_master_key"];

/// The variables that have a master key themselves.
pub const MASTER_KEY_VARIABLES: [&str; 2] = [FIRST.0, FURTHER.0];

impl Config {
    /// Where the master keys come from. Nothing is read yet.
    ///
    /// # Errors
    /// [`UnclearMasterKeySource`] names the places.
    pub fn master_key_sources(&self) -> Result<MasterKeySources, UnclearMasterKeySource> {
        let file = self.master_key_file.iter();
        let file = file.map(|path| MasterKeySource::File {
            setting: "master_key_file",
            path: path.clone(),
        });
        let command = (!self.master_key_command.is_empty()).then(|| MasterKeySource::Command {
            setting: "master_key_command",
            words: self.master_key_command.clone(),
        });
        let mut named = file.chain(command).chain(outside(FIRST));
        let first = named.next().unwrap_or(MasterKeySource::DataFolder);
        if let Some(second) = named.next() {
            return Err(UnclearMasterKeySource::Two(first, second));
        }
        let setting = "further_master_keys";
        let further =
            self.further_master_keys
                .iter()
                .map(|key| match (&key.file, key.command.as_slice()) {
                    (Some(path), []) => Ok(MasterKeySource::File {
                        setting,
                        path: path.clone(),
                    }),
                    (None, [_, ..]) => Ok(MasterKeySource::Command {
                        setting,
                        words: key.command.clone(),
                    }),
                    _ => Err(UnclearMasterKeySource::Further),
                });
        let mut further = further.collect::<Result<Vec<_>, _>>()?;
        further.extend(outside(FURTHER));
        Ok(MasterKeySources { first, further })
    }
}

/// What a variable and a credential name. What is set and empty names nothing.
fn outside((variable, credential): (&'static str, &str)) -> impl Iterator<Item = MasterKeySource> {
    let set = |variable| std::env::var_os(variable).filter(|value| !value.is_empty());
    let is_set = set(variable).is_some();
    let credentials = set("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let file = credentials.map(|folder| folder.join(credential));
    let file = file.filter(|file| file.metadata().is_ok_and(|file| file.len() > 0));
    let variable = is_set.then_some(MasterKeySource::Variable(variable));
    variable
        .into_iter()
        .chain(file.map(MasterKeySource::Credential))
}

/// What a variable has; `None` when it is not set or is no text.
#[expect(
    clippy::disallowed_methods,
    reason = "a key that comes in a variable is read when it is needed, and kept nowhere else"
)]
pub fn master_key_variable(name: &str) -> Option<Zeroizing<String>> {
    std::env::var(name).ok().map(Zeroizing::new)
}
