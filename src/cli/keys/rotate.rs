//! `keywright keys rotate`.

use keywright_api::{AlgorithmRotation, Rotations};
use keywright_verifier::{Algorithm, Kid};
use serde_json::{Map, Value};

use crate::cli::failure::Failure;
use crate::cli::irreversible::{Consent, Irreversible};
use crate::cli::json_text::printable;
use crate::cli::moment::described;
use crate::cli::session::Session;
use crate::cli::short_names::ShortNames;
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only the keys of this algorithm: ES256 or RS256 [default: all of the policy].
    #[arg(long)]
    algorithm: Option<Algorithm>,
    /// Do not wait until verifiers can know the successor. Those that do not know it yet refuse
    /// its tokens.
    #[arg(long)]
    force: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

pub(super) fn run(
    issuer: &IssuerName,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<(), Failure> {
    let mut body = Map::new();
    if let Some(algorithm) = arguments.algorithm {
        body.insert("algorithm".to_owned(), algorithm.as_str().into());
    }
    if arguments.force {
        let step = Irreversible {
            consequence: format!(
                "verifiers that do not know the successor of issuer {issuer} yet refuse the tokens \
                 that it signs"
            ),
            word: "yes",
        };
        arguments.consent.require(&step, session)?;
        body.insert("force".to_owned(), true.into());
    }
    if let Some(reason) = &arguments.reason {
        body.insert("reason".to_owned(), reason.as_str().into());
    }
    let client = session.client()?;
    let mut outcome = client.wait(client.rotate(issuer, &body));
    if let Err(Failure::Refused(problem)) = &mut outcome
        && let Some(ready_at) = ready_at(&problem.document)
    {
        let ready = described(session.now.floor_seconds(), ready_at);
        problem.hint = Some(format!(
            "wait until {ready}, or use --force: verifiers that do not have the key yet will refuse \
             its tokens"
        ));
    }
    session.output.show(&outcome?, |outcome: Rotations, output| {
        for rotation in outcome.rotations {
            output.line(printable(&line(&rotation)))?;
            if rotation.forced {
                output.note(format_args!(
                    "warning: verifiers that have not fetched key {} yet refuse its tokens (forced)",
                    rotation.activated
                ))?;
            }
        }
        Ok(())
    })
}

fn ready_at(problem: &str) -> Option<u64> {
    let problem: Value = serde_json::from_str(problem).ok()?;
    problem.get("ready_at")?.as_u64()
}

fn line(rotation: &AlgorithmRotation) -> String {
    let retired: Option<Kid> = rotation.retired.clone().into();
    let successor: Option<Kid> = rotation.successor.clone().into();
    let roles = [
        ("active", Some(&rotation.activated)),
        ("retired", retired.as_ref()),
        ("successor", successor.as_ref()),
    ];
    let keys = roles
        .iter()
        .filter_map(|(role, kid)| Some((role, kid.as_ref()?.as_str())));
    let names = ShortNames::of(keys.clone().map(|(_, kid)| kid));
    let keys = keys.map(|(role, kid)| format!("  {role}: {}", names.short(kid)));
    format!("{}{}", rotation.algorithm, keys.collect::<String>())
}
