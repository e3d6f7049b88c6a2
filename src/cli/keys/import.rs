//! `keywright keys import`.

use clap::builder::PossibleValuesParser;
use keywright_verifier::{Algorithm, Jwk, Kid};
use serde_json::{Map, Value};

use super::show;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::session::Session;
use crate::engine::{KeyFormat, read_public_key};
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
#[group(id = "material", required = true, multiple = false)]
pub(super) struct Material {
    /// The private key (unencrypted PEM, or a private JWK), or - for standard input.
    #[arg(long, value_name = "FILE", requires = "algorithm")]
    private_key: Option<String>,
    /// The public key (JWK or PEM), or - for standard input; it only verifies.
    #[arg(long, value_name = "FILE")]
    public_key: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    material: Material,
    /// What the key signs with: ES256 or RS256 [default: what the JWK says].
    #[arg(long)]
    algorithm: Option<Algorithm>,
    /// The kid that the key had [default: the JWK's, or the key's thumbprint].
    #[arg(long, allow_hyphen_values = true)]
    kid: Option<Kid>,
    /// What the key becomes. A private key: pending waits out its lead, active signs on (only in
    /// an issuer that takes over), retired verifies for one retention. A public key: retired.
    #[arg(
        long,
        value_parser = PossibleValuesParser::new(["pending", "active", "retired"]),
        required_unless_present = "public_key"
    )]
    state: Option<String>,
}

pub(super) fn run(
    issuer: &IssuerName,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<(), Failure> {
    let mut body = Map::new();
    let mut algorithm = arguments.algorithm;
    if let Some(file) = &arguments.material.private_key {
        let text = input::key_file(file, "invalid-private-key")?;
        body.insert("private_key".to_owned(), text.as_str().into());
    }
    if let Some(file) = &arguments.material.public_key {
        let jwk = public_key(file)?;
        algorithm = algorithm.or(Some(jwk.algorithm()));
        let document: Value = serde_json::from_str(&jwk.to_json())
            .map_err(|error| Failure::rejected("invalid-public-key", error))?;
        body.insert("public_key".to_owned(), document);
    }
    if let Some(algorithm) = algorithm {
        body.insert("algorithm".to_owned(), algorithm.as_str().into());
    }
    if let Some(kid) = &arguments.kid {
        body.insert("kid".to_owned(), kid.as_str().into());
    }
    let state = arguments.state.as_deref().unwrap_or("retired");
    body.insert("state".to_owned(), state.into());
    let client = session.client()?;
    let answer = client.wait(client.import_key(issuer, &body))?;
    show(&answer, None, session)
}

/// Reads a public key in either form. A JWK without a kid is named by its thumbprint, as the service
/// would name it.
fn public_key(file: &str) -> Result<Jwk, Failure> {
    const CODE: &str = "invalid-public-key";
    let text = input::key_file(file, CODE)?;
    if !text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with('{')
    {
        return read_public_key(&text)
            .map_err(|format| Failure::rejected(CODE, format_args!("{file} {format}")));
    }
    let jwk = input::parse_object(text.trim_start_matches('\u{feff}').as_bytes(), file)?;
    if jwk.contains_key("keys") {
        return Err(Failure::rejected(
            CODE,
            format_args!("{file} {}", KeyFormat::JwkSet),
        ));
    }
    Jwk::from_value(jwk.into()).map_err(|error| Failure::rejected(CODE, error))
}
