//! `keywright register`.

use super::failure::Failure;
use super::session::Session;
use super::whole_file;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Write the register of now. A restore needs one that is no older than its backup.
    Export(Arguments),
}

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where to write it, whole or not at all; - is standard output [default: -].
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
}

pub(super) fn run(command: &Command, session: &mut Session) -> Result<(), Failure> {
    let Command::Export(arguments) = command;
    let client = session.client()?;
    let register = client.stream(client.read_register())?;
    whole_file::save(arguments.output.as_deref(), register, &mut session.output)
}
