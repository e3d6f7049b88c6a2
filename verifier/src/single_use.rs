//! Tokens that count once: who uses them up, and why one does not count.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::ClaimError;
use crate::json::{BorrowedValue, Members};

/// The claim of a token that counts once. The issuer alone sets it, to `true`.
pub const SINGLE_USE_CLAIM: &str = "single_use";

/// Uses tokens up that count once: asks their issuer, of which every verifier asks the same one.
///
/// The crate `keywright-client` has one for keywright's own endpoint.
pub trait TokenConsumer: Send + Sync {
    /// Uses a token up. It is called once for each verification, when everything else about the token is
    /// known to be good. It may ask the issuer again after a lost answer, if the issuer can tell that from
    /// a second use.
    fn consume<'t>(&'t self, token: &'t str) -> Consumption<'t>;
}

/// The answer of a [`TokenConsumer`]: `Ok` for the one caller that the token counts for.
pub type Consumption<'t> = Pin<Box<dyn Future<Output = Result<(), SingleUseError>> + Send + 't>>;

/// Why a token that counts once does not count now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SingleUseError {
    /// The verifier was not told how to use it up ([`Verifier::consume_with`](crate::Verifier::consume_with)).
    #[error("the token counts once, and this service cannot use it up")]
    NoConsumer,
    /// It was used before.
    #[error("the token was used before")]
    AlreadyConsumed,
    /// Its issuer does not let it be used: it has ended meanwhile, or this service may not use it.
    #[error("the issuer does not let this service use the token")]
    Refused,
    /// It is not known whether it was used before. It may be good.
    #[error("the issuer could not be asked whether the token was used before")]
    Unavailable,
}

impl SingleUseError {
    /// A stable name for programs: `single-use`, `already-consumed`, `consumption-refused` or
    /// `consumption-unavailable`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoConsumer => "single-use",
            Self::AlreadyConsumed => "already-consumed",
            Self::Refused => "consumption-refused",
            Self::Unavailable => "consumption-unavailable",
        }
    }
}

/// How often a token counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Uses {
    Unlimited,
    Once,
}

impl Uses {
    /// What a token says of it. A claim that is not understood is not taken for one that is absent.
    pub(crate) fn of(claims: &Members<'_>) -> Result<Self, ClaimError> {
        match claims.get(SINGLE_USE_CLAIM) {
            None | Some(BorrowedValue::Bool(false)) => Ok(Self::Unlimited),
            Some(BorrowedValue::Bool(true)) => Ok(Self::Once),
            Some(_) => Err(ClaimError::Malformed {
                claim: SINGLE_USE_CLAIM,
                expected: "true or false",
            }),
        }
    }
}

/// Who uses tokens up for a verifier, if anyone does.
#[derive(Clone, Default)]
pub(crate) struct Consumer(pub(crate) Option<Arc<dyn TokenConsumer>>);

impl fmt::Debug for Consumer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Some(_) => "Consumer(…)",
            None => "Consumer(none)",
        })
    }
}
