//! `keywright audit list`.

use keywright_verifier::Kid;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::client::segment;
use crate::cli::failure::Failure;
use crate::cli::moment::rfc3339;
use crate::cli::session::Session;
use crate::cli::table::columns;
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Only the events of this issuer.
    #[arg(long, value_name = "NAME", value_parser = IssuerName::parse)]
    issuer: Option<IssuerName>,
    /// Only the events at this time or later, in Unix seconds.
    #[arg(long, value_name = "UNIX_SECONDS")]
    since: Option<u64>,
    /// Only the events before this time, in Unix seconds.
    #[arg(long, value_name = "UNIX_SECONDS")]
    until: Option<u64>,
    /// Only what this client did.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Only the events of this kind, such as key-revoked.
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Only what happened to this key.
    #[arg(long, allow_hyphen_values = true)]
    kid: Option<Kid>,
    /// Only the events after this sequence number.
    #[arg(long, value_name = "SEQUENCE")]
    after: Option<u64>,
    /// At most so many events.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: Option<u32>,
}

#[derive(Deserialize)]
struct Page {
    events: Vec<AuditEvent>,
    next: Option<u64>,
}

#[derive(Deserialize)]
struct AuditEvent {
    sequence: u64,
    at: u64,
    issuer: Option<String>,
    actor: Option<Actor>,
    event: String,
    /// For programs; 64 digits are too many for a line.
    #[serde(rename = "hash")]
    _hash: String,
    #[serde(flatten)]
    members: Map<String, Value>,
}

#[derive(Deserialize)]
struct Actor {
    kind: String,
    name: Option<String>,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let text =
        |name: &str, value: Option<&str>| value.map(|value| format!("{name}={}", segment(value)));
    let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name}={value}"));
    let query: Vec<String> = [
        text("issuer", arguments.issuer.as_ref().map(IssuerName::as_str)),
        number("since", arguments.since),
        number("until", arguments.until),
        text("client", arguments.client.as_deref()),
        text("event", arguments.event.as_deref()),
        text("kid", arguments.kid.as_ref().map(Kid::as_str)),
        number("after", arguments.after),
        number("limit", arguments.limit.map(u64::from)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let path = format!("/v1/audit?{}", query.join("&"));
    let answer = session.client()?.read(path.trim_end_matches('?'))?;
    session.output.show(&answer, |page: Page, output| {
        let rows = page.events.into_iter().map(row);
        output.line(columns(
            ["sequence", "at", "issuer", "actor", "event", "details"],
            rows,
        ))?;
        match page.next {
            Some(next) => output.note(format_args!("note: more may follow: --after {next}")),
            None => Ok(()),
        }
    })
}

fn row(event: AuditEvent) -> [String; 6] {
    let actor = event
        .actor
        .map_or_else(String::new, |actor| match actor.name {
            Some(name) => format!("{} {name}", actor.kind),
            None => actor.kind,
        });
    [
        event.sequence.to_string(),
        rfc3339(event.at),
        event.issuer.unwrap_or_else(|| "-".to_owned()),
        actor,
        event.event,
        details(&event.members),
    ]
}

/// The other members of an event. Of two policies only what differs is told.
fn details(members: &Map<String, Value>) -> String {
    let mut parts = Vec::new();
    if let (Some(Value::Object(before)), Some(Value::Object(after))) =
        (members.get("before"), members.get("after"))
    {
        for (name, value) in after {
            let previous = before.get(name).unwrap_or(&Value::Null);
            if previous != value {
                parts.push(format!("{name}: {} → {}", plain(previous), plain(value)));
            }
        }
    }
    for (name, value) in members {
        match value {
            Value::Object(_) | Value::Null => {}
            value => parts.push(format!("{name}={}", instant(name, value))),
        }
    }
    parts.join(" ")
}

/// A member whose name says that it is an instant as one.
fn instant(name: &str, value: &Value) -> String {
    let is_instant = name.ends_with("_at") || name.ends_with("_until");
    match value.as_u64().filter(|_| is_instant) {
        Some(seconds) => rfc3339(seconds),
        None => plain(value),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
