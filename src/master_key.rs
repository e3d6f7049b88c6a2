//! The master keys of this process: read from where the configuration says, and held against the
//! store.

mod command;

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::authority::audit::{self, Actor, Attribution, MasterKeyEvent};
use crate::clock::Clock;
use crate::config::{MasterKeySource, MasterKeySources, UnclearMasterKeySource};
use crate::data_folder::{DataFolder, DataFolderError};
use crate::engine::{Entropy, RandomnessUnavailable};
use crate::store::seal::check::{self, MasterKeyRotation};
use crate::store::seal::{Fingerprint, MASTER_KEY_BYTES, MasterKey, MasterKeys};
use crate::store::{
    Batch, BatchId, CommitError, Content, Record, Store, StoreError, Write, commit,
};
use crate::wiped_stack::on_wiped_stack;

pub use command::CommandError;

/// How long a command may take to print a key.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the store is asked again because another process was faster, before giving up.
const MAX_ATTEMPTS: usize = 16;

/// Why the master keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// It is not clear where one comes from.
    #[error(transparent)]
    Unclear(#[from] UnclearMasterKeySource),
    /// There is a store and no key that opens it.
    #[error(
        "the store of {folder} was sealed with a master key, and {path} does not exist: put that \
         key back; a new one would open nothing"
    )]
    Missing {
        /// The data folder.
        folder: PathBuf,
        /// Where the key is expected.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read the master key {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A command did not print a key.
    #[error("{place}: {source}")]
    Command {
        /// The setting, and the program.
        place: String,
        /// What went wrong.
        source: CommandError,
    },
    /// What was read is no key.
    #[error(
        "{0} does not have a master key: 32 random bytes in base64 (`openssl rand -base64 32`)"
    )]
    Malformed(String),
    /// One key comes from two places.
    #[error("the same master key comes twice: {0}")]
    Twice(String),
    /// The keys are other ones than the store was sealed with.
    #[error(
        "the master key does not open this store: it was sealed with another one{}; here {} \
         {configured}; put the right one there, or, if it is lost for good, run `keywright \
         master-key replace`",
        sealing.map(|key| format!(", {key}")).unwrap_or_default(),
        if configured.contains(", ") { "are" } else { "is" }
    )]
    Wrong {
        /// The key that the store was sealed with, if the store knows its name.
        sealing: Option<Fingerprint>,
        /// The keys that are here, and where each came from.
        configured: String,
    },
    /// The cipher refused.
    #[error("the master key cannot be used")]
    Unusable,
    /// Other processes were faster every time.
    #[error("the store is being sealed by others; start again")]
    Contended,
    /// The data folder cannot be written.
    #[error(transparent)]
    Folder(#[from] DataFolderError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the master keys and holds them against the store: the key that seals it must be among
/// them. A store that is new is sealed with the first one. Nothing is ever overwritten.
///
/// # Errors
/// [`MasterKeyError`] says what is wrong with the keys.
pub async fn open(
    sources: &MasterKeySources,
    folder: &DataFolder,
    store: &dyn Store,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<MasterKeys, MasterKeyError> {
    let is_new = store.get(&check::record_key()).await?.is_none();
    let Configured { keys, places } = read(sources, folder, is_new, entropy).await?;
    for _ in 0..MAX_ATTEMPTS {
        let mut batch = Batch::new(BatchId(entropy.bytes()?));
        match store.get(&check::record_key()).await? {
            None => {
                let setting = check::write(keys.first(), MasterKeyRotation::Idle, entropy.bytes()?);
                let content = Content::sealed(setting.ok_or(MasterKeyError::Unusable)?);
                batch
                    .writes
                    .push(Write::Create(check::record_key(), content));
            }
            Some(record) => {
                let setting = record.sealed.as_deref().unwrap_or_default();
                let sealing = check::read(&keys, setting).map_err(|_| MasterKeyError::Wrong {
                    sealing: check::named(setting),
                    configured: places.clone(),
                })?;
                if check::named(setting).is_some() {
                    return Ok(keys);
                }
                name(&mut batch, &record, sealing.key, clock, entropy)?;
            }
        }
        // Done, or another process was faster: the setting is looked at again.
        if let Err(CommitError::Store(error) | CommitError::Unknown(error)) =
            commit(store, batch).await
        {
            return Err(error.into());
        }
    }
    Err(MasterKeyError::Contended)
}

/// Writes the key's name into a store that was sealed before keys had names.
fn name(
    batch: &mut Batch,
    setting: &Record,
    key: &MasterKey,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<(), MasterKeyError> {
    let named = check::write(key, MasterKeyRotation::Idle, entropy.bytes()?);
    let content = Content::sealed(named.ok_or(MasterKeyError::Unusable)?);
    let to = key.fingerprint().to_string();
    let event = MasterKeyEvent::MasterKeyNamed { to };
    let attribution = Attribution::from(Actor::Bootstrap);
    let row = audit::row(&event, clock.now(), None, &attribution, None);
    batch
        .writes
        .push(Write::Replace(setting.key.clone(), setting.token, content));
    batch.events.push(row);
    Ok(())
}

/// The master keys that the configuration names.
pub struct Configured {
    /// The keys.
    pub keys: MasterKeys,
    /// Their fingerprints and where each came from, for people.
    places: String,
}

/// Reads the master keys, whatever the store says. Only for a store that is new one is made.
///
/// # Errors
/// [`MasterKeyError`] says what is wrong with the keys.
pub async fn read(
    sources: &MasterKeySources,
    folder: &DataFolder,
    store_is_new: bool,
    entropy: &Entropy,
) -> Result<Configured, MasterKeyError> {
    let first = match &sources.first {
        MasterKeySource::DataFolder => read_or_create(folder, store_is_new, entropy)?,
        source => read_source(source).await?,
    };
    let mut places = vec![format!("{} ({})", first.fingerprint(), sources.first)];
    let mut further = Vec::new();
    for source in &sources.further {
        let key = read_source(source).await?;
        places.push(format!("{} ({source})", key.fingerprint()));
        further.push(key);
    }
    let places = places.join(", ");
    match MasterKeys::new(first, further) {
        Some(keys) => Ok(Configured { keys, places }),
        None => Err(MasterKeyError::Twice(places)),
    }
}

/// Judges what can be read of the master keys before there is a data folder, and forgets it: files,
/// variables and credentials. No command is run, and no pipe is emptied.
///
/// # Errors
/// [`MasterKeyError`] says what is wrong with the keys.
pub fn check(sources: &MasterKeySources, data_dir: &Path) -> Result<(), MasterKeyError> {
    let in_folder = data_dir.join("master.key");
    let mut known: Vec<(Fingerprint, &MasterKeySource)> = Vec::new();
    for source in std::iter::once(&sources.first).chain(&sources.further) {
        let text = match source {
            // It is made for a new store.
            MasterKeySource::DataFolder if !in_folder.exists() => None,
            MasterKeySource::DataFolder => read_unless_pipe(&in_folder)?,
            MasterKeySource::File { path, .. } | MasterKeySource::Credential(path) => {
                read_unless_pipe(path)?
            }
            MasterKeySource::Variable(name) => crate::config::master_key_variable(name),
            MasterKeySource::Command { words, .. } => {
                command::find(words).map_err(failed_command(source))?;
                None
            }
        };
        let Some(text) = text else {
            continue;
        };
        let key = parse(&text).ok_or_else(|| MasterKeyError::Malformed(source.to_string()))?;
        let fingerprint = key.fingerprint();
        if let Some((_, other)) = known.iter().find(|(known, _)| *known == fingerprint) {
            let places = format!("{fingerprint} ({other}), {fingerprint} ({source})");
            return Err(MasterKeyError::Twice(places));
        }
        known.push((fingerprint, source));
    }
    Ok(())
}

async fn read_source(source: &MasterKeySource) -> Result<MasterKey, MasterKeyError> {
    let text = match source {
        MasterKeySource::File { path, .. } | MasterKeySource::Credential(path) => {
            warn_if_shared(path);
            Some(read_file(path)?)
        }
        MasterKeySource::DataFolder => None,
        MasterKeySource::Variable(name) => crate::config::master_key_variable(name),
        MasterKeySource::Command { words, .. } => {
            let printed = command::run(words, COMMAND_TIMEOUT).await;
            Some(printed.map_err(failed_command(source))?)
        }
    };
    text.and_then(|text| parse(&text))
        .ok_or_else(|| MasterKeyError::Malformed(source.to_string()))
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, MasterKeyError> {
    let read = std::fs::read_to_string(path).map(Zeroizing::new);
    read.map_err(|source| unreadable(path, source))
}

fn read_unless_pipe(path: &Path) -> Result<Option<Zeroizing<String>>, MasterKeyError> {
    match std::fs::metadata(path) {
        Ok(file) if !file.is_file() && !file.is_dir() => Ok(None),
        _ => read_file(path).map(Some),
    }
}

fn failed_command(source: &MasterKeySource) -> impl Fn(CommandError) -> MasterKeyError {
    |error| MasterKeyError::Command {
        place: source.to_string(),
        source: error,
    }
}

/// The key in the data folder, which is made for a store that is new.
fn read_or_create(
    folder: &DataFolder,
    store_is_new: bool,
    entropy: &Entropy,
) -> Result<MasterKey, MasterKeyError> {
    let path = folder.master_key_file();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound && store_is_new => {
            create(folder, &path, entropy)?
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(MasterKeyError::Missing {
                folder: folder.path().to_owned(),
                path,
            });
        }
        Err(error) => return Err(unreadable(&path, error)),
    };
    warn_if_shared(&path);
    parse(&text).ok_or_else(|| MasterKeyError::Malformed(path.display().to_string()))
}

fn create(
    folder: &DataFolder,
    path: &Path,
    entropy: &Entropy,
) -> Result<Zeroizing<String>, MasterKeyError> {
    let text = on_wiped_stack(|| {
        let bytes = Zeroizing::new(entropy.bytes::<MASTER_KEY_BYTES>()?);
        let text = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
        Ok::<_, RandomnessUnavailable>(Zeroizing::new(format!("{}\n", *text)))
    })?;
    folder.write(path, &text)?;
    tracing::warn!(
        path = %path.display(),
        "made a master key next to the data that it seals; for production keep it elsewhere: \
         make one with `openssl rand -base64 32`, mount it from a secret store, and name it in \
         KEYWRIGHT_MASTER_KEY_FILE before the first start"
    );
    Ok(text)
}

fn parse(text: &str) -> Option<MasterKey> {
    on_wiped_stack(|| decode(text))
}

fn decode(text: &str) -> Option<MasterKey> {
    let mut bytes = Zeroizing::new([0; MASTER_KEY_BYTES]);
    let decoded = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
    if decoded.len() != bytes.len() {
        return None;
    }
    bytes.copy_from_slice(&decoded);
    MasterKey::new(&bytes)
}

fn unreadable(path: &Path, source: std::io::Error) -> MasterKeyError {
    MasterKeyError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

fn warn_if_shared(path: &Path) {
    if let Ok(metadata) = std::fs::metadata(path)
        && metadata.permissions().mode() & 0o077 != 0
    {
        tracing::warn!(path = %path.display(), "the master key is readable by others; chmod 600");
    }
}
