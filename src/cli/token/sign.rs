//! `keywright token sign`.

use std::collections::BTreeSet;
use std::time::Duration;

use keywright_api::TokenStatus;
use keywright_verifier::Algorithm;
use serde_json::{Map, Value};

use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::session::Session;
use crate::lifecycle::{IssuerName, parse_duration};

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The issuer that signs.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "default",
        value_parser = IssuerName::parse
    )]
    issuer: IssuerName,
    /// The claims: a JSON object, a file with one, or - for standard input. iss, iat, exp and jti
    /// are the service's to set.
    #[arg(long, value_name = "JSON|FILE")]
    claims: Option<String>,
    /// One claim with a text for its value, such as sub=user-1; goes before --claims. Repeatable.
    #[arg(long = "claim", value_name = "NAME=TEXT", value_parser = parse_claim)]
    single: Vec<(String, String)>,
    /// How long the token lives, such as 90s or 5m [default: the policy's].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires_in: Option<Duration>,
    /// The typ of the header, such as at+jwt.
    #[arg(long)]
    typ: Option<String>,
    /// The algorithm: ES256 or RS256 [default: the policy's].
    #[arg(long, value_name = "ALGORITHM")]
    alg: Option<Algorithm>,
    /// Whether the token has an entry in a status list: true, false or tracked [default: the policy's].
    #[arg(long, value_name = "STATUS", value_parser = parse_status)]
    status: Option<TokenStatus>,
}

impl Arguments {
    /// The issuer that signs.
    pub(in crate::cli) fn issuer(&self) -> &IssuerName {
        &self.issuer
    }

    /// The request for the token.
    pub(in crate::cli) fn request(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        body.insert("claims".to_owned(), claims(self)?.into());
        if let Some(lifetime) = self.expires_in {
            body.insert("expires_in".to_owned(), lifetime.as_secs().into());
        }
        if let Some(typ) = &self.typ {
            body.insert("typ".to_owned(), typ.as_str().into());
        }
        if let Some(algorithm) = self.alg {
            body.insert("alg".to_owned(), algorithm.as_str().into());
        }
        if let Some(status) = self.status {
            // A word always serialises.
            let status = serde_json::to_value(status).unwrap_or_default();
            body.insert("status".to_owned(), status);
        }
        Ok(body)
    }
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let request = arguments.request()?;
    let client = session.client()?;
    let answer = client.wait(client.sign_token(&arguments.issuer, &request))?;
    session
        .output
        .show(&answer, |signed, output| output.line(signed.token))
}

fn claims(arguments: &Arguments) -> Result<Map<String, Value>, Failure> {
    let mut claims = match &arguments.claims {
        Some(text) if text.trim_start().starts_with('{') => {
            input::parse_object(text.as_bytes(), "--claims")?
        }
        Some(file) => input::object(file)?,
        None => Map::new(),
    };
    let mut named = BTreeSet::new();
    for (name, value) in &arguments.single {
        if !named.insert(name) {
            return Err(Failure::Usage(format!("--claim names {name} twice")));
        }
        claims.insert(name.clone(), value.as_str().into());
    }
    Ok(claims)
}

#[derive(Debug, thiserror::Error)]
#[error("write name=text, such as sub=user-1")]
struct InvalidClaim;

fn parse_claim(text: &str) -> Result<(String, String), InvalidClaim> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(InvalidClaim),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("true, false or tracked")]
struct InvalidStatus;

fn parse_status(text: &str) -> Result<TokenStatus, InvalidStatus> {
    let listed = text.parse().ok().map(TokenStatus::of_bool);
    listed
        .or_else(|| TokenStatus::of_word(text))
        .ok_or(InvalidStatus)
}
