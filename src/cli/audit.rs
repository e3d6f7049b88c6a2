//! `keywright audit`.

mod export;
mod list;
mod log;
mod token;
mod verify;

use super::failure::Failure;
use super::session::Session;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: list::Arguments,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List events; without a command, too.
    List(list::Arguments),
    /// Show which client got a token, from the files of the issuance log.
    Token(token::Arguments),
    /// Prove that no event was altered, removed or added: recompute every hash here.
    Verify(verify::Arguments),
    /// Write the whole log as JSON Lines, in the form over which the hashes are.
    Export(export::Arguments),
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    match &arguments.command {
        None => list::run(&arguments.list, session),
        Some(Command::List(arguments)) => list::run(arguments, session),
        Some(Command::Token(arguments)) => token::run(arguments, session),
        Some(Command::Verify(arguments)) => verify::run(arguments, session),
        Some(Command::Export(arguments)) => export::run(arguments, session),
    }
}
