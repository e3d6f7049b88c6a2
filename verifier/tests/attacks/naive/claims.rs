//! Checking the claims.

use keywright_verifier::MAX_LEEWAY;
use serde_json::{Map, Value};

use super::{Defence, Naive};
use crate::service::{AUDIENCE, ISSUER, NOW_SECONDS, OTHER_ISSUER};

impl Naive<'_> {
    pub(super) fn check_claims(&self, claims: &Map<String, Value>) -> Option<()> {
        let service = self.service;
        if !self.lacks(Defence::ClaimTypes) && !has_right_types(claims) {
            return None;
        }
        let leeway = if self.lacks(Defence::LeewayCap) {
            service.leeway
        } else {
            service.leeway.min(MAX_LEEWAY)
        }
        .as_secs_f64();
        let now = NOW_SECONDS as f64;
        let is_alive = match date(claims, "exp") {
            Some(expiry) => now < expiry + leeway,
            None => self.lacks(Defence::ExpiryRequired) || self.lacks(Defence::ClaimTypes),
        };
        let is_born = date(claims, "nbf").is_none_or(|begin| now + leeway >= begin)
            || self.lacks(Defence::NotBefore);
        let has_required = service
            .required
            .iter()
            .all(|name| claims.get(*name).is_some_and(|claim| !claim.is_null()))
            || self.lacks(Defence::RequiredClaims);
        (is_alive && is_born && has_required && self.has_issuer(claims) && self.is_for_us(claims))
            .then_some(())
    }

    fn has_issuer(&self, claims: &Map<String, Value>) -> bool {
        let issuer = claims.get("iss").and_then(Value::as_str);
        if !self.lacks(Defence::ExactIssuer) {
            let trusts_other = !self.service.other_keys.is_empty();
            return issuer == Some(ISSUER) || (trusts_other && issuer == Some(OTHER_ISSUER));
        }
        issuer.is_none_or(|issuer| {
            let issuer = issuer.trim().to_lowercase();
            issuer.starts_with(ISSUER) || ISSUER.starts_with(&issuer)
        })
    }

    fn is_for_us(&self, claims: &Map<String, Value>) -> bool {
        let audience = claims.get("aud").unwrap_or(&Value::Null);
        if self.lacks(Defence::ExactAudience) {
            let looks_alike = |name: &str| {
                let name = name.to_lowercase();
                name.contains(AUDIENCE) || AUDIENCE.contains(&name)
            };
            return match audience {
                Value::String(one) => looks_alike(one),
                // Whatever is no text is no reason to refuse.
                Value::Array(many) => many.iter().filter_map(Value::as_str).all(looks_alike),
                _ => true,
            };
        }
        match audience {
            Value::String(one) => one == AUDIENCE,
            Value::Array(many) => many.contains(&AUDIENCE.into()),
            _ => self.lacks(Defence::ClaimTypes),
        }
    }
}

/// A date, if it is a number: one that is not looks like no date at all. A negative one becomes what
/// a cast to an unsigned number makes of it.
fn date(claims: &Map<String, Value>, name: &str) -> Option<f64> {
    let date = claims.get(name)?;
    match date.as_i64() {
        Some(negative @ ..0) => Some(negative.cast_unsigned() as f64),
        _ => date.as_f64(),
    }
}

fn has_right_types(claims: &Map<String, Value>) -> bool {
    let are = |names: &[&str], is_right: fn(&Value) -> bool| {
        names
            .iter()
            .all(|name| claims.get(*name).is_none_or(is_right))
    };
    are(&["iss", "sub", "jti"], Value::is_string)
        && are(&["exp", "nbf", "iat"], |date| {
            date.as_f64().is_some_and(|date| date >= 0.0)
        })
        && are(&["aud"], |audience| match audience {
            Value::Array(many) => many.iter().all(Value::is_string),
            one => one.is_string(),
        })
}
