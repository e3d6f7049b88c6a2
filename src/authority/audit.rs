//! Who did what: lifecycle events with their actor, as the store keeps them.

mod page;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::lifecycle::{Change, IssuerName, Timestamp};
use crate::store::{EventRow, NumberedEvent};

pub use page::{Filter, Page};

/// Who changed something. Serialised as `{"kind": "client", "id": …, "name": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Actor {
    /// A caller of the internal API.
    Client {
        /// The client's identifier.
        id: String,
        /// Its name.
        name: String,
    },
    /// The schedule.
    Scheduler,
    /// The first start.
    Bootstrap,
}

/// A change of who may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum AccessEvent {
    /// A client may call from here on.
    ClientCreated {
        /// Its identifier.
        client: String,
        /// Its name.
        name: String,
        /// Its roles.
        roles: Vec<&'static str>,
    },
    /// A client may not call any more.
    ClientDeleted {
        /// Its identifier.
        client: String,
        /// Its name until then; `None` when its stored record was corrupt.
        name: Option<String>,
        /// Its roles until then, likewise.
        roles: Option<Vec<&'static str>>,
    },
}

/// The rows of a change's events.
pub fn rows(change: &Change, actor: &Actor, reason: Option<&str>) -> Vec<EventRow> {
    let issuer = change.set.issuer();
    change
        .events
        .iter()
        .map(|event| row(event, change.at, Some(issuer), actor, reason))
        .collect()
}

/// The row of one event: the event's own members, `actor`, and `reason` when one was given.
pub fn row(
    event: &impl Serialize,
    at: Timestamp,
    issuer: Option<&IssuerName>,
    actor: &Actor,
    reason: Option<&str>,
) -> EventRow {
    #[derive(Serialize)]
    struct Document<'a, E> {
        #[serde(flatten)]
        event: &'a E,
        actor: &'a Actor,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    }
    // Text, numbers and JSON values always serialise.
    let document = serde_json::to_string(&Document {
        event,
        actor,
        reason,
    })
    .unwrap_or_default();
    EventRow {
        at: at.millis(),
        issuer: issuer.cloned(),
        document,
    }
}

/// An event as the API shows it: its own members, `sequence`, `hash` (hexadecimal), `at` in Unix
/// seconds, and `issuer` if it concerns one.
fn shown(numbered: &NumberedEvent) -> Map<String, Value> {
    let mut shown = match serde_json::from_str(&numbered.event.document) {
        Ok(Value::Object(members)) => members,
        // A record that does not parse is shown as such: an audit log hides nothing.
        _ => Map::from_iter([("event".to_owned(), "corrupt-record".into())]),
    };
    // They come last: no document may speak for its row.
    let at = Timestamp::from_millis(numbered.event.at).floor_seconds();
    shown.insert("sequence".to_owned(), numbered.sequence.into());
    shown.insert("at".to_owned(), at.into());
    shown.insert("hash".to_owned(), numbered.hash.to_string().into());
    match &numbered.event.issuer {
        Some(issuer) => drop(shown.insert("issuer".to_owned(), issuer.as_str().into())),
        None => drop(shown.remove("issuer")),
    }
    shown
}
