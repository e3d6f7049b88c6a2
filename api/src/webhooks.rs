//! Webhooks: who is told of what.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DurationText, Entries, Nullable, UnixSeconds};

/// The longest URL of a webhook, in bytes.
pub const LONGEST_WEBHOOK_URL: usize = 2048;

/// What a webhook can be told of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum WebhookEvent {
    /// An operation waits for a second person.
    #[serde(rename = "approval.waiting")]
    ApprovalWaiting,
    /// A rotation should have happened.
    #[serde(rename = "rotation.late")]
    RotationLate,
    /// A key was revoked.
    #[serde(rename = "key.revoked")]
    KeyRevoked,
    /// A ban was made.
    #[serde(rename = "ban.created")]
    BanCreated,
    /// The store has come back from a backup.
    #[serde(rename = "store.restored")]
    StoreRestored,
}

impl WebhookEvent {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::ApprovalWaiting,
        Self::RotationLate,
        Self::KeyRevoked,
        Self::BanCreated,
        Self::StoreRestored,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalWaiting => "approval.waiting",
            Self::RotationLate => "rotation.late",
            Self::KeyRevoked => "key.revoked",
            Self::BanCreated => "ban.created",
            Self::StoreRestored => "store.restored",
        }
    }
}

impl fmt::Display for WebhookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no event of webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an event is one of approval.waiting, rotation.late, key.revoked, ban.created, store.restored"
)]
pub struct UnknownWebhookEvent;

impl FromStr for WebhookEvent {
    type Err = UnknownWebhookEvent;

    fn from_str(text: &str) -> Result<Self, UnknownWebhookEvent> {
        let mut all = Self::ALL.into_iter();
        all.find(|event| event.as_str() == text)
            .ok_or(UnknownWebhookEvent)
    }
}

/// A webhook to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    /// Where messages are sent: an `https` URL, or `http` for a network of `webhooks.allowed_networks`. It may
    /// have a query, and has no user and no fragment.
    #[schemars(extend("format" = "uri", "maxLength" = LONGEST_WEBHOOK_URL))]
    pub url: String,
    /// What it is told of.
    pub events: Entries<WebhookEvent, 1, 5>,
}

/// All webhooks, without their secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Webhooks {
    /// The webhooks.
    pub webhooks: Vec<Webhook>,
}

/// A webhook, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Webhook {
    /// Its identifier.
    pub id: String,
    /// Where messages are sent.
    pub url: String,
    /// What it is told of.
    pub events: Vec<WebhookEvent>,
    /// When it was created, in Unix seconds.
    pub created_at: UnixSeconds,
    /// How deliveries go.
    pub state: WebhookState,
    /// Since when messages have not been accepted, in Unix seconds; `null` while they are.
    pub failing_since: Nullable<UnixSeconds>,
    /// Why the last one was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the next attempt is made, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<UnixSeconds>,
    /// The number of the event of the audit log up to which everything was delivered, or a little less.
    pub delivered_through: u64,
    /// Until when messages have a second signature by the secret before, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<UnixSeconds>,
}

/// How the deliveries of a webhook go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookState {
    /// The last message was accepted, or none was sent yet.
    Accepting,
    /// The last message was not accepted, and is sent again.
    Failing,
    /// Messages were not accepted for 7 days, or the receiver is gone. Nothing is sent until a person says so.
    Paused,
}

impl WebhookState {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepting => "accepting",
            Self::Failing => "failing",
            Self::Paused => "paused",
        }
    }
}

/// A webhook with its secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookWithSecret {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// What messages are signed with, `whsec_` and base64. It is shown this once.
    pub secret: String,
}

/// How a secret is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSecretRequest {
    /// How long messages are signed with the secret before, too; at most `30d`. Default: `24h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<DurationText>,
}
