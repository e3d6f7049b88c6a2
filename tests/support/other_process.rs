//! Another process that has an SQLite file open, as a shell or a backup tool has.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Runs the statements, says so, and ends its transaction when its input ends.
const PROGRAM: &str = "import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
print('ready', flush=True)
sys.stdin.read()
connection.execute('ROLLBACK')
print('over', flush=True)";

/// The process. It ends with this.
pub(crate) struct OtherProcess(Child);

impl OtherProcess {
    /// One with the write lock.
    pub(crate) fn writes(file: &Path) -> Self {
        Self::runs(file, &["BEGIN IMMEDIATE"])
    }

    /// One in the middle of reading.
    #[allow(dead_code, reason = "some test targets hold up writers alone")]
    pub(crate) fn reads(file: &Path) -> Self {
        Self::runs(file, &["BEGIN", "SELECT count(*) FROM records"])
    }

    fn runs(file: &Path, statements: &[&str]) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM])
            .arg(file)
            .args(statements)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python");
        let mut line = String::new();
        let told = BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line);
        assert!(told.is_ok() && line == "ready\n", "it has run no statement");
        Self(child)
    }

    /// Ends its transaction.
    pub(crate) fn ends(mut self) {
        drop(self.0.stdin.take());
        let mut told = String::new();
        let rest = self
            .0
            .stdout
            .take()
            .expect("a pipe")
            .read_to_string(&mut told);
        assert!(
            rest.is_ok() && told == "over\n",
            "its transaction has not ended"
        );
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
