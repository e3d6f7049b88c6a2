//! `keywright keys`.

mod find;
mod history;
mod import;
mod live_tokens;
mod reference;
mod revoke;
mod rotate;

use keywright_api::{HealthReport, Key, KeyState, Keys, UnixSeconds};
use keywright_client::Answer;
use keywright_verifier::Kid;

use super::failure::Failure;
use super::moment::{described, rfc3339, seen_from};
use super::session::Session;
use super::table::{columns, pairs};
use crate::lifecycle::IssuerName;
use reference::KeyReference;

/// The issuer of commands that name none.
const DEFAULT_ISSUER: &str = "default";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The issuer whose keys are meant [default: default; find and revoke look through all].
    #[arg(long, global = true, value_name = "NAME", value_parser = IssuerName::parse)]
    issuer: Option<IssuerName>,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List an issuer's keys.
    List(ListArguments),
    /// Show one key.
    Show(ShowArguments),
    /// Find a key in all issuers: by its kid, by a token that it has signed, or by a leaked file.
    Find(find::Arguments),
    /// Show which keys were published at an earlier time, and in which states.
    History(history::Arguments),
    /// Let the ready successor take over now.
    Rotate(rotate::Arguments),
    /// Revoke a key permanently. If it was active, its successor starts to sign.
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

pub(super) fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let named = arguments.issuer;
    let default = IssuerName::parse(DEFAULT_ISSUER);
    let default = default.map_err(|error| Failure::rejected("invalid-issuer-name", error))?;
    let issuer = named.clone().unwrap_or_else(|| default.clone());
    match arguments.command {
        Command::List(arguments) => list(&issuer, &arguments, session),
        Command::Show(arguments) => {
            let client = session.client()?;
            let answer = client.wait(client.read_key(&issuer, &arguments.kid))?;
            let key: Key = answer.read()?;
            let awaited = match key.unconfirmed_since {
                Some(_) => awaited(&client.wait(client.read_health_report())?.read()?, &issuer),
                None => None,
            };
            show(&answer, awaited.as_deref(), session)
        }
        Command::History(arguments) => history::run(&issuer, &arguments, session),
        Command::Rotate(arguments) => rotate::run(&issuer, &arguments, session),
        Command::Find(arguments) => find::run(named.as_ref(), &arguments, session),
        Command::Revoke(arguments) => {
            let client = session.client()?;
            let reference = KeyReference::read(arguments.key())?;
            let (issuer, kid) =
                reference::resolve(&client, &reference, named.as_ref(), &default, session.now)?;
            revoke::run(&issuer, &kid, &arguments, session)
        }
        Command::Import(arguments) => import::run(&issuer, &arguments, session),
    }
}

fn list(
    issuer: &IssuerName,
    arguments: &ListArguments,
    session: &mut Session,
) -> Result<(), Failure> {
    let client = session.client()?;
    let answer = client.wait(client.list_keys(issuer))?;
    let now = session.now.floor_seconds();
    session.output.show(&answer, |list: Keys, output| {
        let count = list.keys.len();
        let shown: Vec<_> = list
            .keys
            .into_iter()
            .filter(|key| arguments.all || key.state != KeyState::Removed)
            .collect();
        let hidden = count.saturating_sub(shown.len());
        let rows = shown.into_iter().map(|key| {
            let next = state_of(&key, now);
            [
                key.kid.as_str(),
                key.algorithm.as_str(),
                key.state.as_str(),
                &next,
            ]
            .map(str::to_owned)
        });
        output.line(columns(["kid", "alg", "state", "next"], rows))?;
        if hidden > 0 {
            output.note(format_args!(
                "note: removed keys not shown: {hidden} (--all)"
            ))?;
        }
        Ok(())
    })
}

/// What a key does and what comes next, in a few words; `keys show` has the times.
fn state_of(key: &Key, now: u64) -> String {
    let from_now =
        |at: Option<UnixSeconds>| at.map_or_else(String::new, |UnixSeconds(at)| seen_from(now, at));
    match key.state {
        KeyState::Pending if key.ready_at.is_some_and(|at| at.0 <= now) => "ready".to_owned(),
        KeyState::Pending if key.unconfirmed_since.is_some() => {
            "waits until every copy has it".to_owned()
        }
        KeyState::Pending => format!("ready {}", from_now(key.ready_at)),
        KeyState::Canary => "signs a share".to_owned(),
        KeyState::Active => "signs".to_owned(),
        KeyState::Retired => format!("leaves {}", from_now(key.published_until)),
        KeyState::Revoked => key.reason.clone().unwrap_or_default(),
        KeyState::Removed => format!("left {}", from_now(key.published_until)),
    }
}

/// The targets that a key waits for, and why their copies are behind.
fn awaited(report: &HealthReport, issuer: &IssuerName) -> Option<String> {
    let copies = report.copies.iter();
    let behind = copies.filter(|copy| copy.issuer == *issuer);
    let behind: Vec<String> = behind
        .map(|copy| {
            format!(
                "{}, since {}: {}",
                copy.target,
                rfc3339(copy.since.0),
                copy.reason
            )
        })
        .collect();
    (!behind.is_empty()).then(|| behind.join("; "))
}

fn show(answer: &Answer<Key>, awaited: Option<&str>, session: &mut Session) -> Result<(), Failure> {
    let now = session.now.floor_seconds();
    session.output.show(answer, |key: Key, output| {
        let times = [
            ("created", Some(key.created_at)),
            ("published", Some(key.published_at)),
            ("ready", key.ready_at),
            ("not in every copy since", key.unconfirmed_since),
            ("activated", key.activated_at),
            ("retired", key.retired_at),
            ("published until", key.published_until),
            ("revoked", key.revoked_at),
        ];
        let words = [
            ("kid", Some(key.kid.to_string())),
            ("algorithm", Some(key.algorithm.to_string())),
            ("state", Some(key.state.as_str().to_owned())),
            ("reason", key.reason),
            (
                "waits for",
                awaited
                    .filter(|_| key.unconfirmed_since.is_some())
                    .map(str::to_owned),
            ),
        ];
        let times = times
            .into_iter()
            .map(|(name, at)| (name, at.map(|UnixSeconds(at)| described(now, at))));
        let rows = words
            .into_iter()
            .chain(times)
            .filter_map(|(name, value)| Some([name.to_owned(), value?]));
        output.line(pairs(rows))
    })
}
