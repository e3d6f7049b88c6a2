//! A webhook as it is stored.

use keywright_api::WebhookEvent;
use serde::{Deserialize, Serialize};

use super::{Delivery, DeliveryState, Failing, Webhook};
use crate::lifecycle::Timestamp;
use crate::stored_document::{Format, InvalidRecord, RecordName};

/// Instants in milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: Format<1>,
    url: String,
    events: Vec<WebhookEvent>,
    created_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_until: Option<u64>,
    delivered_through: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing: Option<FailingDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused: Option<PausedDocument>,
    claimed_until: u64,
}

/// How far a receiver was told, as it is stored. Instants in milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveryDocument {
    delivered_through: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing: Option<FailingDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused: Option<PausedDocument>,
    claimed_until: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FailingDocument {
    since: u64,
    attempts: u32,
    next_at: u64,
    reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PausedDocument {
    since: u64,
    reason: String,
}

impl From<&Delivery> for DeliveryDocument {
    fn from(delivery: &Delivery) -> Self {
        let (failing, paused) = match &delivery.state {
            DeliveryState::Accepting => (None, None),
            DeliveryState::Failing(failing) => {
                let failing = FailingDocument {
                    since: failing.since.millis(),
                    attempts: failing.attempts,
                    next_at: failing.next_at.millis(),
                    reason: failing.reason.clone(),
                };
                (Some(failing), None)
            }
            DeliveryState::Paused { since, reason } => {
                let paused = PausedDocument {
                    since: since.millis(),
                    reason: reason.clone(),
                };
                (None, Some(paused))
            }
        };
        Self {
            delivered_through: delivery.through,
            failing,
            paused,
            claimed_until: delivery.claimed_until.millis(),
        }
    }
}

impl DeliveryDocument {
    /// What it says; `None` if it says that a receiver fails and is paused.
    pub(crate) fn read(self) -> Option<Delivery> {
        let state = match (self.failing, self.paused) {
            (None, None) => DeliveryState::Accepting,
            (Some(failing), None) => DeliveryState::Failing(Failing {
                since: Timestamp::from_millis(failing.since),
                attempts: failing.attempts,
                next_at: Timestamp::from_millis(failing.next_at),
                reason: failing.reason,
            }),
            (None, Some(paused)) => DeliveryState::Paused {
                since: Timestamp::from_millis(paused.since),
                reason: paused.reason,
            },
            (Some(_), Some(_)) => return None,
        };
        Some(Delivery {
            through: self.delivered_through,
            state,
            claimed_until: Timestamp::from_millis(self.claimed_until),
        })
    }
}

impl Webhook {
    /// As it is stored.
    pub fn to_document(&self) -> String {
        let DeliveryDocument {
            delivered_through,
            failing,
            paused,
            claimed_until,
        } = DeliveryDocument::from(&self.delivery);
        let document = Document {
            format: Format,
            url: self.url.clone(),
            events: self.events.clone(),
            created_at: self.created_at.millis(),
            previous_until: self.previous_until.map(Timestamp::millis),
            delivered_through,
            failing,
            paused,
            claimed_until,
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
            kind: "webhook",
            id,
        };
        let document: Document = record.read(document)?;
        let delivery = DeliveryDocument {
            delivered_through: document.delivered_through,
            failing: document.failing,
            paused: document.paused,
            claimed_until: document.claimed_until,
        };
        let delivery = delivery.read();
        Ok(Self {
            id: id.to_owned(),
            url: document.url,
            events: document.events,
            created_at: Timestamp::from_millis(document.created_at),
            previous_until: document.previous_until.map(Timestamp::from_millis),
            delivery: delivery.ok_or_else(|| record.invalid("it fails and is paused"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rejection;
    use super::super::tests::{AT, webhook};
    use super::*;

    #[test]
    fn what_is_stored_is_read_again_in_every_state() {
        let failed = Rejection::Failed("status 500".to_owned());
        let rotated = Webhook {
            previous_until: Some(AT),
            ..webhook()
        };
        for one in [
            webhook(),
            rotated.with(rotated.delivery.claimed(AT)),
            webhook().with(webhook().delivery.rejected(&failed, AT)),
            webhook().with(webhook().delivery.rejected(&Rejection::Gone, AT)),
        ] {
            assert_eq!(Webhook::from_document(&one.id, &one.to_document()), Ok(one));
        }
        for document in ["", "{}", r#"{"format":2}"#] {
            assert!(Webhook::from_document("a", document).is_err(), "{document}");
        }
    }
}
