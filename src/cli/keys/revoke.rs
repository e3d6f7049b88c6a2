//! `keywright keys revoke`: distrusts a key and says who is exposed, and until when.

use keywright_api::{Exposure, Key, Nullable};
use keywright_client::{Answer, AuditFilter};
use keywright_verifier::Kid;
use serde_json::{Value, json};

use super::live_tokens;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::irreversible::{Consent, Irreversible};
use crate::cli::json_text::printable;
use crate::cli::moment::{described, rfc3339, seen_from};
use crate::cli::repetition::{self, EarlierAct};
use crate::cli::session::Session;
use crate::cli::table::columns;
use crate::lifecycle::{IssuerName, KNOWN_VERIFIERS};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The key: its kid, a token that it has signed, or a file with a token or the key itself; - for
    /// standard input.
    #[arg(value_name = "KID|TOKEN|FILE", allow_hyphen_values = true)]
    key: String,
    /// Why; goes into the audit log and stays with the key.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Also revoke the pending keys of the same algorithm, and sign with a new key that verifiers do
    /// not have yet.
    #[arg(long)]
    discard_successor: bool,
    /// Show who would be exposed, and until when. Nothing is changed.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

impl Arguments {
    /// What names the key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

pub(super) fn run(
    issuer: &IssuerName,
    kid: &Kid,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<(), Failure> {
    let client = session.client()?;
    if arguments.dry_run || !arguments.consent.is_given() {
        let expected = client.read_exposure(issuer, kid, arguments.discard_successor);
        let expected = match client.wait(expected) {
            Err(failure) if is_repetition(&failure) => {
                return already_revoked(&client, issuer, kid, session);
            }
            expected => expected?,
        };
        if arguments.dry_run {
            show(&expected, Act::Imagined, session)?;
            return live_tokens::note(&client, issuer, kid, session);
        }
        if let Some(consequence) = danger(&expected.read()?) {
            let step = Irreversible {
                consequence,
                word: "yes",
            };
            arguments.consent.require(&step, session)?;
        }
    }
    let reason = arguments.reason.as_deref().unwrap_or_default();
    let mut body = json!({ "reason": reason });
    if arguments.discard_successor
        && let Some(body) = body.as_object_mut()
    {
        body.insert("discard_successor".to_owned(), true.into());
    }
    match client.wait(client.revoke_key(issuer, kid, &body)) {
        Err(failure) if is_repetition(&failure) => already_revoked(&client, issuer, kid, session),
        answer => show(&answer?, Act::Done, session),
    }
}

/// What makes a revocation one to ask about: verifiers would refuse tokens that are signed after it.
fn danger(expected: &Exposure) -> Option<String> {
    let algorithm = expected.algorithm;
    match expected.signs_now.as_ref() {
        None => Some(format!(
            "no {algorithm} key is left to sign until a fresh one is there, which verifiers do not \
             know yet"
        )),
        Some(kid) if expected.forced => Some(format!(
            "{kid} signs {algorithm} tokens from now on, and verifiers that have not fetched it yet \
             refuse them"
        )),
        Some(_) => None,
    }
}

fn is_repetition(failure: &Failure) -> bool {
    let Failure::Refused(problem) = failure else {
        return false;
    };
    let document = serde_json::from_str::<Value>(&problem.document).unwrap_or_default();
    problem.code == "illegal-transition" && document.get("state") == Some(&"revoked".into())
}

fn already_revoked(
    client: &Client,
    issuer: &IssuerName,
    kid: &Kid,
    session: &mut Session,
) -> Result<(), Failure> {
    let revocation = AuditFilter {
        event: Some("key-revoked".to_owned()),
        issuer: Some(issuer.clone()),
        kid: Some(kid.clone()),
        ..AuditFilter::default()
    };
    let earlier = repetition::find(client, &revocation, |_| true)?;
    let answer = client.wait(client.read_key(issuer, kid))?;
    session.output.show(&answer, |key: Key, output| {
        let earlier = EarlierAct {
            at: key.revoked_at.map(|at| at.0),
            ..earlier.unwrap_or_default()
        };
        let text = format!("{} was already revoked{}", key.kid, earlier.told());
        output.line(printable(&text))
    })
}

/// Where an operator reads on.
pub(super) const RUNBOOK: &str = "docs/leaked-key.md";

/// Whether a revocation has happened.
#[derive(Clone, Copy)]
enum Act {
    Done,
    Imagined,
}

fn show(answer: &Answer<Exposure>, act: Act, session: &mut Session) -> Result<(), Failure> {
    session.output.show(answer, |exposure: Exposure, output| {
        for sentence in sentences(&exposure, act) {
            output.line(printable(&sentence))?;
        }
        output.line("")?;
        output.line(trust(&exposure))?;
        output.note(format_args!("note: what comes next: {RUNBOOK}"))
    })
}

fn sentences(exposure: &Exposure, act: Act) -> Vec<String> {
    let now = exposure.revoked_at.0;
    let algorithm = exposure.algorithm;
    let revoked: Vec<&str> = exposure.revoked.iter().map(Kid::as_str).collect();
    let revoked = revoked.join(", ");
    let mut sentences = match act {
        Act::Done => vec![
            format!(
                "Revoked at {}, and no longer published: {revoked}.",
                rfc3339(now)
            ),
            match exposure.signs_now.as_ref() {
                Some(kid) => format!("{algorithm} tokens are now signed by {kid}."),
                None => format!("Nothing signs {algorithm} tokens now."),
            },
        ],
        Act::Imagined => vec![
            format!("Nothing was changed. This would be revoked: {revoked}."),
            match exposure.signs_now.as_ref() {
                Some(kid) => format!("{algorithm} tokens would be signed by {kid}."),
                None => {
                    format!("Nothing would sign {algorithm} tokens until a fresh key is there.")
                }
            },
        ],
    };
    if exposure.forced {
        sentences.push(
            "Verifiers that have not fetched that key yet would refuse its tokens (forced)."
                .to_owned(),
        );
    }
    let in_force = exposure.in_force_everywhere_at.0;
    if in_force > now.saturating_add(1) {
        sentences.push(format!(
            "A replica does not know of it yet: it stops signing by {}.",
            described(now, in_force)
        ));
    }
    sentences.push(format!(
        "Cached copies of the key set may be used as fresh until {}.",
        described(now, exposure.cached_until.0)
    ));
    sentences.extend(exposure.copies.iter().map(|copy| match copy.cached_until {
        Nullable::Value(until) => format!(
            "The copy at {} was pushed without it; readers may have the one before until {}.",
            copy.target,
            described(now, until.0)
        ),
        Nullable::Null => format!(
            "The copy at {} still has it, for no known time: pushes are tried until one succeeds; keywright \
             status says how they go.",
            copy.target
        ),
    }));
    sentences.push(if exposure.tokens_until.0 <= now {
        "No token that it signed was still alive.".to_owned()
    } else {
        format!(
            "Its last token would have lived until {}.",
            described(now, exposure.tokens_until.0)
        )
    });
    sentences
}

/// Until when each verifier that we know may still trust what it cached.
fn trust(exposure: &Exposure) -> String {
    let rows = KNOWN_VERIFIERS.iter().map(|verifier| {
        let [until, left] = match verifier.forgets_after {
            Some(after) => {
                let until = exposure.cached_until.0.saturating_add(after.as_secs());
                [rfc3339(until), seen_from(exposure.revoked_at.0, until)]
            }
            None => ["restart, or an unknown kid".to_owned(), String::new()],
        };
        [
            verifier.name.to_owned(),
            until,
            left,
            verifier.habit.to_owned(),
        ]
    });
    columns(["verifier", "may trust it until", "", "habit"], rows)
}

#[cfg(test)]
mod tests {
    use keywright_api::UnixSeconds;
    use keywright_verifier::Algorithm;

    use super::*;

    #[test]
    fn a_revocation_says_who_is_exposed_and_until_when() {
        let exposure = Exposure {
            kid: Kid::parse("leaked").unwrap(),
            algorithm: Algorithm::Es256,
            revoked: vec![Kid::parse("leaked").unwrap()],
            revoked_at: UnixSeconds(1_767_225_600),
            forced: false,
            signs_now: Some(Kid::parse("successor").unwrap()).into(),
            cached_until: UnixSeconds(1_767_229_500),
            copies: Vec::new(),
            tokens_until: UnixSeconds(1_767_229_200),
            in_force_everywhere_at: UnixSeconds(1_767_225_630),
        };
        assert_eq!(
            sentences(&exposure, Act::Done),
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
        assert!(istio.unwrap().contains("  in 1h 25m  "), "{table}");
    }
}
