//! Ten thousand tokens that are nearly good, before four judges: our verifier, panva/jose, PyJWT and
//! the crate jsonwebtoken. Nothing that two of the others refuse is accepted by ours, and wherever
//! ours differs from any of them, [`DIFFERENCES`] says why.

use std::collections::BTreeMap;
use std::time::SystemTime;

use keywright_verifier::{Algorithm, JwkSet, Rules, Verifier};
use serde_json::{Value, json};

use crate::mutations::{ISSUER, Mutator};
use crate::verifiers::{AUDIENCE, Dialogue, node, node_script, python, python_script, verify_with};
use crate::{now_millis, report};

const TOKENS: usize = 10_000;

/// Where ours accepts and another refuses, or the other way round: what was done to the token, what
/// ours does, who does the other thing, and why ours does not.
const DIFFERENCES: [(&str, &str, &str, &str); 31] = [
    (
        "a claim twice",
        "refuses",
        "jsonwebtoken, jose, PyJWT",
        "two parsers may read two values (RFC 7515 §4, RFC 7519 §4): the first, the last",
    ),
    (
        "a line break within",
        "refuses",
        "jose",
        "jose's decoder skips white space in the signature, so one token has many spellings",
    ),
    (
        "a lone surrogate",
        "refuses",
        "jose, PyJWT",
        "no Unicode text; what it becomes depends on the parser",
    ),
    (
        "alg twice",
        "refuses",
        "jose, PyJWT",
        "two parsers may read two values (RFC 7515 §4, RFC 7519 §4): the first, the last",
    ),
    (
        "an integer beyond 64 bits",
        "refuses",
        "jsonwebtoken, jose, PyJWT",
        "loses its value in a double (RFC 7493 §2.2)",
    ),
    (
        "aud a mixed list",
        "refuses",
        "jose",
        "aud is an array of strings (RFC 7519 §4.1.3)",
    ),
    (
        "aud twice",
        "refuses",
        "jose, PyJWT",
        "two parsers may read two values (RFC 7515 §4, RFC 7519 §4): the first, the last",
    ),
    (
        "b64 false",
        "refuses",
        "jose",
        "changes what is signed (RFC 7797 §3); not critical, it is passed over by others",
    ),
    (
        "claims nested 200 levels",
        "refuses",
        "jose, PyJWT",
        "32 levels are enough for claims",
    ),
    (
        "exp a string",
        "refuses",
        "PyJWT",
        "a NumericDate is a number (RFC 7519 §2)",
    ),
    (
        "exp beyond a double's integers",
        "refuses",
        "jose, PyJWT",
        "no instant that a clock reaches",
    ),
    (
        "exp beyond all",
        "refuses",
        "jose",
        "becomes infinite: a token that never expires",
    ),
    (
        "exp twice",
        "refuses",
        "jose, PyJWT",
        "two parsers may read two values (RFC 7515 §4, RFC 7519 §4): the first, the last",
    ),
    (
        "header with a byte order mark",
        "refuses",
        "jose, PyJWT",
        "not JSON text as it is exchanged (RFC 8259 §8.1)",
    ),
    (
        "header with a number beyond all",
        "refuses",
        "jose, PyJWT",
        "becomes infinite in some parsers",
    ),
    (
        "iat a string",
        "refuses",
        "jsonwebtoken, PyJWT",
        "a NumericDate is a number (RFC 7519 §2)",
    ),
    (
        "iat to come",
        "accepts",
        "PyJWT",
        "iat says how old a token is and forbids nothing (RFC 7519 §4.1.6); nbf does",
    ),
    (
        "iss an array",
        "refuses",
        "jsonwebtoken",
        "one token has one issuer (RFC 7519 §4.1.1)",
    ),
    (
        "iss twice",
        "refuses",
        "jose, PyJWT",
        "two parsers may read two values (RFC 7515 §4, RFC 7519 §4): the first, the last",
    ),
    (
        "jti a number",
        "refuses",
        "jsonwebtoken, jose",
        "a string (RFC 7519 §4.1.7)",
    ),
    (
        "kid twice",
        "refuses",
        "jose, PyJWT",
        "two parsers may read two values (RFC 7515 §4, RFC 7519 §4): the first, the last",
    ),
    (
        "nbf a string",
        "refuses",
        "PyJWT",
        "a NumericDate is a number (RFC 7519 §2)",
    ),
    (
        "nbf negative",
        "refuses",
        "jose, PyJWT",
        "no token is older than the format",
    ),
    (
        "padding",
        "refuses",
        "jose, PyJWT",
        "base64url has none in JOSE (RFC 7515 §2): one token, one spelling",
    ),
    (
        "sub a number",
        "refuses",
        "jsonwebtoken, jose",
        "a string (RFC 7519 §4.1.2)",
    ),
    (
        "trailing bits",
        "refuses",
        "jose",
        "one token, one spelling (RFC 4648 §3.5)",
    ),
    (
        "typ a number",
        "refuses",
        "jose, PyJWT",
        "a string (RFC 7515 §4.1.9)",
    ),
    (
        "typ null",
        "refuses",
        "jsonwebtoken, jose, PyJWT",
        "a string (RFC 7515 §4.1.9)",
    ),
    (
        "typ of another kind",
        "refuses",
        "jsonwebtoken, jose, PyJWT",
        "a logout token is no access token (RFC 8725 §3.11); others must be told",
    ),
    (
        "white space behind",
        "refuses",
        "jose",
        "one token, one spelling",
    ),
    (
        "zip",
        "refuses",
        "jsonwebtoken, jose, PyJWT",
        "compression is not defined for a JWS (RFC 7516 §4.1.3)",
    ),
];

/// What a verifier made of all tokens, in order.
struct Verdicts {
    name: &'static str,
    accepted: Vec<bool>,
}

#[test]
fn nothing_is_accepted_that_two_others_refuse() {
    let now_seconds = now_millis() / 1000;
    let mut mutator = Mutator::new(20_261_122, now_seconds);
    let mutants: Vec<_> = (0..TOKENS).map(|number| mutator.mutant(number)).collect();
    let tokens: Vec<&str> = mutants.iter().map(|mutant| mutant.token.as_str()).collect();
    let keys = mutator.keys();

    let ours = ours(keys.clone(), &tokens);
    let mut others = vec![jsonwebtoken(&keys, &tokens)];
    if let Some(folder) = node() {
        let process = Dialogue::start("jose", node_script(&folder, "judge-jose.mjs"));
        others.push(foreign("jose", process, &keys, &tokens));
    }
    if let Some(python) = python() {
        let process = Dialogue::start("PyJWT", python_script(&python, "judge_pyjwt.py"));
        others.push(foreign("PyJWT", process, &keys, &tokens));
    }

    let mut found: BTreeMap<(&str, &str, String), usize> = BTreeMap::new();
    for (index, mutant) in mutants.iter().enumerate() {
        let accepted = ours.accepted[index];
        let differing: Vec<&str> = others
            .iter()
            .filter(|other| other.accepted[index] != accepted)
            .map(|other| other.name)
            .collect();
        assert!(
            !accepted || differing.len() < 2,
            "{}: accepted, though {differing:?} refuse it: {}",
            mutant.kind,
            mutant.token
        );
        if !differing.is_empty() {
            let ours = if accepted { "accepts" } else { "refuses" };
            *found
                .entry((mutant.kind, ours, differing.join(", ")))
                .or_default() += 1;
        }
    }
    for other in [&ours].into_iter().chain(&others) {
        let accepted = other.accepted.iter().filter(|accepted| **accepted).count();
        report(&format!("{}: accepts {accepted} of {TOKENS}", other.name));
        assert!(
            accepted > 0 && accepted < TOKENS / 2,
            "{} judges nothing",
            other.name
        );
    }
    report(&format!("{} kinds of difference", found.len()));
    if others.len() < 3 {
        return;
    }
    let listed: BTreeMap<(&str, &str, String), &str> = DIFFERENCES
        .iter()
        .map(|(kind, ours, differing, why)| ((*kind, *ours, (*differing).to_owned()), *why))
        .collect();
    let unexplained: Vec<_> = found
        .keys()
        .filter(|key| !listed.contains_key(key))
        .collect();
    let outdated: Vec<_> = listed
        .keys()
        .filter(|key| !found.contains_key(key))
        .collect();
    assert!(
        unexplained.is_empty(),
        "differences without a reason: {unexplained:#?}"
    );
    assert!(
        outdated.is_empty(),
        "reasons without a difference: {outdated:#?}"
    );
}

fn ours(keys: JwkSet, tokens: &[&str]) -> Verdicts {
    let rules = Rules::new(ISSUER, AUDIENCE, Algorithm::ALL);
    let verifier = Verifier::new(rules, keys).unwrap();
    let judge = |token: &&str| {
        verifier
            .verify_with_held_keys::<Value>(token, SystemTime::now())
            .is_ok()
    };
    Verdicts {
        name: "keywright-verifier",
        accepted: tokens.iter().map(judge).collect(),
    }
}

/// As its documentation has it for a JWKS: the key by its kid, the algorithm that the key names. For
/// a token without a kid, the one key of its algorithm; the crate leaves that to its caller.
fn jsonwebtoken(keys: &JwkSet, tokens: &[&str]) -> Verdicts {
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&keys.to_json()).unwrap();
    let judge = |token: &&str| {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let jwk = match &header.kid {
            Some(kid) => set.find(kid)?,
            None => set.keys.iter().find(|jwk| {
                let named = jwk.common.key_algorithm.map(|name| name.to_string());
                named.as_deref() == Some(&format!("{:?}", header.alg))
            })?,
        };
        verify_with(jwk, token, ISSUER).ok()
    };
    Verdicts {
        name: "jsonwebtoken",
        accepted: tokens.iter().map(|token| judge(token).is_some()).collect(),
    }
}

fn foreign(name: &'static str, mut process: Dialogue, keys: &JwkSet, tokens: &[&str]) -> Verdicts {
    let jwks: Value = serde_json::from_slice(&keys.to_json()).unwrap();
    let terms = json!({ "jwks": jwks, "issuer": ISSUER, "audience": AUDIENCE });
    assert_eq!(process.ask(&terms), "ok");
    let judge = |token: &&str| process.ask(&json!({ "token": token })) == "ok";
    Verdicts {
        name,
        accepted: tokens.iter().map(judge).collect(),
    }
}
