//! A security event token (RFC 8417), as the Shared Signals Framework profiles it: one event, `sub_id`, no
//! `sub` and no `exp` (SSF 1.0 §4.1), so that it can never pass for an access token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{EventStream, PendingEvent, SecurityEvent};
use crate::lifecycle::Timestamp;

/// The `typ` of a security event token (RFC 8417 §2.3). No token of a client has it.
pub const SET_TYP: &str = "secevent+jwt";

/// What tells the derivation from every other hash.
const PURPOSE: &[u8] = b"keywright security event token";

/// How many bytes of the hash name a token.
const IDENTIFIER_BYTES: usize = 16;

/// The `jti` of the token that tells the receiver of a stream of an event: the same each time.
pub fn token_identifier(stream: &str, event: &str) -> String {
    let mut context = Context::new(&SHA256);
    for part in [PURPOSE, stream.as_bytes(), event.as_bytes()] {
        context.update(part);
        context.update(b"\0");
    }
    let digest = context.finish();
    let name = digest.as_ref().get(..IDENTIFIER_BYTES).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(name)
}

/// The claims of a security event token.
#[derive(Debug, Serialize)]
pub struct SecurityEventToken<'a> {
    iss: &'a str,
    jti: &'a str,
    iat: u64,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    txn: Option<&'a str>,
    sub_id: Value,
    events: Map<String, Value>,
}

impl<'a> SecurityEventToken<'a> {
    /// The token that tells the receiver of a stream of an event, signed at `now` by the issuer with this
    /// URL.
    pub fn new(
        issuer: &'a str,
        stream: &'a EventStream,
        pending: &'a PendingEvent,
        now: Timestamp,
    ) -> Self {
        let event = &pending.event;
        let (txn, sub_id) = match event {
            SecurityEvent::SessionRevoked {
                revocation,
                subject,
                ..
            } => (Some(revocation.as_str()), subject.clone()),
            SecurityEvent::Verification { .. } | SecurityEvent::StreamUpdated { .. } => {
                (None, json!({"format": "opaque", "id": stream.id}))
            }
        };
        Self {
            iss: issuer,
            jti: &pending.jti,
            iat: now.floor_seconds(),
            aud: &stream.client,
            txn,
            sub_id,
            events: Map::from_iter([(event.event_type().to_owned(), event.payload())]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, stream};
    use super::super::{SESSION_REVOKED, VERIFICATION};
    use super::*;

    #[test]
    fn an_identifier_is_that_of_its_stream_and_event_alone() {
        let one = token_identifier("a", "bc");
        assert_eq!(one, token_identifier("a", "bc"));
        assert_eq!(one.len(), 22);
        for (stream, event) in [("b", "bc"), ("a", "bd"), ("ab", "c")] {
            assert_ne!(one, token_identifier(stream, event));
        }
    }

    #[test]
    fn a_token_has_one_event_and_neither_sub_nor_exp() {
        let stream = stream();
        let user = json!({"format": "iss_sub", "iss": "https://id.example", "sub": "u1"});
        let subject = json!({"format": "complex", "user": user});
        let revoked = SecurityEvent::SessionRevoked {
            revocation: "r1".to_owned(),
            subject: subject.clone(),
            at: AT,
            initiating_entity: "admin",
            is_ban: true,
        };
        let verification = SecurityEvent::Verification {
            state: Some("VGhpcyBpcyBhbiBleGFtcGxl".to_owned()),
        };
        let claims = |event: &SecurityEvent| {
            let pending = PendingEvent {
                sequence: None,
                jti: "j1".to_owned(),
                event: event.clone(),
            };
            let now = AT.after(std::time::Duration::from_secs(2));
            let token = SecurityEventToken::new("https://id.example", &stream, &pending, now);
            serde_json::to_value(token).unwrap()
        };
        assert_eq!(
            claims(&revoked),
            json!({
                "iss": "https://id.example", "jti": "j1", "iat": AT.floor_seconds() + 2,
                "aud": stream.client, "txn": "r1", "sub_id": subject,
                "events": {SESSION_REVOKED: {"event_timestamp": AT.floor_seconds(),
                    "initiating_entity": "admin", "reason_admin": {"en": "banned"}}},
            })
        );
        assert_eq!(
            claims(&verification),
            json!({
                "iss": "https://id.example", "jti": "j1", "iat": AT.floor_seconds() + 2,
                "aud": stream.client, "sub_id": {"format": "opaque", "id": stream.id},
                "events": {VERIFICATION: {"state": "VGhpcyBpcyBhbiBleGFtcGxl"}},
            })
        );
    }
}
