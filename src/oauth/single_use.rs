//! Tokens that count once: what is kept of one that was used, and who is told so again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::lifecycle::Timestamp;
use crate::stored_document::Format;

/// How long the client that has used a token up is told so again, by the same key: its answer may have
/// been lost.
pub const REPEATABLE_FOR: Duration = Duration::from_secs(60);

/// The longest `Idempotency-Key`, in characters.
pub const LONGEST_IDEMPOTENCY_KEY: usize = 128;

/// What tells the attempts to use a token up apart. It is the caller's own, and no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// A text is no idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "Idempotency-Key is 1 to {LONGEST_IDEMPOTENCY_KEY} letters, digits and - . _ ~, in quotes or not"
)]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// Reads the value of the header. Quotes around it are no part of it: some clients send it as a
    /// structured field (RFC 9651 §3.3.3).
    ///
    /// # Errors
    /// [`InvalidIdempotencyKey`].
    pub fn parse(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        let quoted = text.strip_prefix('"').map(|rest| rest.strip_suffix('"'));
        let key = quoted.unwrap_or(Some(text)).ok_or(InvalidIdempotencyKey)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match (1..=LONGEST_IDEMPOTENCY_KEY).contains(&key.len()) && key.bytes().all(is_plain) {
            true => Ok(Self(key.to_owned())),
            false => Err(InvalidIdempotencyKey),
        }
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The use of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUse {
    /// The client that has used it up.
    pub client: String,
    /// The hash of the key that it did so with.
    key: [u8; 32],
    /// When.
    pub at: Timestamp,
}

impl TokenUse {
    /// A use by a client.
    pub fn new(client: &str, key: &IdempotencyKey, at: Timestamp) -> Self {
        let mut hash = [0; 32];
        let digest = digest(&SHA256, key.as_str().as_bytes());
        let octets = hash.iter_mut().zip(digest.as_ref());
        octets.for_each(|(to, from)| *to = *from);
        Self {
            client: client.to_owned(),
            key: hash,
            at,
        }
    }

    /// The receipt of a security event token of another system, which is the same to each repetition.
    pub fn of_event(client: &str, at: Timestamp) -> Self {
        Self {
            client: client.to_owned(),
            key: [0; 32],
            at,
        }
    }

    /// Whether a later attempt is this use, whose answer was lost.
    pub fn is_repeated_by(&self, attempt: &Self) -> bool {
        self.client == attempt.client
            && self.key == attempt.key
            && attempt.at <= self.at.after(REPEATABLE_FOR)
    }
}

/// The name of the record of a token: its `jti` may have any form.
pub fn record_id(jti: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, jti.as_bytes()))
}

/// The name of the record of a security event token of another system, whose identifiers are its own.
pub fn event_record_id(issuer: &str, jti: &str) -> String {
    record_id(&format!("security event {} {issuer} {jti}", issuer.len()))
}

/// The name of the record that says since when tokens count at all. No [`record_id`] is so short.
pub const NOT_BEFORE_RECORD: &str = "not-before";

/// What a record says of a token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UseDocument {
    format: Format<1>,
    client: String,
    key: String,
    at: u64,
}

/// What the record says since when tokens count.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotBeforeDocument {
    format: Format<1>,
    issued_at: u64,
}

/// A record that this program could not have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record of a used token cannot be read: {0}")]
pub struct InvalidUseRecord(String);

impl InvalidUseRecord {
    fn of(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

impl TokenUse {
    /// As it is stored.
    pub fn to_document(&self) -> String {
        let document = UseDocument {
            format: Format,
            client: self.client.clone(),
            key: URL_SAFE_NO_PAD.encode(self.key),
            at: self.at.millis(),
        };
        // Text and numbers always serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Reads what was stored.
    ///
    /// # Errors
    /// [`InvalidUseRecord`].
    pub fn from_document(document: &str) -> Result<Self, InvalidUseRecord> {
        let document: UseDocument = serde_json::from_str(document).map_err(InvalidUseRecord::of)?;
        let key = URL_SAFE_NO_PAD
            .decode(&document.key)
            .map_err(InvalidUseRecord::of)?;
        Ok(Self {
            client: document.client,
            key: (key.try_into()).map_err(|_| InvalidUseRecord::of("a hash is not one"))?,
            at: Timestamp::from_millis(document.at),
        })
    }
}

/// The document that says that only tokens count which were issued at this Unix second or later.
pub fn not_before_document(issued_at: u64) -> String {
    let document = NotBeforeDocument {
        format: Format,
        issued_at,
    };
    // Numbers always serialise.
    serde_json::to_string(&document).unwrap_or_default()
}

/// Since which Unix second tokens count that were issued then.
///
/// # Errors
/// [`InvalidUseRecord`].
pub fn not_before(document: &str) -> Result<u64, InvalidUseRecord> {
    let document: NotBeforeDocument =
        serde_json::from_str(document).map_err(InvalidUseRecord::of)?;
    Ok(document.issued_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::parse(text).unwrap()
    }

    #[test]
    fn a_key_is_short_and_plain_and_may_be_quoted() {
        assert_eq!(key("\"8e03978e-40d5\""), key("8e03978e-40d5"));
        let longest = "k".repeat(LONGEST_IDEMPOTENCY_KEY);
        assert_eq!(key(&longest).as_str(), longest);
        let too_long = format!("{longest}k");
        for text in [
            "", "\"\"", "\"a", "a\"", "a b", "a\"b", "ä", "a,b", "\"", &too_long,
        ] {
            assert_eq!(
                IdempotencyKey::parse(text),
                Err(InvalidIdempotencyKey),
                "{text}"
            );
        }
    }

    #[test]
    fn only_its_own_client_repeats_a_use_and_for_a_minute() {
        let used = TokenUse::new("orders", &key("k1"), AT);
        let repeats = |client: &str, text: &str, later: Duration| {
            used.is_repeated_by(&TokenUse::new(client, &key(text), AT.after(later)))
        };
        assert!(repeats("orders", "k1", Duration::ZERO));
        assert!(repeats("orders", "k1", REPEATABLE_FOR));
        assert!(!repeats(
            "orders",
            "k1",
            REPEATABLE_FOR + Duration::from_millis(1)
        ));
        assert!(!repeats("orders", "k2", Duration::ZERO));
        assert!(!repeats("billing", "k1", Duration::ZERO));
    }

    #[test]
    fn what_is_stored_is_read_and_what_could_not_have_been_written_is_not() {
        let used = TokenUse::new("orders", &key("k1"), AT);
        assert_eq!(TokenUse::from_document(&used.to_document()), Ok(used));
        assert_eq!(not_before(&not_before_document(7)), Ok(7));
        for document in [
            "",
            "{}",
            r#"{"format":2,"client":"a","key":"AAAA","at":1}"#,
            r#"{"format":1,"client":"a","key":"AAAA","at":1}"#,
            r#"{"format":1,"issued_at":1}"#,
        ] {
            assert!(TokenUse::from_document(document).is_err(), "{document}");
        }
        assert!(not_before(r#"{"format":2,"issued_at":1}"#).is_err());
        assert!(record_id("").len() > NOT_BEFORE_RECORD.len());
        assert_ne!(event_record_id("a", "bc"), event_record_id("ab", "c"));
    }
}
