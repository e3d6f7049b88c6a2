//! `keywright config`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::Failure;
use super::input;
use super::json_text;
use super::session::Session;
use crate::config::{Config, Overrides};
use crate::lifecycle::{Policy, Timing};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Check a configuration or a policy without using it.
    Check(CheckArguments),
    /// Print the configuration that the service would run with.
    Print(PrintArguments),
}

#[derive(clap::Args)]
pub(super) struct CheckArguments {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A policy document (JSON) to check instead, or - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    policy: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct PrintArguments {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Check(CheckArguments {
            policy: Some(path), ..
        }) => check_policy(&path, session),
        Command::Check(CheckArguments { config, .. }) => {
            let config = load(config.as_deref(), session)?;
            check_certificates(&config, session)?;
            config
                .master_key_sources()
                .map_err(|error| Failure::rejected("invalid-config", error))?;
            session.output.line("ok")
        }
        Command::Print(PrintArguments { config }) => {
            let config = load(config.as_deref(), session)?;
            if session.output.is_json() {
                let document = serde_json::to_string(&config).unwrap_or_default();
                return session.output.line(json_text::indented(&document));
            }
            session.output.line(config.to_toml().trim_end())
        }
    }
}

fn load(file: Option<&Path>, session: &Session) -> Result<Config, Failure> {
    let overrides = Overrides {
        data_dir: session.connection.data_dir.clone(),
        ..Overrides::default()
    };
    Config::load(file, overrides).map_err(|error| Failure::rejected("invalid-config", error))
}

/// Certificates are good or not by the files and the day, and not by the configuration alone.
fn check_certificates(config: &Config, session: &mut Session) -> Result<(), Failure> {
    let listeners = [
        ("public", config.public.tls_files()),
        ("internal", config.internal.tls_files()),
    ];
    for (listener, files) in listeners {
        let Some(files) = files else {
            continue;
        };
        let expires_at = files.check().map_err(|error| {
            Failure::rejected("invalid-config", format_args!("{listener}.tls: {error}"))
        })?;
        if expires_at <= session.now {
            let warning = format_args!("warning: {listener}.tls: the certificate has expired");
            session.output.note(warning)?;
        }
    }
    Ok(())
}

fn check_policy(path: &str, session: &mut Session) -> Result<(), Failure> {
    let policy = read_policy(path)?;
    let warnings = policy.warnings();
    if session.output.is_json() {
        let document = json!({"policy": policy.to_document(), "warnings": warnings});
        return session
            .output
            .line(json_text::indented(&document.to_string()));
    }
    for warning in warnings {
        session.output.note(format_args!("warning: {warning}"))?;
    }
    session.output.line("ok")
}

/// Reads a policy document from a file and holds it against every rule that concerns it alone.
pub(super) fn read_policy(path: &str) -> Result<Policy, Failure> {
    let document = input::object(path)?;
    Policy::from_document(document.into(), &Timing::single())
        .map_err(|error| Failure::rejected("invalid-policy", error))
}
