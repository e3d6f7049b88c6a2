//! Events in the service's log: flat members under the names that they have in the audit log.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Attribution;
use crate::lifecycle::IssuerName;

/// What an event happened to.
#[derive(Clone, Copy, Default)]
pub(in crate::authority) struct Subject<'a> {
    /// The issuer, if it concerns one.
    pub(in crate::authority) issuer: Option<&'a IssuerName>,
    /// The version of the issuer's key set that it made.
    pub(in crate::authority) version: Option<u64>,
}

/// Writes an event into the service's log. `message` is the same for all events of a kind; policies
/// and terms are left out, which the audit log has.
pub(in crate::authority) fn log_event(
    message: &str,
    subject: Subject<'_>,
    attribution: &Attribution,
    event: &impl Serialize,
) {
    let members = members_of(event);
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let number = |name: &str| members.get(name).and_then(Value::as_u64);
    let flag = |name: &str| members.get(name).and_then(Value::as_bool);
    let actor = members_of(&attribution.actor);
    let of_actor = |name: &str| actor.get(name).and_then(Value::as_str);
    let user = actor.get("user").and_then(Value::as_u64);
    let confirmed_by = attribution.confirmed_by.as_ref().map(members_of);
    let confirmed_by = confirmed_by
        .as_ref()
        .and_then(|actor| actor.get("id")?.as_str());
    tracing::info!(
        event = text("event"),
        issuer = subject.issuer.map(IssuerName::as_str),
        version = subject.version,
        kid = text("kid"),
        algorithm = text("algorithm"),
        imported = flag("imported"),
        forced = flag("forced"),
        takes_over = flag("takes_over"),
        ready_at = number("ready_at"),
        published_until = number("published_until"),
        tokens_until = number("tokens_until"),
        by_seconds = number("by_seconds"),
        from = text("from"),
        to = text("to"),
        records = number("records"),
        revocation = text("revocation"),
        selector = text("selector"),
        selector_hash = text("selector_hash"),
        banned = flag("banned"),
        until = number("until"),
        client = text("client"),
        credential = text("credential"),
        expires_at = number("expires_at"),
        previous_until = number("previous_until"),
        approval = text("approval"),
        operation = text("operation"),
        stream = text("stream"),
        actor = of_actor("kind"),
        actor_id = of_actor("id"),
        actor_name = of_actor("name"),
        actor_via = of_actor("via"),
        actor_address = of_actor("address"),
        actor_user = user,
        confirmed_by,
        "{message}"
    );
}

/// A document of this program as its members.
fn members_of(document: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(document) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}
