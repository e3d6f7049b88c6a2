//! `keywright audit export`.

use std::fs::File;
use std::io::{self, Write as _};

use super::log::{self, broken};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::whole_file;
use crate::store::chain::LogHead;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where to write the lines; - is standard output [default: -].
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
    let end = match whole_file::named(arguments.output.as_deref()) {
        Some(path) => {
            let unwritable = |source: io::Error| Failure::Unwritable {
                what: path.to_owned(),
                source,
            };
            let mut file = File::create(path).map_err(unwritable)?;
            let sink = &mut |line: &[u8]| file.write_all(line).map_err(unwritable);
            let end = log::of_service(&client, after, None, sink)?;
            whole_file::sync(&file).map_err(unwritable)?;
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
