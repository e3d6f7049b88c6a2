//! The audit log as a chain: each event carries a hash of itself and of everything before it.
//!
//! An event's text is `{"sequence":N,"at":MILLISECONDS,"issuer":"name","document":DOCUMENT}`, with
//! `null` for no issuer and the stored document as it is. Its hash is SHA-256 over the 32 bytes of
//! the hash before it, 32 zero bytes at the beginning, and over that text. Every store computes it
//! within the transaction that writes the event, and keeps the last sequence number and hash, the
//! [`LogHead`], in the same transaction: without it no reader would miss the last events.
//!
//! An attacker who can write to the database can also compute the chain anew. What makes the log
//! evidence is a head that was written down elsewhere; [`Verification`] holds the log against it.

mod verification;

use std::fmt;
use std::str::FromStr;

use ring::digest::{Context, SHA256};
use serde_json::json;

use super::{EventRow, NumberedEvent};
use crate::lifecycle::IssuerName;

pub use verification::{BrokenLink, HeadSource, Verification};

/// The hash of an event and of everything before it. Written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventHash([u8; 32]);

impl EventHash {
    /// What stands before the first event.
    pub const BEGINNING: Self = Self([0; 32]);

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash of the event with this text, when `self` is the hash before it.
    fn followed_by(self, text: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(text);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }

    /// Reads stored bytes. What has another length is no hash and equals none.
    fn of_stored(bytes: &[u8]) -> Self {
        bytes.try_into().map_or(Self::BEGINNING, Self)
    }
}

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventHash({self})")
    }
}

/// A text is not the hash of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hash of an event is 64 lower-case hexadecimal digits")]
pub struct InvalidEventHash;

impl FromStr for EventHash {
    type Err = InvalidEventHash;

    fn from_str(text: &str) -> Result<Self, InvalidEventHash> {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(InvalidEventHash),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes = pairs
            .iter()
            .map(|[high, low]| Ok(value(*high)? << 4 | value(*low)?))
            .collect::<Result<Vec<u8>, _>>()?;
        if !rest.is_empty() {
            return Err(InvalidEventHash);
        }
        bytes.try_into().map(Self).map_err(|_| InvalidEventHash)
    }
}

/// Where a log ends: its last event's number and hash. Written as `SEQUENCE:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    /// The number of the last event; 0 when there is none.
    pub sequence: u64,
    /// Its hash.
    pub hash: EventHash,
}

impl LogHead {
    /// The head of an empty log.
    pub const BEGINNING: Self = Self {
        sequence: 0,
        hash: EventHash::BEGINNING,
    };

    /// Adds an event, which the store writes as it is returned.
    pub fn append(&mut self, event: EventRow) -> NumberedEvent {
        self.sequence = self.sequence.saturating_add(1);
        self.hash = self
            .hash
            .followed_by(text(self.sequence, &event).as_bytes());
        NumberedEvent {
            sequence: self.sequence,
            event,
            hash: self.hash,
        }
    }

    /// Reads a stored head, beside the number of the last stored event. Where they differ one of
    /// them was altered. The next event then gets a number that no event has, and does not follow
    /// the one before it: that keeps a leaked key revocable, and the alteration visible.
    pub fn of_stored(sequence: i64, hash: &[u8], last_event: i64) -> Self {
        Self {
            sequence: u64::try_from(sequence.max(last_event)).unwrap_or(0),
            hash: EventHash::of_stored(hash),
        }
    }
}

impl fmt::Display for LogHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

/// A text is not a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head is SEQUENCE:HASH, as `keywright audit export` and `audit verify` print it")]
pub struct InvalidHead;

impl FromStr for LogHead {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let (sequence, hash) = text.split_once(':').ok_or(InvalidHead)?;
        Ok(Self {
            sequence: sequence.parse().map_err(|_| InvalidHead)?,
            hash: hash.parse().map_err(|_| InvalidHead)?,
        })
    }
}

/// An event's text, over which its hash is.
fn text(sequence: u64, event: &EventRow) -> String {
    let issuer = match &event.issuer {
        // A name needs no escaping.
        Some(name) => format!("\"{name}\""),
        None => "null".to_owned(),
    };
    let EventRow { at, document, .. } = event;
    format!(r#"{{"sequence":{sequence},"at":{at},"issuer":{issuer},"document":{document}}}"#)
}

/// An event as a line of the export: `{"hash":HASH,"event":TEXT}` and a line feed. The text begins
/// at byte 83 and ends before the last brace, so that it can be hashed without parsing it.
pub fn line(numbered: &NumberedEvent) -> String {
    let text = text(numbered.sequence, &numbered.event);
    format!("{BEFORE_HASH}{}{AFTER_HASH}{text}}}\n", numbered.hash)
}

const BEFORE_HASH: &str = "{\"hash\":\"";
const AFTER_HASH: &str = "\",\"event\":";

/// An event's columns, as a database holds them: its own, or altered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The number.
    pub sequence: i64,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// The issuer's name.
    pub issuer: Option<Vec<u8>>,
    /// The document.
    pub document: Vec<u8>,
    /// The hash.
    pub hash: Option<Vec<u8>>,
}

impl From<NumberedEvent> for StoredEvent {
    fn from(numbered: NumberedEvent) -> Self {
        let NumberedEvent {
            sequence,
            event,
            hash,
        } = numbered;
        Self {
            // Numbers and times are stored as they are here, and never come near the end.
            sequence: i64::try_from(sequence).unwrap_or(i64::MAX),
            at: i64::try_from(event.at).unwrap_or(i64::MAX),
            issuer: event.issuer.map(|name| name.as_str().as_bytes().to_vec()),
            document: event.document.into_bytes(),
            hash: Some(hash.as_bytes().to_vec()),
        }
    }
}

impl StoredEvent {
    /// Reads the columns. An event that no version could have written must not hide the others:
    /// it reads as one that says so, and whose hash is therefore another than the stored one.
    pub fn read(self) -> NumberedEvent {
        let at = u64::try_from(self.at);
        let issuer = self.issuer.map(|name| {
            let name = std::str::from_utf8(&name).ok();
            name.and_then(|name| IssuerName::parse(name).ok())
                .ok_or("its issuer is no name")
        });
        let document = String::from_utf8(self.document);
        let reason = match (&at, &issuer, &document) {
            (Err(_), _, _) => Some("its time lies before 1970"),
            (_, Some(Err(reason)), _) => Some(*reason),
            (_, _, Err(_)) => Some("its document is no text"),
            _ => None,
        };
        let document = match (reason, document) {
            (None, Ok(document)) => document,
            (reason, _) => json!({ "event": "corrupt-record", "corrupt": reason }).to_string(),
        };
        NumberedEvent {
            sequence: u64::try_from(self.sequence).unwrap_or(0),
            event: EventRow {
                at: at.unwrap_or(0),
                issuer: issuer.and_then(Result::ok),
                document,
            },
            hash: EventHash::of_stored(self.hash.as_deref().unwrap_or_default()),
        }
    }
}
