//! `keywright approvals`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::segment;
use super::failure::Failure;
use super::moment::rfc3339;
use super::session::Session;
use super::table::columns;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List the operations that wait for a second person.
    List,
    /// Confirm an operation that another client has asked for: it happens at once.
    Confirm(Arguments),
    /// Take an operation back, or refuse it.
    Reject(Arguments),
}

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The approval's identifier, as `approvals list` shows it.
    id: String,
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
        Command::Confirm(Arguments { id }) => {
            let path = format!("/v1/approvals/{}/confirm", segment(&id));
            let answer = session.client()?.post(&path, &json!({}))?;
            session
                .output
                .show(&answer, |Confirmed { approval }: Confirmed, output| {
                    output.line(format_args!(
                        "done: {} of issuer {}",
                        approval.operation, approval.issuer
                    ))
                })
        }
        Command::Reject(Arguments { id }) => {
            let path = format!("/v1/approvals/{}", segment(&id));
            session.client()?.delete(&path)?;
            if session.output.is_json() {
                return Ok(());
            }
            session
                .output
                .line(format_args!("operation {id} will not happen"))
        }
    }
}

fn list(session: &mut Session) -> Result<(), Failure> {
    let answer = session.client()?.read("/v1/approvals")?;
    session.output.show(&answer, |list: Approvals, output| {
        let rows = list.approvals.into_iter().map(|approval| {
            let who = approval.requested_by.get("name").and_then(Value::as_str);
            [
                approval.id,
                approval.issuer,
                approval.operation,
                approval.kid.unwrap_or_default(),
                who.unwrap_or_default().to_owned(),
                rfc3339(approval.expires_at),
                approval.reason.unwrap_or_default(),
            ]
        });
        let headings = [
            "id",
            "issuer",
            "operation",
            "kid",
            "asked by",
            "until",
            "reason",
        ];
        output.line(columns(headings, rows))
    })
}
