//! The documents of keywright's HTTP API, one type each.
//!
//! What goes over the wire is one Rust type with its doc comment. Reading it, writing it, its JSON
//! Schema and the OpenAPI document of the service derive from the type, so that a member's name is
//! written once. Requests refuse members that they do not know; answers take them, because later
//! versions may send more.
//!
//! A service reads requests with [`read()`], which says where a document is wrong and how; a client
//! reads answers with any JSON library for serde. The text of a request is read strictly first, with
//! [`keywright_verifier::json`].

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )
)]

mod approvals;
mod audit;
mod clients;
mod event_streams;
mod grants;
mod issuers;
mod keys;
mod oauth;
mod plan;
mod problem;
mod publication;
mod read;
mod revocations;
pub mod schema;
mod service;
mod share;
mod tokens;
mod values;
mod verifiers;
mod webhooks;

pub use approvals::{
    Approval, Approvals, ApprovedOperation, Awaits, Confirmed, DeleteRequest, OperationResult,
};
pub use audit::{
    Actor, ActorKind, AuditEvent, AuditHead, AuditPage, AuthenticationMethod, EventKind,
    KeyEventMembers, LARGEST_PAGE, Replaced,
};
pub use clients::{
    CertificateRule, ClaimName, ClaimPattern, ClientKeys, ClientRequest, Clients, CreatedClient,
    Credential, CredentialLifetime, CredentialRequest, Limits, OwnId, Pattern, Rate,
    RegisteredClient, Role, Scope, Subjects, Terms, TypeName, UnknownRole, WorkloadRule,
};
pub use event_streams::{
    AuthorizationScheme, DefaultSubjects, EventStream, EventStreamChange, EventStreamDelivery,
    EventStreamDeliveryRequest, EventStreamRequest, EventStreamStatus, EventStreamStatusName,
    EventStreamVerification, MOST_ACKNOWLEDGED, MOST_EVENTS_REQUESTED, MOST_SETS, PolledSets,
    SecurityEventError, SecurityEventErrorName, SetError, SetPoll, ShownEventStreams,
    SsfConfiguration,
};
pub use grants::{
    Binding, Grant, GrantChange, GrantEndCause, GrantRequest, GrantState, Grants, OpenedGrant,
    RefreshTerms,
};
pub use issuers::{
    AdoptionGate, CanaryPhase, Confirmation, Issuer, IssuerRequest, Issuers,
    OpenidConfigurationPolicy, Policy, PolicyInForce, RevocationFeed, Rotation,
};
pub use keys::{
    AlgorithmRotation, CopyExposure, Exposure, History, ImportRequest, ImportState, JwkNumbers,
    Key, KeyState, Keys, LiveTokens, LiveTokensOfAudience, LiveTokensOfClient, PastKey, PublicJwk,
    RevokeRequest, RotateRequest, Rotations, StopCanaryRequest, StoppedCanaries, StoppedCanary,
};
pub use oauth::{
    AccessToken, AccessTokenType, ClientAuthenticationForm, ConsumedToken, GlobalTokenRevocation,
    IntrospectedToken, Introspection, OauthError, OauthErrorName, OneTokenForm, SubjectIdentifier,
    TokenForm,
};
pub use plan::{KeyEvent, Occurrence, Plan, WaitingRotation};
pub use problem::{Problem, ProblemCode};
pub use publication::{
    JwkSet, MtlsEndpointAliases, OauthEndpoints, OauthMetadata, OpenidConfiguration, PublishedJwk,
    StatusLists,
};
pub use read::{Fault, ReadError, read};
pub use revocations::{
    Ban, BanEnd, InForceAtVerifiers, LARGEST_REVOCATION_BATCH, Revocation, RevocationBatch,
    RevocationBatchRequest, RevocationInForce, RevocationRequest, RevocationSelector,
    RevocationState, Revocations,
};
pub use service::{
    ClockCorrection, ConsoleLink, CopyHealth, CorrectClockRequest, EventStreamHealth, HealthReport,
    IssuerHealth, IssuerState, LeaseHealth, MasterKey, MasterKeyRotation, MasterKeyState, Register,
    RegisterContents, Replica, Replicas, RotateMasterKeyRequest, StoreHealth, TaskHealth,
    TaskState, WebhookHealth,
};
pub use share::{InvalidShare, Share};
pub use tokens::{
    Audience, BatchRequest, BatchResult, BatchResults, BatchResultsText, Claims, LARGEST_BATCH,
    SignRequest, SigningCheck, Token, TokenStatus,
};
pub use values::{
    DurationText, Entries, Fingerprint, InvalidDuration, InvalidFingerprint, InvalidIssuerName,
    InvalidPositiveDuration, InvalidReason, IssuerName, Nullable, PositiveDuration, Reason,
    UnixSeconds, format_duration, parse_duration,
};
pub use verifiers::{HeldKey, Verifier, Verifiers};
pub use webhooks::{
    LONGEST_WEBHOOK_URL, UnknownWebhookEvent, Webhook, WebhookEvent, WebhookRequest,
    WebhookSecretRequest, WebhookState, WebhookWithSecret, Webhooks,
};
