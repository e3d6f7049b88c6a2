//! `keywright config`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::Failure;
use super::input;
use super::json_text;
use super::session::Session;
use crate::config::{self, Config, Overrides};
use crate::lifecycle::{Policy, Timing};
use crate::service;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Check a configuration or a policy without using it.
    Check(CheckArguments),
    /// Print the configuration that the service would run with.
    Print(PrintArguments),
    /// Print a configuration file with every setting, as comments.
    Example,
}

#[derive(clap::Args)]
pub(super) struct CheckArguments {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A policy document (JSON) to check instead, for the store of the configuration; or - for
    /// standard input.
    #[arg(long, value_name = "FILE")]
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
            policy: Some(path),
            config,
        }) => {
            let timing = load(config.as_deref(), session)?.store.timing();
            check_policy(&path, &timing, session)
        }
        Command::Check(CheckArguments { config, .. }) => {
            check(&load(config.as_deref(), session)?, session)
        }
        Command::Print(PrintArguments { config }) => {
            let config = load(config.as_deref(), session)?;
            if session.output.is_json() {
                let document = serde_json::to_string(&config).unwrap_or_default();
                return session.output.line(json_text::indented(&document));
            }
            session.output.line(config.to_toml().trim_end())
        }
        Command::Example => session.output.line(config::EXAMPLE.trim_end()),
    }
}

fn load(file: Option<&Path>, session: &Session) -> Result<Config, Failure> {
    let overrides = Overrides {
        data_dir: session.connection.data_dir.clone(),
        ..Overrides::default()
    };
    Config::load(file, overrides).map_err(|error| Failure::rejected("invalid-config", error))
}

/// Judges as a start does, and says what only a start can tell.
fn check(config: &Config, session: &mut Session) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _inside = runtime.enter();
    let checked =
        service::check(config).map_err(|error| Failure::rejected("invalid-config", error))?;
    for (listener, expires_at) in &checked.certificates {
        if *expires_at <= session.now {
            let warning = format_args!("warning: {listener}.tls: the certificate has expired");
            session.output.note(warning)?;
        }
    }
    session.output.line("ok")?;
    let unchecked = format_args!("note: not checked: {}", service::UNCHECKED);
    session.output.note(unchecked)
}

fn check_policy(path: &str, timing: &Timing, session: &mut Session) -> Result<(), Failure> {
    let policy = read_policy(path, timing)?;
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

/// Reads a policy document from a file and holds it against every rule that concerns it and the
/// time that a change takes.
pub(super) fn read_policy(path: &str, timing: &Timing) -> Result<Policy, Failure> {
    let document = input::object(path)?;
    Policy::from_document(document.into(), timing)
        .map_err(|error| Failure::rejected("invalid-policy", error))
}
