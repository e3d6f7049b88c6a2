//! `keywright clients`.

mod check;
mod terms;

use keywright_api::{
    AuditEvent, Clients, CreatedClient, Nullable, RegisteredClient, Terms, UnixSeconds,
};
use keywright_client::{Answer, AuditFilter};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::failure::Failure;
use super::input;
use super::irreversible::{Consent, Irreversible};
use super::json_text::{members, plain, printable};
use super::moment::{rfc3339, seen_from};
use super::output::Output;
use super::repetition;
use super::session::Session;
use super::table::{columns, pairs};
use crate::lifecycle::parse_duration;
use terms::TermsArguments;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Create a client and print its credential, once.
    Create(CreateArguments),
    /// List the clients and what they may do.
    List,
    /// Show a client: its roles, limits, ways in, and when its credentials end and were last used.
    Show(ClientArguments),
    /// Ask whether a client would get a token, and what it would say. Nothing is signed.
    Check(check::CheckArguments),
    /// Replace what a client may do; what is not named stays as it is.
    Set(SetArguments),
    /// Make a client a new credential and print it, once. The one before it stays valid for a while.
    Rotate(RotateArguments),
    /// Delete a client, or revoke one of its credentials.
    Revoke(RevokeArguments),
}

#[derive(clap::Args)]
pub(super) struct CreateArguments {
    /// What people call the client.
    name: String,
    #[command(flatten)]
    terms: TermsArguments,
    /// When the credential ends, counted from now, such as 90d [default: never].
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,
    /// Make no credential: the client has another way in.
    #[arg(long, conflicts_with = "expires_in")]
    no_credential: bool,
}

#[derive(clap::Args)]
pub(super) struct ClientArguments {
    /// The client: its identifier, or its name if no other client has it.
    id: String,
}

#[derive(clap::Args)]
pub(super) struct SetArguments {
    /// The client: its identifier, or its name if no other client has it.
    id: String,
    /// All terms (JSON), or - for standard input, instead of those that the client has: what they
    /// leave out is taken away. The other options are applied to them.
    #[arg(long, value_name = "FILE")]
    terms: Option<String>,
    /// What people call it.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    changes: TermsArguments,
}

#[derive(clap::Args)]
pub(super) struct RotateArguments {
    /// The client: its identifier, or its name if no other client has it.
    id: String,
    /// When the new credential ends, counted from now, such as 90d [default: never].
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,
    /// How long the one before it stays valid, such as 1h; 0s ends it now [default: 24h].
    #[arg(long, value_name = "DURATION")]
    overlap: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

#[derive(clap::Args)]
pub(super) struct RevokeArguments {
    /// The client: its identifier, or its name if no other client has it.
    id: String,
    /// Only this credential of it, as `clients show` names it.
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

pub(super) fn run(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create(&arguments, session),
        Command::List => list(session),
        Command::Show(ClientArguments { id }) => {
            let client = session.client()?;
            let answer = client.wait(client.read_client(&identifier(&client, &id)?))?;
            session.output.show(&answer, show)
        }
        Command::Check(arguments) => check::run(&arguments, session),
        Command::Set(arguments) => set(&arguments, session),
        Command::Rotate(arguments) => rotate(&arguments, session),
        Command::Revoke(arguments) => revoke(&arguments, session),
    }
}

/// The identifier of the client that is meant. What names none is passed on as an identifier: it may
/// be that of a client that is deleted.
fn identifier(client: &Client, named: &str) -> Result<String, Failure> {
    let clients = client.wait(client.list_clients())?.read()?.clients;
    if clients.iter().any(|client| client.id == named) {
        return Ok(named.to_owned());
    }
    let ids: Vec<&str> = clients
        .iter()
        .filter(|client| client.terms.name == named)
        .map(|client| client.id.as_str())
        .collect();
    match ids.as_slice() {
        [] => Ok(named.to_owned()),
        [id] => Ok((*id).to_owned()),
        several => Err(Failure::Usage(format!(
            "several clients are named {named}; name one by its identifier: {}",
            several.join(", ")
        ))),
    }
}

fn create(arguments: &CreateArguments, session: &mut Session) -> Result<(), Failure> {
    if arguments.terms.names_no_role() {
        let wrong = "name at least one --role of issuer, security, auditor, admin";
        return Err(Failure::Usage(wrong.to_owned()));
    }
    let mut body = Map::new();
    body.insert("name".to_owned(), arguments.name.as_str().into());
    arguments.terms.apply(&mut body)?;
    if arguments.no_credential {
        body.insert("credential".to_owned(), Value::Null);
    } else if let Some(lifetime) = &arguments.expires_in {
        body.insert("credential".to_owned(), json!({ "expires_in": lifetime }));
    }
    let client = session.client()?;
    let answer = client.wait(client.create_client(&body))?;
    issued(&answer, session)
}

fn list(session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    let answer = client.wait(client.list_clients())?;
    let now = session.now.floor_seconds();
    session.output.show(&answer, |list: Clients, output| {
        let rows = list.clients.into_iter().map(|client| {
            let last_used = client.credentials.iter();
            let last_used = last_used.filter_map(|one| one.last_used_at.as_ref()).max();
            [
                client.id.clone(),
                client.terms.name.clone(),
                last_used.map_or_else(|| "never".to_owned(), |at| seen_from(now, at.0)),
                roles(&client),
            ]
        });
        output.line(columns(["id", "name", "last used", "roles"], rows))
    })
}

fn show(client: RegisteredClient, output: &mut Output) -> Result<(), Failure> {
    let mut rows = heading(&client);
    rows.push(["created".to_owned(), rfc3339(client.created_at.0)]);
    let Terms {
        limits,
        certificates,
        workloads,
        jwks,
        ..
    } = &client.terms;
    let limits = members(limits).into_iter();
    rows.extend(limits.map(|(name, value)| [name, plain(&value)]));
    for rule in certificates.iter().flatten() {
        rows.push(["certificate".to_owned(), json_of(rule)]);
    }
    for rule in workloads.iter().flatten() {
        rows.push(["workload".to_owned(), json_of(rule)]);
    }
    if let Some(keys) = jwks {
        rows.push(["jwks".to_owned(), json_of(keys)]);
    }
    for credential in &client.credentials {
        let time = |time: &Nullable<UnixSeconds>| {
            let time = time.as_ref();
            time.map_or_else(|| "never".to_owned(), |at| rfc3339(at.0))
        };
        let end = time(&credential.expires_at);
        let used = time(&credential.last_used_at);
        let text = format!("{}: ends {end}, last used {used}", credential.id);
        rows.push(["credential".to_owned(), text]);
    }
    output.line(pairs(rows))
}

/// Who a client is, and what it may do at all.
fn heading(client: &RegisteredClient) -> Vec<[String; 2]> {
    vec![
        ["id".to_owned(), client.id.clone()],
        ["name".to_owned(), client.terms.name.clone()],
        ["roles".to_owned(), roles(client)],
    ]
}

fn roles(client: &RegisteredClient) -> String {
    let roles: Vec<&str> = client
        .terms
        .roles
        .iter()
        .map(|role| role.as_str())
        .collect();
    roles.join(", ")
}

fn json_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A client with the credential that it was just given, if it was given one.
fn issued(answer: &Answer<CreatedClient>, session: &mut Session) -> Result<(), Failure> {
    session.output.show(answer, |created, output| {
        let mut rows = heading(&created.client);
        let Some(credential) = created.credential else {
            return output.line(pairs(rows));
        };
        rows.push(["credential".to_owned(), credential]);
        output.line(pairs(rows))?;
        output.note("note: the credential is shown this once; only its hash is kept")
    })
}

fn set(arguments: &SetArguments, session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    let file = arguments.terms.as_deref().map(input::object).transpose()?;
    let id = identifier(&client, &arguments.id)?;
    let (mut terms, tag) = match file {
        Some(terms) => (terms, None),
        None => {
            let answer = client.wait(client.read_client(&id))?;
            let tag = answer.entity_tag().map(str::to_owned);
            (
                input::parse_object(answer.text().as_bytes(), "the client")?,
                tag,
            )
        }
    };
    // What `clients show --json` prints can be given back.
    for read_only in ["id", "version", "created_at", "credentials"] {
        terms.remove(read_only);
    }
    if let Some(name) = &arguments.name {
        terms.insert("name".to_owned(), name.as_str().into());
    }
    arguments.changes.apply(&mut terms)?;
    let answer = client.wait(client.set_client(&id, &terms, tag.as_deref()))?;
    session.output.show(&answer, show)
}

fn rotate(arguments: &RotateArguments, session: &mut Session) -> Result<(), Failure> {
    let mut body = Map::new();
    if let Some(lifetime) = &arguments.expires_in {
        body.insert("expires_in".to_owned(), lifetime.as_str().into());
    }
    if let Some(overlap) = &arguments.overlap {
        body.insert("overlap".to_owned(), overlap.as_str().into());
    }
    let is_zero = |overlap: &String| parse_duration(overlap).is_ok_and(|it| it.is_zero());
    if arguments.overlap.as_ref().is_some_and(is_zero) {
        let step = Irreversible {
            consequence: format!("the credentials that client {} has end now", arguments.id),
            word: "yes",
        };
        arguments.consent.require(&step, session)?;
    }
    let client = session.client()?;
    let id = identifier(&client, &arguments.id)?;
    let answer = client.wait(client.rotate_credential(&id, &body))?;
    issued(&answer, session)
}

fn revoke(arguments: &RevokeArguments, session: &mut Session) -> Result<(), Failure> {
    let RevokeArguments {
        id,
        credential,
        consent,
    } = arguments;
    let client = session.client()?;
    let id = &identifier(&client, id)?;
    let (call, what, event) = match credential {
        Some(credential) => (
            client.revoke_credential(id, credential),
            format!("credential {credential} of client {id}"),
            "credential-revoked",
        ),
        None => (
            client.delete_client(id),
            format!("client {id}"),
            "client-deleted",
        ),
    };
    let filter = AuditFilter {
        event: Some(event.to_owned()),
        ..AuditFilter::default()
    };
    let earlier = repetition::find(&client, &filter, |event: &AuditEvent| {
        let is_credential = credential.is_none() || event.credential == *credential;
        event.client.as_ref() == Some(id) && is_credential
    });
    // An identifier is never given again.
    let done = match earlier? {
        Some(earlier) => format!("{what} was already revoked{}", earlier.told()),
        None => {
            let step = Irreversible {
                consequence: format!("{what} cannot authenticate any more"),
                word: credential.as_ref().unwrap_or(id),
            };
            consent.require(&step, session)?;
            client.wait(call)?;
            format!("{what} is revoked")
        }
    };
    if session.output.is_json() {
        return Ok(());
    }
    session.output.line(printable(&done))
}
