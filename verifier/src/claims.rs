//! Claims and what a verifier expects of them (RFC 7519 §4.1, RFC 8725 §3.8–3.11).

use std::time::Duration;

use serde_json::{Map, Value};

/// What a token must say to be accepted.
///
/// Every `None` is a check that does not happen. A service that shares an issuer with others must set
/// `audience`, or it accepts tokens that were meant for them; one whose issuer signs several kinds of
/// token must set `typ` (RFC 8725 §3.9, §3.11).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Expectations {
    /// The `iss` that the token must have, compared byte for byte. Default: not checked.
    pub issuer: Option<String>,
    /// The value that `aud` must be or contain, compared byte for byte. Default: not checked.
    pub audience: Option<String>,
    /// The `typ` that the header must have, such as `at+jwt`. A media type, so case does not matter
    /// and the prefix `application/` may be there or not (RFC 7515 §4.1.9). Default: not checked.
    pub typ: Option<String>,
    /// How far the verifier's clock may differ from the signer's. A token is accepted for this much
    /// longer after `exp` and this much earlier than `nbf`. Default: zero.
    pub leeway: Duration,
}

impl Expectations {
    /// Checks the header's `typ` and the claims of a token whose signature has been verified.
    ///
    /// `now_seconds` are Unix seconds. `exp` must be present; a number may have a fraction, as
    /// NumericDate allows. A registered claim of the wrong JSON type is an error even where its value
    /// would not be looked at.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] names the first expectation that does not hold. None holds a claim's value.
    pub fn check(
        &self,
        typ: Option<&str>,
        claims: &Map<String, Value>,
        now_seconds: u64,
    ) -> Result<(), ClaimError> {
        if let Some(expected) = &self.typ
            && !typ.is_some_and(|typ| same_media_type(typ, expected))
        {
            return Err(ClaimError::WrongType);
        }

        for claim in ["sub", "jti"] {
            string(claims, claim)?;
        }
        numeric_date(claims, "iat")?;

        let now = Duration::from_secs(now_seconds).as_nanos();
        let leeway = self.leeway.as_nanos();
        let expiry = numeric_date(claims, "exp")?.ok_or(ClaimError::Malformed {
            claim: "exp",
            expected: "present",
        })?;
        if now >= expiry.saturating_add(leeway) {
            return Err(ClaimError::Expired);
        }
        if numeric_date(claims, "nbf")?.is_some_and(|begin| now.saturating_add(leeway) < begin) {
            return Err(ClaimError::NotYetValid);
        }

        let issuer = string(claims, "iss")?;
        if self.issuer.is_some() && issuer != self.issuer.as_deref() {
            return Err(ClaimError::WrongIssuer);
        }
        let audience = audience(claims)?;
        if let Some(expected) = &self.audience
            && !audience.contains(&expected.as_str())
        {
            return Err(ClaimError::WrongAudience);
        }
        Ok(())
    }
}

/// Why a verified token is not accepted. Never holds a claim's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// `exp` has passed, leeway included.
    #[error("the token has expired")]
    Expired,
    /// `nbf` lies in the future, leeway included.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is absent or another issuer's.
    #[error("the token comes from another issuer")]
    WrongIssuer,
    /// `aud` is absent or does not contain the expected audience.
    #[error("the token is meant for another audience")]
    WrongAudience,
    /// The header's `typ` is absent or names another kind of token.
    #[error("the token is of another kind")]
    WrongType,
    /// A registered claim is missing or has the wrong JSON type.
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
    /// `wrong-audience`, `wrong-type` or `claim-malformed`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Expired => "token-expired",
            Self::NotYetValid => "token-not-yet-valid",
            Self::WrongIssuer => "wrong-issuer",
            Self::WrongAudience => "wrong-audience",
            Self::WrongType => "wrong-type",
            Self::Malformed { .. } => "claim-malformed",
        }
    }
}

/// Whether two `typ` values name one media type (RFC 7515 §4.1.9).
fn same_media_type(one: &str, other: &str) -> bool {
    short_media_type(one).eq_ignore_ascii_case(short_media_type(other))
}

/// A `typ` without `application/`, which a producer leaves out only where no other slash follows.
fn short_media_type(typ: &str) -> &str {
    match typ.split_once('/') {
        Some((kind, rest)) if kind.eq_ignore_ascii_case("application") && !rest.contains('/') => {
            rest
        }
        _ => typ,
    }
}

/// A claim that must be a string where it is present.
fn string<'a>(
    claims: &'a Map<String, Value>,
    claim: &'static str,
) -> Result<Option<&'a str>, ClaimError> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ClaimError::Malformed {
            claim,
            expected: "a string",
        }),
    }
}

/// `aud` as a list: a single string is a list of one, an absent claim a list of none.
fn audience(claims: &Map<String, Value>) -> Result<Vec<&str>, ClaimError> {
    let malformed = ClaimError::Malformed {
        claim: "aud",
        expected: "a string or an array of strings",
    };
    match claims.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| value.as_str().ok_or(malformed))
            .collect(),
        Some(_) => Err(malformed),
    }
}

/// A NumericDate (RFC 7519 §2) in nanoseconds since 1970.
fn numeric_date(
    claims: &Map<String, Value>,
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
