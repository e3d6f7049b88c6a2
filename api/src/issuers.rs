//! Issuers and their policies.

use std::borrow::Cow;

use keywright_verifier::Algorithm;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::{DurationText, IssuerName, Share, TokenStatus, UnixSeconds};

/// All issuers that the caller may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Issuers {
    /// The issuers.
    pub issuers: Vec<Issuer>,
}

/// An issuer and its policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Issuer {
    /// Its name, 1 to 63 characters of `a-z`, `0-9` and `-`.
    pub name: IssuerName,
    /// Counts the changes of the key set.
    pub version: u64,
    /// Its policy.
    pub policy: PolicyInForce,
    /// When it was deleted, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<UnixSeconds>,
    /// Why a legal policy would break verifiers in common use. Only in the answer to a PUT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<String>>,
}

/// A struct with the members of a policy, and perhaps more: a request cannot be put together with
/// `flatten`, which would take any member.
macro_rules! with_policy_members {
    ($(#[$attribute:meta])* pub struct $name:ident { $($more:tt)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// The `iss` claim, byte for byte, in its normal form. `https`, or `http` on a loopback host; no
            /// query, fragment or user; the path has segments of letters, digits and `._~-`, and tells
            /// issuers apart. Fixed once the issuer exists.
            #[schemars(extend("pattern" = "^https?://[^?#@]+$", "maxLength" = 512))]
            pub url: String,
            /// The algorithms for which there are keys. Default: `ES256` and `RS256`.
            #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub algorithms: Option<Vec<Algorithm>>,
            /// One of `algorithms`, with an active key. Default: the first of them.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub default_algorithm: Option<Algorithm>,
            /// The size of RSA keys that are generated from now on. Default: 2048.
            #[schemars(extend("enum" = [2048, 3072, 4096]))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub rsa_bits: Option<u64>,
            /// When keys rotate. Default: every `30d`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub rotation: Option<Rotation>,
            /// How long a key is published before it signs: at least `jwks_max_age` + `stale_if_error` +
            /// `clock_skew`. Default: `24h`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub lead: Option<DurationText>,
            /// How long a served set is fresh, at least `1s`. Default: `5m`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub jwks_max_age: Option<DurationText>,
            /// How long a cache may serve a stale set in an outage. Default: `1h`; `0s` leaves the directive
            /// out.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub stale_if_error: Option<DurationText>,
            /// The lifetime of a token that names none, at least `1s`. Default: `15m`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub default_token_ttl: Option<DurationText>,
            /// The longest lifetime, at least `default_token_ttl`. Default: `1h`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub max_token_ttl: Option<DurationText>,
            /// How far clocks may disagree. Default: `5m`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub clock_skew: Option<DurationText>,
            /// The largest token. Default: 4096.
            #[schemars(range(min = 512, max = 65_536))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub max_token_bytes: Option<u64>,
            /// Whether a forced rotation, a revocation that puts a key to work which verifiers may not know,
            /// the deletion of the issuer and taking this back need a second client with the role `security`.
            /// Default: `none`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub confirmation: Option<Confirmation>,
            /// Whether an issuer without an RS256 key publishes an OpenID provider configuration, for
            /// consumers that read no other metadata. Default: `with-rs256`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub openid_configuration: Option<OpenidConfigurationPolicy>,
            /// Who may read which tokens were taken back: everyone, clients of the internal API with a
            /// credential, or no verifier. Default: `public`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub revocation_feed: Option<RevocationFeed>,
            /// How long a verifier may go by what it has read there, `5s` to `24h`: it is how long at
            /// worst a token is accepted that was taken back. Default: `60s`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub revocation_max_age: Option<DurationText>,
            /// Whether each token has an entry in a status list (Token Status List, draft 21), which
            /// verifiers that are not keywright's read: `"tracked"` if a revocation of its subject or its
            /// session shall make it invalid there, too. Where the policy has `true`, a request may have
            /// `false`; otherwise it has what the policy has. Default: `false`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub status: Option<TokenStatus>,
            /// Beside `lead`: a rotation that is due waits until enough of the verifiers that are known hold the
            /// successor, or the time is over. Absent: it does not wait.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub adoption: Option<AdoptionGate>,
            /// A successor that the schedule puts to work first signs a share of the tokens for a time, beside the
            /// active key. Absent: it signs all of them at once.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub canary: Option<CanaryPhase>,
            /// The targets to which the key set is pushed, by the names that the configuration of the service
            /// gives them. A successor does not become ready before all have it. Default: none.
            #[schemars(extend("maxItems" = 8, "uniqueItems" = true))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub push: Option<Vec<String>>,
            $($more)*
        }
    };
}

with_policy_members! {
    /// A policy, and how the issuer begins.
    pub struct IssuerRequest {
        /// Only when the issuer is created: it continues another system's key set. It is not a part
        /// of the policy that is read back. Default: `false`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub takes_over: Option<bool>,
    }
}

with_policy_members! {
    /// An issuer's rules. Only `url` is required.
    pub struct Policy {}
}

impl IssuerRequest {
    /// The policy, and whether the issuer takes over.
    pub fn into_parts(self) -> (Policy, Option<bool>) {
        let Self {
            url,
            algorithms,
            default_algorithm,
            rsa_bits,
            rotation,
            lead,
            jwks_max_age,
            stale_if_error,
            default_token_ttl,
            max_token_ttl,
            clock_skew,
            max_token_bytes,
            confirmation,
            openid_configuration,
            revocation_feed,
            revocation_max_age,
            status,
            adoption,
            canary,
            push,
            takes_over,
        } = self;
        let policy = Policy {
            url,
            algorithms,
            default_algorithm,
            rsa_bits,
            rotation,
            lead,
            jwks_max_age,
            stale_if_error,
            default_token_ttl,
            max_token_ttl,
            clock_skew,
            max_token_bytes,
            confirmation,
            openid_configuration,
            revocation_feed,
            revocation_max_age,
            status,
            adoption,
            canary,
            push,
        };
        (policy, takes_over)
    }
}

/// The members that a policy in force lacks where they are off.
const OFF_WHEN_ABSENT: [&str; 2] = ["adoption", "canary"];

/// An issuer's rules with all their members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyInForce(pub Policy);

impl JsonSchema for PolicyInForce {
    fn schema_name() -> Cow<'static, str> {
        "PolicyInForce".into()
    }

    /// That of a policy: open, and every member is there that is not off by being absent.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Policy::json_schema(generator);
        schema.remove("additionalProperties");
        let names = schema
            .get("properties")
            .and_then(|members| members.as_object());
        let names: Vec<String> = names
            .into_iter()
            .flat_map(|members| members.keys().cloned())
            .filter(|name| !OFF_WHEN_ABSENT.contains(&name.as_str()))
            .collect();
        schema.insert("required".to_owned(), names.into());
        schema.insert(
            "description".to_owned(),
            "A policy with all its members.".into(),
        );
        schema
    }
}

/// Whether some operations need a second person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confirmation {
    /// None does.
    None,
    /// Those that can lock verifiers out do.
    SecondPerson,
}

impl Confirmation {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SecondPerson => "second-person",
        }
    }
}

/// When an issuer publishes an OpenID provider configuration. OpenID Connect Discovery §3 demands
/// RS256 of every provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OpenidConfigurationPolicy {
    /// While an RS256 key is published.
    #[serde(rename = "with-rs256")]
    WithRs256,
    /// Always, for consumers that read no other metadata. They must verify ES256.
    Always,
}

/// Who may read which tokens of an issuer were taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationFeed {
    /// Everyone.
    Public,
    /// Clients of the internal API, with a credential.
    Authenticated,
    /// No verifier: only the signers know.
    Off,
}

/// How many of the verifiers that are known must hold a successor before a rotation that is due lets it sign, and
/// for how long the rotation waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdoptionGate {
    /// Their share of the verifiers that all replicas have seen.
    pub share: Share,
    /// For how long it waits, at least `1s`: then it happens all the same, and the audit log says so.
    pub within: DurationText,
}

/// Which share of the tokens a successor signs first, and for how long, before it signs all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CanaryPhase {
    /// Its share of the tokens of its algorithm.
    pub share: Share,
    /// For how long, at least `1s`.
    #[serde(rename = "for")]
    pub duration: DurationText,
}

/// When keys rotate: at an interval, or by a cron expression in a time zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "if" = {"required": ["every"]},
    "then" = {"not": {"anyOf": [{"required": ["cron"]}, {"required": ["timezone"]}]}},
    "else" = {"required": ["cron"]},
))]
pub struct Rotation {
    /// The time between two rotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<DurationText>,
    /// Five fields, such as `0 3 1 * *`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The IANA name of the time zone of `cron`. Default: `UTC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}
