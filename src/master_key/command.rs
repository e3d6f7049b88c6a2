//! A command that prints a key.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use crate::config::MASTER_KEY_VARIABLES;

/// The most that is read of what a command prints: a key in base64 has 44 characters.
const LONGEST: usize = 1024;

/// Why a command did not print a key. What it said is not repeated: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It cannot be run.
    #[error("the command cannot be run: {0}")]
    NotRun(#[source] std::io::Error),
    /// It took too long, and was ended.
    #[error("the command did not end within {} s, and was killed", .0.as_secs_f32())]
    TimedOut(Duration),
    /// It said that it failed.
    #[error(
        "the command failed ({status}); what it said on standard error ({said} bytes) is not \
         shown, because it may be a secret: run it by hand"
    )]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// How much it said.
        said: u64,
    },
    /// It printed something else.
    #[error("the command printed no text, or more than {LONGEST} bytes, where a key was expected")]
    NoKey,
}

/// Runs a program, without a shell, and answers what it printed. It gets our environment without
/// the keys in it, and nothing on standard input.
pub(super) async fn run(
    words: &[String],
    patience: Duration,
) -> Result<Zeroizing<String>, CommandError> {
    let (program, arguments) = words.split_first().ok_or(CommandError::NoKey)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Whatever it has started ends with it.
        .process_group(0)
        .kill_on_drop(true);
    for variable in MASTER_KEY_VARIABLES {
        command.env_remove(variable);
    }
    let mut child = command.spawn().map_err(CommandError::NotRun)?;
    let group = child.id();
    let listening = tokio::time::timeout(patience, listen(&mut child)).await;
    let Ok(heard) = listening else {
        end(group);
        return Err(CommandError::TimedOut(patience));
    };
    let (printed, said, status) = heard.map_err(CommandError::NotRun)?;
    if !status.success() {
        return Err(CommandError::Failed { status, said });
    }
    let text = std::str::from_utf8(&printed).map_err(|_| CommandError::NoKey)?;
    if printed.len() > LONGEST || text.trim().is_empty() {
        return Err(CommandError::NoKey);
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Looks for the program without running it, as running it does: by its path, or in `PATH`.
pub(super) fn find(words: &[String]) -> Result<(), CommandError> {
    let program = Path::new(words.first().ok_or(CommandError::NoKey)?);
    let can_run = |path: &Path| access(path, Access::EXEC_OK);
    if program.components().count() == 1 && program.is_relative() {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let mut programs = std::env::split_paths(&folders).map(|folder| folder.join(program));
        let found = programs.any(|path| can_run(&path).is_ok());
        let absent = || CommandError::NotRun(ErrorKind::NotFound.into());
        return found.then_some(()).ok_or_else(absent);
    }
    can_run(program).map_err(|error| CommandError::NotRun(error.into()))
}

/// What it printed, how much it said beside that, and how it ended.
async fn listen(child: &mut Child) -> std::io::Result<(Zeroizing<Vec<u8>>, u64, ExitStatus)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (printed, said) = tokio::join!(head(stdout), length(stderr));
    Ok((printed?, said?, child.wait().await?))
}

/// The first bytes of what is printed. The room is taken at once, so that no copy is left behind.
/// A command that prints more is told by a closed pipe.
async fn head(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * LONGEST));
    if let Some(stream) = stream {
        let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
        let mut stream = stream.take(most.saturating_add(1));
        while stream.read_buf(&mut *bytes).await? > 0 {}
    }
    Ok(bytes)
}

async fn length(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<u64> {
    match stream {
        Some(mut stream) => tokio::io::copy(&mut stream, &mut tokio::io::sink()).await,
        None => Ok(0),
    }
}

fn end(group: Option<u32>) {
    let group = group
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(group) = group {
        // It may have ended just now.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, patience: Duration) -> Result<Zeroizing<String>, CommandError> {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        run(&words, patience).await
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn what_is_printed_is_the_answer() {
        let printed = sh("echo noise >&2; printf ' key\\n'", LONG).await.unwrap();
        assert_eq!(printed.as_str(), " key\n");
    }

    #[tokio::test]
    async fn arguments_reach_the_program_as_they_are() {
        let words = ["/bin/echo", "a  b", "$HOME;", "'"].map(str::to_owned);
        let printed = run(&words, LONG).await.unwrap();
        assert_eq!(printed.as_str(), "a  b $HOME; '\n");
    }

    #[tokio::test]
    async fn a_failure_tells_the_status_and_repeats_nothing() {
        let script = "echo hunter2; echo hunter2-again >&2; exit 7";
        let error = sh(script, LONG).await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("exit status: 7") && said.contains("14 bytes"),
            "{said}"
        );
        assert!(!format!("{said} {error:?}").contains("hunter2"), "{said}");
    }

    #[tokio::test]
    async fn rubbish_is_no_key() {
        for script in ["true", "printf '\\377'", "yes", "head -c 1025 /dev/zero"] {
            let error = sh(script, LONG).await.unwrap_err();
            // A program that is stopped by a closed pipe has failed, too.
            assert!(
                matches!(error, CommandError::NoKey | CommandError::Failed { .. }),
                "{script}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named_as_such() {
        let error = run(&["/nowhere".to_owned()], LONG).await.unwrap_err();
        assert!(matches!(error, CommandError::NotRun(_)), "{error}");
        assert!(matches!(run(&[], LONG).await, Err(CommandError::NoKey)));
    }

    // The program that the shell has started holds the pipe, and must end, too.
    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", name.display());
        let error = sh(&script, Duration::from_millis(500)).await.unwrap_err();
        assert!(matches!(error, CommandError::TimedOut(_)), "{error}");
        let process = std::fs::read_to_string(&name).unwrap();
        let status = format!("/proc/{}/stat", process.trim());
        let mut left = 200;
        // It is gone, or a zombie that no process has waited for yet.
        while std::fs::read_to_string(&status).is_ok_and(|stat| !stat.contains(") Z ")) {
            left -= 1;
            assert!(left > 0, "it lives on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
