//! Where lines go: standard output, or a file that is followed when it is renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use crate::clock::Stopwatch;
use crate::disk::Space;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, which is made with mode 0600 and only ever appended to.
    File(PathBuf),
}

/// How often the path is looked at, to see whether it still names the open file.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

pub(super) enum Output {
    Stdout(File),
    File {
        path: PathBuf,
        file: File,
        followed: Stopwatch,
    },
}

impl Output {
    pub(super) fn open(destination: Destination) -> io::Result<Self> {
        Ok(match destination {
            // A descriptor of its own: what `Stdout` buffers could be written twice or never.
            Destination::Stdout => Self::Stdout(io::stdout().as_fd().try_clone_to_owned()?.into()),
            Destination::File(path) => Self::File {
                file: open(&path)?,
                path,
                followed: Stopwatch::start(),
            },
        })
    }

    /// The space around the file; `None` for what takes none.
    pub(super) fn space(&self) -> Option<Space> {
        let (Self::Stdout(file) | Self::File { file, .. }) = self;
        Space::around(file)
    }

    /// Writes the bytes from `written` on, and moves it. After an error it says where to go on.
    pub(super) fn write(&mut self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        let file = match self {
            Self::Stdout(file) => file,
            Self::File {
                path,
                file,
                followed,
            } => {
                if followed.elapsed() >= FOLLOW_EVERY {
                    if !names(path, file)? {
                        *file = open(path)?;
                        // A line that broke off in the old file stands whole in the new one.
                        *written = line_start(bytes, *written);
                    }
                    *followed = Stopwatch::start();
                }
                file
            }
        };
        while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Opens a file at its end. A line that a crash or a full disk broke off is ended, so that it spoils
/// no other.
fn open(path: &Path) -> io::Result<File> {
    // A pipe without a reader must not hold up the start, nor a full one the end.
    let non_blocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(non_blocking)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.len() > 0 {
        let mut reader = File::open(path)?;
        reader.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        reader.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

fn names(path: &Path, file: &File) -> io::Result<bool> {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path) {
        Ok(named) => Ok(identity(named) == identity(file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn line_start(bytes: &[u8], at: usize) -> usize {
    let before = bytes.get(..at).unwrap_or_default();
    let end = before.iter().rposition(|byte| *byte == b'\n');
    end.map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_is_ended_when_its_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "whole\nbro").unwrap();
        for line in ["one\n", "two\n"] {
            let mut output = Output::open(Destination::File(path.clone())).unwrap();
            output.write(line.as_bytes(), &mut 0).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nbro\none\ntwo\n");
    }

    #[test]
    fn a_line_that_broke_off_begins_anew_in_a_new_file() {
        let bytes = b"one\ntwo\nthree\n";
        let starts = [0, 3, 4, 7, 8, 13, 14].map(|at| line_start(bytes, at));
        assert_eq!(starts, [0, 0, 4, 4, 8, 8, 14]);
    }
}
