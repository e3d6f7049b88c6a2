//! Keys, and the changes that people ask for.

use keywright_verifier::{Algorithm, Kid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::{JwkSet, Nullable, Reason, UnixSeconds};

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It is published, and does not sign yet.
    Pending,
    /// It signs a share of the tokens, beside the active key.
    Canary,
    /// It signs.
    Active,
    /// It no longer signs, and its tokens still verify.
    Retired,
    /// It is no longer published, because its last token has expired.
    Removed,
    /// It is no longer published, because no verifier may trust it.
    Revoked,
}

impl KeyState {
    /// The state's one word, as every interface spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Canary => "canary",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Removed => "removed",
            Self::Revoked => "revoked",
        }
    }
}

/// All keys of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Keys {
    /// The keys, in the order in which they came.
    pub keys: Vec<Key>,
}

/// A key with the times that apply to its state, in Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    /// Its identifier.
    pub kid: Kid,
    /// Its one algorithm.
    pub algorithm: Algorithm,
    /// What it may do.
    pub state: KeyState,
    /// When it was generated or imported.
    pub created_at: UnixSeconds,
    /// When it entered the published set.
    pub published_at: UnixSeconds,
    /// Pending: when it may sign; absent while it is not known that every copy of the set has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<UnixSeconds>,
    /// Pending: since when it waits until every copy has it to which the policy has the set pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unconfirmed_since: Option<UnixSeconds>,
    /// When it began to sign here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<UnixSeconds>,
    /// When it stopped signing, or was imported to verify only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<UnixSeconds>,
    /// Retired: when it leaves the set. Removed: when it left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_until: Option<UnixSeconds>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<UnixSeconds>,
    /// Why it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// Rotate only the keys of this algorithm. Default: all of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// Do not wait until verifiers can know the successor. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
    /// For the audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// A canary that is taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopCanaryRequest {
    /// Only that of this algorithm. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// For the audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// The canaries that were taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoppedCanaries {
    /// The version of the key set.
    pub version: u64,
    /// One for each algorithm that had a canary; empty where none signed.
    pub stopped: Vec<StoppedCanary>,
}

/// A canary that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoppedCanary {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The key. It signs no more.
    pub kid: Kid,
    /// Until when it is published, for the tokens that it has signed.
    pub published_until: UnixSeconds,
    /// The key that signs all tokens again.
    pub active: Nullable<Kid>,
    /// When the rotation is tried again, with the next successor, at the soonest.
    pub next_rotation_at: Nullable<UnixSeconds>,
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rotations {
    /// The version of the key set.
    pub version: u64,
    /// Whether a key signs that some verifiers may not know.
    pub forced: bool,
    /// One for each algorithm that rotated.
    pub rotations: Vec<AlgorithmRotation>,
}

/// What a rotation did to the keys of one algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlgorithmRotation {
    /// The algorithm that rotated.
    pub algorithm: Algorithm,
    /// The key that signed before; `null` if none did.
    pub retired: Nullable<Kid>,
    /// The key that signs now.
    pub activated: Kid,
    /// The key that will sign next.
    pub successor: Nullable<Kid>,
    /// Whether a key signs that some verifiers may not know.
    pub forced: bool,
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// It stays with the key and in the audit log.
    pub reason: Reason,
    /// Also revoke the pending keys of the same algorithm. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discard_successor: Option<bool>,
}

/// What a revocation did, and until when the key may still be trusted somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    /// The key that was asked for.
    pub kid: Kid,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Every key that this call revoked, that one first.
    pub revoked: Vec<Kid>,
    /// When, in Unix seconds.
    pub revoked_at: UnixSeconds,
    /// Whether a key signs that some verifiers may not know.
    pub forced: bool,
    /// The key that signs for this algorithm now; `null` if none does.
    pub signs_now: Nullable<Kid>,
    /// Until when an HTTP cache may return a set with the revoked key that this service has served.
    pub cached_until: UnixSeconds,
    /// The copies to which the policy has the set pushed: what holds for those who read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyExposure>,
    /// When the last token that it may have signed would have expired.
    pub tokens_until: UnixSeconds,
    /// From when on no process signs with the key, including one that cannot reach the store.
    pub in_force_everywhere_at: UnixSeconds,
}

/// The live tokens of a key, as far as the issuance log of the process that answers has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveTokens {
    /// How many it has signed that have not expired.
    pub tokens: u64,
    /// The clients that asked for them, most tokens first; a hundred at most.
    pub clients: Vec<LiveTokensOfClient>,
    /// The audiences that they are for, most tokens first; a hundred at most. A token may have several.
    pub audiences: Vec<LiveTokensOfAudience>,
    /// From when on the log was read, in Unix seconds; `null` when it has no line. Of a long log the
    /// newest 64 MiB are read.
    pub read_since: Nullable<UnixSeconds>,
    /// Whether the log was read far enough back for every live token that this process has signed.
    pub complete: bool,
}

/// The live tokens of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveTokensOfClient {
    /// The client's id.
    pub client: String,
    /// How many.
    pub tokens: u64,
    /// When the last of them expires, in Unix seconds.
    pub expires_at: UnixSeconds,
}

/// The live tokens of one audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveTokensOfAudience {
    /// The audience. A long one is cut.
    pub audience: String,
    /// How many.
    pub tokens: u64,
    /// When the last of them expires, in Unix seconds.
    pub expires_at: UnixSeconds,
}

/// A copy of the key set after a revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CopyExposure {
    /// The target, by its name in the configuration.
    pub target: String,
    /// Until when a reader of the copy may use the revoked key; `null` while it has not been pushed without
    /// it: pushes are tried until one succeeds, and no time is known before that.
    pub cached_until: Nullable<UnixSeconds>,
}

/// What an imported key becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImportState {
    /// A successor that waits out its lead.
    Pending,
    /// The key that signs, of an issuer that takes over.
    Active,
    /// A key that only verifies.
    Retired,
}

/// A key from another system: exactly one of `private_key` and `public_key`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "if" = {"required": ["private_key"]},
    "then" = {"not": {"required": ["public_key"]}},
    "else" = {"required": ["public_key"], "properties": {"state": {"const": "retired"}}},
))]
pub struct ImportRequest {
    /// The key's algorithm.
    pub algorithm: Algorithm,
    /// What the key becomes.
    pub state: ImportState,
    /// An unencrypted private key: PEM (PKCS#8, PKCS#1 or SEC 1), or the text of a JWK.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("writeOnly" = true))]
    pub private_key: Option<String>,
    /// The public key, of a key that only verifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<PublicJwk>")]
    pub public_key: Option<Map<String, Value>>,
    /// The kid that verifiers know. Default: the JWK's, else the RFC 7638 thumbprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<Kid>,
}

/// A public JWK (RFC 7517): P-256 for ES256, RSA for RS256. One with private members is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicJwk {
    /// The kind of key.
    #[schemars(extend("enum" = ["EC", "RSA"]))]
    pub kty: String,
    /// Its identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<Kid>,
    /// What it is for.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["sig"]))]
    pub purpose: Option<String>,
    /// Its algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<Algorithm>,
    /// The number that the key is.
    #[serde(flatten)]
    pub number: JwkNumbers,
}

/// The members of a JWK that are the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JwkNumbers {
    /// EC: the curve.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["P-256"]))]
    pub crv: Option<String>,
    /// EC: a coordinate, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[A-Za-z0-9_-]+$"))]
    pub x: Option<String>,
    /// EC: a coordinate, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[A-Za-z0-9_-]+$"))]
    pub y: Option<String>,
    /// RSA: the modulus, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[A-Za-z0-9_-]+$"))]
    pub n: Option<String>,
    /// RSA: the exponent, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[A-Za-z0-9_-]+$"))]
    pub e: Option<String>,
}

/// What an issuer published at a time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// The time that was asked for, in Unix seconds with at most three decimals.
    #[schemars(with = "f64")]
    pub at: Number,
    /// The key set, byte for byte as it was served.
    #[schemars(with = "JwkSet")]
    pub jwks: Box<RawValue>,
    /// Every key that there was.
    pub keys: Vec<PastKey>,
}

/// A key as it was at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PastKey {
    /// Its identifier.
    pub kid: Kid,
    /// Its one algorithm.
    pub algorithm: Algorithm,
    /// Its state at that time.
    pub state: KeyState,
}
