//! `keywright audit list`.

use std::time::Duration;

use keywright_api::{AuditPage, LARGEST_PAGE, Nullable, UnixSeconds};
use keywright_client::{Answer, AuditFilter};
use keywright_verifier::Kid;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::json_text::plain;
use crate::cli::moment::{InstantArgument, rfc3339};
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::cli::table::columns;
use crate::clock::Clock;
use crate::lifecycle::IssuerName;

/// How many events are shown when nothing is said.
const DEFAULT_LIMIT: usize = 100;

/// How long `--follow` waits before it connects again.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// A filter may name a client or a key that never was.
const NOTHING_FITS: &str =
    "note: no event fits; --client takes a client's identifier, --kid a whole kid";

#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Only the events of this issuer.
    #[arg(long, value_name = "NAME", value_parser = IssuerName::parse)]
    issuer: Option<IssuerName>,
    /// Only the events at this time or later: 2h (ago), 2026-01-31, 2026-01-31T03:00:00Z or Unix
    /// seconds.
    #[arg(long, value_name = "TIME")]
    since: Option<InstantArgument>,
    /// Only the events before this time, in the same forms.
    #[arg(long, value_name = "TIME")]
    until: Option<InstantArgument>,
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
    /// At most so many events [default: 100].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,
    /// The last so many events, the latest last.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["after", "limit"],
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    tail: Option<u16>,
    /// The latest event first; without --tail the last 100.
    #[arg(long, conflicts_with_all = ["after", "limit", "follow"])]
    reverse: bool,
    /// Go on and show events as they happen, until it is interrupted.
    #[arg(long, conflicts_with_all = ["limit", "until"])]
    follow: bool,
}

/// Events as the service shows them. A later one may know more kinds.
type Page = AuditPage<Map<String, Value>>;

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
    let search = Search::of(arguments, session)?;
    if arguments.tail.is_none() && !arguments.reverse && !arguments.follow {
        let limit = arguments.limit.map_or(DEFAULT_LIMIT, usize::from);
        let answer = search.answer(arguments.after.unwrap_or(0), limit)?;
        return session.output.show(&answer, |page: Page, output| {
            let is_empty = page.events.is_empty();
            output.line(table(page.events)?)?;
            match page.next {
                Nullable::Value(next) => {
                    output.note(format_args!("note: more may follow: --after {next}"))
                }
                Nullable::Null if is_empty => output.note(NOTHING_FITS),
                Nullable::Null => Ok(()),
            }
        });
    }
    let (events, end) = match (arguments.tail, arguments.after) {
        (None, Some(after)) => search.all(after)?,
        (tail, _) => search.last(tail.map_or(DEFAULT_LIMIT, usize::from))?,
    };
    if arguments.follow {
        return follow(&search, events, end, &mut session.output);
    }
    let mut events = events;
    if arguments.reverse {
        events.reverse();
    }
    if session.output.is_json() {
        let page = Page {
            events,
            next: Nullable::Null,
        };
        return session.output.show_found(page, |_, _| Ok(()));
    }
    let is_empty = events.is_empty();
    session.output.line(table(events)?)?;
    match is_empty {
        true => session.output.note(NOTHING_FITS),
        false => Ok(()),
    }
}

/// Shows events as they happen, each as a line: JSON for programs.
fn follow(
    search: &Search,
    events: Vec<Map<String, Value>>,
    after: u64,
    output: &mut Output,
) -> Result<(), Failure> {
    for event in events {
        show(event, output)?;
    }
    output.flush()?;
    let (client, clock) = (&search.client, Clock::system());
    let mut last = Some(after);
    loop {
        let stream = client.follow_events(&search.filter, last);
        let mut stream = client.wait_for(stream)?;
        // A stream ends from time to time, and the next one goes on where it was.
        while let Ok(Some(event)) = client.wait_for(stream.next()) {
            show(event, output)?;
            output.flush()?;
        }
        last = stream.last();
        client.pause(&clock, RECONNECT_AFTER);
    }
}

fn show(event: Map<String, Value>, output: &mut Output) -> Result<(), Failure> {
    let line = match output.is_json() {
        true => Value::Object(event).to_string(),
        false => row(read(event)?).join("  "),
    };
    output.line(crate::cli::json_text::printable(&line))
}

/// The log of a service, and which of its events are looked for.
struct Search {
    client: Client,
    filter: AuditFilter,
}

impl Search {
    fn of(arguments: &Arguments, session: &Session) -> Result<Self, Failure> {
        let instant = |value: Option<InstantArgument>| {
            value.map(|value| UnixSeconds(value.resolve(session.now).ceil_seconds()))
        };
        Ok(Self {
            client: session.client()?,
            filter: AuditFilter {
                issuer: arguments.issuer.clone(),
                since: instant(arguments.since),
                until: instant(arguments.until),
                client: arguments.client.clone(),
                event: arguments.event.clone(),
                kid: arguments.kid.clone(),
            },
        })
    }

    fn answer(&self, after: u64, limit: usize) -> Result<Answer<Page>, Failure> {
        let client = &self.client;
        client.wait(client.read_audit(&self.filter, after, limit))
    }

    /// The number of the last event.
    fn head(&self) -> Result<u64, Failure> {
        let head = self.client.wait(self.client.read_audit_head())?;
        Ok(head.read()?.sequence)
    }

    /// Every event after a number, and the number after which to look on.
    fn all(&self, after: u64) -> Result<(Vec<Map<String, Value>>, u64), Failure> {
        // What comes while this reads is for the next look.
        let sequence = self.head()?;
        let (mut events, mut after) = (Vec::new(), after);
        while after < sequence {
            let page: Page = self.answer(after, LARGEST_PAGE)?.read()?;
            let last = page
                .events
                .last()
                .and_then(|event| event.get("sequence")?.as_u64());
            events.extend(page.events);
            after = match page.next {
                Nullable::Value(next) => next,
                Nullable::Null => last.unwrap_or(sequence).max(sequence),
            };
        }
        Ok((events, after))
    }

    /// The last `count` events, and the number of the last event that was looked at.
    fn last(&self, count: usize) -> Result<(Vec<Map<String, Value>>, u64), Failure> {
        let sequence = self.head()?;
        // Looks back further until there are enough.
        let mut back = u64::try_from(count).unwrap_or(u64::MAX);
        loop {
            let (mut events, end) = self.all(sequence.saturating_sub(back))?;
            if events.len() >= count || back >= sequence {
                events.drain(..events.len().saturating_sub(count));
                return Ok((events, end));
            }
            back = back.saturating_mul(10);
        }
    }
}

fn read(event: Map<String, Value>) -> Result<AuditEvent, Failure> {
    serde_json::from_value(event.into()).map_err(|error| Failure::rejected("invalid-event", error))
}

fn table(events: Vec<Map<String, Value>>) -> Result<String, Failure> {
    let rows: Result<Vec<_>, _> = events
        .into_iter()
        .map(|event| read(event).map(row))
        .collect();
    let headings = ["sequence", "at", "issuer", "actor", "event", "details"];
    Ok(columns(headings, rows?))
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
    let is_instant = name == "until" || name.ends_with("_at") || name.ends_with("_until");
    match value.as_u64().filter(|_| is_instant) {
        Some(seconds) => rfc3339(seconds),
        None => plain(value),
    }
}
