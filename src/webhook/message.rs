//! What a receiver is sent: an event of the audit log.

use keywright_api::WebhookEvent;
use serde_json::{Map, Value, json};

/// A message. It is the same each time that it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What tells it from every other: the hash of the event and of everything before it.
    pub id: String,
    /// What is sent.
    pub body: String,
}

/// How much of an event's hash names a message, in hexadecimal digits.
const NAME_DIGITS: usize = 32;

/// What an event of the audit log is to receivers, if they are told of it.
pub fn event_of(event: &Map<String, Value>) -> Option<WebhookEvent> {
    match event.get("event").and_then(Value::as_str)? {
        "approval-requested" => Some(WebhookEvent::ApprovalWaiting),
        "rotation-overdue" => Some(WebhookEvent::RotationLate),
        "key-revoked" => Some(WebhookEvent::KeyRevoked),
        "tokens-revoked" if event.get("banned") == Some(&Value::Bool(true)) => {
            Some(WebhookEvent::BanCreated)
        }
        "restored" => Some(WebhookEvent::StoreRestored),
        _ => None,
    }
}

impl Message {
    /// The message of an event, as the API shows it. `timestamp` is that of the event, in RFC 3339.
    pub fn of(kind: WebhookEvent, event: &Map<String, Value>, timestamp: &str) -> Self {
        let hash = event
            .get("hash")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let name: String = hash.chars().take(NAME_DIGITS).collect();
        Self {
            id: format!("evt_{name}"),
            body: json!({"type": kind, "timestamp": timestamp, "data": event}).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(members: Value) -> Map<String, Value> {
        members.as_object().unwrap().clone()
    }

    #[test]
    fn a_message_is_named_by_the_hash_of_its_event() {
        let revoked =
            event(json!({"event": "key-revoked", "hash": "ab".repeat(32), "sequence": 7}));
        assert_eq!(event_of(&revoked), Some(WebhookEvent::KeyRevoked));
        let message = Message::of(WebhookEvent::KeyRevoked, &revoked, "2026-11-30T10:00:00Z");
        assert_eq!(message.id, format!("evt_{}", "ab".repeat(16)));
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body["type"], "key.revoked");
        assert_eq!(body["timestamp"], "2026-11-30T10:00:00Z");
        assert_eq!(body["data"], Value::Object(revoked));
    }

    #[test]
    fn only_a_ban_is_told_of_what_was_taken_back() {
        let revoked = |banned| event(json!({"event": "tokens-revoked", "banned": banned}));
        assert_eq!(event_of(&revoked(true)), Some(WebhookEvent::BanCreated));
        assert_eq!(event_of(&revoked(false)), None);
        assert_eq!(event_of(&event(json!({"event": "key-published"}))), None);
        assert_eq!(event_of(&Map::new()), None);
    }
}
