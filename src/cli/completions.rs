//! `keywright completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use super::failure::Failure;
use super::session::Session;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The shell that the script is for.
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "keywright",
        &mut script,
    );
    session.output.bytes(&script)
}
