//! Grants: sessions whose tokens are renewed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{AccessTokenType, Claims, Nullable, PositiveDuration, UnixSeconds};

/// What to open for a user who has logged in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// What its access tokens say: `sub` and `aud` at least. `sid` is refused, too: it is the grant.
    #[schemars(with = "Claims")]
    pub claims: Map<String, Value>,
    /// Who may renew it: `public`, for pages and apps that have no secret, or the id of a client, which
    /// authenticates each time.
    #[schemars(length(min = 1, max = 64))]
    pub client: String,
    /// The lifetime of its access tokens in seconds. Default: the policy's `default_token_ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub expires_in: Option<u64>,
    /// How long it can be renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshTerms>,
}

/// How long a grant can be renewed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshTerms {
    /// It ends when it has not been renewed for so long. Default: `12h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<PositiveDuration>,
    /// It ends after so long in any case, at most `366d`. Default: `30d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute: Option<PositiveDuration>,
    /// What its refresh tokens are bound to: `dpop` for a key, `mtls` for a certificate. Default: nothing,
    /// until a public grant is renewed with a DPoP proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<Binding>,
    /// The SHA-256 thumbprint of the key (RFC 7638) or of the certificate (RFC 8705 §3.1), which the client has
    /// told the caller. Default: that of the one that the first renewal proves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(equal = 43))]
    pub thumbprint: Option<String>,
}

/// What a token is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// A key of the client (RFC 9449).
    Dpop,
    /// The certificate of the client (RFC 8705).
    Mtls,
}

/// What the access tokens of a grant say from the next renewal on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantChange {
    /// All of its claims, with the same `sub`.
    #[schemars(with = "Claims")]
    pub claims: Map<String, Value>,
    /// The lifetime of its access tokens in seconds. Default: as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub expires_in: Option<u64>,
}

/// A grant that was opened, with its first tokens. It has no `Debug`: it is a credential.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenedGrant {
    /// Its identifier, which is the `sid` of its access tokens.
    pub grant: String,
    /// The signed JWT.
    pub access_token: String,
    /// How it is presented.
    pub token_type: AccessTokenType,
    /// For how many seconds it is valid.
    pub expires_in: u64,
    /// What it is renewed with, once: the answer has the next one.
    pub refresh_token: String,
}

/// A grant, without its tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// Its identifier, which is the `sid` of its access tokens.
    pub grant: String,
    /// Whether it can be renewed.
    pub state: GrantState,
    /// Why it was ended before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<GrantEndCause>,
    /// What its access tokens say.
    pub claims: Map<String, Value>,
    /// Who may renew it: `public`, or the id of a client.
    pub client: String,
    /// The client whose limits hold for its tokens.
    pub by: String,
    /// The lifetime of its access tokens in seconds; the policy's `default_token_ttl` if `null`.
    pub expires_in: Nullable<u64>,
    /// What its refresh tokens are bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<Binding>,
    /// The thumbprint of the key or of the certificate, as soon as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<String>,
    /// When it was opened.
    pub opened_at: UnixSeconds,
    /// When its claims were last changed.
    pub changed_at: UnixSeconds,
    /// When it was last renewed, or opened.
    pub renewed_at: UnixSeconds,
    /// When it ends if it is not renewed.
    pub expires_at: UnixSeconds,
    /// When it ends in any case.
    pub ends_at: UnixSeconds,
    /// When it was ended before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<UnixSeconds>,
}

/// Whether a grant can be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GrantState {
    /// It can.
    Live,
    /// It was not renewed in time, or has reached its end.
    Expired,
    /// It was ended.
    Ended,
}

impl GrantState {
    /// The state's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Ended => "ended",
        }
    }
}

/// Why a grant was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GrantEndCause {
    /// A client has ended it.
    Requested,
    /// A refresh token was used twice.
    Reused,
    /// A fail-over to a database that lacked commits, or a restore, has lost which tokens were used.
    StoreWentBack,
    /// A revocation matches it.
    Revoked,
}

impl GrantEndCause {
    /// The cause's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Reused => "reused",
            Self::StoreWentBack => "store-went-back",
            Self::Revoked => "revoked",
        }
    }
}

/// A page of grants, in the order of their identifiers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Grants {
    /// The grants.
    pub grants: Vec<Grant>,
    /// What to send as `after` for the next page; `null` on the last.
    pub next: Nullable<String>,
}
