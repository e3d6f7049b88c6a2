//! Why a token is not accepted, and whose fault that is.

use crate::keys::KeysUnavailable;
use crate::revocation::SelectorKind;
#[cfg(feature = "status-lists")]
use crate::status_lists::StatusError;
use crate::{BindingError, ClaimError, DpopError, JwsError, SingleUseError};

/// Why [`Verifier::verify`](crate::Verifier::verify) does not accept a token.
///
/// [`VerifyError::code`] is for programs and stays, the text is for people and may change. No variant
/// holds the token, a part of it, or a claim's value, so an error may be logged and answered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The token is malformed, or its signature cannot be trusted.
    #[error(transparent)]
    Token(#[from] JwsError),
    /// The signature is good, and the claims are not what the rules ask for.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The claims are good, and do not have the shape of the type that they are read into.
    #[error("the claims do not have the shape that this service reads")]
    ClaimsShape,
    /// There are no keys to verify with. The token may be good.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
    /// The token is valid, and the request does not prove that it may use it.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The token counts once, and does not count now.
    #[error(transparent)]
    SingleUse(#[from] SingleUseError),
    /// The issuer has taken the token back.
    #[error("the token was revoked by its {selector}")]
    Revoked {
        /// By what it was named.
        selector: SelectorKind,
    },
    /// What is revoked has not been learned for too long, and the token is too old to be accepted
    /// without. It may be good.
    #[error("the issuer's revocations could not be refreshed for too long")]
    RevocationsStale,
    /// What the issuer says of the token in a status list, or why that is not known.
    #[cfg(feature = "status-lists")]
    #[error(transparent)]
    Status(#[from] StatusError),
}

/// Whose fault it is that a token is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// It is no token that any issuer of this verifier writes: cut, garbled, or made up.
    Malformed,
    /// Its author is not known: the signature is wrong, or its key is not in the issuer's set.
    /// A forged token ends here, and one whose key was revoked.
    Untrusted,
    /// It is genuine, and its time has passed or not come. A new one will do.
    Time,
    /// It is meant for another issuer, service or use: issuer, audience, type, or claims. Before
    /// [`ClaimError::WrongIssuer`] no signature has been checked, before all others it has.
    Misdirected,
    /// The token may be good: the keys cannot be had. Answer with 503, not with 401.
    Keys,
    /// It is genuine, and its issuer has taken it back. A new one will do, if the issuer gives one.
    Revoked,
    /// The token may be good: what is revoked cannot be had. Answer with 503, not with 401.
    Revocations,
    /// The token is good, and bound to a key or a certificate that the request does not prove. It may be
    /// stolen.
    Unproven,
    /// It is genuine and counts once, and this was not its one use. A new one will do.
    Used,
    /// The token may be good: its issuer cannot be asked whether it was used before. Answer with 503.
    Consumption,
    /// The token and its proof may be good: no more used proofs can be remembered. Answer with 503.
    Capacity,
}

impl VerifyError {
    /// A stable name for programs.
    ///
    /// | code | [`Fault`] |
    /// | --- | --- |
    /// | `token-too-large`, `token-malformed`, `token-encrypted` | [`Fault::Malformed`] |
    /// | `algorithm-not-allowed`, `unknown-key`, `ambiguous-key`, `algorithm-mismatch`, `bad-signature` | [`Fault::Untrusted`] |
    /// | `token-expired`, `token-not-yet-valid` | [`Fault::Time`] |
    /// | `wrong-issuer`, `wrong-audience`, `wrong-type`, `claim-missing`, `claim-forbidden`, `claim-malformed`, `claims-mismatch` | [`Fault::Misdirected`] |
    /// | `keys-unavailable` | [`Fault::Keys`] |
    /// | `revoked` | [`Fault::Revoked`] |
    /// | `revocations-stale` | [`Fault::Revocations`] |
    /// | `status-invalid`, `status-suspended`, `status-unknown` | [`Fault::Revoked`] |
    /// | `status-missing`, `status-malformed`, `status-out-of-bounds`, `status-list-elsewhere` | [`Fault::Misdirected`] |
    /// | `status-list-unavailable`, `status-list-untrusted`, `status-list-wrong-type`, `status-list-wrong-address`, `status-list-expired`, `status-list-from-the-future`, `status-list-malformed`, `status-list-too-large` | [`Fault::Revocations`] |
    /// | `proof-missing`, `proof-mismatch`, `token-not-bound`, `confirmation-unknown`, `invalid-dpop-proof`, `dpop-proof-replayed`, `dpop-nonce-required` | [`Fault::Unproven`] |
    /// | `dpop-memory-full` | [`Fault::Capacity`] |
    /// | `single-use`, `already-consumed`, `consumption-refused` | [`Fault::Used`] |
    /// | `consumption-unavailable` | [`Fault::Consumption`] |
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Token(error) => error.code(),
            Self::Claim(error) => error.code(),
            Self::ClaimsShape => "claims-mismatch",
            Self::Keys(_) => "keys-unavailable",
            Self::Binding(error) => error.code(),
            Self::SingleUse(error) => error.code(),
            Self::Revoked { .. } => "revoked",
            Self::RevocationsStale => "revocations-stale",
            #[cfg(feature = "status-lists")]
            Self::Status(error) => error.code(),
        }
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Token(
                JwsError::AlgorithmNotAllowed { .. }
                | JwsError::UnknownAlgorithm
                | JwsError::UnknownKey
                | JwsError::AmbiguousKey
                | JwsError::AlgorithmMismatch
                | JwsError::BadSignature,
            ) => Fault::Untrusted,
            Self::Token(_) => Fault::Malformed,
            Self::Claim(ClaimError::Expired | ClaimError::NotYetValid) => Fault::Time,
            Self::Claim(_) | Self::ClaimsShape | Self::Binding(BindingError::Claim(_)) => {
                Fault::Misdirected
            }
            Self::Binding(BindingError::Dpop(DpopError::MemoryFull)) => Fault::Capacity,
            Self::Binding(_) => Fault::Unproven,
            Self::Keys(_) => Fault::Keys,
            Self::SingleUse(SingleUseError::Unavailable) => Fault::Consumption,
            Self::SingleUse(_) => Fault::Used,
            Self::Revoked { .. } => Fault::Revoked,
            Self::RevocationsStale => Fault::Revocations,
            #[cfg(feature = "status-lists")]
            Self::Status(error) => match error {
                StatusError::Invalid | StatusError::Suspended | StatusError::Unknown => {
                    Fault::Revoked
                }
                StatusError::Missing
                | StatusError::Reference(_)
                | StatusError::Elsewhere
                | StatusError::OutOfBounds => Fault::Misdirected,
                StatusError::Unavailable | StatusError::List(_) => Fault::Revocations,
            },
        }
    }
}
