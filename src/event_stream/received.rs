//! What other systems tell by security event tokens, as far as something follows here: accounts that were
//! disabled and enabled again (RISC 1.0 §2.3, §2.4).

use std::time::Duration;

use serde_json::{Map, Value};

use crate::lifecycle::Timestamp;

/// The type of the event that an account was disabled.
pub const ACCOUNT_DISABLED: &str =
    "https://schemas.openid.net/secevent/risc/event-type/account-disabled";

/// The type of the event that it was enabled again.
pub const ACCOUNT_ENABLED: &str =
    "https://schemas.openid.net/secevent/risc/event-type/account-enabled";

/// How long after its `iat` a token is taken. It has no end of its own, and what is older cannot be told from a
/// repetition.
const LONGEST_DELIVERY: Duration = Duration::from_secs(7 * 86_400);

/// How long a token that was taken is remembered: longer than it could be taken again, by any clock.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(8 * 86_400);

/// The longest `jti`, in bytes.
const LONGEST_IDENTIFIER: usize = 512;

/// What has become of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountChange {
    /// Its user may not have tokens until it is enabled.
    Disabled,
    /// Its user may have tokens again.
    Enabled,
}

/// An event of another system from which something follows.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedEvent {
    /// Which system tells it.
    pub issuer: String,
    /// The identifier that its token has there.
    pub jti: String,
    /// What has happened.
    pub change: AccountChange,
    /// To whom (RFC 9493).
    pub subject: Value,
}

/// A security event token does not say what one must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// Its identifier tells it from no other.
    #[error("jti is a text of 1 to {LONGEST_IDENTIFIER} bytes")]
    Identifier,
    /// It is too old to be told from a repetition.
    #[error("the token was issued more than 7 days ago")]
    TooOld,
    /// It has no events (RFC 8417 §2.2).
    #[error("events is an object with an object for each event, and has at least one")]
    Events,
    /// What follows from one contradicts what follows from the other.
    #[error("the token says both that an account was disabled and that it was enabled")]
    Contradiction,
    /// It does not say to whom it happened (SSF 1.0 §3.1).
    #[error("the token has no sub_id")]
    NoSubject,
}

impl ReceivedEvent {
    /// What the claims of a verified token say at this time. `None` if nothing follows from its events here.
    ///
    /// # Errors
    /// [`InvalidEvent`].
    pub fn of(claims: &Map<String, Value>, now: Timestamp) -> Result<Option<Self>, InvalidEvent> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let jti = text("jti");
        if !(1..=LONGEST_IDENTIFIER).contains(&jti.len()) {
            return Err(InvalidEvent::Identifier);
        }
        let issued_at = claims.get("iat").and_then(Value::as_f64);
        // Saturates; rounded down.
        let issued_at = Timestamp::from_seconds(issued_at.unwrap_or_default() as u64);
        if now.since(issued_at) > LONGEST_DELIVERY {
            return Err(InvalidEvent::TooOld);
        }
        let events = claims.get("events").and_then(Value::as_object);
        let events =
            events.filter(|events| !events.is_empty() && events.values().all(Value::is_object));
        let events = events.ok_or(InvalidEvent::Events)?;
        let change = match [ACCOUNT_DISABLED, ACCOUNT_ENABLED].map(|name| events.contains_key(name))
        {
            [true, true] => return Err(InvalidEvent::Contradiction),
            [true, false] => AccountChange::Disabled,
            [false, true] => AccountChange::Enabled,
            [false, false] => return Ok(None),
        };
        Ok(Some(Self {
            issuer: text("iss").to_owned(),
            jti: jti.to_owned(),
            change,
            subject: claims
                .get("sub_id")
                .cloned()
                .ok_or(InvalidEvent::NoSubject)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn of(changes: Value) -> Result<Option<ReceivedEvent>, InvalidEvent> {
        let mut claims = json!({
            "iss": "https://login.example", "jti": "e1", "iat": NOW.floor_seconds(),
            "sub_id": {"format": "opaque", "id": "user-1"}, "events": {ACCOUNT_DISABLED: {}},
        });
        let members = claims.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        ReceivedEvent::of(members, NOW)
    }

    #[test]
    fn an_account_is_disabled_and_enabled_and_other_events_mean_nothing_here() {
        let disabled = of(json!({})).unwrap().unwrap();
        assert_eq!(disabled.change, AccountChange::Disabled);
        assert_eq!(
            (disabled.issuer.as_str(), disabled.jti.as_str()),
            ("https://login.example", "e1")
        );
        assert_eq!(
            disabled.subject,
            json!({"format": "opaque", "id": "user-1"})
        );
        let enabled = of(json!({"events": {ACCOUNT_ENABLED: {}}}))
            .unwrap()
            .unwrap();
        assert_eq!(enabled.change, AccountChange::Enabled);
        let other = json!({"events": {"https://a.example/x": {"subject": {}}}, "sub_id": null});
        assert_eq!(of(other), Ok(None));
    }

    #[test]
    fn a_token_that_does_not_say_what_it_must_is_refused() {
        let week = LONGEST_DELIVERY.as_secs();
        assert!(of(json!({"iat": NOW.floor_seconds() - week})).is_ok());
        for (changes, expected) in [
            (json!({"jti": ""}), InvalidEvent::Identifier),
            (json!({"jti": "j".repeat(513)}), InvalidEvent::Identifier),
            (
                json!({"iat": NOW.floor_seconds() - week - 1}),
                InvalidEvent::TooOld,
            ),
            (json!({"iat": 0}), InvalidEvent::TooOld),
            (json!({"events": {}}), InvalidEvent::Events),
            (json!({"events": []}), InvalidEvent::Events),
            (
                json!({"events": {ACCOUNT_DISABLED: true}}),
                InvalidEvent::Events,
            ),
            (
                json!({"events": {ACCOUNT_DISABLED: {}, ACCOUNT_ENABLED: {}}}),
                InvalidEvent::Contradiction,
            ),
            (json!({"sub_id": null}), InvalidEvent::NoSubject),
        ] {
            assert_eq!(of(changes.clone()), Err(expected), "{changes}");
        }
    }
}
