//! `keywright keys history`.

use serde::Deserialize;

use crate::cli::failure::Failure;
use crate::cli::moment::InstantArgument;
use crate::cli::session::Session;
use crate::cli::table::columns;
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// When: 2h (ago), 2026-01-31 (UTC), 2026-01-31T03:00:00Z, or Unix seconds with up to three
    /// decimals.
    #[arg(long, value_name = "TIME")]
    at: InstantArgument,
}

#[derive(Deserialize)]
struct History {
    jwks: Jwks,
    keys: Vec<PastKey>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Published>,
}

#[derive(Deserialize)]
struct Published {
    kid: String,
}

#[derive(Deserialize)]
struct PastKey {
    kid: String,
    algorithm: String,
    state: String,
}

pub(super) fn run(
    issuer: &IssuerName,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<(), Failure> {
    let at = arguments.at.resolve(session.now);
    let (seconds, millis) = (at.floor_seconds(), at.millis() % 1000);
    let path = format!("/v1/issuers/{issuer}/history?at={seconds}.{millis:03}");
    let answer = session.client()?.read(&path)?;
    session.output.show(&answer, |history: History, output| {
        let published = history.jwks.keys;
        let rows = history.keys.into_iter().map(|key| {
            let was_published = published.iter().any(|one| one.kid == key.kid);
            let published = if was_published { "yes" } else { "no" };
            [key.kid, key.algorithm, key.state, published.to_owned()]
        });
        output.line(columns(["kid", "algorithm", "state", "published"], rows))
    })
}
