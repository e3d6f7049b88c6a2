//! `keywright apply`: makes a deployment what files declare.

use std::fmt::Write as _;

use keywright_api::{Clients, Issuers, Role};
use serde_json::{Map, Value, json};

use super::client::Client;
use super::failure::Failure;
use super::input;
use super::irreversible::{Consent, Irreversible};
use super::json_text::{self, plain, printable};
use super::session::Session;
use crate::access::Terms;
use crate::declared::{Declared, DeclaredKind, Difference, Present, Step};
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The files (TOML) with the tables issuers.NAME and clients.NAME; or - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Change nothing: exit with 3 if anything is not as the files say.
    #[arg(long, conflicts_with = "delete")]
    check: bool,
    /// Also delete issuers and clients that no file declares, if the files declare any of that kind.
    /// Otherwise they are left alone and named.
    #[arg(long)]
    delete: bool,
    #[command(flatten)]
    consent: Consent,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let mut declared = Declared::default();
    let rejected = |error| Failure::rejected("invalid-declaration", error);
    for file in &arguments.files {
        let text = input::text(file)?;
        declared.read(file, &text).map_err(rejected)?;
    }
    let client = session.client()?;
    let issuers = present_issuers(&client)?;
    let clients = present_clients(&client)?;
    let differences = declared.differences(&issuers, &clients).map_err(rejected)?;
    let (undeclared, wanted): (Vec<_>, Vec<_>) = differences
        .into_iter()
        .partition(|difference| difference.step == Step::Delete && !arguments.delete);
    let shown = json!({ "differences": wanted, "undeclared": undeclared });
    session.output.show_found(shown, |_, output| {
        for difference in &wanted {
            output.line(told(difference))?;
        }
        for one in &undeclared {
            output.note(format_args!(
                "note: {} is not declared, and is left alone (--delete)",
                printable(&named(one))
            ))?;
        }
        match wanted.is_empty() {
            true => output.line("Everything is as declared."),
            false => Ok(()),
        }
    })?;
    if wanted.is_empty() {
        return Ok(());
    }
    if arguments.check {
        return Err(Failure::Drift(wanted.len()));
    }
    let deletions: Vec<_> = wanted
        .iter()
        .filter(|difference| difference.step == Step::Delete)
        .map(named)
        .collect();
    if !deletions.is_empty() {
        let step = Irreversible {
            consequence: format!("for good, this deletes {}", deletions.join(", ")),
            word: "delete",
        };
        arguments.consent.require(&step, session)?;
    }
    for difference in &wanted {
        apply(&client, difference)?;
        if !session.output.is_json() {
            let done = match difference.step {
                Step::Create => "created",
                Step::Change => "changed",
                Step::Delete => "deleted",
            };
            session
                .output
                .line(format_args!("{} is {done}", printable(&named(difference))))?;
        }
    }
    Ok(())
}

/// Issuers that are deleted are as if they were not there.
fn present_issuers(client: &Client) -> Result<Vec<Present>, Failure> {
    let answer: Issuers = client.wait(client.list_issuers())?.read()?;
    let issuers = answer.issuers.into_iter();
    let issuers = issuers.filter(|issuer| issuer.deleted_at.is_none());
    let present = issuers.map(|issuer| Present {
        id: issuer.name.to_string(),
        name: issuer.name.to_string(),
        document: json_text::members(&issuer.policy),
        is_admin: false,
    });
    Ok(present.collect())
}

fn present_clients(client: &Client) -> Result<Vec<Present>, Failure> {
    let answer: Clients = client.wait(client.list_clients())?.read()?;
    let present = answer.clients.into_iter().map(|client| {
        let document = json_text::members(&client.terms);
        // A client of before a rule is compared as it is written.
        let terms = Terms::from_document(Value::Object(document.clone()));
        Present {
            is_admin: client.terms.roles.contains(&Role::Admin),
            id: client.id,
            name: client.terms.name,
            document: terms.map_or(document, |terms| terms.to_members()),
        }
    });
    Ok(present.collect())
}

/// What changes, a line for each member.
fn told(difference: &Difference) -> String {
    let step = match difference.step {
        Step::Create => "create",
        Step::Change => "change",
        Step::Delete => "delete",
    };
    let mut text = format!("{step} {}", printable(&named(difference)));
    for change in &difference.members {
        let member = &change.member;
        let mut line = |sign: char, value: &Value| {
            // Writing to a string does not fail.
            let _ = write!(text, "\n  {sign} {member}: {}", printable(&plain(value)));
        };
        if let Some(from) = &change.from {
            line('-', from);
        }
        if let Some(to) = &change.to {
            line('+', to);
        }
    }
    text
}

fn named(difference: &Difference) -> String {
    format!("{} {}", difference.kind.as_str(), difference.name)
}

fn issuer_name(name: &str) -> Result<IssuerName, Failure> {
    IssuerName::parse(name).map_err(|error| Failure::rejected("invalid-issuer-name", error))
}

/// What the files say holds, whatever another operator does meanwhile.
fn apply(client: &Client, difference: &Difference) -> Result<(), Failure> {
    let Difference {
        kind,
        name,
        step,
        document,
        ..
    } = difference;
    let id = difference.id.as_deref().unwrap_or(name);
    match (kind, step) {
        (DeclaredKind::Issuer, Step::Create | Step::Change) => {
            let answer = client.wait(client.set_issuer(&issuer_name(name)?, document, None))?;
            answer.read().map(drop)?;
        }
        (DeclaredKind::Issuer, Step::Delete) => {
            let reason = json!({ "reason": "it is not declared" });
            client.wait(client.delete_issuer(&issuer_name(name)?, &reason))?;
        }
        (DeclaredKind::Client, Step::Create) => {
            let mut request: Map<String, Value> = document.clone();
            request.insert("credential".to_owned(), Value::Null);
            client.wait(client.create_client(&request))?;
        }
        (DeclaredKind::Client, Step::Change) => {
            client.wait(client.set_client(id, document, None))?;
        }
        (DeclaredKind::Client, Step::Delete) => {
            client.wait(client.delete_client(id))?;
        }
    }
    Ok(())
}
