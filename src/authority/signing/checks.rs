//! What a token may say, by any client: the types of claims, reserved claims and types, lifetimes.

use std::time::Duration;

use keywright_verifier::json::{AnyValue as _, BorrowedValue, Members};
use keywright_verifier::revocation::{
    FILE_TYP, HEAD_TYP, MAX_SELECTOR_BYTES, MAX_SELECTORS_PER_CLAIM, selectors_of,
};

use keywright_verifier::Thumbprint;
use keywright_verifier::status_list::{STATUS_CLAIM, STATUS_LIST_TYP};

use super::{COMMON_TYPES, SignRefusal};
use crate::access::{LimitBroken, Limits, is_same_type};
use crate::lifecycle::Policy;
use crate::oauth::TRANSACTION_TOKEN;

/// The lifetime in seconds. What is not said is the policy's default, or the client's longest where
/// that is shorter.
pub(super) fn lifetime(
    policy: &Policy,
    limits: &Limits,
    expires_in: Option<u64>,
) -> Result<u64, SignRefusal> {
    let Some(asked) = expires_in else {
        let default = policy.default_token_ttl;
        return Ok(limits
            .max_ttl
            .map_or(default, |longest| longest.min(default))
            .as_secs());
    };
    if asked == 0 {
        return Err(SignRefusal::NoLifetime);
    }
    if Duration::from_secs(asked) > policy.max_token_ttl {
        let maximum = policy.max_token_ttl.as_secs();
        return Err(SignRefusal::LifetimeOverMaximum { asked, maximum });
    }
    Ok(asked)
}

/// The registered claims that a caller may set have one type each (RFC 7519 §4.1; `scope` and
/// `client_id`: RFC 8693 §4.2 and §4.3).
pub(super) fn check_registered_claims(claims: &Members<'_>) -> Result<(), SignRefusal> {
    let scope = claims.get("scope");
    if scope.is_some_and(|value| value.as_str().is_none()) {
        return Err(SignRefusal::ClaimType {
            claim: "scope",
            expected: "a string",
        });
    }
    // What could not be taken back is not signed.
    let is_name = |value: &BorrowedValue<'_>| {
        let name = value.as_str();
        name.is_some_and(|name| (1..=MAX_SELECTOR_BYTES).contains(&name.len()))
    };
    for claim in ["sub", "sid", "client_id"] {
        if claims.get(claim).is_some_and(|value| !is_name(value)) {
            return Err(SignRefusal::ClaimType {
                claim,
                expected: "a string of 1 to 512 bytes",
            });
        }
    }
    let audience = |value: &BorrowedValue<'_>| match value {
        BorrowedValue::Array(values) => {
            (1..=MAX_SELECTORS_PER_CLAIM).contains(&values.len()) && values.iter().all(is_name)
        }
        value => is_name(value),
    };
    if claims.get("aud").is_some_and(|value| !audience(value)) {
        let expected = "a string of 1 to 512 bytes, or an array of 1 to 16 such strings";
        return Err(SignRefusal::ClaimType {
            claim: "aud",
            expected,
        });
    }
    if claims.contains("act") {
        selectors_of(|name| claims.get(name))?;
    }
    if claims
        .get("nbf")
        .is_some_and(|value| value.as_u64().is_none())
    {
        let expected = "a whole number of Unix seconds";
        return Err(SignRefusal::ClaimType {
            claim: "nbf",
            expected,
        });
    }
    Ok(())
}

/// Whether a token can be bound by this `cnf` (RFC 7800 §3.1). A thumbprint that is none would be found out
/// when its holder is refused everywhere; other members are for verifiers that know them.
fn confirms(value: &BorrowedValue<'_>) -> bool {
    let BorrowedValue::Object(members) = value else {
        return false;
    };
    let is_thumbprint = |value: &BorrowedValue<'_>| {
        let text = value.as_str();
        text.is_some_and(|text| text.parse::<Thumbprint>().is_ok())
    };
    let mut members = members.iter().peekable();
    members.peek().is_some()
        && members.all(|(name, value)| match name {
            "jkt" | "x5t#S256" => is_thumbprint(value),
            _ => true,
        })
}

/// What the service sets, or a client whose limits name the claim: verifiers draw conclusions from
/// them.
const CLAIMS_BY_LIMIT: [&str; 5] = [STATUS_CLAIM, "single_use", "cnf", "act", "may_act"];

pub(super) fn check_reserved_claims(
    claims: &Members<'_>,
    limits: &Limits,
) -> Result<(), SignRefusal> {
    let is_named = |claim: &str| {
        let allowed = limits.claims.as_ref();
        allowed.is_some_and(|allowed| allowed.contains(claim))
    };
    let mut reserved = CLAIMS_BY_LIMIT.into_iter();
    if let Some(claim) = reserved.find(|claim| claims.contains(claim) && !is_named(claim)) {
        return Err(SignRefusal::Limit(LimitBroken {
            claim: claim.to_owned(),
            rule: "claims",
            why: "only a client whose limits name it may set it",
        }));
    }
    if claims.get("cnf").is_some_and(|value| !confirms(value)) {
        return Err(SignRefusal::ClaimType {
            claim: "cnf",
            expected: "an object that is not empty, in which jkt and x5t#S256 are SHA-256 thumbprints",
        });
    }
    Ok(())
}

/// The types of documents that the service signs with the keys of its tokens, and of others that must
/// never be mistaken for a token.
const RESERVED_TYPES: [&str; 8] = [
    HEAD_TYP,
    FILE_TYP,
    STATUS_LIST_TYP,
    "secevent+jwt",
    "token-introspection+jwt",
    TRANSACTION_TOKEN,
    "dpop+jwt",
    "logout+jwt",
];

/// Whether only other documents than tokens have this type.
pub(in crate::authority) fn is_reserved_type(typ: &str) -> bool {
    let mut reserved = RESERVED_TYPES.iter();
    reserved.any(|reserved| is_same_type(reserved, typ))
}

pub(super) fn check_typ(typ: &str, claims: &Members<'_>) -> Result<(), SignRefusal> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".+-/".contains(&byte);
    if !(1..=64).contains(&typ.len()) || !typ.bytes().all(legal) {
        return Err(SignRefusal::Typ);
    }
    if !COMMON_TYPES.contains(&typ) && is_reserved_type(typ) {
        return Err(SignRefusal::ReservedType(typ.to_owned()));
    }
    // Media types are compared without regard to case, and the prefix may be left out (RFC 7515 §4.1.9).
    if ["at+jwt", "application/at+jwt"]
        .iter()
        .any(|access| access.eq_ignore_ascii_case(typ))
    {
        let missing: Vec<&str> = ["sub", "aud", "client_id"]
            .into_iter()
            .filter(|claim| !claims.contains(claim))
            .collect();
        if !missing.is_empty() {
            return Err(SignRefusal::MissingClaims {
                typ: typ.to_owned(),
                missing,
            });
        }
    }
    Ok(())
}
