//! `keywright keys find`.

use keywright_api::Key;
use serde::Serialize;
use serde_json::json;

use super::reference::{FoundKey, KeyReference, find, not_found};
use super::state_of;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::table::columns;
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A kid, a token, or a file with a token or a key; - for standard input. Of a private key the
    /// public half alone is compared, and nothing of it leaves this machine.
    #[arg(value_name = "KID|TOKEN|FILE", allow_hyphen_values = true)]
    key: String,
}

/// A key as the service shows it, and where it was found.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    key: &'a Key,
    issuer: &'a IssuerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_token: Option<bool>,
}

impl<'a> Found<'a> {
    fn of(found: &'a FoundKey) -> Self {
        Self {
            key: &found.key,
            issuer: &found.issuer,
            signed_token: found.signed_it,
        }
    }
}

pub(super) fn run(
    issuer: Option<&IssuerName>,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<(), Failure> {
    let reference = KeyReference::read(&arguments.key)?;
    let found = find(&session.client()?, &reference, issuer, session.now)?;
    if found.is_empty() {
        return Err(not_found());
    }
    if session.output.is_json() {
        let keys: Vec<Found<'_>> = found.iter().map(Found::of).collect();
        return session
            .output
            .show_found(json!({ "keys": keys }), |_, _| Ok(()));
    }
    let now = session.now.floor_seconds();
    let is_forged = found.iter().any(|one| one.signed_it == Some(false));
    let rows = found.into_iter().map(|one| {
        let next = state_of(&one.key, now);
        let name = one.issuer.as_str().to_owned();
        let key = [
            one.key.kid.as_str(),
            one.key.algorithm.as_str(),
            one.key.state.as_str(),
        ];
        let [kid, algorithm, state] = key.map(str::to_owned);
        [kid, algorithm, state, name, next]
    });
    let output = &mut session.output;
    output.line(columns(["kid", "alg", "state", "issuer", "next"], rows))?;
    if is_forged {
        output.note("warning: the token names this key, but the key has not signed it")?;
    }
    Ok(())
}
