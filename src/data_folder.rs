//! The data folder: who may use it, and the secrets in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywright_verifier::Kid;
use zeroize::Zeroizing;

use crate::engine::{RandomnessUnavailable, random};
use crate::lifecycle::IssuerName;
use crate::store::seal::{MASTER_KEY_BYTES, MasterKey};
use crate::store::{CommitError, KeyStore, StoreError};

/// A data folder that this process, and no other, uses.
pub struct DataFolder {
    path: PathBuf,
    /// Held for as long as the process lives; the operating system releases it, also after a crash.
    _lock: File,
}

/// Why a data folder or its master key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// Another process uses it.
    #[error("the data folder {0} is in use by another keywright process")]
    InUse(PathBuf),
    /// It cannot be made, read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// There is a store and no key that opens it.
    #[error(
        "the store in {folder} was sealed with a master key, and {path} does not exist: put that \
         key back; a new one would open nothing"
    )]
    MasterKeyMissing {
        /// The data folder.
        folder: PathBuf,
        /// Where the key is expected.
        path: PathBuf,
    },
    /// The file is no key.
    #[error(
        "{0} does not have a master key: 32 random bytes in base64 (`openssl rand -base64 32`)"
    )]
    MasterKeyMalformed(PathBuf),
    /// The key is another one than the store was sealed with.
    #[error("the master key does not open this store: it was sealed with another one")]
    MasterKeyWrong,
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DataFolder {
    /// Opens the folder, makes it when there is none, and locks it.
    ///
    /// # Errors
    /// When it cannot be made or written, or another process uses it.
    pub fn open(path: &Path) -> Result<Self, DataFolderError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed("create the data folder", path))?;
        let lock_path = path.join("keywright.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("write to the data folder", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(DataFolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed("lock", &lock_path)(source)),
        }
    }

    /// The embedded database.
    pub fn database(&self) -> PathBuf {
        self.path.join("keywright.db")
    }

    /// Where the bound addresses are written.
    pub fn listen_file(&self) -> PathBuf {
        self.path.join("listen.json")
    }

    /// Where the bootstrap credential is written.
    pub fn admin_token_file(&self) -> PathBuf {
        self.path.join("admin.token")
    }

    /// The issuance log, unless another file is named.
    pub fn issuance_log(&self) -> PathBuf {
        self.path.join("issuance.jsonl")
    }

    /// Writes a small file so that it is there whole or not at all, readable by its owner alone.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn write(&self, path: &Path, contents: &str) -> Result<(), DataFolderError> {
        let draft = path.with_extension("draft");
        // A draft that a crash left behind may have other permissions.
        self.remove(&draft)?;
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(contents.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&draft, path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(failed("write", path))
    }

    /// Removes a small file, if it is there.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn remove(&self, path: &Path) -> Result<(), DataFolderError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
            _ => Ok(()),
        }
    }

    /// The master key for `store`: the one in `file`, or in `master.key` in the folder, which is
    /// made when the store is new. A key that does not open the store is an error, and nothing is
    /// overwritten.
    ///
    /// # Errors
    /// [`DataFolderError`] says what is wrong with the key.
    pub async fn master_key(
        &self,
        file: Option<&Path>,
        store: &dyn KeyStore,
    ) -> Result<MasterKey, DataFolderError> {
        let check = store.setting(CHECK).await?;
        let path = file.map_or_else(|| self.path.join("master.key"), Path::to_owned);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound && check.is_some() => {
                return Err(DataFolderError::MasterKeyMissing {
                    folder: self.path.clone(),
                    path,
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound && file.is_none() => {
                self.create_master_key(&path)?
            }
            Err(error) => return Err(failed("read the master key", &path)(error)),
        };
        let key = parse_master_key(&path, &text)?;
        match check {
            Some(check) => open_check(&key, &check).ok_or(DataFolderError::MasterKeyWrong)?,
            None => write_check(&key, store).await?,
        }
        Ok(key)
    }

    /// The master key in `file`, or in `master.key` in the folder, which must be there.
    ///
    /// # Errors
    /// [`DataFolderError`] says what is wrong with the key.
    pub fn present_master_key(&self, file: Option<&Path>) -> Result<MasterKey, DataFolderError> {
        let path = file.map_or_else(|| self.path.join("master.key"), Path::to_owned);
        let text = std::fs::read_to_string(&path).map_err(failed("read the master key", &path))?;
        parse_master_key(&path, &Zeroizing::new(text))
    }

    fn create_master_key(&self, path: &Path) -> Result<Zeroizing<String>, DataFolderError> {
        let bytes = Zeroizing::new(random::<MASTER_KEY_BYTES>()?);
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(bytes.as_slice())));
        self.write(path, &text)?;
        tracing::warn!(
            path = %path.display(),
            "made a master key next to the data that it seals; for production keep it elsewhere: \
             make one with `openssl rand -base64 32`, mount it from a secret store, and name it in \
             KEYWRIGHT_MASTER_KEY_FILE before the first start"
        );
        Ok(text)
    }
}

/// The setting that tells whether a master key is the one that the store was sealed with.
const CHECK: &str = "master-key-check";

/// The row that the check is sealed for; no issuer has a name with this many characters' worth of
/// meaning, and no key of it has this kid.
fn check_row() -> Option<(IssuerName, Kid)> {
    Some((
        IssuerName::parse("master-key-check").ok()?,
        Kid::parse(CHECK).ok()?,
    ))
}

fn open_check(key: &MasterKey, check: &[u8]) -> Option<()> {
    let (issuer, kid) = check_row()?;
    key.open(&issuer, &kid, check).ok().map(drop)
}

async fn write_check(key: &MasterKey, store: &dyn KeyStore) -> Result<(), DataFolderError> {
    let sealed = match check_row() {
        Some((issuer, kid)) => key.seal(&issuer, &kid, CHECK.as_bytes(), random()?),
        None => None,
    };
    let sealed = sealed.ok_or(DataFolderError::MasterKeyWrong)?;
    match store.create_setting(CHECK, &sealed).await {
        Ok(()) => Ok(()),
        Err(CommitError::Store(error) | CommitError::Unknown(error)) => Err(error.into()),
        Err(CommitError::Conflict | CommitError::Late | CommitError::PathTaken) => {
            Err(DataFolderError::MasterKeyWrong)
        }
    }
}

fn parse_master_key(path: &Path, text: &str) -> Result<MasterKey, DataFolderError> {
    warn_if_shared(path);
    let malformed = || DataFolderError::MasterKeyMalformed(path.to_owned());
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| malformed())?);
    let bytes: [u8; MASTER_KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| malformed())?;
    MasterKey::new(&Zeroizing::new(bytes)).ok_or_else(malformed)
}

fn warn_if_shared(path: &Path) {
    if let Ok(metadata) = std::fs::metadata(path)
        && metadata.permissions().mode() & 0o077 != 0
    {
        tracing::warn!(path = %path.display(), "the master key is readable by others; chmod 600");
    }
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(std::io::Error) -> DataFolderError + 'a {
    move |source| DataFolderError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
