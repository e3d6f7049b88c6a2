//! Streams of security events to other systems (Shared Signals Framework 1.0, RFC 8935, RFC 8936). Members
//! that are not known are ignored, as the specification wants it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Entries;

/// The most events that a receiver asks for by name.
pub const MOST_EVENTS_REQUESTED: usize = 50;

/// The most tokens of an answer, and those that a receiver gets where it names no number.
pub const MOST_SETS: u64 = 50;

/// The most tokens that a request acknowledges, and as many that it refuses.
pub const MOST_ACKNOWLEDGED: usize = 1000;

/// What an issuer says of its streams (SSF 1.0 §7.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SsfConfiguration {
    /// `1_0`.
    pub spec_version: String,
    /// The issuer's URL, the `iss` of its tokens.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_uri: String,
    /// Push and poll.
    pub delivery_methods_supported: Vec<String>,
    /// Where streams are created, read, changed and deleted.
    pub configuration_endpoint: String,
    /// Where a stream is paused and enabled.
    pub status_endpoint: String,
    /// Where a verification is asked for.
    pub verification_endpoint: String,
    /// How receivers authenticate.
    pub authorization_schemes: Vec<AuthorizationScheme>,
    /// Of whom a new stream tells.
    pub default_subjects: DefaultSubjects,
}

/// A way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthorizationScheme {
    /// What specifies it.
    pub spec_urn: String,
}

/// Of whom a new stream tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DefaultSubjects {
    /// Of everybody.
    #[serde(rename = "ALL")]
    All,
}

/// A stream to be created (SSF 1.0 §8.1.1.1).
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventStreamRequest {
    /// How tokens are delivered. Default: the receiver fetches them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<EventStreamDeliveryRequest>,
    /// The types of events that the receiver wants. Default: all that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_requested: Option<Entries<String, 0, MOST_EVENTS_REQUESTED>>,
    /// What the receiver calls the stream, of at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
}

/// How tokens are to be delivered. It has no `Debug`: it may have a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventStreamDeliveryRequest {
    /// `urn:ietf:rfc:8935` for push, `urn:ietf:rfc:8936` for poll.
    pub method: String,
    /// Where tokens are pushed: as the `url` of a webhook. For poll the service says where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// The value of `Authorization` that tokens are pushed with. It is never shown again. One that is left out
    /// stays as it was while `endpoint_url` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub authorization_header: Option<String>,
}

/// A change of a stream (SSF 1.0 §8.1.1.3 and §8.1.1.4). What the service decides must be as it is, or left
/// out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventStreamChange {
    /// The stream.
    pub stream_id: String,
    /// How tokens are delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<EventStreamDeliveryRequest>,
    /// The types of events that the receiver wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_requested: Option<Entries<String, 0, MOST_EVENTS_REQUESTED>>,
    /// What the receiver calls the stream, of at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// The issuer's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<Value>,
    /// The audience of the stream's tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<Value>,
    /// The types of events that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_supported: Option<Value>,
    /// The types of events that are delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_delivered: Option<Value>,
}

/// A stream (SSF 1.0 §8.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventStream {
    /// Its identifier.
    pub stream_id: String,
    /// The issuer's URL, the `iss` of its tokens.
    pub iss: String,
    /// The client's identifier, the `aud` of its tokens.
    pub aud: String,
    /// The types of events that there are.
    pub events_supported: Vec<String>,
    /// The types of events that the receiver wants; absent for all that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_requested: Option<Vec<String>>,
    /// The types of events that are delivered.
    pub events_delivered: Vec<String>,
    /// How tokens are delivered.
    pub delivery: EventStreamDelivery,
    /// What the receiver calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// How tokens are delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventStreamDelivery {
    /// `urn:ietf:rfc:8935` for push, `urn:ietf:rfc:8936` for poll.
    pub method: String,
    /// Where tokens are pushed, or fetched.
    pub endpoint_url: String,
}

/// Whether a stream is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventStreamStatusName {
    /// Events are delivered.
    Enabled,
    /// Events are kept until the stream is enabled.
    Paused,
    /// Events are neither delivered nor kept.
    Disabled,
}

/// Whether a stream is on, and why (SSF 1.0 §8.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventStreamStatus {
    /// The stream.
    pub stream_id: String,
    /// Whether it is on.
    pub status: EventStreamStatusName,
    /// Why, in at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reason: Option<String>,
}

/// An event that shows whether a stream is delivered (SSF 1.0 §8.1.4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventStreamVerification {
    /// The stream.
    pub stream_id: String,
    /// What the event is to have, in at most 1,024 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub state: Option<String>,
}

/// What a receiver has taken, and how many it wants (RFC 8936 §2.2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetPoll {
    /// The most tokens of the answer; 0 for none. Default and most: 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_events: Option<u64>,
    /// Whether the answer comes at once, also where it has no token. Default: `false`. It comes when there is
    /// one, and after 8 seconds at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_immediately: Option<bool>,
    /// The tokens that were taken, by their `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack: Option<Entries<String, 0, MOST_ACKNOWLEDGED>>,
    /// The tokens that cannot be taken, by their `jti`. They are not sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_errs: Option<BTreeMap<String, SetError>>,
}

/// Why a receiver cannot take a token (RFC 8935 §2.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetError {
    /// The error's word.
    pub err: String,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Security event tokens (RFC 8936 §2.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolledSets {
    /// The signed tokens, by their `jti`.
    pub sets: BTreeMap<String, String>,
    /// Whether there are more.
    pub more_available: bool,
}

/// One stream, or all of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ShownEventStreams {
    /// The one that was asked for.
    One(EventStream),
    /// All of the client at the issuer.
    All(Vec<EventStream>),
}

/// Why a security event token is not taken (RFC 8935 §2.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecurityEventError {
    /// The error.
    pub err: SecurityEventErrorName,
    /// The code of a problem as in the rest of the API, a colon, and what is wrong.
    pub description: String,
}

/// The errors of security event tokens (RFC 8935 §2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecurityEventErrorName {
    /// It is no security event token, or not what its event asks for.
    InvalidRequest,
    /// Its signature does not verify with a key of its issuer.
    InvalidKey,
    /// Its issuer is not trusted.
    InvalidIssuer,
    /// It is for another receiver.
    InvalidAudience,
    /// The transmitter does not prove that it is a client.
    AuthenticationFailed,
    /// The client may not take back the tokens of that subject.
    AccessDenied,
}
