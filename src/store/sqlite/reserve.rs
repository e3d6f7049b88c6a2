//! Disk space that is kept for changes that must not fail.
//!
//! An attacker, or anything else on the machine, can fill the disk. A client is deleted and a key
//! revoked even then: a file beside the database holds space, and is removed when such a change
//! finds the disk full. Until it can be made again no other change is committed, so that none of
//! them takes the space that was given up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::disk::Space;

/// The smallest reserve that is worth its place, in bytes. A revocation writes about 50 KiB.
const SMALLEST: u64 = 256 << 10;

/// A reserve is made where so many times its size is free.
const FREE_TO_MAKE: u64 = 2;

/// A file that holds disk space beside a database.
pub(super) struct Reserve {
    folder: PathBuf,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The file is there.
    Held,
    /// It was given up, and there has not been space for it since.
    GivenUp,
    /// There has been no space for it since this process began.
    NotMade,
}

impl Reserve {
    /// The reserve of a database. One that is there on a full disk is given up: opening the
    /// database needs space.
    pub(super) fn beside(database: &Path) -> Self {
        let folder = database.parent().filter(|it| !it.as_os_str().is_empty());
        let path = database.with_extension("reserve");
        let reserve = Self {
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            state: Mutex::new(match path.is_file() {
                true => State::Held,
                false => State::NotMade,
            }),
            path,
        };
        if Space::at(&reserve.folder).is_ok_and(|space| space.free < SMALLEST) {
            reserve.give_up();
        }
        reserve
    }

    /// Whether the space is there.
    pub(super) fn is_held(&self) -> bool {
        *self.lock() == State::Held
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is space for a change that may fail.
    pub(super) fn leaves_space(&self) -> bool {
        let reserves = match *self.lock() {
            State::Held => return true,
            State::GivenUp => FREE_TO_MAKE,
            State::NotMade => 1,
        };
        // Without an answer the commit finds out.
        Space::at(&self.folder).map_or(true, |space| {
            space.reserve_size() < SMALLEST || !space.is_short_of(reserves)
        })
    }

    /// Gives the space up. Answers whether there was any.
    pub(super) fn give_up(&self) -> bool {
        let mut state = self.lock();
        if *state != State::Held {
            return false;
        }
        *state = State::GivenUp;
        let removed = fs::remove_file(&self.path);
        let path = self.path.display();
        match &removed {
            Ok(()) => tracing::error!(
                %path,
                "the disk is full, and the reserve is given up: until space is freed only \
                 revocations, rotations, deletions and backups are committed"
            ),
            Err(error) => tracing::error!(%path, %error, "the reserve cannot be given up"),
        }
        removed.is_ok()
    }

    /// Makes the reserve if it is not there and there is space for it. This may block.
    pub(super) fn make(&self) {
        if self.is_held() {
            return;
        }
        let Ok(space) = Space::at(&self.folder) else {
            return;
        };
        let size = space.reserve_size();
        if size < SMALLEST || space.is_short_of(FREE_TO_MAKE) {
            return;
        }
        match allocate(&self.path, size) {
            Ok(()) => {
                *self.lock() = State::Held;
                tracing::info!(path = %self.path.display(), bytes = size, "made the reserve");
            }
            Err(error) => {
                tracing::debug!(path = %self.path.display(), %error, "the reserve cannot be made");
            }
        }
    }
}

/// Makes a file whose space is taken on the disk, whole or not at all.
fn allocate(path: &Path, size: u64) -> io::Result<()> {
    let draft = path.with_extension("reserve-draft");
    let taken = take(&draft, size).and_then(|()| fs::rename(&draft, path));
    if taken.is_err() {
        let _ = fs::remove_file(&draft);
    }
    taken
}

fn take(draft: &Path, size: u64) -> io::Result<()> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(draft)?;
    match fallocate(&file, FallocateFlags::empty(), 0, size) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeroes(&mut file, size)?,
        Err(error) => return Err(error.into()),
    }
    file.sync_all()
}

fn write_zeroes(file: &mut File, size: u64) -> io::Result<()> {
    let zeroes = [0; 1 << 16];
    let mut left = size;
    while left > 0 {
        let count = usize::try_from(left).map_or(zeroes.len(), |left| left.min(zeroes.len()));
        file.write_all(zeroes.get(..count).unwrap_or_default())?;
        left = left.saturating_sub(u64::try_from(count).unwrap_or(left));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn database() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keywright.db");
        (folder, path)
    }

    #[test]
    fn a_reserve_takes_its_space_on_the_disk_and_is_found_again() {
        let (_folder, database) = database();
        let reserve = Reserve::beside(&database);
        assert!(!reserve.is_held());
        reserve.make();
        let path = database.with_extension("reserve");
        let made = fs::metadata(&path).unwrap();
        assert!(reserve.is_held());
        assert!(made.blocks() * 512 >= made.len() && made.len() >= SMALLEST);
        assert_eq!(made.mode() & 0o777, 0o600);
        assert!(Reserve::beside(&database).is_held());

        assert!(reserve.give_up());
        assert!(!reserve.give_up(), "it is given up once");
        assert!(!path.exists());
        reserve.make();
        assert!(reserve.is_held() && path.exists());
    }

    #[test]
    fn zeroes_take_space_where_the_file_system_cannot_allocate() {
        let (_folder, path) = database();
        let size = (1 << 16) * 3 + 5;
        write_zeroes(&mut File::create(&path).unwrap(), size).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), size);
    }

    #[test]
    fn a_draft_that_a_crash_left_behind_is_replaced() {
        let (_folder, database) = database();
        fs::write(database.with_extension("reserve-draft"), "rest").unwrap();
        let reserve = Reserve::beside(&database);
        reserve.make();
        assert!(reserve.is_held());
        assert!(!database.with_extension("reserve-draft").exists());
    }
}
