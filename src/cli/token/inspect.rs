//! `keywright token inspect`: what a token says about itself, without verifying it.
//!
//! It decodes what [`Jws::parse`] would refuse too, such as `alg: none`, because a token that is
//! refused is the one that people want to look into. The signature is never shown: with it the
//! output would be a credential.

use keywright_verifier::{Inspected, Jws};
use serde_json::{Map, Value, json};

use super::{LARGEST_TOKEN, read_token, refused};
use crate::cli::failure::Failure;
use crate::cli::json_text::{self, plain};
use crate::cli::moment::described;
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::cli::table::pairs;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The token, or - for standard input, which keeps it out of the shell's history.
    token: String,
}

/// The claims that RFC 7519 §4.1 registers, in its order; they are shown first.
const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// The claims whose value is an instant (RFC 7519 §4.1, OpenID Connect Core §2).
const INSTANTS: [&str; 4] = ["exp", "nbf", "iat", "auth_time"];

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let token = read_token(&arguments.token)?;
    let Inspected { header, claims, .. } =
        Jws::inspect(&token, LARGEST_TOKEN).map_err(|error| refused(error.into()))?;
    let refusal = Jws::parse(&token, LARGEST_TOKEN).err();
    let output = &mut session.output;
    if output.is_json() {
        let mut document = json!({"verified": false, "header": header, "claims": claims});
        if let (Some(error), Some(members)) = (refusal, document.as_object_mut()) {
            let problem = json!({"code": error.code(), "detail": error.to_string()});
            members.insert("refused".to_owned(), problem);
        }
        return output.line(json_text::indented(&document.to_string()));
    }
    output.note(
        "note: decoded, not verified: anyone can write this; `keywright token verify` checks it",
    )?;
    if let Some(error) = refusal {
        output.note(format_args!(
            "note: no verifier should accept it: {}: {error}",
            error.code()
        ))?;
    }
    let now = session.now.floor_seconds();
    output.line("HEADER")?;
    output.line(pairs(header.iter().map(|(name, value)| row(name, value))))?;
    output.line("")?;
    show_claims(&claims, now, output)
}

/// The claims under their heading, the registered ones first.
pub(in crate::cli) fn show_claims(
    claims: &Map<String, Value>,
    now: u64,
    output: &mut Output,
) -> Result<(), Failure> {
    output.line("CLAIMS")?;
    output.line(pairs(in_order(claims).map(|(name, value)| {
        match value.as_u64().filter(|_| INSTANTS.contains(&name)) {
            Some(at) => [name.to_owned(), format!("{at}  {}", described(now, at))],
            None => row(name, value),
        }
    })))
}

fn in_order(claims: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let registered = REGISTERED
        .iter()
        .filter_map(|name| claims.get_key_value(*name));
    let others = claims
        .iter()
        .filter(|(name, _)| !REGISTERED.contains(&name.as_str()));
    registered
        .chain(others)
        .map(|(name, value)| (name.as_str(), value))
}

fn row(name: &str, value: &Value) -> [String; 2] {
    [name.to_owned(), plain(value)]
}
