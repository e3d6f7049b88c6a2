//! The verifier as a service uses it: rules, issuers, and whose fault a refusal is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keywright_verifier::{
    Algorithm, Fault, InvalidRules, JwkSet, KeySource, Rules, Verifier, VerifyError,
};
use serde_json::{Value, json};

use crate::fixtures::{Signer, set};

const NOW: u64 = 1_800_000_000;
const ONE: &str = "https://one.example";
const OTHER: &str = "https://other.example";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn claims(issuer: &str) -> Value {
    json!({"iss": issuer, "aud": "orders", "sub": "user-1", "exp": NOW + 60})
}

fn signed(signer: &Signer, claims: &Value) -> String {
    signer.token(r#"{"alg":"ES256","kid":"k"}"#, &claims.to_string())
}

fn rules(issuer: &str) -> Rules {
    Rules::new(issuer, "orders", [Algorithm::Es256])
}

fn verdict(verifier: &Verifier, token: &str) -> Result<Value, &'static str> {
    verifier
        .verify_with_held_keys::<Value>(token, at(NOW))
        .map(|token| token.claims)
        .map_err(|error| error.code())
}

// Attack 17: both issuers have a key of one name, and neither's key speaks for the other.
#[test]
fn each_issuer_has_its_own_keys_and_rules() {
    let (one, other) = (Signer::new(), Signer::new());
    let verifier = Verifier::new(rules(ONE), set([one.jwk(Some("k"))]))
        .and_then(|verifier| {
            let rules = rules(OTHER).require(["sub"]).max_token_bytes(400);
            verifier.and(rules, set([other.jwk(Some("k"))]))
        })
        .unwrap();
    for (signer, issuer, expected) in [
        (&one, ONE, Ok(())),
        (&other, OTHER, Ok(())),
        (&other, ONE, Err("bad-signature")),
        (&one, OTHER, Err("bad-signature")),
        (&one, "https://third.example", Err("wrong-issuer")),
    ] {
        let token = signed(signer, &claims(issuer));
        assert_eq!(verdict(&verifier, &token).map(drop), expected, "{issuer}");
    }
    // Rules of one do not bind the other.
    for (signer, issuer, expected) in [(&one, ONE, Ok(())), (&other, OTHER, Err("claim-missing"))] {
        let mut claims = claims(issuer);
        claims["sub"] = Value::Null;
        claims.as_object_mut().unwrap().remove("sub");
        let token = signed(signer, &claims);
        assert_eq!(verdict(&verifier, &token).map(drop), expected, "{issuer}");
    }
    for (signer, issuer, expected) in [(&one, ONE, Ok(())), (&other, OTHER, Err("token-too-large"))]
    {
        let mut claims = claims(issuer);
        claims["padding"] = "x".repeat(400).into();
        let token = signed(signer, &claims);
        assert_eq!(verdict(&verifier, &token).map(drop), expected, "{issuer}");
    }
}

#[test]
fn an_issuer_has_one_set_of_rules() {
    let keys = || JwkSet::default();
    let verifier = Verifier::new(rules(ONE), keys()).unwrap();
    let refused = verifier.and(rules(ONE).typ("at+jwt"), keys()).unwrap_err();
    let issuer = ONE.to_owned();
    assert_eq!(refused, InvalidRules::DuplicateIssuer { issuer });
    assert!(Verifier::new(Rules::new(ONE, "orders", []), keys()).is_err());
}

// No state is shared: what one accepts, the other need not.
#[test]
fn two_verifiers_with_different_rules_live_side_by_side() {
    let signer = Signer::new();
    let keys = KeySource::from(set([signer.jwk(Some("k"))]));
    let orders = Verifier::new(rules(ONE), keys.clone()).unwrap();
    let billing = Rules::new(ONE, "billing", [Algorithm::Es256]);
    let billing = Verifier::new(billing, keys).unwrap();
    let token = signed(&signer, &claims(ONE));
    assert_eq!(verdict(&orders, &token), Ok(claims(ONE)));
    assert_eq!(verdict(&billing, &token), Err("wrong-audience"));
}

#[test]
fn a_refusal_says_whose_fault_it_is() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let verifier = Verifier::new(rules(ONE), set([signer.jwk(Some("k"))])).unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = claims(ONE);
        claims[name] = value;
        signed(&signer, &claims)
    };
    let cases = [
        (
            "not a token".to_owned(),
            "token-malformed",
            Fault::Malformed,
        ),
        ("a.b.c.d.e".to_owned(), "token-encrypted", Fault::Malformed),
        ("a".repeat(9000), "token-too-large", Fault::Malformed),
        (
            signed(&stranger, &claims(ONE)),
            "bad-signature",
            Fault::Untrusted,
        ),
        (
            signer.token(r#"{"alg":"ES256","kid":"x"}"#, &claims(ONE).to_string()),
            "unknown-key",
            Fault::Untrusted,
        ),
        (
            signer.token(r#"{"alg":"HS256","kid":"k"}"#, &claims(ONE).to_string()),
            "algorithm-not-allowed",
            Fault::Untrusted,
        ),
        (with("exp", json!(NOW)), "token-expired", Fault::Time),
        (
            with("nbf", json!(NOW + 1)),
            "token-not-yet-valid",
            Fault::Time,
        ),
        (
            with("aud", json!("billing")),
            "wrong-audience",
            Fault::Misdirected,
        ),
        (
            with("iss", json!(OTHER)),
            "wrong-issuer",
            Fault::Misdirected,
        ),
        (
            with("exp", json!("soon")),
            "claim-malformed",
            Fault::Misdirected,
        ),
    ];
    for (token, code, fault) in cases {
        let error = verifier
            .verify_with_held_keys::<Value>(&token, at(NOW))
            .unwrap_err();
        assert_eq!((error.code(), error.fault()), (code, fault));
    }
    // A forgery that has expired is a forgery: nothing is said about what was not signed.
    let mut expired = claims(ONE);
    expired["exp"] = json!(0);
    let forged = signed(&stranger, &expired);
    assert_eq!(verdict(&verifier, &forged), Err("bad-signature"));
}

#[test]
fn claims_of_another_shape_are_told_apart_and_not_repeated() {
    #[derive(serde::Deserialize, Debug)]
    struct Claims {
        #[expect(dead_code, reason = "only its type counts")]
        sub: u64,
    }
    let signer = Signer::new();
    let verifier = Verifier::new(rules(ONE), set([signer.jwk(Some("k"))])).unwrap();
    let token = signed(&signer, &claims(ONE));
    let error = verifier
        .verify_with_held_keys::<Claims>(&token, at(NOW))
        .unwrap_err();
    assert_eq!(error, VerifyError::ClaimsShape);
    assert!(!format!("{error} {error:?}").contains("user-1"));
    let verified = verifier
        .verify_with_held_keys::<Value>(&token, at(NOW))
        .unwrap();
    assert!(!format!("{verified:?}").contains("user-1"));
}
