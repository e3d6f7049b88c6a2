//! Signing: one token, or up to a thousand.

use keywright_verifier::{Algorithm, Kid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Entries, Problem, UnixSeconds};

/// The most tokens that one batch may ask for.
pub const LARGEST_BATCH: usize = 1000;

/// What to sign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignRequest {
    /// What is asserted.
    #[schemars(with = "Claims")]
    pub claims: Map<String, Value>,
    /// The lifetime in seconds, at most the policy's `max_token_ttl`. Default: the policy's
    /// `default_token_ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub expires_in: Option<u64>,
    /// The type in the header. Default: `JWT`. An `at+jwt` (RFC 9068) needs the claims `sub`, `aud`
    /// and `client_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[A-Za-z0-9.+/-]{1,64}$"))]
    pub typ: Option<String>,
    /// An algorithm with an active key. Default: the policy's `default_algorithm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<Algorithm>,
}

/// What is asserted; it may be empty. `iss`, `iat`, `exp` and `jti` are refused. Every other claim
/// passes as it is. A number is an integer from −2^63 to 2^64 − 1, or finite and at most 2^53 in
/// magnitude; there are at most 32 levels of arrays and objects in the body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend(
    "propertyNames" = {"not": {"enum": ["iss", "iat", "exp", "jti"]}},
    "additionalProperties" = true,
))]
pub struct Claims {
    /// The subject that the token is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The audience that the token is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// The client that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What it allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Not valid before, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
}

/// One audience, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(#[schemars(length(min = 1))] Vec<String>),
}

/// A signed token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// The compact JWS. It is a credential: it has no place in a log.
    pub token: String,
    /// The key that signed it.
    pub kid: Kid,
    /// Its identifier: 128 random bits.
    pub jti: String,
    /// When it expires, in Unix seconds.
    pub expires_at: UnixSeconds,
}

/// Several tokens to sign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// What to sign.
    pub requests: Entries<SignRequest, 1, LARGEST_BATCH>,
}

/// The answer to a batch.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchResults {
    /// One entry for each request, in order.
    pub results: Vec<BatchResult>,
}

/// A token, or the problem that its request would have got alone.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum BatchResult {
    /// The token.
    Token(Token),
    /// The problem.
    Problem(Box<Problem>),
}
