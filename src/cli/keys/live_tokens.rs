//! Whose tokens a revocation would end, below what it would do.

use keywright_api::LiveTokens;
use keywright_verifier::Kid;

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::json_text::printable;
use crate::cli::moment::rfc3339;
use crate::cli::session::Session;
use crate::lifecycle::IssuerName;

/// How many clients, and how many audiences, are named.
const MOST_NAMED: usize = 5;

/// Says it to people. Programs have the answer of one call, and can make the other.
pub(super) fn note(
    client: &Client,
    issuer: &IssuerName,
    kid: &Kid,
    session: &mut Session,
) -> Result<(), Failure> {
    if session.output.is_json() {
        return Ok(());
    }
    let live = match client.wait(client.read_live_tokens(issuer, kid)) {
        Ok(answer) => answer.read()?,
        Err(Failure::Refused(problem)) => {
            let text = format!("note: live tokens are not counted: {}", problem.detail);
            return session.output.note(printable(&text));
        }
        Err(failure) => return Err(failure),
    };
    session.output.note(printable(&sentence(&live)))
}

fn sentence(live: &LiveTokens) -> String {
    let clients = live.clients.iter();
    let clients = clients.map(|share| format!("{} ({})", share.client, share.tokens));
    let audiences = live.audiences.iter();
    let audiences = audiences.map(|share| format!("{} ({})", share.audience, share.tokens));
    let mut sentence = format!(
        "note: live tokens in this replica's issuance log: {}",
        live.tokens
    );
    for (what, names) in [
        ("clients", clients.collect::<Vec<_>>()),
        ("audiences", audiences.collect()),
    ] {
        let Some(named) = names
            .get(..names.len().min(MOST_NAMED))
            .filter(|named| !named.is_empty())
        else {
            continue;
        };
        sentence += &format!("; {what}: {}", named.join(", "));
        if names.len() > MOST_NAMED {
            sentence += ", …";
        }
    }
    match live.read_since.as_ref() {
        _ if live.complete => {}
        Some(since) => sentence += &format!("; there may be more before {}", rfc3339(since.0)),
        None => sentence += "; the log is empty, so that there may be more",
    }
    sentence
}
