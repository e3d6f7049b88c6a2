//! Standard output and standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write as _};
use std::process::ExitCode;

use keywright_client::Answer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

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
        answer: &Answer<T>,
        tell: impl FnOnce(T, &mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.is_json() {
            self.line(json_text::indented(answer.text()))
        } else {
            tell(answer.read()?, self)
        }
    }

    /// Writes what this program has found out: for programs as JSON, for people as `tell` says it.
    pub(super) fn show_found<T: Serialize>(
        &mut self,
        found: T,
        tell: impl FnOnce(T, &mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.is_json() {
            let document = serde_json::to_string(&found);
            let document = document.map_err(|error| Failure::Output(error.into()))?;
            self.line(json_text::indented(&document))
        } else {
            tell(found, self)
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
                    let detail = one_line(&failure.to_string());
                    let document = json!({"code": failure.code(), "detail": detail});
                    json_text::indented(&document.to_string())
                }
            };
            // The exit code and standard error say the same.
            drop(self.line(document).and_then(|()| self.flush()));
        }
        let mut text = format!("error: {}\n", told(&failure.to_string()));
        if let Some(hint) = failure.hint() {
            text.push_str(&format!("hint: {}\n", told(hint)));
        }
        text.push_str(&format!("code: {}\n", told(failure.code())));
        // An error that cannot be written leaves the exit code.
        drop(io::stderr().write_all(text.as_bytes()));
        match failure {
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Drift(_) => ExitCode::from(3),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Foreign text as one line that cannot act on the terminal.
fn told(text: &str) -> String {
    json_text::printable(&one_line(text))
}

/// A text whose lines follow each other, without the numbers that the operating system has for its
/// errors.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join(" ");
    let mut parts = text.split(" (os error ");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                shown.push_str(rest);
            }
            _ => shown.extend([" (os error ", part]),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_without_numbers_of_the_system() {
        for (text, shown) in [
            ("a: b (os error 2)", "a: b"),
            ("a (os error 2): b (os error 13)", "a: b"),
            ("a (os error x)", "a (os error x)"),
            ("a\n  |\r\n1 | b\n\n", "a | 1 | b"),
            ("a\u{1b}[2J", "a\\u001b[2J"),
        ] {
            assert_eq!(told(text), shown);
        }
    }
}
