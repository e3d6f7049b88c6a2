//! `keywright token verify`: the checks of the verifier library, from a shell.

use std::time::Duration;

use keywright_verifier::{Algorithm, Expectations, Jws};
use serde_json::json;

use super::key_source::KeySource;
use super::{LARGEST_TOKEN, read_token};
use crate::cli::failure::Failure;
use crate::cli::json_text;
use crate::cli::moment::described;
use crate::cli::session::Session;
use crate::cli::table::pairs;
use crate::lifecycle::parse_duration;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The token, or - for standard input, which keeps it out of the shell's history.
    token: String,
    /// The keys: a JWKS file, or the URL of one. Redirects are not followed.
    #[arg(long, value_name = "URL|FILE", value_parser = KeySource::parse)]
    jwks: KeySource,
    /// The iss that the token must have [default: not checked].
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// What aud must be or contain [default: not checked].
    #[arg(long)]
    audience: Option<String>,
    /// The typ that the header must have, such as at+jwt [default: not checked].
    #[arg(long)]
    typ: Option<String>,
    /// How far the signer's clock may be off.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    leeway: Duration,
    /// An algorithm that is accepted: ES256 or RS256. Repeatable [default: both].
    #[arg(long = "alg", value_name = "ALGORITHM")]
    algorithms: Vec<Algorithm>,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let token = read_token(&arguments.token)?;
    let keys = arguments.jwks.read()?;
    let allowed = match arguments.algorithms.as_slice() {
        [] => &Algorithm::ALL,
        some => some,
    };
    let refused = |error: keywright_verifier::JwsError| Failure::rejected(error.code(), error);
    let jws = Jws::parse(&token, LARGEST_TOKEN).map_err(refused)?;
    let key = jws.verify(&keys, allowed).map_err(refused)?;
    let claims = jws.claims().map_err(refused)?;
    let expectations = Expectations {
        issuer: arguments.issuer.clone(),
        audience: arguments.audience.clone(),
        typ: arguments.typ.clone(),
        leeway: arguments.leeway,
    };
    let now = session.now.floor_seconds();
    expectations
        .check(jws.typ(), &claims, now)
        .map_err(|error| Failure::rejected(error.code(), error))?;
    let expires_at = claims.get("exp").and_then(serde_json::Value::as_u64);

    let unchecked: Vec<&str> = [
        ("--issuer", arguments.issuer.is_none()),
        ("--audience", arguments.audience.is_none()),
    ]
    .into_iter()
    .filter_map(|(flag, is_absent)| is_absent.then_some(flag))
    .collect();
    let output = &mut session.output;
    if output.is_json() {
        let document = json!({
            "valid": true, "kid": key.kid(), "algorithm": key.algorithm(),
            "header": jws.header(), "claims": claims,
        });
        output.line(json_text::indented(&document.to_string()))?;
    } else {
        let rows = [
            ("valid", Some("yes".to_owned())),
            ("kid", Some(key.kid().to_string())),
            ("algorithm", Some(key.algorithm().to_string())),
            ("expires", expires_at.map(|at| described(now, at))),
        ];
        let rows = rows
            .into_iter()
            .filter_map(|(name, value)| Some([name.to_owned(), value?]));
        output.line(pairs(rows))?;
    }
    if unchecked.is_empty() {
        return Ok(());
    }
    output.note(format_args!(
        "note: not everything was checked: {} not given",
        unchecked.join(" and ")
    ))
}
