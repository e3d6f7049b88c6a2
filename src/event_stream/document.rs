//! An event stream as it is stored.

use std::collections::BTreeSet;

use keywright_api::EventStreamStatusName;
use serde::{Deserialize, Serialize};

use super::{DeliveryMethod, EventStream, Verification};
use crate::lifecycle::Timestamp;
use crate::stored_document::{Format, InvalidRecord, RecordName};
use crate::webhook::DeliveryDocument;

/// Instants in milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: Format<1>,
    client: String,
    /// Where tokens are pushed; absent where the receiver fetches them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    push: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events_requested: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    created_at: u64,
    status: EventStreamStatusName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    delivery: DeliveryDocument,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    acknowledged: BTreeSet<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verification: Option<VerificationDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerificationDocument {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    requested_at: u64,
}

impl EventStream {
    /// As it is stored.
    pub fn to_document(&self) -> String {
        let document = Document {
            format: Format,
            client: self.client.clone(),
            push: match &self.method {
                DeliveryMethod::Push(url) => Some(url.clone()),
                DeliveryMethod::Poll => None,
            },
            events_requested: self.events_requested.clone(),
            description: self.description.clone(),
            created_at: self.created_at.millis(),
            status: self.status,
            reason: self.reason.clone(),
            delivery: DeliveryDocument::from(&self.delivery),
            acknowledged: self.acknowledged.clone(),
            verification: (self.verification.as_ref()).map(|verification| VerificationDocument {
                id: verification.id.clone(),
                state: verification.state.clone(),
                requested_at: verification.requested_at.millis(),
            }),
        };
        // Text and numbers always serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Reads what was stored under this id.
    ///
    /// # Errors
    /// [`InvalidRecord`].
    pub fn from_document(id: &str, document: &str) -> Result<Self, InvalidRecord> {
        let record = RecordName {
            kind: "event stream",
            id,
        };
        let document: Document = record.read(document)?;
        let delivery = document.delivery.read();
        Ok(Self {
            id: id.to_owned(),
            client: document.client,
            method: document
                .push
                .map_or(DeliveryMethod::Poll, DeliveryMethod::Push),
            events_requested: document.events_requested,
            description: document.description,
            created_at: Timestamp::from_millis(document.created_at),
            status: document.status,
            reason: document.reason,
            delivery: delivery.ok_or_else(|| record.invalid("it fails and is paused"))?,
            acknowledged: document.acknowledged,
            verification: document.verification.map(|verification| Verification {
                id: verification.id,
                state: verification.state,
                requested_at: Timestamp::from_millis(verification.requested_at),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, stream};
    use super::*;
    use crate::webhook::Rejection;

    #[test]
    fn what_is_stored_is_read_again_in_every_state() {
        let failed = Rejection::Failed("status 500".to_owned());
        let pushed = EventStream {
            method: DeliveryMethod::Push("https://a.example/?b".to_owned()),
            events_requested: Some(vec!["https://a.example/event".to_owned()]),
            description: Some("a receiver".to_owned()),
            status: EventStreamStatusName::Paused,
            reason: Some("maintenance".to_owned()),
            acknowledged: BTreeSet::from([9, 11]),
            verification: Some(Verification {
                id: "v".to_owned(),
                state: Some("s".to_owned()),
                requested_at: AT,
            }),
            ..stream()
        };
        for one in [
            stream(),
            pushed.with(pushed.delivery.rejected(&failed, AT)),
            pushed.with(pushed.delivery.rejected(&Rejection::Gone, AT)),
        ] {
            let read = EventStream::from_document(&one.id, &one.to_document());
            assert_eq!(read, Ok(one));
        }
        for document in ["", "{}", r#"{"format":2}"#] {
            assert!(
                EventStream::from_document("a", document).is_err(),
                "{document}"
            );
        }
    }
}
