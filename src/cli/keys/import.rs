//! `keywright keys import`.

use clap::builder::PossibleValuesParser;
use keywright_verifier::{Algorithm, Jwk, Kid};
use serde_json::{Map, Value};

use super::{keys_path, show};
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::session::Session;
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
#[group(id = "material", required = true, multiple = false)]
pub(super) struct Material {
    /// The private key (PKCS#8, PEM), or - for standard input.
    #[arg(long, value_name = "FILE", requires = "algorithm")]
    private_key: Option<String>,
    /// The public key (JWK), or - for standard input; it only verifies.
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
        body.insert("private_key".to_owned(), input::text(file)?.as_str().into());
    }
    if let Some(file) = &arguments.material.public_key {
        let jwk = input::object(file)?;
        let parsed = Jwk::from_value(Value::Object(jwk.clone()))
            .map_err(|error| Failure::rejected("invalid-public-key", error))?;
        algorithm = algorithm.or(Some(parsed.algorithm()));
        body.insert("public_key".to_owned(), jwk.into());
    }
    if let Some(algorithm) = algorithm {
        body.insert("algorithm".to_owned(), algorithm.as_str().into());
    }
    if let Some(kid) = &arguments.kid {
        body.insert("kid".to_owned(), kid.as_str().into());
    }
    let state = arguments.state.as_deref().unwrap_or("retired");
    body.insert("state".to_owned(), state.into());
    let answer = session
        .client()?
        .post(&keys_path(issuer), &Value::Object(body))?;
    show(&answer, session)
}
