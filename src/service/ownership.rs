//! Files that root makes for the user of the service.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use rustix::process::geteuid;

/// Makes an empty file in a folder of another user, for that user: root restores what a service
/// without its rights opens. SQLite gives the files beside a database the owner of the database.
///
/// A file that is there keeps its owner, and so does what a link leads to: the owner of the folder
/// could have put it there.
///
/// # Errors
/// When the operating system refuses.
pub(super) fn make_for_owner(folder: &Path, file: &Path) -> io::Result<()> {
    let Ok(owner) = fs::metadata(folder) else {
        return Ok(());
    };
    if !geteuid().is_root() || owner.uid() == geteuid().as_raw() {
        return Ok(());
    }
    let made = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(file);
    match made {
        Ok(file) => fchown(&file, Some(owner.uid()), Some(owner.gid())),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
