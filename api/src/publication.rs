//! What verifiers fetch.

use keywright_verifier::{Algorithm, Kid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::JwkNumbers;

/// The pending, active and retired keys of one issuer (RFC 7517 §5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JwkSet {
    /// At most 100 keys, less than 51,200 bytes.
    #[schemars(length(max = 100))]
    pub keys: Vec<PublishedJwk>,
}

/// A public key as verifiers get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishedJwk {
    /// The kind of key.
    #[schemars(extend("enum" = ["EC", "RSA"]))]
    pub kty: String,
    /// Its identifier.
    pub kid: Kid,
    /// What it is for.
    #[serde(rename = "use")]
    #[schemars(extend("enum" = ["sig"]))]
    pub purpose: String,
    /// Its one algorithm.
    pub alg: Algorithm,
    /// The key itself.
    #[serde(flatten)]
    pub numbers: JwkNumbers,
}

/// RFC 8414 metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OauthMetadata {
    /// The issuer's URL.
    pub issuer: String,
    /// Where its key set is.
    pub jwks_uri: String,
    /// `id_token`.
    pub response_types_supported: Vec<String>,
    /// Where verifiers read which tokens were taken back, if the policy lets them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocations_uri: Option<String>,
    /// Where verifiers find all status lists, if the policy gives tokens a status (Token Status List, draft
    /// 21, §9.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_list_aggregation_endpoint: Option<String>,
    /// The OAuth endpoints, if the configuration enables them.
    #[serde(flatten)]
    pub endpoints: Option<OauthEndpoints>,
}

/// What a client must know to call the OAuth endpoints (RFC 8414 §2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OauthEndpoints {
    /// Where tokens are requested.
    pub token_endpoint: String,
    /// The grants that it takes.
    pub grant_types_supported: Vec<String>,
    /// How a client authenticates there.
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// What a client may sign its assertions with.
    pub token_endpoint_auth_signing_alg_values_supported: Vec<Algorithm>,
    /// Where a client takes its tokens back (RFC 7009).
    pub revocation_endpoint: String,
    /// How a client authenticates there.
    pub revocation_endpoint_auth_methods_supported: Vec<String>,
    /// What a client may sign its assertions with.
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<Algorithm>,
    /// Where a service asks whether a token is valid (RFC 7662).
    pub introspection_endpoint: String,
    /// How a service authenticates there.
    pub introspection_endpoint_auth_methods_supported: Vec<String>,
    /// What a service may sign its assertions with.
    pub introspection_endpoint_auth_signing_alg_values_supported: Vec<Algorithm>,
    /// What answers are signed with (RFC 9701 §7).
    pub introspection_signing_alg_values_supported: Vec<Algorithm>,
    /// Where a service uses up a token that counts once.
    pub consumption_endpoint: String,
    /// How a service authenticates there.
    pub consumption_endpoint_auth_methods_supported: Vec<String>,
    /// What a service may sign its assertions with.
    pub consumption_endpoint_auth_signing_alg_values_supported: Vec<Algorithm>,
    /// Where an identity provider takes everything of a user back
    /// (draft-parecki-oauth-global-token-revocation-05).
    pub global_token_revocation_endpoint: String,
    /// What DPoP proofs may be signed with (RFC 9449 §5.1).
    pub dpop_signing_alg_values_supported: Vec<Algorithm>,
    /// Whether access tokens can be bound to the client's certificate (RFC 8705 §3.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_certificate_bound_access_tokens: Option<bool>,
    /// The same endpoints where clients are asked for a certificate (RFC 8705 §5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls_endpoint_aliases: Option<MtlsEndpointAliases>,
}

/// The endpoints on the listener that asks clients for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MtlsEndpointAliases {
    /// Where tokens are requested.
    pub token_endpoint: String,
    /// Where a client takes its tokens back.
    pub revocation_endpoint: String,
    /// Where a service asks whether a token is valid.
    pub introspection_endpoint: String,
    /// Where a service uses up a token that counts once.
    pub consumption_endpoint: String,
    /// Where an identity provider takes everything of a user back.
    pub global_token_revocation_endpoint: String,
}

/// OpenID Connect discovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenidConfiguration {
    /// What OAuth metadata has, too.
    #[serde(flatten)]
    pub metadata: OauthMetadata,
    /// `public`.
    pub subject_types_supported: Vec<String>,
    /// The algorithms that sign, or will.
    pub id_token_signing_alg_values_supported: Vec<Algorithm>,
}

/// The status lists of an issuer (Token Status List, draft 21, §9.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusLists {
    /// The addresses of those of which a token may be valid, at most 10,000: those that end first.
    pub status_lists: Vec<String>,
}
