//! `keywright clients`.

use clap::builder::PossibleValuesParser;
use serde::Deserialize;
use serde_json::json;

use super::client::segment;
use super::failure::Failure;
use super::moment::rfc3339;
use super::session::Session;
use super::table::{columns, pairs};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Create a client and print its credential, once.
    Create(CreateArguments),
    /// List the clients and what they may do.
    List,
    /// Take a client's credential away.
    Revoke(RevokeArguments),
}

#[derive(clap::Args)]
pub(super) struct CreateArguments {
    /// What people call the client.
    name: String,
    /// What it may do: issuer signs tokens; security rotates, revokes and imports keys; auditor
    /// reads keys, plans and the audit log; admin manages issuers and clients. Repeatable.
    #[arg(
        long = "role",
        required = true,
        value_name = "ROLE",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(["issuer", "security", "auditor", "admin"])
    )]
    roles: Vec<String>,
}

#[derive(clap::Args)]
pub(super) struct RevokeArguments {
    /// The client's identifier, as `clients list` shows it.
    id: String,
}

#[derive(Deserialize)]
struct Client {
    id: String,
    name: String,
    roles: Vec<String>,
    created_at: u64,
    credential: Option<String>,
}

#[derive(Deserialize)]
struct Clients {
    clients: Vec<Client>,
}

pub(super) fn run(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create(&arguments, session),
        Command::List => list(session),
        Command::Revoke(arguments) => revoke(&arguments.id, session),
    }
}

fn create(arguments: &CreateArguments, session: &mut Session) -> Result<(), Failure> {
    let body = json!({"name": arguments.name, "roles": arguments.roles});
    let answer = session.client()?.post("/v1/clients", &body)?;
    session.output.show(&answer, |client: Client, output| {
        output.line(pairs([
            ["id".to_owned(), client.id],
            ["name".to_owned(), client.name],
            ["roles".to_owned(), client.roles.join(", ")],
            [
                "credential".to_owned(),
                client.credential.unwrap_or_default(),
            ],
        ]))?;
        output.note("note: the credential is shown this once; only its hash is kept")
    })
}

fn list(session: &mut Session) -> Result<(), Failure> {
    let answer = session.client()?.read("/v1/clients")?;
    session.output.show(&answer, |list: Clients, output| {
        let rows = list.clients.into_iter().map(|client| {
            [
                client.id,
                client.name,
                client.roles.join(", "),
                rfc3339(client.created_at),
            ]
        });
        output.line(columns(["id", "name", "roles", "created"], rows))
    })
}

fn revoke(id: &str, session: &mut Session) -> Result<(), Failure> {
    session
        .client()?
        .delete(&format!("/v1/clients/{}", segment(id)))?;
    if session.output.is_json() {
        return Ok(());
    }
    session
        .output
        .line(format_args!("client {id} may not call any more"))
}
