//! Clients: who may call, and what they may have signed.

use std::collections::BTreeMap;
use std::str::FromStr;

use keywright_verifier::Algorithm;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{DurationText, Entries, IssuerName, Nullable, PositiveDuration, UnixSeconds};

/// What a client may do. No role includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Signs tokens, within its limits.
    Issuer,
    /// Rotates, revokes and imports keys.
    Security,
    /// Reads keys, plans, histories and the audit log.
    Auditor,
    /// Manages issuers and clients.
    Admin,
    /// Takes tokens back that it can show, or of subjects within its limits.
    Revoker,
    /// Asks whether tokens for audiences within its limits are valid.
    Introspector,
    /// Trades tokens in for others within its limits, and signs none of its own.
    Exchanger,
    /// Uses up tokens that count once, for audiences within its limits.
    Consumer,
    /// Has streams of security events: it is told whose sessions have ended.
    Receiver,
}

impl Role {
    /// The roles that read what is neither secret nor a record of who did what: issuers, keys, plans,
    /// replicas. A client that changes them has to see them first.
    pub const READERS: [Self; 3] = [Self::Auditor, Self::Security, Self::Admin];

    /// The roles that take tokens back.
    pub const REVOKERS: [Self; 2] = [Self::Security, Self::Revoker];

    /// The roles of which one is needed to read and to end grants.
    pub const GRANT_READERS: [Self; 3] = [Self::Issuer, Self::Security, Self::Revoker];

    /// The roles that read which tokens were taken back. It is about people, so that not every reader
    /// may.
    pub const REVOCATION_READERS: [Self; 2] = [Self::Security, Self::Auditor];
}

/// All clients, without their credentials' secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clients {
    /// The clients.
    pub clients: Vec<RegisteredClient>,
}

/// A client as it is registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegisteredClient {
    /// Its public identifier.
    pub id: String,
    /// What an admin has laid down for it.
    #[serde(flatten)]
    pub terms: Terms,
    /// Grows with every change.
    #[schemars(range(min = 1))]
    pub version: u64,
    /// When it was created, in Unix seconds.
    pub created_at: UnixSeconds,
    /// Its credentials, the newest last.
    pub credentials: Vec<Credential>,
}

/// A client with a new credential.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedClient {
    /// The client.
    #[serde(flatten)]
    pub client: RegisteredClient,
    /// What the client sends as `Authorization: Bearer`. It is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// A credential, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Credential {
    /// Its name; it is not a part of the credential.
    pub id: String,
    /// When it was created, in Unix seconds.
    pub created_at: UnixSeconds,
    /// When it expires, in Unix seconds; `null` for never.
    pub expires_at: Nullable<UnixSeconds>,
    /// When it was last used, in Unix seconds; `null` for never. After a crash up to a minute is
    /// missing.
    pub last_used_at: Nullable<UnixSeconds>,
}

/// A struct with the members of a client's terms, and perhaps more: a request cannot be put together
/// with `flatten`, which would take any member.
macro_rules! with_terms_members {
    ($(#[$attribute:meta])* pub struct $name:ident { $($more:tt)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// What people call it. It need not be unique.
            #[schemars(extend("pattern" = "^[ -~]{1,64}$"))]
            pub name: String,
            /// What the client may do.
            #[schemars(length(min = 1))]
            pub roles: Vec<Role>,
            /// What it may assert.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub limits: Option<Limits>,
            /// TLS certificates that are its own. A rule names one client only.
            #[schemars(extend("maxItems" = 100))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub certificates: Option<Vec<CertificateRule>>,
            /// Tokens of trusted issuers that are its own.
            #[schemars(extend("maxItems" = 100))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub workloads: Option<Vec<WorkloadRule>>,
            /// The public keys of the assertions that it signs itself.
            #[schemars(with = "Option<ClientKeys>")]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub jwks: Option<Map<String, Value>>,
            $($more)*
        }
    };
}

with_terms_members! {
    /// What an admin lays down for a client.
    pub struct Terms {}
}

with_terms_members! {
    /// A client to be created.
    pub struct ClientRequest {
        /// Its first credential; `null` for none. Default: one that does not expire.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub credential: Option<Nullable<CredentialLifetime>>,
    }
}

impl ClientRequest {
    /// The terms, and the first credential.
    pub fn into_parts(self) -> (Terms, Option<Nullable<CredentialLifetime>>) {
        let Self {
            name,
            roles,
            limits,
            certificates,
            workloads,
            jwks,
            credential,
        } = self;
        let terms = Terms {
            name,
            roles,
            limits,
            certificates,
            workloads,
            jwks,
        };
        (terms, credential)
    }
}

/// How long a credential is valid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialLifetime {
    /// When it expires, counted from now; at least `1s`. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<PositiveDuration>,
}

/// A credential to be created for a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialRequest {
    /// When it expires, counted from now; at least `1s`. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<PositiveDuration>,
    /// How long the previous one stays valid. Default: `24h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<DurationText>,
}

/// What a client may assert. A member that is absent does not limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The issuers that it may call at all, with any role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuers: Option<Entries<IssuerName, 1, 1000>>,
    /// What each `aud` must match; it is required then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Entries<Pattern, 1, 1000>>,
    /// What `sub` must match; it is required then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subjects: Option<Subjects>,
    /// What `client_id` must match; it is required then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ids: Option<Entries<Pattern, 1, 1000>>,
    /// The scopes of which `scope` may name any subset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Entries<Scope, 0, 1000>>,
    /// The claims that it may set in addition to `sub`, `aud`, `scope` and `nbf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Entries<ClaimName, 0, 1000>>,
    /// A JSON Schema (2020-12) that `claims` must satisfy as a whole; at most 16 KiB. A `$ref` is `#`
    /// and a JSON pointer, and leads neither elsewhere nor back to itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims_schema: Option<Value>,
    /// The longest lifetime, at least `1s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<PositiveDuration>,
    /// The algorithms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<Entries<Algorithm, 1, 1000>>,
    /// The types; case and `application/` do not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<Entries<TypeName, 1, 1000>>,
    /// How many signatures it may request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 9] = [
        Self::Issuer,
        Self::Security,
        Self::Auditor,
        Self::Admin,
        Self::Revoker,
        Self::Introspector,
        Self::Exchanger,
        Self::Consumer,
        Self::Receiver,
    ];

    /// The role's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Security => "security",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
            Self::Revoker => "revoker",
            Self::Introspector => "introspector",
            Self::Exchanger => "exchanger",
            Self::Consumer => "consumer",
            Self::Receiver => "receiver",
        }
    }
}

/// A role that does not exist. Holds at most 64 characters of it, escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not one of the roles issuer, security, auditor, admin, revoker, introspector, exchanger, consumer, receiver"
)]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| UnknownRole(text.escape_default().take(64).collect()))
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Role")]
        struct Text(#[serde(deserialize_with = "crate::values::parse")] Role);

        Text::deserialize(deserializer).map(|Text(role)| role)
    }
}

/// The subjects whose tokens a client may have signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Subjects {
    /// Those that match.
    Matching(Entries<Pattern, 1, 1000>),
    /// The client's own id.
    OwnId(OwnId),
}

/// The client's own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum OwnId {
    /// `sub` is the client's id.
    OwnId,
}

impl<'de> Deserialize<'de> for Subjects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let must = || D::Error::custom("subjects must be an array of patterns, or \"own-id\"");
        match Value::deserialize(deserializer)? {
            Value::String(text) if text == "own-id" => Ok(Self::OwnId(OwnId::OwnId)),
            Value::Array(texts) if texts.iter().all(Value::is_string) => {
                let texts = Entries::deserialize(Value::Array(texts));
                texts.map(Self::Matching).map_err(D::Error::custom)
            }
            _ => Err(must()),
        }
    }
}

/// A text; or what one begins with, and a `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("pattern" = "^[^*\\u0000-\\u001f\\u007f-\\u009f]{0,255}[^\\u0000-\\u001f\\u007f-\\u009f]$"))]
pub struct Pattern(pub String);

/// A scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("pattern" = "^[!#-\\[\\]-~]{1,256}$"))]
pub struct Scope(pub String);

/// A claim. Format characters are refused, and names that read like `sub` or another registered claim
/// without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("pattern" = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]{1,256}$"))]
pub struct ClaimName(pub String);

/// A type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("pattern" = "^[A-Za-z0-9.+/-]{1,64}$"))]
pub struct TypeName(pub String);

/// Signatures in the long run and in a burst. A batch counts as many as it has requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// In the long run.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub signatures_per_second: u64,
    /// In one burst, after a pause.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: u64,
}

/// Names the holders of certificates, by exactly one member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct CertificateRule {
    /// A DNS name among the certificate's alternative names.
    #[schemars(extend("pattern" = "^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// A URI among them, such as a SPIFFE id.
    #[schemars(extend("pattern" = "^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The thumbprint of one certificate (`x5t#S256`).
    #[schemars(extend("pattern" = "^([A-Za-z0-9_-]{43}|[0-9A-Fa-f]{64})$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Which tokens of a trusted issuer are a client's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadRule {
    /// The trusted issuer's name in the configuration.
    pub issuer: String,
    /// The claims that the token must have, all of them. A name that begins with `/` is a JSON
    /// pointer.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub claims: BTreeMap<String, ClaimPattern>,
}

/// What the claim must be; or, as a text, what it begins with and a `*`. Of an array, one entry must be
/// it. A text also stands for the number or the boolean that it spells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline, extend("anyOf" = [
    {"type": "string", "pattern": "^[^*]"}, {"type": "number"}, {"type": "boolean"},
]))]
pub struct ClaimPattern(pub Value);

/// The public keys (JWK set, ES256 or RS256, 1 to 10) of the assertions that a client signs itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientKeys {
    /// The keys.
    pub keys: Vec<Map<String, Value>>,
}
