//! `keywright backup`.

use std::io::{self, IsTerminal as _};

use super::failure::Failure;
use super::session::Session;
use super::whole_file;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where to write it, whole or not at all; - is standard output [default: -].
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    if whole_file::named(arguments.output.as_deref()).is_none() && io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "a backup is no text for a terminal: name a file with --output".to_owned(),
        ));
    }
    let client = session.client()?;
    let backup = client.stream(client.take_backup())?;
    whole_file::save(arguments.output.as_deref(), backup, &mut session.output)
}
