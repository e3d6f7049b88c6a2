//! `keywright audit verify`.

use std::fs::File;
use std::io::{self, Read};

use serde::Deserialize;
use serde_json::json;

use super::log::{self, ShownHead, broken};
use crate::cli::client::Answer;
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

#[derive(Deserialize)]
struct VerifiedLog {
    events: u64,
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
    let verified = json!({ "events": end.sequence, "head": ShownHead::from(end) });
    let answer = Answer::made_here(&verified);
    session
        .output
        .show(&answer, |verified: VerifiedLog, output| {
            output.line(format_args!("the log is whole: {} events", verified.events))?;
            output.line(format_args!("head: {end}"))
        })?;
    if pinned.is_none() {
        let note = "note: without --head this shows that the log is whole in itself; whoever can \
                    write to the database can write all of it anew";
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
