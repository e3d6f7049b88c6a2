//! `keywright grants`: sessions whose tokens are renewed.

use keywright_api::{Grant, Grants, Nullable, UnixSeconds};
use serde_json::Value;

use super::failure::Failure;
use super::json_text::printable;
use super::moment::seen_from;
use super::session::Session;
use super::table::{columns, pairs};
use crate::lifecycle::IssuerName;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Show grants: up to 1,000, or those of one subject.
    List(ListArguments),
    /// Show one grant, without its tokens.
    Show(OneArguments),
    /// End a grant: it is renewed no more, and its access tokens are refused.
    End(OneArguments),
}

/// The issuer of the grants.
#[derive(clap::Args)]
struct OfIssuer {
    /// The issuer of the grants.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "default",
        value_parser = IssuerName::parse
    )]
    issuer: IssuerName,
}

#[derive(clap::Args)]
pub(super) struct ListArguments {
    /// Only those of this subject.
    #[arg(long, value_name = "SUB")]
    subject: Option<String>,
    #[command(flatten)]
    of: OfIssuer,
}

#[derive(clap::Args)]
pub(super) struct OneArguments {
    /// Its identifier, the sid of its tokens.
    id: String,
    #[command(flatten)]
    of: OfIssuer,
}

/// How many are shown.
const SHOWN: usize = 1000;

pub(super) fn run(command: &Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::List(arguments) => list(arguments, session),
        Command::Show(OneArguments { id, of }) => {
            let client = session.client()?;
            let answer = client.wait(client.read_grant(&of.issuer, id))?;
            let now = session.now.floor_seconds();
            session.output.show(&answer, |grant: Grant, output| {
                output.line(pairs(described(&grant, now)))
            })
        }
        Command::End(OneArguments { id, of }) => {
            let client = session.client()?;
            client.wait(client.end_grant(&of.issuer, id))?;
            if session.output.is_json() {
                return Ok(());
            }
            session.output.line(format_args!(
                "grant {} has ended, and its access tokens are refused",
                printable(id)
            ))
        }
    }
}

fn list(arguments: &ListArguments, session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    let (issuer, subject) = (&arguments.of.issuer, arguments.subject.as_deref());
    let answer = client.wait(client.list_grants(issuer, subject, None, SHOWN))?;
    let now = session.now.floor_seconds();
    session.output.show(&answer, |page: Grants, output| {
        if page.grants.is_empty() {
            return output.line("no grants");
        }
        let rows = page.grants.iter().map(|grant| {
            [
                grant.grant.clone(),
                subject_of(grant),
                grant.client.clone(),
                grant.state.as_str().to_owned(),
                seen(now, grant.renewed_at),
                seen(now, grant.expires_at),
            ]
        });
        let headings = ["id", "subject", "client", "state", "renewed", "expires"];
        output.line(columns(headings, rows))?;
        match page.next {
            Nullable::Value(_) => output.line("There are more: name a subject with --subject."),
            Nullable::Null => Ok(()),
        }
    })
}

fn described(grant: &Grant, now: u64) -> Vec<[String; 2]> {
    let mut rows = vec![
        ["id".to_owned(), grant.grant.clone()],
        ["subject".to_owned(), subject_of(grant)],
        ["client".to_owned(), grant.client.clone()],
        ["state".to_owned(), grant.state.as_str().to_owned()],
        ["opened".to_owned(), seen(now, grant.opened_at)],
        ["renewed".to_owned(), seen(now, grant.renewed_at)],
        ["expires".to_owned(), seen(now, grant.expires_at)],
        ["ends".to_owned(), seen(now, grant.ends_at)],
        ["limits of".to_owned(), grant.by.clone()],
        [
            "claims".to_owned(),
            Value::Object(grant.claims.clone()).to_string(),
        ],
    ];
    if let (Some(at), Some(cause)) = (grant.ended_at, grant.cause) {
        let text = format!("{}: {}", seen(now, at), cause.as_str());
        rows.push(["ended".to_owned(), text]);
    }
    rows
}

fn subject_of(grant: &Grant) -> String {
    let subject = grant.claims.get("sub").and_then(Value::as_str);
    subject.unwrap_or_default().to_owned()
}

fn seen(now: u64, at: UnixSeconds) -> String {
    seen_from(now, at.0)
}
