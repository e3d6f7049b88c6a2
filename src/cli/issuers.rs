//! `keywright issuers`.

mod assignment;

use keywright_api::{Issuer, Issuers};
use keywright_client::{Answer, AuditFilter};
use serde_json::{Map, Value};

use super::client::Client;
use super::failure::Failure;
use super::irreversible::{Consent, Irreversible};
use super::moment::rfc3339;
use super::repetition;
use super::session::Session;
use super::table::{columns, pairs};
use super::{input, json_text};
use crate::lifecycle::IssuerName;
use assignment::Assignment;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List the issuers.
    List,
    /// Show an issuer's policy.
    Show(ShowArguments),
    /// Set an issuer's policy; creates the issuer when there is none of this name.
    Set(SetArguments),
    /// Delete an issuer: every key is revoked, and its name and URL are not used again.
    Delete(DeleteArguments),
}

#[derive(clap::Args)]
pub(super) struct ShowArguments {
    /// The issuer.
    #[arg(value_parser = IssuerName::parse)]
    name: IssuerName,
}

#[derive(clap::Args)]
pub(super) struct SetArguments {
    /// The issuer.
    #[arg(value_parser = IssuerName::parse)]
    name: IssuerName,
    #[command(flatten)]
    source: PolicySource,
    /// The new issuer continues a key set that another system has published: its own keys wait
    /// out their lead, and the other's signing key can be imported as active.
    #[arg(long)]
    takes_over: bool,
}

#[derive(clap::Args)]
pub(super) struct DeleteArguments {
    /// The issuer.
    #[arg(value_parser = IssuerName::parse)]
    name: IssuerName,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    consent: Consent,
}

#[derive(clap::Args)]
#[group(id = "source", required = true, multiple = true)]
pub(super) struct PolicySource {
    /// The whole policy (JSON), or - for standard input. Members that it leaves out get their
    /// defaults.
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// One member to replace, such as lead=24h, algorithms=ES256,RS256 or rotation.every=30d.
    /// Starts from --policy, or from the policy that the issuer has. Repeatable.
    #[arg(long = "set", value_name = "MEMBER=VALUE", value_parser = Assignment::parse)]
    assignments: Vec<Assignment>,
}

pub(super) fn run(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::List => list(session),
        Command::Show(arguments) => {
            let client = session.client()?;
            let answer = client.wait(client.read_issuer(&arguments.name))?;
            show(&answer, session)
        }
        Command::Set(arguments) => set(&arguments, session),
        Command::Delete(arguments) => delete(&arguments, session),
    }
}

fn list(session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    let answer = client.wait(client.list_issuers())?;
    session.output.show(&answer, |list: Issuers, output| {
        let rows = list.issuers.into_iter().map(|issuer| {
            let policy = json_text::members(&issuer.policy);
            let member = |name| policy.get(name).map_or_else(String::new, plain);
            [
                issuer.name.to_string(),
                issuer.version.to_string(),
                member("url"),
                member("algorithms"),
                member("rotation"),
            ]
        });
        output.line(columns(
            ["name", "version", "url", "algorithms", "rotation"],
            rows,
        ))
    })
}

fn show(answer: &Answer<Issuer>, session: &mut Session) -> Result<(), Failure> {
    session.output.show(answer, |issuer: Issuer, output| {
        let deleted = issuer
            .deleted_at
            .map(|at| ["deleted".to_owned(), rfc3339(at.0)]);
        let heading = [
            ["name".to_owned(), issuer.name.to_string()],
            ["version".to_owned(), issuer.version.to_string()],
        ];
        let heading = heading.into_iter().chain(deleted);
        let policy = json_text::members(&issuer.policy);
        let members = policy
            .iter()
            .map(|(name, value)| [name.clone(), plain(value)]);
        output.line(pairs(heading.chain(members)))
    })
}

fn set(arguments: &SetArguments, session: &mut Session) -> Result<(), Failure> {
    if let Some(member) = assignment::repeated(&arguments.source.assignments) {
        return Err(Failure::Usage(format!("--set names {member} twice")));
    }
    let client = session.client()?;
    let (mut policy, tag) = match &arguments.source.policy {
        Some(file) => (input::object(file)?, None),
        None => current_policy(&client, &arguments.name)?,
    };
    assignment::apply(&arguments.source.assignments, &mut policy);
    if arguments.takes_over {
        policy.insert("takes_over".to_owned(), true.into());
    }
    let answer = client.wait(client.set_issuer(&arguments.name, &policy, tag.as_deref()))?;
    let issuer = answer.read()?;
    show(&answer, session)?;
    for warning in issuer.warnings.unwrap_or_default() {
        let warning = json_text::printable(&warning);
        session.output.note(format_args!("warning: {warning}"))?;
    }
    Ok(())
}

/// The policy to start from, and the tag of its issuer; empty for an issuer that does not exist yet.
fn current_policy(
    client: &Client,
    name: &IssuerName,
) -> Result<(Map<String, Value>, Option<String>), Failure> {
    match client.wait(client.read_issuer(name)) {
        Ok(answer) => {
            let tag = answer.entity_tag().map(str::to_owned);
            Ok((json_text::members(&answer.read()?.policy), tag))
        }
        Err(Failure::Refused(problem)) if problem.status == 404 => Ok((Map::new(), None)),
        Err(failure) => Err(failure),
    }
}

/// A deleted issuer is shown as it is, even if another operator has deleted it.
fn delete(arguments: &DeleteArguments, session: &mut Session) -> Result<(), Failure> {
    let DeleteArguments {
        name,
        reason,
        consent,
    } = arguments;
    let client = session.client()?;
    let current = client.wait(client.read_issuer(name))?;
    if current.read()?.deleted_at.is_none() {
        let step = Irreversible {
            consequence: format!(
                "every key of the issuer {name} is revoked, its tokens are refused, and its name \
                 and its URL are never used again"
            ),
            word: name.as_str(),
        };
        consent.require(&step, session)?;
        let body = serde_json::json!({ "reason": reason });
        match client.wait(client.delete_issuer(name, &body)) {
            Err(failure) if repetition::is_refused_with(&failure, "issuer-deleted") => {}
            answer => return show(&answer?, session),
        }
    }
    let deletion = AuditFilter {
        event: Some("issuer-deleted".to_owned()),
        issuer: Some(name.clone()),
        ..AuditFilter::default()
    };
    let earlier = repetition::find(&client, &deletion, |_| true)?;
    let earlier = earlier.unwrap_or_default().told();
    session
        .output
        .note(format_args!("note: {name} was already deleted{earlier}"))?;
    show(&client.wait(client.read_issuer(name))?, session)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| format!("{name} {}", plain(value)));
            members.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
