//! Whether the database's path still names the files that were opened.
//!
//! A process that has its files open goes on writing to them when they are moved, deleted or
//! replaced: what it commits then is gone with the process. So the files are looked at before and
//! after every commit and whenever the store is asked. The database itself is never opened for this:
//! closing it would drop the locks that SQLite holds on it (POSIX locks belong to the process).

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::Replaced;

/// The files of a database while they are open.
pub(super) struct OpenFiles {
    database: PathBuf,
    /// The database, its write-ahead log and their shared memory, those that were there.
    files: Vec<(PathBuf, Identity)>,
    contents: Mutex<Contents>,
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// What a write changes of a database file. Commits do not, as they go to the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    size: u64,
    modified: (i64, i64),
}

struct Contents {
    stamp: FileStamp,
    /// How many writes of this process are under way, which change the stamp.
    own_writes: usize,
}

/// What was seen of the files.
pub(super) enum FileLook {
    /// They are as this process has left them.
    Unchanged,
    /// Another process has written to the database file. This is its stamp now.
    Written(FileStamp),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl OpenFiles {
    /// The files as they are now, which must be open already.
    pub(super) fn of(database: &Path) -> std::io::Result<Self> {
        let beside = |suffix: &str| {
            let mut path = database.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        };
        let opened = fs::metadata(database)?;
        let mut files = vec![(database.to_owned(), Identity::of(&opened))];
        for path in [beside("-wal"), beside("-shm")] {
            match fs::metadata(&path) {
                Ok(metadata) => files.push((path, Identity::of(&metadata))),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let contents = Mutex::new(Contents {
            stamp: FileStamp::of(&opened),
            own_writes: 0,
        });
        Ok(Self {
            database: database.to_owned(),
            files,
            contents,
        })
    }

    /// Looks whether every path names the file that was opened, and whether another process has
    /// written to the database.
    pub(super) fn look(&self) -> Result<FileLook, Replaced> {
        let contents = self.lock();
        let mut stamp = contents.stamp;
        for (path, opened) in &self.files {
            match fs::metadata(path) {
                Ok(metadata) if Identity::of(&metadata) == *opened => {
                    if *path == self.database {
                        stamp = FileStamp::of(&metadata);
                    }
                }
                _ => return Err(Replaced { path: path.clone() }),
            }
        }
        if contents.own_writes > 0 || stamp == contents.stamp {
            return Ok(FileLook::Unchanged);
        }
        // No process makes a database smaller, unless it writes another one over it.
        if stamp.size < contents.stamp.size {
            return Err(self.replaced());
        }
        Ok(FileLook::Written(stamp))
    }

    /// What another process has written is this database still.
    pub(super) fn accept(&self, stamp: FileStamp) {
        self.lock().stamp = stamp;
    }

    /// The database is another one.
    pub(super) fn replaced(&self) -> Replaced {
        Replaced {
            path: self.database.clone(),
        }
    }

    /// From now on this process writes, until what is answered is dropped.
    pub(super) fn begin_write(&self) -> OwnWrite<'_> {
        self.lock().own_writes += 1;
        OwnWrite { files: self }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time in which this process writes.
pub(super) struct OwnWrite<'a> {
    files: &'a OpenFiles,
}

impl Drop for OwnWrite<'_> {
    fn drop(&mut self) {
        let mut contents = self.files.lock();
        contents.own_writes = contents.own_writes.saturating_sub(1);
        if contents.own_writes == 0
            && let Ok(metadata) = fs::metadata(&self.files.database)
        {
            contents.stamp = FileStamp::of(&metadata);
        }
    }
}
