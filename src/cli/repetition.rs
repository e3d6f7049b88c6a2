//! What is done already: repeating it is no failure, and says who did it and when.

use keywright_api::{AuditEvent, AuditPage, LARGEST_PAGE, Nullable};
use keywright_client::AuditFilter;

use super::client::Client;
use super::failure::Failure;
use super::moment::rfc3339;

/// An earlier act, as the audit log has it.
#[derive(Default)]
pub(super) struct EarlierAct {
    pub(super) at: Option<u64>,
    /// The client that did it; `None` where the caller may not read the audit log.
    pub(super) by: Option<String>,
}

impl EarlierAct {
    /// ` at … by …`, as far as it is known.
    pub(super) fn told(&self) -> String {
        let at = self.at.map(|at| format!(" at {}", rfc3339(at)));
        let by = self.by.as_ref().map(|by| format!(" by {by}"));
        [at, by].into_iter().flatten().collect()
    }
}

/// The last event that passes the filter and `is_meant`; `None` when there is none, or when the caller
/// may not read the audit log.
pub(super) fn find(
    client: &Client,
    filter: &AuditFilter,
    is_meant: impl Fn(&AuditEvent) -> bool,
) -> Result<Option<EarlierAct>, Failure> {
    let mut found = None;
    let mut after = 0;
    loop {
        let page = client.wait(client.read_audit(filter, after, LARGEST_PAGE));
        let AuditPage { events, next } = match page {
            Err(Failure::Refused(problem)) if problem.status == 403 => return Ok(found),
            page => page?.read()?,
        };
        if let Some(event) = events.into_iter().filter(&is_meant).last() {
            found = Some(EarlierAct {
                at: Some(event.at.0),
                by: event
                    .actor
                    .map(|actor| actor.name.unwrap_or_else(|| actor.kind.as_str().to_owned())),
            });
        }
        match next {
            Nullable::Value(next) => after = next,
            Nullable::Null => return Ok(found),
        }
    }
}

/// Whether the service refused something with this code.
pub(super) fn is_refused_with(failure: &Failure, code: &str) -> bool {
    matches!(failure, Failure::Refused(problem) if problem.code == code)
}
