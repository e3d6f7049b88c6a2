//! Webhooks after Standard Webhooks: whom they tell of what, how a message is signed, when it is sent
//! again, and which addresses it may be sent to. Pure: time and randomness are parameters.
//!
//! The audit log is what is sent from. An event is in it because the change that it tells of was committed,
//! in one transaction, and a webhook keeps the number of the event up to which everything was delivered.

mod address;
mod delivery;
mod document;
mod message;
mod secret;

use keywright_api::WebhookEvent;

use crate::lifecycle::Timestamp;

pub use address::{InvalidWebhookUrl, check_url, is_public, may_be_called};
pub(crate) use delivery::pause_after;
pub use delivery::{Delivery, DeliveryState, Failing, Rejection};
pub(crate) use document::DeliveryDocument;
pub use message::{Message, event_of};
pub use secret::{SECRET_BYTES, WebhookSecrets};

/// The most webhooks of a store.
pub const MOST_WEBHOOKS: usize = 20;

/// A receiver of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its identifier.
    pub id: String,
    /// Where messages are sent.
    pub url: String,
    /// What it is told of.
    pub events: Vec<WebhookEvent>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Until when messages are signed with the secret before the current one, too.
    pub previous_until: Option<Timestamp>,
    /// How far it was told.
    pub delivery: Delivery,
}

impl Webhook {
    /// It, after a delivery or an attempt.
    #[must_use]
    pub fn with(&self, delivery: Delivery) -> Self {
        Self {
            delivery,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const AT: Timestamp = Timestamp::from_seconds(1_800_000_000);

    pub(super) fn webhook() -> Webhook {
        Webhook {
            id: "0123456789abcdef".to_owned(),
            url: "https://hooks.example/keywright".to_owned(),
            events: vec![WebhookEvent::KeyRevoked],
            created_at: AT,
            previous_until: None,
            delivery: Delivery::after(7),
        }
    }
}
