//! `keywright signals`: what another system tells an issuer of its users, as that system would.

use keywright_api::SubjectIdentifier;
use keywright_client::{GlobalRevocationEndpoint, SecurityEventEndpoint};
use serde_json::json;

use super::failure::Failure;
use super::input;
use super::issuer_endpoint::{IssuerUrlArguments, unusable, wait_for};
use super::json_text::printable;
use super::session::Session;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Take back everything that a user has (Global Token Revocation).
    Revoke(RevokeArguments),
    /// Push a security event token, such as that an account was disabled (RFC 8935).
    Push(PushArguments),
}

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct RevokeArguments {
    /// The user: the sub of its tokens.
    subject: String,
    #[command(flatten)]
    issuer: IssuerUrlArguments,
}

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct PushArguments {
    /// A file with the token, or - for standard input.
    file: String,
    #[command(flatten)]
    issuer: IssuerUrlArguments,
}

pub(super) fn run(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Revoke(arguments) => revoke(&arguments, session),
        Command::Push(arguments) => push(&arguments, session),
    }
}

fn revoke(arguments: &RevokeArguments, session: &mut Session) -> Result<(), Failure> {
    let caller = arguments
        .issuer
        .endpoint("global-token-revocation", session)?;
    let endpoint = GlobalRevocationEndpoint::new(
        &caller.url,
        &caller.client_id,
        &caller.credential,
        &caller.tls,
    );
    let subject = &arguments.subject;
    wait_for(endpoint.map_err(unusable)?.revoke(SubjectIdentifier {
        format: "opaque".to_owned(),
        iss: None,
        sub: None,
        id: Some(subject.clone()),
    }))?;
    session
        .output
        .show_found(json!({ "revoked": subject }), |_, output| {
            let subject = printable(subject);
            output.line(format_args!("all that subject {subject} has is taken back"))
        })
}

fn push(arguments: &PushArguments, session: &mut Session) -> Result<(), Failure> {
    let token = input::text(&arguments.file)?;
    let caller = arguments.issuer.endpoint("security-events", session)?;
    let endpoint = SecurityEventEndpoint::new(
        &caller.url,
        &caller.client_id,
        &caller.credential,
        &caller.tls,
    );
    wait_for(endpoint.map_err(unusable)?.push(token.trim()))?;
    session
        .output
        .show_found(json!({ "accepted": true }), |_, output| {
            output.line("the security event token is taken")
        })
}
