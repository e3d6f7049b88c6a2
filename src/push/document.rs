//! What is known of a copy, as it is stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{PushState, PushedContent, PushedCopy, ReplacedCopies};
use crate::lifecycle::Timestamp;
use crate::stored_document::{Format, InvalidRecord, RecordName};

/// Instants and lengths in milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: Format<1>,
    place: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<ContentDocument>,
    freshness: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced: Option<ReplacedDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing: Option<FailingDocument>,
    claimed_until: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContentDocument {
    digest: String,
    version: u64,
    pushed_at: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplacedDocument {
    freshness: u64,
    until: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailingDocument {
    since: u64,
    attempts: u32,
    next_at: u64,
    digest: String,
    reason: String,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl PushedCopy {
    /// As it is stored.
    pub fn to_document(&self) -> String {
        let document = Document {
            format: Format,
            place: self.place.clone(),
            content: self.content.as_ref().map(|content| ContentDocument {
                digest: content.digest.clone(),
                version: content.version,
                pushed_at: content.pushed_at.millis(),
            }),
            freshness: millis(self.freshness),
            replaced: self.replaced.map(|replaced| ReplacedDocument {
                freshness: millis(replaced.freshness),
                until: replaced.until.millis(),
            }),
            failing: match &self.state {
                PushState::Succeeding => None,
                PushState::Failing {
                    since,
                    attempts,
                    next_at,
                    digest,
                    reason,
                } => Some(FailingDocument {
                    since: since.millis(),
                    attempts: *attempts,
                    next_at: next_at.millis(),
                    digest: digest.clone(),
                    reason: reason.clone(),
                }),
            },
            claimed_until: self.claimed_until.millis(),
        };
        // Text and numbers always serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Reads what was stored of the copy at a target.
    ///
    /// # Errors
    /// [`InvalidRecord`].
    pub fn from_document(target: &str, document: &str) -> Result<Self, InvalidRecord> {
        let record = RecordName {
            kind: "copy",
            id: target,
        };
        let document: Document = record.read(document)?;
        Ok(Self {
            place: document.place,
            content: document.content.map(|content| PushedContent {
                digest: content.digest,
                version: content.version,
                pushed_at: Timestamp::from_millis(content.pushed_at),
            }),
            freshness: Duration::from_millis(document.freshness),
            replaced: document.replaced.map(|replaced| ReplacedCopies {
                freshness: Duration::from_millis(replaced.freshness),
                until: Timestamp::from_millis(replaced.until),
            }),
            state: document
                .failing
                .map_or(PushState::Succeeding, |failing| PushState::Failing {
                    since: Timestamp::from_millis(failing.since),
                    attempts: failing.attempts,
                    next_at: Timestamp::from_millis(failing.next_at),
                    digest: failing.digest,
                    reason: failing.reason,
                }),
            claimed_until: Timestamp::from_millis(document.claimed_until),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again_in_every_state() {
        let at = Timestamp::from_seconds(1_800_000_000);
        let new = PushedCopy::new("file:a".to_owned());
        let content = PushedContent {
            digest: "d".to_owned(),
            version: 3,
            pushed_at: at,
        };
        let hour = Duration::from_secs(3600);
        let pushed = new.claimed(at, hour).pushed(content, hour, hour);
        let failed = pushed.failed("e", "status 500".to_owned(), at);
        for one in [new, pushed, failed] {
            let read = PushedCopy::from_document("cdn", &one.to_document());
            assert_eq!(read, Ok(one));
        }
        for document in ["", "{}", r#"{"format":2}"#] {
            assert!(PushedCopy::from_document("cdn", document).is_err());
        }
    }
}
