//! `keywright store`.

use std::path::Path;

use serde_json::json;

use super::failure::Failure;
use super::restore::run_offline;
use super::session::Session;
use crate::service::{self, Copied, StoreAddress};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Copy everything into an empty store, and compare the two. No service may use either.
    Copy(CopyArguments),
}

#[derive(clap::Args)]
pub(super) struct CopyArguments {
    /// The store to copy: sqlite (the one in the data folder), sqlite:PATH or postgres://….
    #[arg(long, value_name = "URL")]
    from: StoreAddress,
    /// The empty store to fill.
    #[arg(long, value_name = "URL")]
    to: StoreAddress,
}

pub(super) fn run(command: &Command, session: &mut Session) -> Result<(), Failure> {
    let Command::Copy(CopyArguments { from, to }) = command;
    let data_dir = session.connection.data_dir.clone();
    let data_dir = data_dir.as_deref().unwrap_or(Path::new("keys"));
    let copied = run_offline(service::copy(from, to, data_dir))?;
    let Copied {
        issuers,
        keys,
        clients,
        approvals,
        revocations,
        grants,
        events,
        head,
        broken,
    } = copied;
    let document = json!({
        "from": from.to_string(),
        "to": to.to_string(),
        "issuers": issuers,
        "keys": keys,
        "clients": clients,
        "approvals": approvals,
        "revocations": revocations,
        "grants": grants,
        "events": events,
        "head": head.map(|head| head.to_string()),
        "broken": broken.as_ref().map(ToString::to_string),
    });
    session.output.show_found(document, |_, output| {
        output.line(format_args!(
            "copied and compared: {issuers} issuers, {keys} keys, {clients} clients, {events} events"
        ))?;
        match head {
            Some(head) => output.line(format_args!("head: {head}")),
            None => Ok(()),
        }
    })?;
    match broken {
        Some(broken) => session.output.note(format_args!(
            "warning: the audit log was copied as it is, and it is not whole: {broken}"
        )),
        None => Ok(()),
    }
}
