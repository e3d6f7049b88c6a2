//! A file system of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::report;

/// A file system in memory; gone with this value.
pub struct Mounted(PathBuf);

impl Mounted {
    /// `None`, and a loud line, where this process may not mount. `options` are those of `mount`.
    pub fn at(path: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(path).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(path.to_owned()));
        }
        report("SKIPPED: this test mounts a file system, and this process may not");
        None
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Changes an option, such as `ro`.
    pub fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        let status = Command::new("mount")
            .args(["-o", &option])
            .arg(&self.0)
            .status();
        assert!(status.expect("mount").success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
