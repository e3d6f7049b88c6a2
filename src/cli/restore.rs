//! `keywright restore`.

use std::error::Error;
use std::path::{Path, PathBuf};

use keywright_verifier::Kid;
use rustix::fs::Mode;
use rustix::process::umask;
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::Session;
use crate::backup::restore::Outcome;
use crate::config::{Config, Overrides};
use crate::lifecycle::{Change, IssuerName};
use crate::service::{self, RestoreRequest};

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("since").required(true).multiple(true))]
pub(super) struct Arguments {
    /// The backup.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// A register that was written after the backup: what it says revoked, removed, taken back or banned
    /// stays so.
    #[arg(long, value_name = "FILE", group = "since")]
    register: Option<PathBuf>,
    /// A key that was revoked after the backup, or after the register; once for each.
    #[arg(long, value_name = "KID", group = "since", allow_hyphen_values = true)]
    revoked_since: Vec<Kid>,
    /// Nothing was revoked after the backup, or after the register, neither keys nor tokens. Without it
    /// every token of before is refused, because it is not known which were taken back last.
    #[arg(long, group = "since", conflicts_with = "revoked_since")]
    nothing_revoked_since: bool,
    /// An issuer that was deleted after the backup, or after the register; once for each.
    #[arg(long, value_name = "NAME", value_parser = IssuerName::parse)]
    deleted_since: Vec<IssuerName>,
    /// Bring the grants of the backup back, too. Without it all grants end, and their users log in again.
    /// A refresh token that was issued after the backup ends its grant in any case.
    #[arg(long)]
    keep_grants: bool,
    /// The configuration file (TOML) of the service that is restored.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let from_standard_input = |path: &Path| path.as_os_str() == "-";
    if from_standard_input(&arguments.from)
        || arguments
            .register
            .as_deref()
            .is_some_and(from_standard_input)
    {
        return Err(Failure::Usage(
            "--from and --register name files: a backup is read twice".to_owned(),
        ));
    }
    let overrides = Overrides {
        data_dir: session.connection.data_dir.clone(),
        ..Overrides::default()
    };
    let config = Config::load(arguments.config.as_deref(), overrides)
        .map_err(|error| Failure::rejected("invalid-config", error))?;
    let request = RestoreRequest {
        backup: arguments.from,
        register: arguments.register,
        revoked: arguments.revoked_since.into_iter().collect(),
        deleted: arguments.deleted_since.into_iter().collect(),
        nothing_revoked: arguments.nothing_revoked_since,
        keep_grants: arguments.keep_grants,
    };
    let outcome = run_offline(service::restore(&config, request))?;
    session.output.show_found(document(&outcome), |_, output| {
        output.line(format_args!(
            "restored: {} issuers, from the backup with head {}",
            outcome.issuers.len(),
            outcome.backup.head
        ))?;
        for (issuer, kid) in outcome.forced() {
            output.line(format_args!(
                "key {kid} of issuer {issuer} signs before verifiers can be sure to know it"
            ))?;
        }
        for issuer in &outcome.taken_back {
            output.line(format_args!(
                "every token of issuer {issuer} from before is refused: it is not known which were \
                 taken back last"
            ))?;
        }
        if outcome.ended_grants > 0 {
            output.line(format_args!(
                "{} grants of the backup have ended: their users log in again (--keep-grants brings \
                 grants back)",
                outcome.ended_grants
            ))?;
        }
        output.line(format_args!("head: {}", outcome.head))
    })?;
    match outcome.broken {
        Some(broken) => session.output.note(format_args!(
            "warning: the audit log came back as it was, and it is not whole: {broken}"
        )),
        None => Ok(()),
    }
}

fn document(outcome: &Outcome) -> Value {
    let forced = outcome
        .forced()
        .map(|(issuer, kid)| json!({ "issuer": issuer.as_str(), "kid": kid.as_str() }));
    json!({
        "backup": {
            "created_at": outcome.backup.created_at.floor_seconds(),
            "keywright": outcome.backup.keywright,
            "head": outcome.backup.head.to_string(),
        },
        "issuers": outcome.issuers.iter().map(issuer).collect::<Vec<_>>(),
        "forced": forced.collect::<Vec<_>>(),
        "tokens_taken_back": outcome.taken_back.iter().map(IssuerName::as_str).collect::<Vec<_>>(),
        "ended_grants": outcome.ended_grants,
        "head": outcome.head.to_string(),
        "broken": outcome.broken.as_ref().map(ToString::to_string),
    })
}

fn issuer(change: &Change) -> Value {
    let keys = change.set.keys().iter().map(|key| {
        json!({
            "kid": key.kid().as_str(),
            "algorithm": key.algorithm(),
            "state": key.state().name(),
        })
    });
    json!({
        "name": change.set.issuer().as_str(),
        "version": change.set.version(),
        "keys": keys.collect::<Vec<_>>(),
    })
}

/// Does something to a store that no service uses. What it writes is its owner's alone.
pub(super) fn run_offline<T>(
    work: impl Future<Output = Result<T, Box<dyn Error>>>,
) -> Result<T, Failure> {
    umask(Mode::RWXG | Mode::RWXO);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work).map_err(Failure::Offline)
}
