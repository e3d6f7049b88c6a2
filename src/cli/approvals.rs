//! `keywright approvals`.

use keywright_api::{Approval, Approvals, AuditEvent, Confirmed};
use keywright_client::AuditFilter;
use serde_json::Value;

use super::client::Client;
use super::failure::Failure;
use super::irreversible::{Consent, Irreversible};
use super::json_text::printable;
use super::moment::seen_from;
use super::repetition;
use super::session::Session;
use super::table::columns;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List the operations that wait for a second person.
    List,
    /// Confirm an operation that another client has asked for: it happens at once.
    Confirm(ConfirmArguments),
    /// Take an operation back, or refuse it.
    Reject(Arguments),
}

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The approval's identifier, as `approvals list` shows it.
    id: String,
}

#[derive(clap::Args)]
pub(super) struct ConfirmArguments {
    /// The approval's identifier, as `approvals list` shows it.
    id: String,
    #[command(flatten)]
    consent: Consent,
}

pub(super) fn run(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::List => list(session),
        Command::Confirm(arguments) => confirm(&arguments, session),
        Command::Reject(Arguments { id }) => reject(&id, session),
    }
}

fn confirm(arguments: &ConfirmArguments, session: &mut Session) -> Result<(), Failure> {
    let ConfirmArguments { id, consent } = arguments;
    let client = session.client()?;
    let waiting = client.wait(client.list_approvals())?.read()?;
    // What no longer waits is refused by the service, which knows what became of it.
    if let Some(approval) = waiting.approvals.iter().find(|one| one.id == *id) {
        let step = Irreversible {
            consequence: sentence(approval),
            word: "yes",
        };
        consent.require(&step, session)?;
    }
    match client.wait(client.confirm(id)) {
        Err(failure) if repetition::is_refused_with(&failure, "approval-ended") => {
            already(&client, id, "approval-confirmed", failure, session)
        }
        answer => session
            .output
            .show(&answer?, |Confirmed { approval, .. }, output| {
                output.line(format_args!("done: {}", printable(&sentence(&approval))))
            }),
    }
}

fn reject(id: &str, session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    match client.wait(client.reject(id)) {
        Err(failure) if repetition::is_refused_with(&failure, "approval-ended") => {
            return already(&client, id, "approval-rejected", failure, session);
        }
        answer => drop(answer?),
    }
    if session.output.is_json() {
        return Ok(());
    }
    session
        .output
        .line(format_args!("operation {} will not happen", printable(id)))
}

/// Whether what was asked for is what has become of an operation that waits no more. What else has
/// become of it is the failure.
fn already(
    client: &Client,
    id: &str,
    event: &str,
    failure: Failure,
    session: &mut Session,
) -> Result<(), Failure> {
    let filter = AuditFilter {
        event: Some(event.to_owned()),
        ..AuditFilter::default()
    };
    let is_meant = |event: &AuditEvent| event.approval.as_deref() == Some(id);
    let Some(earlier) = repetition::find(client, &filter, is_meant)? else {
        return Err(failure);
    };
    if session.output.is_json() {
        return Ok(());
    }
    let done = event.trim_start_matches("approval-");
    let text = format!("operation {id} was already {done}{}", earlier.told());
    session.output.line(printable(&text))
}

/// What an operation does.
fn sentence(approval: &Approval) -> String {
    let Approval {
        issuer, operation, ..
    } = approval;
    let operation = operation.as_str();
    let selector = approval.selector.as_ref();
    let audience = selector.and_then(|one| one.audience.as_ref());
    match (&approval.kid, audience) {
        (Some(kid), _) => format!("{operation} of key {kid} of issuer {issuer}"),
        (_, Some(audience)) => format!("{operation} of audience {audience} of issuer {issuer}"),
        _ => format!("{operation} of issuer {issuer}"),
    }
}

fn list(session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    let answer = client.wait(client.list_approvals())?;
    let now = session.now.floor_seconds();
    session.output.show(&answer, |list: Approvals, output| {
        let rows = list.approvals.into_iter().map(|approval| {
            let who = approval.requested_by.get("name").and_then(Value::as_str);
            let kid = approval.kid.map(|kid| format!("key {kid}"));
            let about: Vec<String> = [kid, approval.reason].into_iter().flatten().collect();
            [
                approval.id,
                approval.issuer.to_string(),
                approval.operation.as_str().to_owned(),
                who.unwrap_or_default().to_owned(),
                seen_from(now, approval.expires_at.0),
                about.join(": "),
            ]
        });
        let headings = ["id", "issuer", "operation", "asked by", "expires", "about"];
        output.line(columns(headings, rows))
    })
}
