//! Which tokens a token comes of.

use keywright_verifier::revocation::{ANCESTORS_CLAIM, MAX_ANCESTORS, MAX_SELECTOR_BYTES};
use serde_json::Value;

use super::{ExchangeRefusal, ShownToken, TokenParameter};

/// A token would come of more tokens than its verifiers look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token would come of more than {MAX_ANCESTORS} others")]
pub struct TooManyAncestors;

/// The `jti` of every token that the shown ones are or come of, each once. A platform's token that has
/// none which can be taken back has no place here.
pub(super) fn ancestors(shown: [Option<&ShownToken>; 2]) -> Result<Vec<String>, ExchangeRefusal> {
    let mut ancestors: Vec<String> = Vec::new();
    for token in shown.into_iter().flatten() {
        for jti in line(token)? {
            if !ancestors.iter().any(|known| known == jti) {
                ancestors.push(jti.to_owned());
            }
        }
    }
    match ancestors.len() > MAX_ANCESTORS {
        true => Err(TooManyAncestors.into()),
        false => Ok(ancestors),
    }
}

fn line(token: &ShownToken) -> Result<Vec<&str>, ExchangeRefusal> {
    let claims = match token {
        ShownToken::Own(claims) => claims,
        ShownToken::Workload { jti, .. } => {
            let jti = jti.as_deref();
            let can_be_taken_back = |jti: &&str| (1..=MAX_SELECTOR_BYTES).contains(&jti.len());
            return Ok(jti.filter(can_be_taken_back).into_iter().collect());
        }
    };
    let own = claims.get("jti").into_iter();
    let earlier = match claims.get(ANCESTORS_CLAIM) {
        None => &[],
        Some(Value::Array(ancestors)) => ancestors.as_slice(),
        Some(_) => return Err(unreadable()),
    };
    let texts = own.chain(earlier).map(Value::as_str);
    texts.collect::<Option<_>>().ok_or_else(unreadable)
}

const fn unreadable() -> ExchangeRefusal {
    ExchangeRefusal::Token {
        parameter: TokenParameter::Subject,
        why: "has ancestors that cannot be read",
    }
}
