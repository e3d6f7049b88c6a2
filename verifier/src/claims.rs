//! Claims that RFC 7519 §4.1 registers: their JSON types, and what can be wrong with them.

use std::time::Duration;

use crate::json::{AnyValue as _, BorrowedValue, Members};

/// Why a verified token is not accepted. Never holds a claim's value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// `exp` has passed, leeway included.
    #[error("the token has expired")]
    Expired,
    /// `nbf` lies in the future, leeway included.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is absent, or no issuer that the verifier trusts.
    #[error("the token comes from another issuer")]
    WrongIssuer,
    /// `aud` is absent or does not contain the expected audience.
    #[error("the token is meant for another audience")]
    WrongAudience,
    /// The header's `typ` is absent or names another kind of token.
    #[error("the token is of another kind")]
    WrongType,
    /// A claim that must be there is not.
    #[error("claim \"{claim}\" is missing")]
    Missing {
        /// The name of the claim.
        claim: String,
    },
    /// A claim that another kind of token has, and this kind may not have.
    #[error("claim \"{claim}\" belongs to another kind of token")]
    Forbidden {
        /// The name of the claim.
        claim: &'static str,
    },
    /// A registered claim has the wrong JSON type.
    #[error("claim \"{claim}\" must be {expected}")]
    Malformed {
        /// The name of the claim.
        claim: &'static str,
        /// What it must be, such as `a string`.
        expected: &'static str,
    },
}

impl ClaimError {
    /// A stable name for programs: `token-expired`, `token-not-yet-valid`, `wrong-issuer`,
    /// `wrong-audience`, `wrong-type`, `claim-missing`, `claim-forbidden` or `claim-malformed`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Expired => "token-expired",
            Self::NotYetValid => "token-not-yet-valid",
            Self::WrongIssuer => "wrong-issuer",
            Self::WrongAudience => "wrong-audience",
            Self::WrongType => "wrong-type",
            Self::Missing { .. } => "claim-missing",
            Self::Forbidden { .. } => "claim-forbidden",
            Self::Malformed { .. } => "claim-malformed",
        }
    }
}

/// A claim that must be a string where it is present.
pub(crate) fn string<'a>(
    claims: &'a Members<'_>,
    claim: &'static str,
) -> Result<Option<&'a str>, ClaimError> {
    match claims.get(claim) {
        None => Ok(None),
        Some(BorrowedValue::String(text)) => Ok(Some(text)),
        Some(_) => Err(ClaimError::Malformed {
            claim,
            expected: "a string",
        }),
    }
}

/// Whether `aud` names an audience that is expected: a single string is a list of one, an absent claim
/// a list of none.
pub(crate) fn names_audience(
    claims: &Members<'_>,
    is_expected: impl Fn(&str) -> bool,
) -> Result<bool, ClaimError> {
    let malformed = || ClaimError::Malformed {
        claim: "aud",
        expected: "a string or an array of strings",
    };
    let named = match claims.get("aud") {
        None => &[],
        Some(BorrowedValue::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
    };
    named.iter().try_fold(false, |is_named, value| {
        let text = value.as_str().ok_or_else(malformed)?;
        Ok(is_named || is_expected(text))
    })
}

/// A NumericDate (RFC 7519 §2) in nanoseconds since 1970.
pub(crate) fn numeric_date(
    claims: &Members<'_>,
    claim: &'static str,
) -> Result<Option<u128>, ClaimError> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    if let Some(seconds) = value.as_u64() {
        return Ok(Some(Duration::from_secs(seconds).as_nanos()));
    }
    match value.as_f64() {
        // The conversion saturates, so a date beyond all clocks stays one.
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Some((seconds * 1e9) as u128)),
        _ => Err(ClaimError::Malformed {
            claim,
            expected: "a non-negative number of seconds",
        }),
    }
}
