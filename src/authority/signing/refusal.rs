//! Why no token is signed.

use keywright_verifier::Algorithm;
use keywright_verifier::revocation::TooManySelectors;

use crate::access::LimitBroken;
use crate::access::claim_name::ClaimNameError;
use crate::authority::status_lists::StatusUnavailable;
use crate::engine::SignError;
use crate::lifecycle::TokenStatus;

/// Why no token was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignRefusal {
    /// The request sets what only the service sets.
    #[error("the service alone sets these claims: {}", .0.join(", "))]
    OwnedClaims(Vec<&'static str>),
    /// A registered claim has a type that its specification forbids.
    #[error("the claim {claim} must be {expected}")]
    ClaimType {
        /// The claim.
        claim: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A claim has a name that verifiers could read as another one.
    #[error(transparent)]
    ClaimName(#[from] ClaimNameError),
    /// The token's type demands claims that are missing (RFC 9068 §2.2).
    #[error("a token of type {typ} needs these claims: {}", missing.join(", "))]
    MissingClaims {
        /// The type.
        typ: String,
        /// What is missing.
        missing: Vec<&'static str>,
    },
    /// A type that does not fit a header.
    #[error("typ has 1 to 64 characters of letters, digits and . + - /")]
    Typ,
    /// A lifetime of zero.
    #[error("expires_in must be at least 1 second")]
    NoLifetime,
    /// A lifetime over the policy's longest.
    #[error("expires_in {asked} is over max_token_ttl of {maximum} seconds")]
    LifetimeOverMaximum {
        /// What was asked for, in seconds.
        asked: u64,
        /// The policy's longest, in seconds.
        maximum: u64,
    },
    /// The client may not have this signed.
    #[error(transparent)]
    Limit(#[from] LimitBroken),
    /// The finished token would be over the policy's size.
    #[error("the token would have {bytes} bytes, over max_token_bytes of {maximum}")]
    TooLarge {
        /// The size.
        bytes: usize,
        /// The policy's limit.
        maximum: u32,
    },
    /// A type that only the service's own documents have.
    #[error(
        "tokens of type {0} are no one's to ask for: verifiers of other documents would take them"
    )]
    ReservedType(String),
    /// Nothing here would use the token up.
    #[error(
        "single_use needs the OAuth endpoints, which are off: no service could use the token up"
    )]
    SingleUseUnavailable,
    /// It is banned: nothing that matches is signed until the ban ends.
    #[error("a ban keeps tokens like this from being signed")]
    Banned,
    /// What it comes of has expired.
    #[error("what the token comes of has expired")]
    OriginExpired,
    /// A token that is exchanged for it was taken back.
    #[error("a token that is exchanged was taken back")]
    OriginTakenBack,
    /// Verifiers would refuse it: a revocation is being made that it matches.
    #[error("tokens like this are being taken back; one that is signed in a moment stays")]
    RevocationSettling,
    /// The policy gives tokens another status.
    #[error("{}", offered(*.0))]
    StatusNotOffered(TokenStatus),
    /// The token has no entry in a status list, because none could be leased, or it is not tracked.
    #[error("the token has no entry in a status list, because the key store does not answer")]
    StatusUnavailable,
    /// Nothing signs with this algorithm.
    #[error("no {0} key is active for this issuer")]
    AlgorithmNotActive(Algorithm),
    /// The snapshot has been replaced in the store, or may have been.
    #[error(
        "the key set may have changed: a change is not settled yet, or the store has not confirmed \
         what is in memory for too long"
    )]
    SnapshotStale,
    /// Too many signatures are waiting.
    #[error("too many signatures are waiting")]
    Busy,
    /// The engine failed.
    #[error("the signing engine failed")]
    EngineFailed,
}

fn offered(by_policy: TokenStatus) -> &'static str {
    match by_policy {
        TokenStatus::Off => {
            "the policy of the issuer has no status lists: status is false, or left out"
        }
        TokenStatus::Listed => {
            "the policy of the issuer has no token tracked: status is true or false, or left out"
        }
        TokenStatus::Tracked => {
            "the policy of the issuer has every token tracked: status is \"tracked\", or left out"
        }
    }
}

impl From<TooManySelectors> for SignRefusal {
    fn from(TooManySelectors { claim, .. }: TooManySelectors) -> Self {
        Self::ClaimType {
            claim,
            expected: "so short that each subject and audience in it can be taken back: at most 16",
        }
    }
}

impl From<StatusUnavailable> for SignRefusal {
    fn from(error: StatusUnavailable) -> Self {
        match error {
            StatusUnavailable::Stale => Self::SnapshotStale,
            error => {
                tracing::error!(%error, "no entry of a status list could be leased or tracked");
                Self::StatusUnavailable
            }
        }
    }
}

impl From<SignError> for SignRefusal {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Busy => Self::Busy,
            SignError::Failed => Self::EngineFailed,
        }
    }
}
