//! `keywright backup`.

use super::failure::Failure;
use super::session::Session;
use super::whole_file;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where to write it, whole or not at all [default: standard output].
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let (backup, url) = session.client()?.stream_post("/v1/backup")?;
    whole_file::save(
        arguments.output.as_deref(),
        backup,
        &url,
        &mut session.output,
    )
}
