//! Reading a file that others write.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Why a file was not read.
pub(crate) enum ReadError {
    /// The system cannot.
    Unreadable(io::Error),
    /// It is a folder, a pipe or a device.
    NoFile,
}

/// The content, of which one byte more than `limit` is read, so that a file which is too long is not
/// taken for a shorter one.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, ReadError> {
    // Opening a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(ReadError::Unreadable)?;
    if !metadata.is_file() {
        return Err(ReadError::NoFile);
    }
    let file = File::open(path).map_err(ReadError::Unreadable)?;
    let mut content = Vec::new();
    let limit = u64::try_from(limit).map_or(u64::MAX, |limit| limit.saturating_add(1));
    file.take(limit)
        .read_to_end(&mut content)
        .map_err(ReadError::Unreadable)?;
    Ok(content)
}
