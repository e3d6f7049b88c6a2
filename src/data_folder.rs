//! The data folder: who may use it, and how files are written into it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A data folder that this process, and no other, uses.
pub struct DataFolder {
    path: PathBuf,
    /// The lock file, and the folder itself: a lock file that was removed keeps no second process
    /// out. Held for as long as the process lives; the operating system releases them, also after a
    /// crash.
    _locks: [File; 2],
}

/// Why a data folder cannot be used.
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
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("write to the data folder", &lock_path))?;
        let folder = File::open(path).map_err(failed("open the data folder", path))?;
        for (lock, locked) in [(&file, lock_path.as_path()), (&folder, path)] {
            lock.try_lock().map_err(|error| match error {
                TryLockError::WouldBlock => DataFolderError::InUse(path.to_owned()),
                TryLockError::Error(source) => failed("lock", locked)(source),
            })?;
        }
        Ok(Self {
            path: path.to_owned(),
            _locks: [file, folder],
        })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The embedded database.
    pub fn database(&self) -> PathBuf {
        self.path.join("keywright.db")
    }

    /// Where the master key is, unless another source is named.
    pub fn master_key_file(&self) -> PathBuf {
        self.path.join("master.key")
    }

    /// Where the bound addresses are written.
    pub fn listen_file(&self) -> PathBuf {
        self.path.join("listen.json")
    }

    /// Where the bootstrap credential is written.
    pub fn admin_token_file(&self) -> PathBuf {
        self.path.join("admin.token")
    }

    /// The issuance log, unless another file is named: beside the folder, which may be on a disk of
    /// its own. One that an earlier version has begun in the folder is continued there.
    pub fn issuance_log(&self) -> PathBuf {
        Self::issuance_log_of(&self.path)
    }

    /// The issuance log of a data folder that another process may have open.
    pub fn issuance_log_of(path: &Path) -> PathBuf {
        let inside = path.join("issuance.jsonl");
        let folder = path.canonicalize().ok();
        let beside = folder.as_deref().and_then(|folder| {
            let mut name = folder.file_name()?.to_owned();
            name.push("-issuance.jsonl");
            Some(folder.with_file_name(name))
        });
        beside.filter(|_| !inside.exists()).unwrap_or(inside)
    }

    /// The files here that only a service leaves behind which has had a store.
    pub fn traces(&self) -> Vec<PathBuf> {
        let mut traces = vec![self.listen_file(), self.admin_token_file()];
        traces.retain(|path| path.exists());
        traces
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
