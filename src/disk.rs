//! How much space a file system has left, and how much of it is kept for what must not fail.
//!
//! Everything is measured in the size of the reserve of the embedded store
//! (`store/sqlite/reserve.rs`). The logs leave more free than the reserve has, so that they cannot
//! take what it gives up.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{StatVfs, fstatvfs, statvfs};

/// The size of a reserve, in bytes, on a file system that is large enough.
const RESERVE: u64 = 16 << 20;

/// A file system has at least so many times the size of its reserve.
const RESERVE_SHARE: u64 = 8;

/// The space of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// What this process may still use.
    pub(crate) free: u64,
    /// All of it.
    pub(crate) total: u64,
}

impl Space {
    /// The space around a path.
    ///
    /// # Errors
    /// When the path does not exist, or the operating system does not say.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::of(statvfs(path)?))
    }

    /// The space around an open file; `None` for a pipe, a terminal or a device, which take none.
    pub(crate) fn around(file: &File) -> Option<Self> {
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let space = is_file.then(|| fstatvfs(file.as_fd()).ok()).flatten();
        space.map(Self::of)
    }

    fn of(stat: StatVfs) -> Self {
        Self {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        }
    }

    /// Whether less than so many sizes of a reserve are free.
    pub(crate) fn is_short_of(self, reserves: u64) -> bool {
        self.free < self.reserve_size().saturating_mul(reserves)
    }

    /// The size of a reserve here, in bytes: 16 MiB, and at most an eighth of the file system.
    pub(crate) fn reserve_size(self) -> u64 {
        RESERVE.min(self.total / RESERVE_SHARE)
    }
}
