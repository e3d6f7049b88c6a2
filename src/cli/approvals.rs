//! `keywright approvals`.

use keywright_api::RevocationSelector;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{Client, segment};
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

#[derive(Deserialize)]
struct Approvals {
    approvals: Vec<Approval>,
}

#[derive(Deserialize)]
struct Approval {
    id: String,
    issuer: String,
    operation: String,
    kid: Option<String>,
    selector: Option<RevocationSelector>,
    requested_by: Map<String, Value>,
    expires_at: u64,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Confirmed {
    approval: Approval,
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
    let waiting: Approvals = client.read("/v1/approvals")?.parse()?;
    // What no longer waits is refused by the service, which knows what became of it.
    if let Some(approval) = waiting.approvals.iter().find(|one| one.id == *id) {
        let step = Irreversible {
            consequence: approval.sentence(),
            word: "yes",
        };
        consent.require(&step, session)?;
    }
    let path = format!("/v1/approvals/{}/confirm", segment(id));
    match client.post(&path, &json!({})) {
        Err(failure) if repetition::is_refused_with(&failure, "approval-ended") => {
            already(&client, id, "approval-confirmed", failure, session)
        }
        answer => session
            .output
            .show(&answer?, |Confirmed { approval }: Confirmed, output| {
                output.line(format_args!("done: {}", printable(&approval.sentence())))
            }),
    }
}

fn reject(id: &str, session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    match client.delete(&format!("/v1/approvals/{}", segment(id))) {
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
    let is_meant = |event: &Map<String, Value>| event.get("approval") == Some(&Value::from(id));
    let Some(earlier) = repetition::find(client, event, "", is_meant)? else {
        return Err(failure);
    };
    if session.output.is_json() {
        return Ok(());
    }
    let done = event.trim_start_matches("approval-");
    let text = format!("operation {id} was already {done}{}", earlier.told());
    session.output.line(printable(&text))
}

impl Approval {
    /// What the operation does.
    fn sentence(&self) -> String {
        let Self {
            issuer, operation, ..
        } = self;
        let audience = self.selector.as_ref().and_then(|one| one.audience.as_ref());
        match (&self.kid, audience) {
            (Some(kid), _) => format!("{operation} of key {kid} of issuer {issuer}"),
            (_, Some(audience)) => format!("{operation} of audience {audience} of issuer {issuer}"),
            _ => format!("{operation} of issuer {issuer}"),
        }
    }
}

fn list(session: &mut Session) -> Result<(), Failure> {
    let answer = session.client()?.read("/v1/approvals")?;
    let now = session.now.floor_seconds();
    session.output.show(&answer, |list: Approvals, output| {
        let rows = list.approvals.into_iter().map(|approval| {
            let who = approval.requested_by.get("name").and_then(Value::as_str);
            let kid = approval.kid.map(|kid| format!("key {kid}"));
            let about: Vec<String> = [kid, approval.reason].into_iter().flatten().collect();
            [
                approval.id,
                approval.issuer,
                approval.operation,
                who.unwrap_or_default().to_owned(),
                seen_from(now, approval.expires_at),
                about.join(": "),
            ]
        });
        let headings = ["id", "issuer", "operation", "asked by", "expires", "about"];
        output.line(columns(headings, rows))
    })
}
