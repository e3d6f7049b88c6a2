//! A copy that is a file. Its readers see the one before or the next, and never a part: the next is written
//! beside it, forced to the disk and renamed.
//!
//! A second file beside it, `.NAME.keywright`, says which set the copy is, and is locked while a process
//! looks and writes: two processes on one machine, or on one volume, do so one after the other.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Found, Precondition, PushError};
use crate::clock::Clock;
use crate::push::{CopyMark, KeySetCopy, hash_of};

/// How often a lock is tried that another process has, and how many times.
const TRIED_EVERY: Duration = Duration::from_millis(50);
const TRIES: u32 = 100;

/// The largest copy and mark that are read.
const LARGEST: u64 = 1024 * 1024;

/// Where a copy is.
pub(super) struct CopyFile {
    path: PathBuf,
}

fn failed(what: &str, path: &Path) -> impl Fn(io::Error) -> PushError {
    let place = format!("cannot {what} {}", path.display());
    move |error| PushError(format!("{place}: {error}"))
}

impl CopyFile {
    pub(super) fn at(path: &str) -> Self {
        Self { path: path.into() }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// A file beside it.
    fn beside(&self, ending: &str) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        self.folder().join(format!(".{name}.{ending}"))
    }

    /// What is there. No other process writes until what is returned is dropped.
    pub(super) async fn look(&self, clock: &Clock) -> Result<Found, PushError> {
        let marks = self.beside("keywright");
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&marks);
        let lock = opened.map_err(failed("write", &marks))?;
        let mut tries = 0..TRIES;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed("lock", &marks)(error)),
                Err(TryLockError::WouldBlock) if tries.next().is_none() => {
                    let error = io::Error::from(io::ErrorKind::ResourceBusy);
                    return Err(failed("lock", &marks)(error));
                }
                Err(TryLockError::WouldBlock) => clock.sleep(TRIED_EVERY).await,
            }
        }
        let mut text = String::new();
        let read = (&lock).take(LARGEST).read_to_string(&mut text);
        let mark = match read {
            Ok(_) => CopyMark::parse(&text),
            // It is not ours, and will be overwritten.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
            Err(error) => return Err(failed("read", &marks)(error)),
        };
        let body = match fs::read(&self.path) {
            Ok(body) => Some(hash_of(&body)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &self.path)(error)),
        };
        let is_intact = mark.as_ref().map(|mark| &mark.body) == body.as_ref();
        Ok(Found {
            mark,
            is_intact,
            precondition: Precondition::Lock(lock),
        })
    }

    /// Puts a copy there. Of a crash the next push finds a file that it removes, and never a copy that is not
    /// whole.
    pub(super) fn write(&self, mut lock: File, copy: &KeySetCopy) -> Result<(), PushError> {
        let next = self.beside("next");
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &next)(error));
            }
            _ => {}
        }
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&next);
        let mut file = created.map_err(failed("write", &next))?;
        file.write_all(&copy.body)
            .and_then(|()| file.sync_all())
            .map_err(failed("write", &next))?;
        // The mark comes before what it is about: a process that finds it writes no older set.
        let marks = self.beside("keywright");
        lock.rewind()
            .and_then(|()| lock.set_len(0))
            .and_then(|()| lock.write_all(copy.mark.to_text().as_bytes()))
            .and_then(|()| lock.sync_all())
            .map_err(failed("write", &marks))?;
        fs::rename(&next, &self.path).map_err(failed("replace", &self.path))?;
        let folder = File::open(self.folder()).and_then(|folder| folder.sync_all());
        folder.map_err(failed("write", self.folder()))
    }
}
