//! `keywright audit export`.

use std::fs::File;
use std::io::{self, Write as _};

use super::log::{self, broken};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::store::chain::LogHead;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where to write the lines [default: standard output].
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
    /// Only what follows this head, to go on with a file that ends there.
    #[arg(long, value_name = "SEQUENCE:HASH")]
    after: Option<LogHead>,
}

/// A broken log is written like a whole one, and is an error all the same: it is the evidence.
pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    let after = arguments.after.unwrap_or(LogHead::BEGINNING);
    let end = match &arguments.output {
        Some(path) => {
            let unwritable = |source: io::Error| Failure::Unwritable {
                what: path.clone(),
                source,
            };
            let mut file = File::create(path).map_err(unwritable)?;
            let sink = &mut |line: &[u8]| file.write_all(line).map_err(unwritable);
            let end = log::of_service(&client, after, None, sink)?;
            file.sync_all().map_err(unwritable)?;
            end
        }
        None => {
            let output = &mut session.output;
            log::of_service(&client, after, None, &mut |line| output.bytes(line))?
        }
    };
    session.output.flush()?;
    let end = end.map_err(broken)?;
    session.output.note(format_args!("head: {end}"))
}
