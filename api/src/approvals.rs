//! Operations that wait for a second person.

use keywright_verifier::{Algorithm, Kid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Actor, Ban, Exposure, Issuer, IssuerName, Nullable, PolicyInForce, Reason, RevocationInForce,
    RevocationSelector, Rotations, UnixSeconds,
};

/// The operations that wait for a second person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Approvals {
    /// The operations.
    pub approvals: Vec<Approval>,
}

/// An operation that waits for a second person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Its identifier.
    pub id: String,
    /// The issuer that it would change.
    pub issuer: IssuerName,
    /// What was requested.
    pub operation: ApprovedOperation,
    /// The client that requested it, as it was recorded then.
    #[schemars(with = "Actor")]
    pub requested_by: Value,
    /// When, in Unix seconds.
    pub requested_at: UnixSeconds,
    /// Until when it can be confirmed.
    pub expires_at: UnixSeconds,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a rotation: `null` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Nullable<Algorithm>>,
    /// Of a revocation: the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<Kid>,
    /// Of a revocation: whether the successors go with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discard_successor: Option<bool>,
    /// Of tokens that are taken back: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<RevocationSelector>,
    /// Of tokens that are taken back: whether and for how long none are signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ban: Option<Ban>,
    /// Of a change of policy: the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyInForce>,
}

/// What can wait for a second person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovedOperation {
    /// A rotation before verifiers can know the successor.
    ForceRotation,
    /// A revocation that puts such a key to work.
    Revoke,
    /// Every token of an issuer or of an audience, taken back.
    RevokeTokens,
    /// The deletion of an issuer.
    DeleteIssuer,
    /// A policy that no longer asks for a second person.
    SetPolicy,
}

impl ApprovedOperation {
    /// The operation's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForceRotation => "force-rotation",
            Self::Revoke => "revoke",
            Self::RevokeTokens => "revoke-tokens",
            Self::DeleteIssuer => "delete-issuer",
            Self::SetPolicy => "set-policy",
        }
    }
}

/// The answer of an operation that a second person must confirm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Awaits {
    /// What waits.
    pub approval: Approval,
}

/// A confirmed operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Confirmed {
    /// What was confirmed.
    pub approval: Approval,
    /// What it would have answered at once.
    pub result: OperationResult,
}

/// What an operation answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum OperationResult {
    /// Of a rotation.
    Rotations(Rotations),
    /// Of a revocation.
    Exposure(Exposure),
    /// Of tokens that are taken back.
    Revocation(Box<RevocationInForce>),
    /// Of the deletion of an issuer, or of its policy.
    Issuer(Box<Issuer>),
}

/// The deletion of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteRequest {
    /// For the audit log.
    pub reason: Reason,
}
