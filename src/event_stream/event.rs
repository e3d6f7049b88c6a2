//! Which revocations end sessions, whose, and what a receiver is told of them.

use keywright_api::EventStreamStatusName;
use keywright_verifier::revocation::Selector;
use serde_json::{Value, json};

use crate::lifecycle::Timestamp;
use crate::revocation::Revocation;

/// The type of the event that sessions have ended (CAEP 1.0 §3.1).
pub const SESSION_REVOKED: &str =
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// The type of the event that a receiver has asked for (SSF 1.0 §8.1.4).
pub const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// The type of the event that a stream was given another status by its transmitter (SSF 1.0 §8.1.5).
pub const STREAM_UPDATED: &str =
    "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// What a security event token tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurityEvent {
    /// Sessions have ended.
    SessionRevoked {
        /// The revocation, which other tokens of the same event name, too.
        revocation: String,
        /// Whose they are (RFC 9493).
        subject: Value,
        /// When they ended.
        at: Timestamp,
        /// Who has ended them, in the words of CAEP.
        initiating_entity: &'static str,
        /// Whether new ones are refused, too.
        is_ban: bool,
    },
    /// The receiver is reached.
    Verification {
        /// What it wanted to find.
        state: Option<String>,
    },
    /// The stream has another status, which its receiver did not ask for.
    StreamUpdated {
        /// The status.
        status: EventStreamStatusName,
        /// Why.
        reason: String,
    },
}

impl SecurityEvent {
    /// What a receiver is told of a revocation of the issuer with this URL, made then. `None` where it is not
    /// about sessions, or its values were erased.
    pub fn of(revocation: &Revocation, issuer: &str, at: Timestamp) -> Option<Self> {
        let selector = revocation.selector.known()?;
        let kind = revocation.by.get("kind").and_then(Value::as_str);
        Some(Self::SessionRevoked {
            revocation: revocation.id.clone(),
            subject: subject_of(selector, issuer)?,
            at,
            initiating_entity: match kind {
                Some("client") => "admin",
                Some("holder") => "user",
                _ => "system",
            },
            is_ban: revocation.ban.is_some(),
        })
    }

    /// Its type.
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::SessionRevoked { .. } => SESSION_REVOKED,
            Self::Verification { .. } => VERIFICATION,
            Self::StreamUpdated { .. } => STREAM_UPDATED,
        }
    }

    /// What it says beside its subject.
    pub fn payload(&self) -> Value {
        match self {
            Self::SessionRevoked {
                at,
                initiating_entity,
                is_ban,
                ..
            } => {
                // The reason that a person has written is for the audit log alone.
                let reason = match is_ban {
                    true => "banned",
                    false => "tokens revoked",
                };
                json!({
                    "event_timestamp": at.floor_seconds(),
                    "initiating_entity": initiating_entity,
                    "reason_admin": {"en": reason},
                })
            }
            Self::Verification { state: Some(state) } => json!({ "state": state }),
            Self::Verification { state: None } => json!({}),
            Self::StreamUpdated { status, reason } => json!({"status": status, "reason": reason}),
        }
    }
}

/// Whose sessions the tokens of a selector are. Those of a client, of an audience and of the whole issuer
/// are none of one person; an audience is no member of a subject, and without it the event would say more
/// than was taken back.
fn subject_of(selector: &Selector, issuer: &str) -> Option<Value> {
    let user = |sub: &str| json!({"format": "iss_sub", "iss": issuer, "sub": sub});
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    match selector {
        Selector::Subject(subject) => {
            Some(json!({"format": "complex", "user": user(subject.as_str())}))
        }
        Selector::Session(session) => Some(opaque(session.as_str())),
        Selector::Jti(jti) => Some(json!({"format": "jwt_id", "iss": issuer, "jti": jti.as_str()})),
        Selector::SubjectAndSession { subject, session } => Some(json!({
            "format": "complex",
            "user": user(subject.as_str()),
            "session": opaque(session.as_str()),
        })),
        Selector::SubjectAndClient { subject, client } => Some(json!({
            "format": "complex",
            "user": user(subject.as_str()),
            "application": opaque(client.as_str()),
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use keywright_verifier::revocation::{Salt, SelectorKind};

    use super::*;
    use crate::revocation::{Ban, ErasedSelector, RevokedSelector, State};

    const ISSUER: &str = "https://id.example/shop";
    const AT: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn revocation(kind: SelectorKind, values: &[&str], by: Value) -> Revocation {
        Revocation {
            id: "r1".to_owned(),
            selector: Selector::new(kind, values).unwrap().into(),
            state: State::Open,
            ban: None,
            reason: Some("seen with a stolen phone".to_owned()),
            by,
            client: String::new(),
            created_at: AT,
            changed_at: AT,
        }
    }

    #[test]
    fn a_session_ends_where_tokens_of_a_person_a_session_or_one_token_are_taken_back() {
        use SelectorKind as Kind;
        let user = json!({"format": "iss_sub", "iss": ISSUER, "sub": "u1"});
        let complex = |member: &str, id: &str| {
            let opaque = json!({"format": "opaque", "id": id});
            json!({"format": "complex", "user": user, member: opaque})
        };
        for (kind, values, subject) in [
            (
                Kind::Subject,
                vec!["u1"],
                Some(json!({"format": "complex", "user": user})),
            ),
            (
                Kind::Session,
                vec!["s1"],
                Some(json!({"format": "opaque", "id": "s1"})),
            ),
            (
                Kind::Jti,
                vec!["j1"],
                Some(json!({"format": "jwt_id", "iss": ISSUER, "jti": "j1"})),
            ),
            (
                Kind::SubjectAndSession,
                vec!["u1", "s1"],
                Some(complex("session", "s1")),
            ),
            (
                Kind::SubjectAndClient,
                vec!["u1", "c1"],
                Some(complex("application", "c1")),
            ),
            (Kind::SubjectAndAudience, vec!["u1", "a1"], None),
            (Kind::Client, vec!["c1"], None),
            (Kind::Audience, vec!["a1"], None),
            (Kind::Issuer, vec![], None),
        ] {
            let of = SecurityEvent::of(&revocation(kind, &values, json!(null)), ISSUER, AT);
            let found = of.map(|event| match event {
                SecurityEvent::SessionRevoked { subject, .. } => subject,
                SecurityEvent::Verification { .. } | SecurityEvent::StreamUpdated { .. } => {
                    Value::Null
                }
            });
            assert_eq!(found, subject, "{kind:?}");
        }
    }

    #[test]
    fn what_was_erased_is_told_no_more() {
        let known = revocation(SelectorKind::Subject, &["u1"], json!(null));
        let selector = known.selector.known().unwrap();
        let erased = ErasedSelector::of(selector, &Salt::new([1; 32]), String::new());
        let erased = Revocation {
            selector: RevokedSelector::Erased(Box::new(erased)),
            ..known.clone()
        };
        assert_eq!(SecurityEvent::of(&erased, ISSUER, AT), None);
    }

    #[test]
    fn an_event_says_who_ended_a_session_and_not_the_words_of_the_audit_log() {
        for (by, word) in [
            (json!({"kind": "client", "id": "c"}), "admin"),
            (json!({"kind": "holder"}), "user"),
            (json!({"kind": "scheduler"}), "system"),
            (json!(null), "system"),
        ] {
            let mut one = revocation(SelectorKind::Subject, &["u1"], by);
            let payload = SecurityEvent::of(&one, ISSUER, AT).unwrap().payload();
            assert_eq!(
                payload,
                json!({"event_timestamp": AT.floor_seconds(), "initiating_entity": word,
                       "reason_admin": {"en": "tokens revoked"}})
            );
            one.ban = Some(Ban::UntilLifted);
            let payload = SecurityEvent::of(&one, ISSUER, AT).unwrap().payload();
            assert_eq!(payload["reason_admin"]["en"], "banned");
        }
    }
}
