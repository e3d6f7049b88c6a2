//! Problems (RFC 9457).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::UnixSeconds;

/// A stable word for what is wrong. Later versions may have more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemCode(pub String);

/// A problem (RFC 9457). Decide on `code`: it is stable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:keywright:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// What is wrong, in a word.
    pub code: ProblemCode,
    /// For people; it may change. It reveals nothing of a failure of the service.
    pub detail: String,
    /// The member that is missing, unknown or of the wrong type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Where the member is: a JSON pointer (RFC 6901) into the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The known name that an unknown one is nearest to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// The claim, or the member of the request, that is of the wrong type or breaks a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// The limit of the client that is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The claims that are reserved or missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Vec<String>>,
    /// The policy's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<u64>,
    /// The largest body, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The role that the client lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The algorithm whose successor is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// From when on to try again, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<UnixSeconds>,
    /// The state that the key is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// When the issuer was created, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<UnixSeconds>,
    /// The replicas that lack the master key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Vec<String>>,
}
