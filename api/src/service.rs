//! The service itself: its store, its replicas, its master keys, its clock and its health.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{DurationText, Fingerprint, IssuerName, Nullable, Reason, UnixSeconds, WebhookState};

/// What has become of every key, and what proves where the document is from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Register {
    /// HMAC-SHA256 over the exact text of `register`.
    #[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
    pub mac: String,
    /// The content.
    pub register: RegisterContents,
}

/// What has become of every key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegisterContents {
    /// The form of this document.
    #[schemars(range(min = 2, max = 2))]
    pub format: u64,
    /// When it was written, in Unix seconds.
    pub created_at: UnixSeconds,
    /// The version that wrote it.
    pub keywright: String,
    /// Where the audit log ended: `SEQUENCE:HASH`.
    pub head: String,
    /// The fingerprint of the master key.
    pub master_key: Fingerprint,
    /// The issuers with all their keys, in the order of their names, as the store keeps them; public
    /// keys only, instants in milliseconds since the Unix epoch.
    pub issuers: Vec<serde_json::Map<String, Value>>,
    /// Issuers whose records cannot be read, and of which nothing is said.
    pub unusable: Vec<String>,
    /// What was taken back of tokens, sealed under the master key, in base64.
    pub revocations: String,
}

/// The processes that share the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replicas {
    /// For how long a process continues without reaching the store; `null` without others.
    pub max_staleness: Nullable<DurationText>,
    /// The number of the last event; `null` without others.
    pub head: Nullable<u64>,
    /// The processes that have written a heartbeat within the last hour.
    pub replicas: Vec<Replica>,
}

/// A process that shares the store. Another version may have written it: what it does not say is
/// absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replica {
    /// Its identifier: new with each start.
    pub id: String,
    /// The name of its machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its version of keywright.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it started, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<UnixSeconds>,
    /// The fingerprints of the master keys that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_keys: Option<Vec<String>>,
    /// When it last wrote a heartbeat, by the store's clock, in Unix seconds.
    pub seen_at: UnixSeconds,
    /// Whether it may still sign and serve by its last heartbeat.
    pub live: bool,
    /// The number of the event up to which it serves every change.
    pub through: u64,
}

/// A clock that was ahead and is right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectClockRequest {
    /// For the audit log.
    pub reason: Reason,
}

/// What a correction of the clock did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClockCorrection {
    /// The issuers whose times were put back.
    pub corrected: Vec<IssuerName>,
    /// What the clock shows, in Unix seconds.
    pub now: UnixSeconds,
}

/// Which master keys are needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MasterKeyState {
    /// The key that seals new private keys.
    pub sealing: Fingerprint,
    /// Whether a rotation to it has not ended.
    pub rotating: bool,
    /// The keys that this process has or that private keys need.
    pub keys: Vec<MasterKey>,
    /// How many private keys no key opens.
    pub unopenable: u64,
}

/// A master key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MasterKey {
    /// Which key.
    pub fingerprint: Fingerprint,
    /// Whether this process has it.
    pub here: bool,
    /// How many private keys it has sealed.
    pub records: u64,
}

/// A rotation of the master key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateMasterKeyRequest {
    /// The key that seals from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Fingerprint>,
    /// For the audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// How far the rotation of the master key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MasterKeyRotation {
    /// The key that seals new private keys.
    pub sealing: Fingerprint,
    /// How many private keys this call has resealed.
    pub resealed: u64,
    /// How many are left; 0 when it has ended.
    pub left: u64,
    /// How many no key opens; they stay as they are.
    pub unopenable: u64,
}

/// How this process, its issuers and its tasks are doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReport {
    /// Whether this process can serve, as `/readyz` says.
    pub ready: bool,
    /// Why it cannot serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The store.
    pub store: StoreHealth,
    /// How long this process may use its memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseHealth>,
    /// How many issuers there are, with a fault or without.
    pub issuer_count: u64,
    /// The issuers that have a fault, by name.
    pub issuers: Vec<IssuerHealth>,
    /// The webhooks that do not accept messages, or are paused; as a moment ago.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<WebhookHealth>,
    /// The streams of security events whose receivers do not accept tokens, or that are paused for it; as a
    /// moment ago.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_streams: Vec<EventStreamHealth>,
    /// The copies of key sets that are not the key set, and why; as a moment ago.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyHealth>,
    /// How many lines of the service log could not be written since the process started.
    pub log_lines_lost: u64,
    /// The background tasks, by name.
    pub tasks: Vec<TaskHealth>,
}

/// A copy of a key set that is not the key set. Successors that it lacks wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CopyHealth {
    /// The issuer.
    pub issuer: IssuerName,
    /// The target, by its name in the configuration.
    pub target: String,
    /// Since when.
    pub since: UnixSeconds,
    /// Why.
    pub reason: String,
}

/// A webhook that does not accept messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookHealth {
    /// Its identifier.
    pub webhook: String,
    /// `failing` or `paused`.
    pub state: WebhookState,
    /// Since when messages have not been accepted, in Unix seconds.
    pub since: UnixSeconds,
    /// Why the last one was not.
    pub reason: String,
}

/// A stream of security events whose receiver does not accept tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventStreamHealth {
    /// Its identifier.
    pub stream: String,
    /// The issuer whose events it has.
    pub issuer: IssuerName,
    /// The client whose it is.
    pub client: String,
    /// `failing` or `paused`.
    pub state: WebhookState,
    /// Since when tokens have not been accepted, in Unix seconds.
    pub since: UnixSeconds,
    /// Why the last one was not.
    pub reason: String,
}

/// Whether the store answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreHealth {
    /// Whether other processes may use it.
    pub shared: bool,
    /// Whether it answers. Absent when it is shared: then the lease says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<bool>,
    /// When it was asked when it last answered, in Unix seconds; while it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<UnixSeconds>,
    /// Whether the disk space is there that is kept for revocations, rotations, deletions and
    /// backups. While it is not, nothing else is committed unless there is space for it again. Absent
    /// when the store is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_reserve: Option<bool>,
}

/// How long this process may use its memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseHealth {
    /// For how long it may continue without reaching the store again.
    pub remaining_seconds: u64,
}

/// The worst fault of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuerHealth {
    /// Its name.
    pub issuer: IssuerName,
    /// Its worst fault.
    pub state: IssuerState,
    /// Since when, in Unix seconds, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<UnixSeconds>,
    /// One sentence that says what is wrong.
    pub detail: String,
}

/// What can be wrong with an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IssuerState {
    /// Its stored records cannot be used.
    Unusable,
    /// An algorithm of its policy has no active key.
    NoActiveKey,
    /// Its last scheduled change failed.
    ScheduleFailing,
    /// A rotation is overdue.
    RotationOverdue,
}

impl IssuerState {
    /// The state's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unusable => "unusable",
            Self::NoActiveKey => "no-active-key",
            Self::ScheduleFailing => "schedule-failing",
            Self::RotationOverdue => "rotation-overdue",
        }
    }
}

/// A background task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskHealth {
    /// Its name, as in the metrics.
    pub name: String,
    /// `restarting`: it has panicked, and starts again after a pause of up to a minute.
    pub state: TaskState,
    /// How often it has panicked since the process started.
    pub restarts: u64,
    /// When it panicked last, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_at: Option<UnixSeconds>,
}

/// Whether a background task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// It runs.
    #[default]
    Running,
    /// It has panicked, and starts again after a pause.
    Restarting,
    /// It has done all that it had to do.
    Ended,
}

impl TaskState {
    /// The state's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Ended => "ended",
        }
    }
}

/// A link that opens a session in the console, once and for a minute.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleLink {
    /// Where it leads on this listener. It has a secret: the browser that opens it first acts as the client.
    pub path: String,
    /// Until when it can be opened.
    pub expires_at: UnixSeconds,
}
