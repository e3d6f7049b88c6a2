//! `keywright man`.

use std::path::PathBuf;

use super::arguments;
use super::failure::Failure;
use super::session::Session;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder for the pages of all commands [default: prints the first page].
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let command = arguments::command();
    let Some(folder) = &arguments.output else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return session.output.bytes(&page);
    };
    clap_mangen::generate_to(command, folder).map_err(|source| Failure::Unwritable {
        what: folder.display().to_string(),
        source,
    })
}
