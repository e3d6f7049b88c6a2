//! Standard output and standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write as _};
use std::process::ExitCode;

use serde::de::DeserializeOwned;
use serde_json::json;

use super::client::Answer;
use super::failure::Failure;
use super::json_text;

/// Who reads the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Tables and sentences.
    People,
    /// The JSON of the contract.
    Json,
}

/// Where a command writes. Standard output is locked once and flushed at the end.
pub(super) struct Output {
    format: Format,
    stdout: BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            stdout: BufWriter::new(io::stdout().lock()),
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes one line, or several.
    pub(super) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        Ok(writeln!(self.stdout, "{text}")?)
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.stdout.write_all(bytes)?)
    }

    /// Writes an answer: for programs as it is, for people as `tell` says it.
    pub(super) fn show<T: DeserializeOwned>(
        &mut self,
        answer: &Answer,
        tell: impl FnOnce(T, &mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.is_json() {
            self.line(json_text::indented(answer.text()))
        } else {
            tell(answer.parse()?, self)
        }
    }

    /// A remark beside the answer: goes to standard error, so that the answer can be captured.
    pub(super) fn note(&mut self, text: impl Display) -> Result<(), Failure> {
        // A user who reads both streams sees them in the order of the program.
        self.flush()?;
        // A remark that cannot be written is no reason to fail.
        drop(writeln!(io::stderr(), "{text}"));
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.stdout.flush()?)
    }

    /// Reports why the command ended and says what the process exits with.
    pub(super) fn report(&mut self, failure: &Failure) -> ExitCode {
        if let Failure::Output(error) = failure
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            // The reader, `head` for one, has seen enough.
            return ExitCode::SUCCESS;
        }
        if self.is_json() {
            let document = match failure {
                Failure::Refused(problem) => json_text::indented(&problem.document),
                _ => {
                    let document = json!({"code": failure.code(), "detail": failure.to_string()});
                    json_text::indented(&document.to_string())
                }
            };
            // The exit code and standard error say the same.
            drop(self.line(document).and_then(|()| self.flush()));
        }
        let detail = json_text::printable(&failure.to_string());
        drop(writeln!(
            io::stderr(),
            "error: {}: {detail}",
            failure.code()
        ));
        match failure {
            Failure::Usage(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}
