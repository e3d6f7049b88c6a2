//! `keywright audit`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::moment::rfc3339;
use super::session::Session;
use super::table::columns;
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only the events of this issuer.
    #[arg(long, value_name = "NAME", value_parser = IssuerName::parse)]
    issuer: Option<IssuerName>,
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
    #[serde(flatten)]
    members: Map<String, Value>,
}

#[derive(Deserialize)]
struct Actor {
    kind: String,
    name: Option<String>,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let query: Vec<String> = [
        arguments
            .issuer
            .as_ref()
            .map(|name| format!("issuer={name}")),
        arguments.after.map(|after| format!("after={after}")),
        arguments.limit.map(|limit| format!("limit={limit}")),
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
            value => parts.push(format!("{name}={}", plain(value))),
        }
    }
    parts.join(" ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
