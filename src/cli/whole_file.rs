//! Files that are there whole or not at all, and for their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::client::Stream;
use super::failure::Failure;
use super::output::Output;

/// What `--output` names: a file, or standard output with `-` or without the flag.
pub(super) fn named(output: Option<&str>) -> Option<&str> {
    output.filter(|path| *path != "-")
}

/// Writes a long answer into a file, or to standard output when none is named.
pub(super) fn save(
    path: Option<&str>,
    mut input: Stream<'_>,
    output: &mut Output,
) -> Result<(), Failure> {
    let what = &input.url();
    let Some(path) = named(path) else {
        return copy(&mut input, what, &mut |bytes| output.bytes(bytes));
    };
    let unwritable = |source: io::Error| Failure::Unwritable {
        what: path.to_owned(),
        source,
    };
    let write = |mut file: &File, input: &mut dyn Read| {
        copy(input, what, &mut |bytes| {
            file.write_all(bytes).map_err(unwritable)
        })
    };
    // A device or a pipe is written to, and a link keeps leading to its file: neither is replaced.
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        let file = OpenOptions::new().write(true).open(path);
        return write(&file.map_err(unwritable)?, &mut input);
    }
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let temporary = TemporaryFile::create(&path).map_err(unwritable)?;
    write(&temporary.file, &mut input)?;
    temporary.persist(&path).map_err(unwritable)
}

/// Forces a file to the disk. What is no file has none.
pub(super) fn sync(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() {
        file.sync_all()?;
    }
    Ok(())
}

fn copy(
    input: &mut dyn Read,
    what: &str,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(Failure::Unreadable {
                    what: what.to_owned(),
                    source,
                });
            }
        };
        sink(buffer.get(..length).unwrap_or_default())?;
    }
}

/// A file under a temporary name, which is removed when this is dropped.
struct TemporaryFile {
    path: PathBuf,
    file: File,
}

impl TemporaryFile {
    fn create(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".draft");
        let path = path.with_file_name(name);
        // One that a crash left behind may have other permissions.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Self { path, file })
    }

    fn persist(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // A file that was persisted has no temporary name any longer.
        let _ = fs::remove_file(&self.path);
    }
}
