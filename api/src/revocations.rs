//! Tokens that are taken back.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{Actor, Entries, Nullable, Reason, UnixSeconds};

/// The most revocations of one call.
pub const LARGEST_REVOCATION_BATCH: usize = 1000;

/// A struct with the members that say which tokens are meant, and perhaps more: a request cannot be
/// put together with `flatten`, which would take any member.
macro_rules! with_selector_members {
    ($(#[$attribute:meta])* pub struct $name:ident { $($more:tt)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Tokens with this `jti`.
            #[schemars(length(min = 1, max = 512))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub jti: Option<String>,
            /// Tokens of this session, by `sid`.
            #[schemars(length(min = 1, max = 512))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub session: Option<String>,
            /// Tokens of this subject, by `sub`, and by `sub` of `act` at any depth.
            #[schemars(length(min = 1, max = 512))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub subject: Option<String>,
            /// Tokens of this OAuth client, by `client_id`.
            #[schemars(length(min = 1, max = 512))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub client: Option<String>,
            /// Tokens for this audience, by any entry of `aud`.
            #[schemars(length(min = 1, max = 512))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub audience: Option<String>,
            /// Every token of the issuer. Only `true` is meant.
            #[schemars(extend("const" = true))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub issuer: Option<bool>,
            $($more)*
        }
    };
}

with_selector_members! {
    /// Which tokens are meant: one member, or `subject` together with `session`, `client` or
    /// `audience`.
    pub struct RevocationSelector {}
}

with_selector_members! {
    /// Which tokens are taken back, by one member, by `subject` together with `session`, `client` or
    /// `audience`, or by a `token`, whose `jti` counts.
    pub struct RevocationRequest {
        /// A token of the issuer. Its signature is checked, and nothing else: it may have expired,
        /// and its key may be retired.
        #[schemars(length(min = 1, max = 65_536), extend("writeOnly" = true))]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub token: Option<String>,
        /// Whether no matching token is signed from now on: `true` until the ban is lifted, or
        /// `{"until": …}`. Default: `false`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ban: Option<Ban>,
        /// It stays with the revocation and in the audit log.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reason: Option<Reason>,
    }
}

impl RevocationRequest {
    /// The selector, and the rest.
    pub fn into_parts(
        self,
    ) -> (
        RevocationSelector,
        Option<String>,
        Option<Ban>,
        Option<Reason>,
    ) {
        let Self {
            jti,
            session,
            subject,
            client,
            audience,
            issuer,
            token,
            ban,
            reason,
        } = self;
        let selector = RevocationSelector {
            jti,
            session,
            subject,
            client,
            audience,
            issuer,
        };
        (selector, token, ban, reason)
    }
}

/// For how long no matching token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Ban {
    /// Until it is lifted; `false` is no ban.
    UntilLifted(bool),
    /// Until this time.
    Until(BanEnd),
}

impl<'de> Deserialize<'de> for Ban {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(is_banned) => Ok(Self::UntilLifted(is_banned)),
            object @ Value::Object(_) => BanEnd::deserialize(object)
                .map(Self::Until)
                .map_err(D::Error::custom),
            _ => Err(D::Error::custom(
                "ban must be true, false or {\"until\": …}",
            )),
        }
    }
}

/// When a ban ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BanEnd {
    /// In Unix seconds, in the future.
    pub until: UnixSeconds,
}

/// Several revocations, of which all happen or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationBatchRequest {
    /// The revocations.
    pub revocations: Entries<RevocationRequest, 1, LARGEST_REVOCATION_BATCH>,
}

/// What a revocation does to matching tokens that verifiers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RevocationState {
    /// Every one is refused: some process may not know of it yet.
    Open,
    /// Those that were issued before `issued_before` are refused.
    Closed,
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revocation {
    /// Its identifier.
    pub id: String,
    /// Which tokens it takes back; nothing if that was erased.
    pub selector: RevocationSelector,
    /// Whether the values of its selector were erased. Verifiers refuse its tokens all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// What it does to them.
    pub state: RevocationState,
    /// Closed: tokens with an earlier `iat` are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_before: Option<UnixSeconds>,
    /// The ban, if it was made with one that is not lifted: `true` until then, or when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ban: Option<Ban>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asked for it, as it was recorded then.
    #[schemars(with = "Actor")]
    pub by: Value,
    /// When, in Unix seconds.
    pub created_at: UnixSeconds,
    /// Closed: from when on every token that it refuses has expired anyway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixSeconds>,
}

/// A revocation, and from when on it is in force where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevocationInForce {
    /// The revocation.
    #[serde(flatten)]
    pub revocation: Revocation,
    /// From when on no process signs a matching token that verifiers would refuse.
    pub in_force_at_signers: UnixSeconds,
    /// From when on verifiers that follow the feed refuse what it takes back; `null` if the policy
    /// has no feed.
    pub in_force_at_verifiers: Nullable<InForceAtVerifiers>,
    /// Who does not follow the feed accepts them until they have expired, at this time at the latest.
    pub tokens_until: UnixSeconds,
}

/// From when on verifiers refuse a token: those that follow the feed, and those that read status lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InForceAtVerifiers {
    /// While everything works.
    pub expected: UnixSeconds,
    /// Whatever fails, also while the feed cannot be had.
    pub guaranteed: UnixSeconds,
    /// While everything works, where the token has a status: from when on verifiers refuse it that do not
    /// follow the feed, but fetch status lists as often as these say. It is told of one token by its `jti`,
    /// and under a policy with `"status": "tracked"` of a subject, alone or in a pair, and of a session.
    /// `null` otherwise: the entries are not known, and such verifiers accept the tokens until `tokens_until`.
    pub status_list: Nullable<UnixSeconds>,
}

/// Several revocations, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevocationBatch {
    /// The revocations.
    pub revocations: Vec<RevocationInForce>,
}

/// A page of revocations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revocations {
    /// The revocations, in the order of their identifiers.
    pub revocations: Vec<Revocation>,
    /// For `after` of the next call, when the page was full; otherwise `null`.
    pub next: Nullable<String>,
}
