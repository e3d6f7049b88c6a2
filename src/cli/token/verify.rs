//! `keywright token verify`: the checks of the verifier library, from a shell.

use std::time::{Duration, UNIX_EPOCH};

use keywright_verifier::{Algorithm, ClaimError, Jws, Rules, Verified, Verifier, VerifyError};
use serde_json::{Map, Value, json};

use super::inspect::show_claims;
use super::key_source::KeySource;
use super::{LARGEST_TOKEN, read_token, refused};
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
    let keys = arguments.jwks.read(&session.connection.tls)?;
    let inspected = Jws::inspect(&token, LARGEST_TOKEN).map_err(|error| refused(error.into()))?;
    let rules = rules(arguments, inspected.claims.get("iss")).map_err(refused)?;
    for unused in keys.passed_over() {
        if !unused.reason.is_unsupported() {
            let reason = &unused.reason;
            session
                .output
                .note(format_args!("note: {unused}: {reason}"))?;
        }
    }
    let verifier = Verifier::new(rules, keys).map_err(|error| Failure::Usage(error.to_string()))?;
    let now = UNIX_EPOCH + Duration::from_millis(session.now.millis());
    let verified = verifier
        .verify_with_held_keys::<Map<String, Value>>(&token, now)
        .map_err(refused)?;
    let now = session.now.floor_seconds();
    let Verified { header, claims, .. } = verified;
    let expires_at = claims.get("exp").and_then(Value::as_u64);

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
            "valid": true, "kid": header.kid, "algorithm": header.algorithm,
            "header": inspected.header, "claims": claims,
        });
        output.line(json_text::indented(&document.to_string()))?;
    } else {
        let rows = [
            ("valid", Some("yes".to_owned())),
            ("kid", Some(header.kid.to_string())),
            ("algorithm", Some(header.algorithm.to_string())),
            ("expires", expires_at.map(|at| described(now, at))),
        ];
        let rows = rows
            .into_iter()
            .filter_map(|(name, value)| Some([name.to_owned(), value?]));
        output.line(pairs(rows))?;
        output.line("")?;
        show_claims(&claims, now, output)?;
    }
    if unchecked.is_empty() {
        return Ok(());
    }
    output.note(format_args!(
        "note: not everything was checked: {} not given",
        unchecked.join(" and ")
    ))
}

/// The rules that the flags set. Without an issuer among them it is the one that the token names: a
/// user who verifies a token here asks about this token, and is shown what was not checked.
fn rules(arguments: &Arguments, named: Option<&Value>) -> Result<Rules, VerifyError> {
    let issuer = match (&arguments.issuer, named) {
        (Some(issuer), _) | (None, Some(Value::String(issuer))) => issuer.clone(),
        (None, _) => return Err(ClaimError::WrongIssuer.into()),
    };
    let algorithms = match arguments.algorithms.as_slice() {
        [] => &Algorithm::ALL,
        some => some,
    };
    let audience = arguments.audience.clone();
    let mut rules = Rules::new(issuer, audience.unwrap_or_default(), algorithms.to_vec())
        .leeway(arguments.leeway)
        .max_token_bytes(LARGEST_TOKEN)
        // The question is whether the token is good, not whether a request may use it.
        .danger_accept_without_proof()
        .danger_accept_without_consumption();
    if arguments.audience.is_none() {
        rules = rules.danger_accept_any_audience();
    }
    Ok(match &arguments.typ {
        Some(typ) => rules.typ(typ),
        None => rules.danger_accept_any_typ(),
    })
}
