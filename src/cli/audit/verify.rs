//! `keywright audit verify`.

use std::fs::File;
use std::io::{self, Read};

use keywright_api::AuditHead;
use serde::Serialize;

use super::log::{self, broken, shown};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::store::chain::{HeadSource, LogHead, Verification};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// An exported log to verify instead of the service's, or - for standard input; no server is
    /// asked.
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// A head that was written down before: the log must pass through it.
    #[arg(long, value_name = "SEQUENCE:HASH")]
    head: Option<LogHead>,
}

/// A log that is whole.
#[derive(Serialize)]
struct VerifiedLog {
    events: u64,
    head: AuditHead,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let pinned = arguments.head;
    let sink = &mut |_: &[u8]| Ok(());
    let end = match &arguments.file {
        Some(path) => {
            let pins = pinned.map(|head| (HeadSource::Pinned, head));
            let verification = Verification::begin(LogHead::BEGINNING, pins);
            log::read(open(path)?, verification, path, sink)?
        }
        None => log::of_service(&session.client()?, LogHead::BEGINNING, pinned, sink)?,
    };
    let end = end.map_err(broken)?;
    let verified = VerifiedLog {
        events: end.sequence,
        head: shown(end),
    };
    session.output.show_found(verified, |verified, output| {
        output.line(format_args!("the log is whole: {} events", verified.events))?;
        output.line(format_args!("head: {end}"))
    })?;
    if pinned.is_none() {
        let note = "note: without --head this shows that the log is whole in itself; anyone who \
                    can write to the database can rewrite all of it";
        session.output.note(note)?;
    }
    Ok(())
}

fn open(path: &str) -> Result<Box<dyn Read>, Failure> {
    if path == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|source| Failure::Unreadable {
        what: path.to_owned(),
        source,
    })?;
    Ok(Box::new(file))
}
