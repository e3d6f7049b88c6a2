//! `keywright completions`.

use clap_complete::Shell;

use super::arguments;
use super::failure::Failure;
use super::session::Session;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The shell that the script is for.
    shell: Shell,
}

pub(super) fn run(shell: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        shell.shell,
        &mut arguments::command(),
        "keywright",
        &mut script,
    );
    session.output.bytes(&script)
}
