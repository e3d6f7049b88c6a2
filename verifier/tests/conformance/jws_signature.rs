//! Which key verifies a token, and which signatures it accepts: RFC 7515 §5.2, RFC 7518 §3.3 and §3.4.

use keywright_verifier::{Algorithm, Jwk, Jws, JwsError, Kid, PublicKey, SignatureError};

use crate::fixtures::{
    MAX_BYTES, RFC_7515_EC_JWK, RFC_7515_ES256, RFC_7515_MODULUS, RFC_7515_RS256, Signer,
    base64url, octets, rsa_jwk, set,
};

/// The order of the P-256 group (FIPS 186-5, SP 800-186 §3.2.1.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

fn rfc_keys() -> [Jwk; 2] {
    [
        Jwk::parse(RFC_7515_EC_JWK.as_bytes()).unwrap(),
        rsa_jwk(RFC_7515_MODULUS),
    ]
}

fn verify(token: &str, keys: impl IntoIterator<Item = Jwk>) -> Result<Kid, JwsError> {
    Jws::parse(token, MAX_BYTES)?
        .verify(&set(keys), &Algorithm::ALL)
        .map(|verified| verified.key().kid().clone())
}

/// The token with another signature.
fn signed_with(token: &str, signature: impl AsRef<[u8]>) -> String {
    format!(
        "{}.{}",
        token.rsplit_once('.').unwrap().0,
        base64url(signature)
    )
}

fn signature_of(token: &str) -> Vec<u8> {
    octets(token.rsplit_once('.').unwrap().1)
}

/// `ORDER - number`, for a number in `[1, ORDER - 1]`.
fn subtract_from_order(number: &[u8]) -> Vec<u8> {
    let mut difference = ORDER.to_vec();
    let mut borrow = 0;
    for (digit, subtrahend) in difference.iter_mut().zip(number).rev() {
        let value = i32::from(*digit) - i32::from(*subtrahend) - borrow;
        borrow = i32::from(value < 0);
        *digit = value.rem_euclid(256).try_into().unwrap();
    }
    difference
}

#[test]
fn the_rfc_7515_tokens_verify_with_their_keys() {
    let [ec, rsa] = rfc_keys();
    assert_eq!(verify(RFC_7515_ES256, rfc_keys()), Ok(ec.kid().clone()));
    assert_eq!(verify(RFC_7515_RS256, rfc_keys()), Ok(rsa.kid().clone()));
}

#[test]
fn a_change_of_any_signed_octet_is_noticed() {
    for token in [RFC_7515_ES256, RFC_7515_RS256] {
        let (input, signature) = token.rsplit_once('.').unwrap();
        let (header, payload) = input.split_once('.').unwrap();
        let changed = base64url(
            String::from_utf8(octets(payload))
                .unwrap()
                .replace("joe", "eve"),
        );
        let token = format!("{header}.{changed}.{signature}");
        assert_eq!(verify(&token, rfc_keys()), Err(JwsError::BadSignature));
        // The same header in another spelling is not what was signed.
        let spaced = String::from_utf8(octets(header))
            .unwrap()
            .replace(':', ": ");
        let token = format!("{}.{payload}.{signature}", base64url(spaced));
        assert_eq!(verify(&token, rfc_keys()), Err(JwsError::BadSignature));
    }
}

#[test]
fn every_flipped_bit_of_an_es256_signature_is_noticed() {
    let [ec, _] = rfc_keys();
    for bit in 0..512 {
        let mut signature = signature_of(RFC_7515_ES256);
        signature[bit / 8] ^= 1 << (bit % 8);
        let token = signed_with(RFC_7515_ES256, signature);
        assert_eq!(
            verify(&token, [ec.clone()]),
            Err(JwsError::BadSignature),
            "bit {bit}"
        );
    }
}

// Attack 8.
#[test]
fn only_the_algorithms_that_the_caller_allows_verify() {
    let keys = set(rfc_keys());
    for (token, algorithm, other) in [
        (RFC_7515_ES256, Algorithm::Es256, Algorithm::Rs256),
        (RFC_7515_RS256, Algorithm::Rs256, Algorithm::Es256),
    ] {
        let jws = Jws::parse(token, MAX_BYTES).unwrap();
        assert_eq!(
            jws.verify(&keys, &[algorithm]).unwrap().key().algorithm(),
            algorithm
        );
        let refused = JwsError::AlgorithmNotAllowed { algorithm };
        assert_eq!(refused.code(), "algorithm-not-allowed");
        assert_eq!(jws.verify(&keys, &[other]), Err(refused.clone()));
        assert_eq!(jws.verify(&keys, &[]), Err(refused));
    }
}

// Attacks 5 and 8: the header names one algorithm and the key another.
#[test]
fn a_key_never_verifies_with_an_algorithm_that_is_not_its_own() {
    let (ec, rsa) = (Signer::new(), rsa_jwk(RFC_7515_MODULUS));
    let header = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, rsa.kid());
    let error = verify(&ec.token(&header, "{}"), [rsa, ec.jwk(None)]).unwrap_err();
    assert_eq!(
        (error.clone(), error.code()),
        (JwsError::AlgorithmMismatch, "algorithm-mismatch")
    );

    let header = r#"{"alg":"RS256","kid":"ec"}"#;
    let token = ec.token(header, "{}");
    assert_eq!(
        verify(&token, [ec.jwk(Some("ec"))]),
        Err(JwsError::AlgorithmMismatch)
    );
}

// Attack 17.
#[test]
fn another_issuers_key_does_not_verify() {
    let (mine, other) = (Signer::new(), Signer::new());
    let token = other.token(r#"{"alg":"ES256","kid":"theirs"}"#, "{}");
    let error = verify(&token, [mine.jwk(Some("mine"))]).unwrap_err();
    assert_eq!(
        (error.clone(), error.code()),
        (JwsError::UnknownKey, "unknown-key")
    );
    // Nor when both issuers use one name.
    let error = verify(&token, [mine.jwk(Some("theirs"))]).unwrap_err();
    assert_eq!(
        (error.clone(), error.code()),
        (JwsError::BadSignature, "bad-signature")
    );
    assert!(verify(&token, [other.jwk(Some("theirs"))]).is_ok());
}

// The named key alone is tried, though another of the set made the signature.
#[test]
fn a_token_verifies_with_the_key_that_it_names_and_no_other() {
    let (one, other) = (Signer::new(), Signer::new());
    let keys = [one.jwk(Some("one")), other.jwk(Some("other"))];
    let token = one.token(r#"{"alg":"ES256","kid":"one"}"#, "{}");
    assert_eq!(verify(&token, keys.clone()).unwrap().as_str(), "one");
    let token = one.token(r#"{"alg":"ES256","kid":"other"}"#, "{}");
    assert_eq!(verify(&token, keys.clone()), Err(JwsError::BadSignature));
    let token = one.token(r#"{"alg":"ES256","kid":"third"}"#, "{}");
    assert_eq!(verify(&token, keys), Err(JwsError::UnknownKey));
}

// Attack 15.
#[test]
fn a_token_without_kid_needs_exactly_one_key_of_its_algorithm() {
    let (one, other) = (Signer::new(), Signer::new());
    let rsa = rsa_jwk(RFC_7515_MODULUS);
    let token = one.token(r#"{"alg":"ES256"}"#, "{}");
    assert!(verify(&token, [rsa.clone(), one.jwk(None)]).is_ok());
    let error = verify(&token, [one.jwk(None), other.jwk(None)]).unwrap_err();
    assert_eq!(
        (error.clone(), error.code()),
        (JwsError::AmbiguousKey, "ambiguous-key")
    );
    assert_eq!(verify(&token, [rsa]), Err(JwsError::UnknownKey));
    assert_eq!(verify(&token, []), Err(JwsError::UnknownKey));
}

// Attacks 18 and 19.
#[test]
fn r_and_s_must_lie_between_1_and_the_order() {
    let signature = signature_of(RFC_7515_ES256);
    let (r, s) = signature.split_at(32);
    let zero = [0; 32];
    let one = subtract_from_order(&subtract_from_order(&[&[0; 31][..], &[1]].concat()));
    let all_ones = [0xff; 32];
    for (left, right) in [
        (&zero[..], &zero[..]),
        (&zero, s),
        (r, &zero),
        (&ORDER, s),
        (r, &ORDER),
        (&ORDER, &ORDER),
        (&all_ones, s),
        (r, &all_ones),
        (&one, &zero),
    ] {
        let token = signed_with(RFC_7515_ES256, [left, right].concat());
        assert_eq!(
            verify(&token, rfc_keys()),
            Err(JwsError::BadSignature),
            "{left:x?} {right:x?}"
        );
    }
}

// Attack 21.
#[test]
fn an_es256_signature_is_exactly_64_octets() {
    let signature = signature_of(RFC_7515_ES256);
    let (r, s) = signature.split_at(32);
    for other in [
        vec![0],
        signature[..63].to_vec(),
        signature[1..].to_vec(),
        [&signature[..], &[0]].concat(),
        [&[0], &signature[..]].concat(),
        [&signature[..], &signature[..]].concat(),
        // Each number in 33 octets, and the form of P-384.
        [&[0], r, &[0], s].concat(),
        [&[0; 16], r, &[0; 16], s].concat(),
    ] {
        let length = other.len();
        let token = signed_with(RFC_7515_ES256, other);
        assert_eq!(
            verify(&token, rfc_keys()),
            Err(JwsError::BadSignature),
            "{length}"
        );
    }
}

// Attack 21.
#[test]
fn an_rs256_signature_is_exactly_as_long_as_the_modulus() {
    let signature = signature_of(RFC_7515_RS256);
    for other in [
        signature[..255].to_vec(),
        [&signature[..], &[0]].concat(),
        [&[0], &signature[..]].concat(),
        octets(RFC_7515_MODULUS),
        vec![0; 256],
        [&[0; 255][..], &[1]].concat(),
    ] {
        let token = signed_with(RFC_7515_RS256, other);
        assert_eq!(verify(&token, rfc_keys()), Err(JwsError::BadSignature));
    }
}

// Attack 68: every bad signature looks the same.
#[test]
fn the_error_of_a_bad_signature_has_no_reason() {
    let [ec, rsa] = rfc_keys();
    for (key, signature) in [
        (&ec, vec![]),
        (&ec, vec![1; 64]),
        (&rsa, vec![1; 256]),
        (&rsa, vec![]),
    ] {
        assert_eq!(key.verify(b"message", &signature), Err(SignatureError));
    }
    assert_eq!(
        SignatureError.to_string(),
        JwsError::BadSignature.to_string()
    );
}

// What is signed need be no JWT.
#[test]
fn what_was_signed_is_answered_octet_for_octet() {
    let signer = Signer::new();
    let payload = "no JSON, \u{1f980} and a \0";
    let token = signer.token(r#"{"alg":"ES256"}"#, payload);
    let keys = set([signer.jwk(Some("one"))]);
    let jws = Jws::parse(&token, MAX_BYTES).unwrap();
    let verified = jws.verify(&keys, &Algorithm::ALL).unwrap();
    assert_eq!(verified.payload(), payload.as_bytes());
    assert_eq!(verified.key().kid().as_str(), "one");
}

#[test]
fn a_key_verifies_outside_a_token_too() {
    let signer = Signer::new();
    let signature = signer.signature("message");
    assert_eq!(signer.jwk(None).verify(b"message", &signature), Ok(()));
    assert_eq!(
        signer.jwk(None).verify(b"massage", &signature),
        Err(SignatureError)
    );
    assert_eq!(
        Signer::new().jwk(None).verify(b"message", &signature),
        Err(SignatureError)
    );
}

#[test]
fn a_key_that_came_through_json_still_verifies() {
    let [ec, rsa] = rfc_keys();
    let keys = [ec, rsa].map(|key| Jwk::parse(key.to_json().as_bytes()).unwrap());
    assert!(
        keys.iter()
            .any(|key| matches!(key.public_key(), PublicKey::P256 { .. }))
    );
    assert!(verify(RFC_7515_ES256, keys.clone()).is_ok());
    assert!(verify(RFC_7515_RS256, keys).is_ok());
}
