//! The log as its lines: read, handed on, and verified on this side.

use std::io::{BufRead as _, BufReader, Read};

use keywright_api::AuditHead;

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::store::chain::{BrokenLink, HeadSource, LogHead, Verification};

/// A head as the API shows it.
pub(super) fn shown(head: LogHead) -> AuditHead {
    AuditHead {
        sequence: head.sequence,
        hash: head.hash.to_string(),
    }
}

/// What is done with each line beside verifying it.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Failure> + 'a;

/// Reads the service's log from `after` on, to its end: every line, also after a broken link. The
/// first of those is the inner error.
pub(super) fn of_service(
    client: &Client,
    after: LogHead,
    pinned: Option<LogHead>,
    sink: &mut Sink<'_>,
) -> Result<Result<LogHead, BrokenLink>, Failure> {
    // The service goes on while its log is read: the log must reach the head of before, and must
    // not go past the head of afterwards.
    let before = head(client)?;
    let pins = pinned.map(|head| (HeadSource::Pinned, head));
    let pins = pins.into_iter().chain([(HeadSource::Service, before)]);
    let export = client.stream(client.export_audit(after.sequence))?;
    let url = export.url();
    let end = read(export, Verification::begin(after, pins), &url, sink)?;
    let afterwards = head(client)?;
    Ok(end.and_then(|end| end.within(afterwards)))
}

fn head(client: &Client) -> Result<LogHead, Failure> {
    let AuditHead { sequence, hash } = client.wait(client.read_audit_head())?.read()?;
    let hash = hash
        .parse()
        .map_err(|error| Failure::rejected("invalid-head", error))?;
    Ok(LogHead { sequence, hash })
}

/// The longest line that is read, in bytes; an event is far shorter.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// Reads lines to their end; `what` names them in an error.
pub(super) fn read(
    export: impl Read,
    verification: Result<Verification, BrokenLink>,
    what: &str,
    sink: &mut Sink<'_>,
) -> Result<Result<LogHead, BrokenLink>, Failure> {
    let mut state = verification;
    let mut lines = BufReader::new(export);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = lines
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line);
        let length = read.map_err(|source| Failure::Unreadable {
            what: what.to_owned(),
            source,
        })?;
        if length == 0 {
            return Ok(state.and_then(Verification::finish));
        }
        sink(&line)?;
        state = state.and_then(|mut verification| {
            verification.read(&line)?;
            Ok(verification)
        });
    }
}

/// A broken link as the reason to exit with 1.
pub(super) fn broken(link: BrokenLink) -> Failure {
    Failure::rejected("audit-log-broken", link)
}
