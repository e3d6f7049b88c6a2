//! `keywright keys find`.

use serde_json::{Value, json};

use super::reference::{KeyReference, find, not_found};
use super::state_of;
use crate::cli::client::Answer;
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
        let keys: Vec<Value> = found
            .into_iter()
            .map(|one| {
                let mut document = one.document;
                document.insert("issuer".to_owned(), one.issuer.as_str().into());
                if let Some(signed_it) = one.signed_it {
                    document.insert("signed_token".to_owned(), signed_it.into());
                }
                document.into()
            })
            .collect();
        let answer = Answer::made_here(&json!({ "keys": keys }));
        return session.output.show(&answer, |_: Value, _| Ok(()));
    }
    let now = session.now.floor_seconds();
    let is_forged = found.iter().any(|one| one.signed_it == Some(false));
    let rows = found.into_iter().map(|one| {
        let next = state_of(&one.key, now);
        let name = one.issuer.as_str().to_owned();
        [one.key.kid, one.key.algorithm, one.key.state, name, next]
    });
    let output = &mut session.output;
    output.line(columns(["kid", "alg", "state", "issuer", "next"], rows))?;
    if is_forged {
        output.note("warning: the token names this key, but the key has not signed it")?;
    }
    Ok(())
}
