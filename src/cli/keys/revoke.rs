//! `keywright keys revoke`: distrusts a key and says who is exposed, and until when.

use keywright_verifier::Kid;
use serde::Deserialize;
use serde_json::json;

use super::key_path;
use crate::cli::failure::Failure;
use crate::cli::json_text::printable;
use crate::cli::moment::{described, rfc3339, seen_from};
use crate::cli::session::Session;
use crate::cli::table::columns;
use crate::lifecycle::{IssuerName, KNOWN_VERIFIERS};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The key.
    #[arg(allow_hyphen_values = true)]
    kid: Kid,
    /// Why; goes into the audit log and stays with the key.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Its successor is as suspect as the key itself: revoke it too and let a fresh key take
    /// over, which verifiers do not know yet.
    #[arg(long)]
    discard_successor: bool,
}

/// Who may still trust what was revoked.
#[derive(Deserialize)]
struct Exposure {
    algorithm: String,
    revoked: Vec<String>,
    revoked_at: u64,
    forced: bool,
    signs_now: Option<String>,
    cached_until: u64,
    tokens_until: u64,
    in_force_everywhere_at: Option<u64>,
}

pub(super) fn run(
    issuer: &IssuerName,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<(), Failure> {
    let mut body = json!({"reason": arguments.reason});
    if arguments.discard_successor
        && let Some(body) = body.as_object_mut()
    {
        body.insert("discard_successor".to_owned(), true.into());
    }
    let path = format!("{}/revoke", key_path(issuer, &arguments.kid));
    let answer = session.client()?.post(&path, &body)?;
    session.output.show(&answer, |exposure: Exposure, output| {
        for sentence in sentences(&exposure) {
            output.line(printable(&sentence))?;
        }
        output.line("")?;
        output.line(trust(&exposure))
    })
}

fn sentences(exposure: &Exposure) -> Vec<String> {
    let now = exposure.revoked_at;
    let algorithm = &exposure.algorithm;
    let mut sentences = vec![
        format!(
            "Revoked at {}, and no longer published: {}.",
            rfc3339(now),
            exposure.revoked.join(", ")
        ),
        match &exposure.signs_now {
            Some(kid) => format!("{algorithm} tokens are now signed by {kid}."),
            None => format!("Nothing signs {algorithm} tokens now."),
        },
    ];
    if exposure.forced {
        sentences.push(
            "It was forced: verifiers that have not fetched it yet refuse its tokens.".to_owned(),
        );
    }
    // A server of before it was told answers without it.
    if let Some(at) = exposure.in_force_everywhere_at
        && at > now.saturating_add(1)
    {
        sentences.push(format!(
            "A replica does not know of it yet: it stops signing by {}.",
            described(now, at)
        ));
    }
    sentences.push(format!(
        "Cached copies of the key set may be used as fresh until {}.",
        described(now, exposure.cached_until)
    ));
    sentences.push(if exposure.tokens_until <= now {
        "No token that it signed was still alive.".to_owned()
    } else {
        format!(
            "Its last token would have lived until {}.",
            described(now, exposure.tokens_until)
        )
    });
    sentences
}

/// Until when each verifier that we know may still trust what it cached.
fn trust(exposure: &Exposure) -> String {
    let rows = KNOWN_VERIFIERS.iter().map(|verifier| {
        let [until, left] = match verifier.forgets_after {
            Some(after) => {
                let until = exposure.cached_until.saturating_add(after.as_secs());
                [rfc3339(until), seen_from(exposure.revoked_at, until)]
            }
            None => ["restart, or an unknown kid".to_owned(), String::new()],
        };
        [
            verifier.name.to_owned(),
            verifier.habit.to_owned(),
            until,
            left,
        ]
    });
    columns(["verifier", "habit", "may trust it until", ""], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_says_who_is_exposed_and_until_when() {
        let exposure = Exposure {
            algorithm: "ES256".to_owned(),
            revoked: vec!["leaked".to_owned()],
            revoked_at: 1_767_225_600,
            forced: false,
            signs_now: Some("successor".to_owned()),
            cached_until: 1_767_229_500,
            tokens_until: 1_767_229_200,
            in_force_everywhere_at: Some(1_767_225_630),
        };
        assert_eq!(
            sentences(&exposure),
            [
                "Revoked at 2026-01-01T00:00:00Z, and no longer published: leaked.",
                "ES256 tokens are now signed by successor.",
                "A replica does not know of it yet: it stops signing by 2026-01-01T00:00:30Z (in 30s).",
                "Cached copies of the key set may be used as fresh until 2026-01-01T01:05:00Z \
                 (in 1h 5m).",
                "Its last token would have lived until 2026-01-01T01:00:00Z (in 1h).",
            ]
        );
        let table = trust(&exposure);
        let istio = table.lines().find(|line| line.starts_with("Istio"));
        assert_eq!(
            istio.unwrap().split("  ").last().unwrap(),
            "in 1h 25m",
            "{table}"
        );
    }
}
