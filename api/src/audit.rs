//! The audit log, and the events that it shares with plans.

use keywright_verifier::{Algorithm, Kid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{GrantEndCause, IssuerName, Nullable, PolicyInForce, Share, Terms, UnixSeconds};

/// The most events that one page of the audit log has.
pub const LARGEST_PAGE: usize = 1000;

/// A page of the audit log. The service answers events as they are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditPage")]
pub struct AuditPage<E = AuditEvent> {
    /// The events, oldest first.
    pub events: Vec<E>,
    /// For `after` of the next call, when the page was full; otherwise `null`.
    pub next: Nullable<u64>,
}

/// The end of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditHead {
    /// The last event's number.
    pub sequence: u64,
    /// The last event's hash in the chain.
    #[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
    pub hash: String,
}

/// One change. Which members it has depends on `event`; a stored record that cannot be parsed is shown
/// as `corrupt-record`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEvent {
    /// Its number in the log.
    pub sequence: u64,
    /// The event's hash in the chain.
    #[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
    pub hash: String,
    /// When, in Unix seconds.
    pub at: UnixSeconds,
    /// What happened.
    pub event: EventKind,
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerName>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Who confirmed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<Actor>,
    /// Why, if a reason was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The identifier of the operation that waits or waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// The operation that waits or waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The revocation's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<String>,
    /// The revocations' identifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocations: Option<Vec<String>>,
    /// Which claims a revocation looks at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// A keyed hash of the values of those claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector_hash: Option<String>,
    /// Whether nothing that matches is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub banned: Option<bool>,
    /// When the ban ends, if it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixSeconds>,
    /// The webhook's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The identifier of the stream of security events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// When the rotation was due that is late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<UnixSeconds>,
    /// The grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// Why the grant was ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<GrantEndCause>,
    /// How far the issuer's time was ahead of the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_seconds: Option<u64>,
    /// The client's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The credential's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The fingerprint of the master key that seals from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How many private keys it seals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// When the credential expires; `null` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Nullable<UnixSeconds>>,
    /// When the previous credential expires; `null` if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<Nullable<UnixSeconds>>,
    /// When the backup was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_at: Option<UnixSeconds>,
    /// Where the audit log of the backup ended: `SEQUENCE:HASH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_head: Option<String>,
    /// When the register was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub register_at: Option<UnixSeconds>,
    /// Where the audit log of the register ended: `SEQUENCE:HASH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub register_head: Option<String>,
    /// Keys that were named as revoked since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Vec<Kid>>,
    /// Issuers that were named as deleted since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Vec<IssuerName>>,
    /// More about a key or a policy.
    #[serde(flatten)]
    pub members: KeyEventMembers,
}

/// The members that events of a key set have, each only some of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KeyEventMembers {
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<Kid>,
    /// Its algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// Whether another system made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<bool>,
    /// When it may sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<UnixSeconds>,
    /// Whether it began before verifiers could be sure to know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced: Option<bool>,
    /// Until when it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_until: Option<UnixSeconds>,
    /// The share of the verifiers that should have held the key, or of the tokens that it signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// When the key signs all tokens, unless it is stopped before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixSeconds>,
    /// How many verifiers held it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holders: Option<u64>,
    /// How many verifiers were known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifiers: Option<u64>,
    /// Replicas that had not counted for long enough to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncounted_replicas: Option<u64>,
    /// The state before a key was revoked, or the fingerprint of the previous master key, if it is
    /// known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Nullable<String>>,
    /// When the last token that it may have signed would have expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_until: Option<UnixSeconds>,
    /// The policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyInForce>,
    /// Whether the issuer continues another set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takes_over: Option<bool>,
    /// What was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Replaced>,
    /// What replaced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Replaced>,
}

/// What a change replaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Replaced {
    /// A policy.
    Policy(Box<PolicyInForce>),
    /// The terms of a client.
    Terms(Box<Terms>),
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the words say it; docs/http-api.md explains them"
)]
pub enum EventKind {
    IssuerCreated,
    IssuerDeleted,
    PolicyChanged,
    KeyPublished,
    AdoptionMissed,
    KeyCanaryStarted,
    KeyCanaryStopped,
    KeyConfirmed,
    KeyUnconfirmed,
    KeyActivated,
    KeyRetired,
    KeyRemoved,
    KeyRevoked,
    ClockCorrected,
    ClientCreated,
    ClientChanged,
    ClientDeleted,
    CredentialCreated,
    CredentialRevoked,
    ApprovalRequested,
    ApprovalConfirmed,
    ApprovalRejected,
    ApprovalExpired,
    TokensRevoked,
    RevocationsClosed,
    BanLifted,
    RevocationErased,
    GrantEnded,
    BackupTaken,
    Restored,
    MasterKeyNamed,
    MasterKeyRotationStarted,
    MasterKeyRotationFinished,
    MasterKeyReplaced,
    RotationOverdue,
    WebhookCreated,
    WebhookDeleted,
    WebhookSecretRotated,
    WebhookPaused,
    WebhookResumed,
    EventStreamCreated,
    EventStreamChanged,
    EventStreamDeleted,
    EventStreamPaused,
    CorruptRecord,
}

impl EventKind {
    /// The words of all kinds.
    pub fn words() -> Vec<String> {
        let schema = schemars::schema_for!(Self);
        let words = schema.get("enum").and_then(|words| words.as_array());
        let words = words.into_iter().flatten();
        words
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    }
}

/// The actor of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend(
    "if" = {"properties": {"kind": {"const": "client"}}},
    "then" = {"required": ["kind", "id", "name"]},
))]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// The client's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The client's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<AuthenticationMethod>,
    /// The credential's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The certificate's thumbprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The assertion's `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The trusted issuer's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The `sub` of the trusted issuer's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The address that the connection came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The operator's user of the operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<u64>,
}

/// A kind of actor. Generators for Go would name the first one like the client that they generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend(
    "x-enum-varnames" = ["ActorClient", "ActorHolder", "ActorScheduler", "ActorBootstrap", "ActorConfiguration", "ActorOperator"]
))]
pub enum ActorKind {
    /// A client of the internal API.
    Client,
    /// A caller with a refresh token of a public grant.
    Holder,
    /// The service's own plan.
    Scheduler,
    /// The first start.
    Bootstrap,
    /// A start, with what files declare.
    Configuration,
    /// A person with access to the store.
    Operator,
}

impl ActorKind {
    /// The kind's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Holder => "holder",
            Self::Scheduler => "scheduler",
            Self::Bootstrap => "bootstrap",
            Self::Configuration => "configuration",
            Self::Operator => "operator",
        }
    }
}

/// How a client can authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthenticationMethod {
    /// With a bearer credential.
    Credential,
    /// With a TLS certificate.
    Certificate,
    /// With a token that it signs itself.
    Assertion,
    /// With a token of a trusted issuer.
    Workload,
    /// In the console: with what its session was opened, or with a certificate.
    Console,
}
