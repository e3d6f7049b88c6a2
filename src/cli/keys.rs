//! `keywright keys`.

mod history;
mod import;
mod revoke;
mod rotate;

use keywright_verifier::Kid;
use serde::Deserialize;

use super::client::{Answer, segment};
use super::failure::Failure;
use super::moment::{described, rfc3339};
use super::session::Session;
use super::table::{columns, pairs};
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The issuer whose keys are meant.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "default",
        value_parser = IssuerName::parse
    )]
    issuer: IssuerName,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List an issuer's keys.
    List(ListArguments),
    /// Show one key.
    Show(ShowArguments),
    /// Show which keys were published at an earlier time, and in which states.
    History(history::Arguments),
    /// Let the ready successor take over now.
    Rotate(rotate::Arguments),
    /// Distrust a key, for good; the successor takes over.
    Revoke(revoke::Arguments),
    /// Bring in a key of another system.
    Import(import::Arguments),
}

#[derive(clap::Args)]
struct ListArguments {
    /// Also the keys that have left the set at the end of their life.
    #[arg(long)]
    all: bool,
}

#[derive(clap::Args)]
struct ShowArguments {
    /// The key.
    // One thumbprint in 64 begins with a hyphen.
    #[arg(allow_hyphen_values = true)]
    kid: Kid,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

/// A key as the service shows it, with the times that apply.
#[derive(Deserialize)]
struct Key {
    kid: String,
    algorithm: String,
    state: String,
    created_at: u64,
    published_at: u64,
    ready_at: Option<u64>,
    activated_at: Option<u64>,
    retired_at: Option<u64>,
    published_until: Option<u64>,
    revoked_at: Option<u64>,
    reason: Option<String>,
}

pub(super) fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let issuer = arguments.issuer;
    match arguments.command {
        Command::List(arguments) => list(&issuer, &arguments, session),
        Command::Show(arguments) => {
            let answer = session.client()?.read(&key_path(&issuer, &arguments.kid))?;
            show(&answer, session)
        }
        Command::History(arguments) => history::run(&issuer, &arguments, session),
        Command::Rotate(arguments) => rotate::run(&issuer, &arguments, session),
        Command::Revoke(arguments) => revoke::run(&issuer, &arguments, session),
        Command::Import(arguments) => import::run(&issuer, &arguments, session),
    }
}

/// Where an issuer's keys are.
pub(super) fn keys_path(issuer: &IssuerName) -> String {
    format!("/v1/issuers/{issuer}/keys")
}

fn key_path(issuer: &IssuerName, kid: &Kid) -> String {
    format!("{}/{}", keys_path(issuer), segment(kid.as_str()))
}

fn list(
    issuer: &IssuerName,
    arguments: &ListArguments,
    session: &mut Session,
) -> Result<(), Failure> {
    let answer = session.client()?.read(&keys_path(issuer))?;
    let now = session.now.floor_seconds();
    session.output.show(&answer, |list: Keys, output| {
        let count = list.keys.len();
        let shown: Vec<_> = list
            .keys
            .into_iter()
            .filter(|key| arguments.all || key.state != "removed")
            .collect();
        let hidden = count.saturating_sub(shown.len());
        let rows = shown.into_iter().map(|key| row(key, now));
        output.line(columns(
            ["kid", "algorithm", "state", "since", "and then"],
            rows,
        ))?;
        if hidden > 0 {
            output.note(format_args!(
                "note: removed keys not shown: {hidden} (--all)"
            ))?;
        }
        Ok(())
    })
}

fn row(key: Key, now: u64) -> [String; 5] {
    let at = |instant: Option<u64>| instant.map_or_else(String::new, |at| described(now, at));
    let (since, then) = match key.state.as_str() {
        "pending" => match key.ready_at {
            Some(ready_at) if ready_at <= now => (Some(key.published_at), "ready".to_owned()),
            ready_at => (Some(key.published_at), format!("ready {}", at(ready_at))),
        },
        "active" => (key.activated_at, "signs".to_owned()),
        "retired" => (
            key.retired_at,
            format!("published until {}", at(key.published_until)),
        ),
        "revoked" => (key.revoked_at, key.reason.unwrap_or_default()),
        _ => (key.published_until, String::new()),
    };
    [
        key.kid,
        key.algorithm,
        key.state,
        since.map_or_else(String::new, rfc3339),
        then,
    ]
}

fn show(answer: &Answer, session: &mut Session) -> Result<(), Failure> {
    let now = session.now.floor_seconds();
    session.output.show(answer, |key: Key, output| {
        let times = [
            ("created", Some(key.created_at)),
            ("published", Some(key.published_at)),
            ("ready", key.ready_at),
            ("activated", key.activated_at),
            ("retired", key.retired_at),
            ("published until", key.published_until),
            ("revoked", key.revoked_at),
        ];
        let words = [
            ("kid", Some(key.kid)),
            ("algorithm", Some(key.algorithm)),
            ("state", Some(key.state)),
            ("reason", key.reason),
        ];
        let times = times
            .into_iter()
            .map(|(name, at)| (name, at.map(|at| described(now, at))));
        let rows = words
            .into_iter()
            .chain(times)
            .filter_map(|(name, value)| Some([name.to_owned(), value?]));
        output.line(pairs(rows))
    })
}
