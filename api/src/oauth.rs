//! The OAuth endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::UnixSeconds;

/// How a client authenticates in the body of a request (RFC 6749 §2.3.1, RFC 7523 §2.2), if it sends no
/// `Authorization`. It has no `Debug`: it is a proof.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientAuthenticationForm {
    /// The client's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, with an assertion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_assertion_type: Option<String>,
    /// A JWT that the client, or its platform, has signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_assertion: Option<String>,
}

/// The form of the token endpoint (RFC 6749 §4.4.2 and §6). It has no `Debug`: it has secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenForm {
    /// One of `grant_types_supported` of the metadata.
    pub grant_type: String,
    /// The grant's current token, with `refresh_token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// The token that is traded in, with the grant of RFC 8693.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_token: Option<String>,
    /// `urn:ietf:params:oauth:token-type:access_token` or `…:jwt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_token_type: Option<String>,
    /// The token of who acts (RFC 8693 §4.1). Default: the client acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_token: Option<String>,
    /// As `subject_token_type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_token_type: Option<String>,
    /// One of these two types, or `urn:ietf:params:oauth:token-type:txn_token`. Default: an access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_token_type: Option<String>,
    /// For a transaction token: what is to be done, a JSON object of at most 2 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_details: Option<String>,
    /// For a transaction token: where the call came from, a JSON object of at most 2 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_context: Option<String>,
    /// The token that is traded in, with the grant of RFC 7523 §2.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assertion: Option<String>,
    /// Scope tokens, with one space between two. Default: all that the client may have, or all of the grant
    /// or the token that is traded in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The service that the token is for, as an absolute URI (RFC 8707).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The same by any name. Only one of the two may be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The client's proof.
    #[serde(flatten)]
    pub client: ClientAuthenticationForm,
}

/// The form of the endpoints for one token: to take it back (RFC 7009 §2.1), to ask whether it is valid
/// (RFC 7662 §2.1), and to use it up. It has no `Debug`: it has secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OneTokenForm {
    /// The access token or refresh token.
    pub token: String,
    /// Read and not used: a token says what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type_hint: Option<String>,
    /// The client's proof.
    #[serde(flatten)]
    pub client: ClientAuthenticationForm,
}

/// An access token (RFC 6749 §5.1). It has no `Debug`: it is a credential.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessToken {
    /// The signed JWT.
    pub access_token: String,
    /// How it is presented.
    pub token_type: AccessTokenType,
    /// For how many seconds it is valid.
    pub expires_in: u64,
    /// Its scope, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What kind of token it is, if it was exchanged for another (RFC 8693 §2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<String>,
    /// What the grant is renewed with next time, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

/// How an access token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessTokenType {
    /// By any caller that has it (RFC 6750).
    Bearer,
    /// Together with a proof of the key that it is bound to (RFC 9449 §7.1).
    #[serde(rename = "DPoP")]
    Dpop,
    /// Not as an access token: it is one of another kind (RFC 8693 §2.2.1).
    #[serde(rename = "N_A")]
    NotApplicable,
}

/// Whether a token is valid, and what it says (RFC 7662 §2.2). Of one that is not, nothing is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Introspection {
    /// Whether it is valid, for an audience of the caller.
    pub active: bool,
    /// What it says.
    #[serde(flatten)]
    pub token: Option<IntrospectedToken>,
}

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IntrospectedToken {
    /// How it is presented; `None` for a refresh token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<AccessTokenType>,
    /// Its claims, as far as a service needs them to decide: `iss`, `sub`, `aud`, `client_id`, `scope`,
    /// `iat`, `nbf`, `exp`, `jti`, `act`, `cnf` and `single_use`.
    #[serde(flatten)]
    pub claims: Map<String, Value>,
}

/// Whose tokens and grants are to be taken back (draft-parecki-oauth-global-token-revocation-05).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalTokenRevocation {
    /// Who.
    pub sub_id: SubjectIdentifier,
}

/// Who is meant (RFC 9493). Other formats than these two are refused with 422, whatever members they have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectIdentifier {
    /// `iss_sub`, with `iss` and `sub`, or `opaque`, with `id`.
    pub format: String,
    /// The issuer's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The `sub` of the tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The same in the format `opaque`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// A token that was used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsumedToken {
    /// Its identifier.
    pub jti: String,
    /// When it was used up, in Unix seconds: before now, if the answer is repeated.
    pub consumed_at: UnixSeconds,
}

/// What is wrong with a request to an OAuth endpoint (RFC 6749 §5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OauthError {
    /// The error.
    pub error: OauthErrorName,
    /// The code of a problem as in the rest of the API, a colon, and what is wrong.
    pub error_description: String,
}

/// The errors of the OAuth endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OauthErrorName {
    /// The request is malformed (RFC 6749 §5.2).
    InvalidRequest,
    /// The client is not known, or does not prove that it is itself (RFC 6749 §5.2).
    InvalidClient,
    /// What is presented is not valid, or another client's (RFC 6749 §5.2).
    InvalidGrant,
    /// The client may not ask for this (RFC 6749 §5.2).
    UnauthorizedClient,
    /// There is no such grant (RFC 6749 §5.2).
    UnsupportedGrantType,
    /// The scope is malformed, or beyond the client's (RFC 6749 §5.2).
    InvalidScope,
    /// A token of this kind cannot be taken back (RFC 7009 §2.2.1).
    UnsupportedTokenType,
    /// The target is malformed, or beyond the client's (RFC 8707 §2).
    InvalidTarget,
    /// The DPoP proof is not acceptable (RFC 9449 §5).
    InvalidDpopProof,
    /// The DPoP proof needs the nonce of the header `DPoP-Nonce` (RFC 9449 §8).
    UseDpopNonce,
    /// The service has failed.
    ServerError,
    /// Try again after `Retry-After`.
    TemporarilyUnavailable,
}
