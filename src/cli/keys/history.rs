//! `keywright keys history`.

use keywright_api::{History, JwkSet};

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

pub(super) fn run(
    issuer: &IssuerName,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<(), Failure> {
    let at = arguments.at.resolve(session.now);
    let client = session.client()?;
    let answer = client.wait(client.read_history(issuer, at.millis()))?;
    session.output.show(&answer, |history: History, output| {
        let published: JwkSet = serde_json::from_str(history.jwks.get())
            .map_err(|error| Failure::rejected("invalid-jwks", error))?;
        let rows = history.keys.into_iter().map(|key| {
            let was_published = published.keys.iter().any(|one| one.kid == key.kid);
            let published = if was_published { "yes" } else { "no" };
            let words = [
                key.kid.as_str(),
                key.algorithm.as_str(),
                key.state.as_str(),
                published,
            ];
            words.map(str::to_owned)
        });
        output.line(columns(["kid", "algorithm", "state", "published"], rows))
    })
}
