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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Map, Value, json};

    use super::{ClaimError, Expectations};

    const NOW: u64 = 1_700_000_000;

    /// A claims set that is good at [`NOW`], changed by `changes`; `null` removes a claim.
    fn claims(changes: Value) -> Map<String, Value> {
        let mut claims = json!({"iss": "https://id.example", "aud": "orders", "exp": NOW + 60});
        let target = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                target.remove(name);
            } else {
                target.insert(name.clone(), value.clone());
            }
        }
        target.clone()
    }

    fn strict() -> Expectations {
        Expectations {
            issuer: Some("https://id.example".to_owned()),
            audience: Some("orders".to_owned()),
            typ: Some("at+jwt".to_owned()),
            leeway: Duration::ZERO,
        }
    }

    fn check(changes: Value) -> Result<(), ClaimError> {
        strict().check(Some("at+jwt"), &claims(changes), NOW)
    }

    fn is_malformed(result: Result<(), ClaimError>, name: &str) -> bool {
        matches!(result, Err(ClaimError::Malformed { claim, .. }) if claim == name)
    }

    #[test]
    fn a_token_that_says_what_is_expected_is_accepted() {
        assert_eq!(check(json!({})), Ok(()));
        assert_eq!(
            check(json!({"nbf": NOW, "iat": NOW, "sub": "user-1", "jti": "1"})),
            Ok(())
        );
    }

    #[test]
    fn a_token_ends_at_exp_and_not_a_second_later() {
        assert_eq!(check(json!({"exp": NOW + 1})), Ok(()));
        assert_eq!(check(json!({"exp": NOW})), Err(ClaimError::Expired));
        assert_eq!(check(json!({"exp": NOW - 1})), Err(ClaimError::Expired));
        assert_eq!(check(json!({"exp": 0})), Err(ClaimError::Expired));
    }

    // Attack 47.
    #[test]
    fn a_token_begins_at_nbf() {
        assert_eq!(check(json!({"nbf": NOW})), Ok(()));
        assert_eq!(check(json!({"nbf": NOW + 1})), Err(ClaimError::NotYetValid));
        assert_eq!(
            check(json!({"nbf": u64::MAX})),
            Err(ClaimError::NotYetValid)
        );
    }

    // Attack 52: exactly the leeway that was configured, at both ends.
    #[test]
    fn leeway_moves_both_ends_by_exactly_as_much() {
        let expectations = Expectations {
            leeway: Duration::from_secs(30),
            ..strict()
        };
        let check = |changes| expectations.check(Some("at+jwt"), &claims(changes), NOW);
        assert_eq!(check(json!({"exp": NOW - 29})), Ok(()));
        assert_eq!(check(json!({"exp": NOW - 30})), Err(ClaimError::Expired));
        assert_eq!(check(json!({"nbf": NOW + 30})), Ok(()));
        assert_eq!(
            check(json!({"nbf": NOW + 31})),
            Err(ClaimError::NotYetValid)
        );
    }

    #[test]
    fn the_largest_numbers_overflow_nothing() {
        let expectations = Expectations {
            leeway: Duration::MAX,
            ..Expectations::default()
        };
        for exp in [json!(u64::MAX), json!(1e300), json!(0)] {
            let claims = claims(json!({"exp": exp, "nbf": u64::MAX}));
            assert_eq!(expectations.check(None, &claims, u64::MAX), Ok(()), "{exp}");
        }
    }

    #[test]
    fn a_token_without_exp_is_refused() {
        assert!(is_malformed(check(json!({"exp": null})), "exp"));
        let result = Expectations::default().check(None, &Map::new(), 0);
        assert!(is_malformed(result, "exp"));
    }

    // Attack 46: a date of the wrong type is no absent date. (1e400 is no number that parses.)
    #[test]
    fn dates_are_non_negative_numbers() {
        let wrong = [
            json!("1700000060"),
            json!(-1),
            json!(-0.5),
            json!(i64::MIN),
            json!(true),
            json!([NOW + 60]),
            json!({}),
        ];
        for claim in ["exp", "nbf", "iat"] {
            for value in &wrong {
                assert!(
                    is_malformed(check(json!({ claim: value })), claim),
                    "{claim}: {value}"
                );
            }
        }
        let mut claims = claims(json!({}));
        for claim in ["exp", "nbf", "iat"] {
            let good = claims.insert(claim.to_owned(), Value::Null);
            assert!(is_malformed(
                strict().check(Some("at+jwt"), &claims, NOW),
                claim
            ));
            match good {
                Some(good) => claims.insert(claim.to_owned(), good),
                None => claims.remove(claim),
            };
        }
    }

    // RFC 7519 §2 allows a fraction of a second.
    #[test]
    fn a_date_may_have_a_fraction_and_it_counts() {
        assert_eq!(check(json!({"exp": 1_700_000_000.5})), Ok(()));
        assert_eq!(
            check(json!({"exp": 1_699_999_999.5})),
            Err(ClaimError::Expired)
        );
        assert_eq!(
            check(json!({"nbf": 1_700_000_000.5})),
            Err(ClaimError::NotYetValid)
        );
    }

    // Attack 48.
    #[test]
    fn the_issuer_is_compared_byte_for_byte() {
        for issuer in [
            "https://id.example/",
            "https://id.exampl",
            "https://id.example.evil.example",
            "HTTPS://ID.EXAMPLE",
            "http://id.example",
            " https://id.example",
            "",
        ] {
            assert_eq!(
                check(json!({"iss": issuer})),
                Err(ClaimError::WrongIssuer),
                "{issuer:?}"
            );
        }
        assert_eq!(check(json!({"iss": null})), Err(ClaimError::WrongIssuer));
        assert!(is_malformed(
            check(json!({"iss": ["https://id.example"]})),
            "iss"
        ));
    }

    // Attack 49.
    #[test]
    fn the_audience_contains_me_whole() {
        assert_eq!(check(json!({"aud": ["billing", "orders"]})), Ok(()));
        for audience in [
            json!("order"),
            json!("orders-admin"),
            json!("Orders"),
            json!(["order", "s"]),
            json!([]),
        ] {
            assert_eq!(
                check(json!({"aud": audience})),
                Err(ClaimError::WrongAudience),
                "{audience}"
            );
        }
        assert_eq!(check(json!({"aud": null})), Err(ClaimError::WrongAudience));
        for audience in [
            json!(1),
            json!({"orders": 1}),
            json!(["orders", 1]),
            json!([["orders"]]),
        ] {
            assert!(
                is_malformed(check(json!({"aud": audience})), "aud"),
                "{audience}"
            );
        }
    }

    // Attack 50.
    #[test]
    fn another_kind_of_token_is_refused() {
        let check = |typ| strict().check(typ, &claims(json!({})), NOW);
        for typ in [
            "at+jwt",
            "AT+JWT",
            "application/at+jwt",
            "Application/At+Jwt",
        ] {
            assert_eq!(check(Some(typ)), Ok(()), "{typ}");
        }
        for typ in [
            "JWT",
            "jwt",
            "at+jwt ",
            "text/at+jwt",
            "application/x/at+jwt",
            "at",
            "",
        ] {
            assert_eq!(check(Some(typ)), Err(ClaimError::WrongType), "{typ}");
        }
        assert_eq!(check(None), Err(ClaimError::WrongType));
    }

    #[test]
    fn an_expected_typ_may_have_the_prefix_too() {
        let expectations = Expectations {
            typ: Some("application/at+jwt".to_owned()),
            ..Expectations::default()
        };
        assert_eq!(
            expectations.check(Some("at+jwt"), &claims(json!({})), NOW),
            Ok(())
        );
        let wrong = expectations.check(Some("JWT"), &claims(json!({})), NOW);
        assert_eq!(wrong, Err(ClaimError::WrongType));
    }

    // RFC 7515 §4.1.9: the prefix is left out only where no other slash follows.
    #[test]
    fn the_prefix_of_a_typ_with_another_slash_counts() {
        let expectations = Expectations {
            typ: Some("text/plain".to_owned()),
            ..Expectations::default()
        };
        let check = |typ| expectations.check(Some(typ), &claims(json!({})), NOW);
        assert_eq!(check("text/plain"), Ok(()));
        assert_eq!(check("application/text/plain"), Err(ClaimError::WrongType));
    }

    #[test]
    fn without_expectations_types_and_times_still_count() {
        let check = |changes| Expectations::default().check(None, &claims(changes), NOW);
        assert_eq!(
            check(json!({"iss": "https://other.example", "aud": "other"})),
            Ok(())
        );
        assert_eq!(check(json!({"iss": null, "aud": null})), Ok(()));
        assert_eq!(check(json!({"exp": NOW})), Err(ClaimError::Expired));
        for claim in ["iss", "aud", "sub", "jti"] {
            assert!(is_malformed(check(json!({ claim: 1 })), claim), "{claim}");
        }
    }

    #[test]
    fn codes_are_stable_and_texts_hold_no_value() {
        let expectations = strict();
        let error = |typ, changes| {
            expectations
                .check(Some(typ), &claims(changes), NOW)
                .unwrap_err()
        };
        for (error, code) in [
            (error("at+jwt", json!({"exp": 1234})), "token-expired"),
            (
                error("at+jwt", json!({"nbf": NOW + 1234})),
                "token-not-yet-valid",
            ),
            (error("at+jwt", json!({"iss": "1234"})), "wrong-issuer"),
            (error("at+jwt", json!({"aud": "1234"})), "wrong-audience"),
            (error("1234", json!({})), "wrong-type"),
            (error("at+jwt", json!({"exp": "1234"})), "claim-malformed"),
        ] {
            assert_eq!(error.code(), code);
            assert!(!format!("{error} {error:?}").contains("1234"));
        }
    }
}
