//! `keywright master-key`.

use std::path::PathBuf;
use std::sync::Arc;

use keywright_api::{MasterKeyRotation, MasterKeyState};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::irreversible::{Consent, Irreversible};
use super::session::Session;
use super::table::columns;
use crate::config::{Config, Overrides};
use crate::service;
use crate::store::seal::Fingerprint;
use crate::telemetry::{Metrics, ServiceLog};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Show which master keys are needed. No key is ever shown, but its fingerprint.
    Show,
    /// Let another master key seal the store, and seal everything anew with it.
    Rotate(RotateArguments),
    /// Go on without a master key that is lost: its signing keys retire, fresh ones sign at once.
    ///
    /// Works on the store itself, while no service runs. The configuration must name another master
    /// key, which seals the store from then on. What the lost key has sealed is given up: those keys
    /// stay published until their last tokens have expired, and verifiers do not know the fresh ones
    /// yet.
    Replace(ReplaceArguments),
}

#[derive(clap::Args)]
pub(super) struct RotateArguments {
    /// The fingerprint of the key that seals from now on [default: goes on with a rotation that has
    /// begun, or takes the one other key that the service has].
    #[arg(long, value_name = "FINGERPRINT")]
    to: Option<Fingerprint>,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct ReplaceArguments {
    /// The configuration file (TOML) that the service runs with.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    consent: Consent,
}

pub(super) fn run(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Show => show(session),
        Command::Rotate(arguments) => rotate(&arguments, session),
        Command::Replace(arguments) => replace(&arguments, session),
    }
}

fn show(session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    let answer = client.wait(client.read_master_key())?;
    session
        .output
        .show(&answer, |state: MasterKeyState, output| {
            let rows = state.keys.into_iter().map(|key| {
                let seals = match (key.fingerprint == state.sealing, state.rotating) {
                    (true, true) => "seals; a rotation to it has not ended",
                    (true, false) => "seals",
                    (false, _) => "",
                };
                let here = if key.here { "yes" } else { "no" };
                [
                    key.fingerprint.to_string(),
                    key.records.to_string(),
                    here.to_owned(),
                    seals.to_owned(),
                ]
            });
            output.line(columns(["fingerprint", "records", "here", ""], rows))?;
            note_unopenable(state.unopenable, output)
        })
}

/// Asks until nothing is left, or nothing gets done.
fn rotate(arguments: &RotateArguments, session: &mut Session) -> Result<(), Failure> {
    let mut body = Map::new();
    if let Some(to) = arguments.to {
        body.insert("to".to_owned(), to.to_string().into());
    }
    if let Some(reason) = &arguments.reason {
        body.insert("reason".to_owned(), reason.as_str().into());
    }
    let client = session.client()?;
    let mut resealed = 0;
    loop {
        let answer = client.wait(client.rotate_master_key(&body))?;
        let rotation: MasterKeyRotation = answer.read()?;
        resealed += rotation.resealed;
        if rotation.left > 0 && rotation.resealed > 0 {
            let left = rotation.left;
            session
                .output
                .note(format_args!("sealed anew: {resealed}; left: {left}"))?;
            // It goes on with the key that the first call has chosen.
            body.insert("to".to_owned(), rotation.sealing.to_string().into());
            continue;
        }
        let whole = MasterKeyRotation {
            resealed,
            ..rotation
        };
        return session.output.show_found(whole, |done, output| {
            output.line(format_args!(
                "{} seals now; sealed anew: {}; left: {}",
                done.sealing, done.resealed, done.left
            ))?;
            if done.left > 0 {
                output.note(
                    "note: what is left needs a master key that the service does not have: see \
                     master-key show",
                )?;
            }
            note_unopenable(done.unopenable, output)
        });
    }
}

fn note_unopenable(count: u64, output: &mut super::output::Output) -> Result<(), Failure> {
    if count == 0 {
        return Ok(());
    }
    output.note(format_args!(
        "note: private keys that no master key opens: {count}; the service's log names their issuers"
    ))
}

fn replace(arguments: &ReplaceArguments, session: &mut Session) -> Result<(), Failure> {
    let overrides = Overrides {
        data_dir: session.connection.data_dir.clone(),
        ..Overrides::default()
    };
    let config = Config::load(arguments.config.as_deref(), overrides)
        .map_err(|error| Failure::rejected("invalid-config", error))?;
    let step = Irreversible {
        consequence: "what the lost master key has sealed is given up, and verifiers do not know \
                      the keys yet that sign from now on"
            .to_owned(),
        word: "yes",
    };
    arguments.consent.require(&step, session)?;
    let metrics = Arc::<Metrics>::default();
    let log = ServiceLog::start(config.log.format, "warn", &metrics).map_err(Failure::Service)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let replaced = runtime
        .block_on(service::replace_lost_keys(&config, &arguments.reason))
        .map_err(Failure::Service);
    log.end();
    let replaced = replaced?;
    let issuers: Vec<Value> = replaced
        .iter()
        .map(|one| json!({ "issuer": one.issuer.as_str(), "lost": one.lost }))
        .collect();
    if session.output.is_json() {
        return session.output.line(json!({ "issuers": issuers }));
    }
    if replaced.is_empty() {
        return session
            .output
            .line("every private key opens: nothing was replaced");
    }
    for one in replaced {
        session.output.line(format_args!(
            "{}: lost {} private keys; fresh ones sign now, which verifiers may not know yet",
            one.issuer, one.lost
        ))?;
    }
    Ok(())
}
