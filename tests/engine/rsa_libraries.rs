//! RSA by each library of the build: every one opens what another wrote, and all sign the same.

use keywright::engine::software::{RsaLibrary, SoftwareEngine};
use keywright::engine::{KeyPair, PrivateKey, SignError, SigningEngine, Urgency};
use keywright::lifecycle::KeySpecification;
use keywright_verifier::{Algorithm, Jws};
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};

use crate::import::{accepted, rsa_pem};
use crate::keys::{open, signing_inputs, verify};

fn engines() -> Vec<(RsaLibrary, SoftwareEngine)> {
    let libraries = RsaLibrary::ALL.iter();
    libraries
        .map(|library| (*library, SoftwareEngine::start_with(*library).unwrap()))
        .collect()
}

async fn generate(engine: &SoftwareEngine, rsa_bits: u16) -> KeyPair {
    let specification = KeySpecification {
        algorithm: Algorithm::Rs256,
        rsa_bits,
    };
    engine
        .generate(specification, Urgency::Immediate)
        .await
        .unwrap()
}

/// Signs with every library, and returns the tokens after the first has been verified. RSASSA-PKCS1-v1_5
/// has no randomness (RFC 8017 §8.2), so one key and one text have one signature.
async fn signs_alike(pair: &KeyPair) -> Vec<String> {
    let mut signed: Option<Vec<String>> = None;
    for (library, engine) in engines() {
        let inputs = signing_inputs(&pair.jwk, 20);
        let tokens = open(&engine, pair).complete(inputs).await.unwrap();
        for (number, token) in tokens.iter().enumerate() {
            verify(&pair.jwk, token, number);
        }
        let first = signed.get_or_insert_with(|| tokens.clone());
        assert_eq!(*first, tokens, "{library:?}");
    }
    signed.unwrap()
}

#[tokio::test]
async fn a_key_that_one_library_generates_signs_alike_with_all() {
    for (library, engine) in engines() {
        for bits in [2048, 3072] {
            let pair = generate(&engine, bits).await;
            let tokens = signs_alike(&pair).await;
            let signature = Jws::parse(&tokens[0], 4096).unwrap();
            assert_eq!(
                signature.signature().len() * 8,
                usize::from(bits),
                "{library:?}"
            );
        }
    }
}

// Stores keep this form, so a build with the other library reads what this one wrote.
#[tokio::test]
async fn every_library_writes_the_same_form_of_pkcs8() {
    for (library, engine) in engines() {
        let pair = generate(&engine, 2048).await;
        let secret = rsa::PrivateKey::from_pkcs8_der(pair.private.pkcs8()).unwrap();
        let again = secret.to_pkcs8_der().unwrap();
        assert!(again.as_bytes() == pair.private.pkcs8(), "{library:?}");
    }
}

#[tokio::test]
async fn a_key_whose_first_prime_is_the_smaller_one_signs_alike_with_all() {
    use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
    let secret = rsa::PrivateKey::new(&mut rand::rngs::SysRng, 2048).unwrap();
    let primes = secret.primes().iter();
    let mut primes: Vec<_> = primes.map(|prime| prime.as_ref().clone()).collect();
    primes.sort();
    let (n, e, d) = (secret.n().as_ref(), secret.e(), secret.d());
    let (n, e, d) = (n.clone(), e.clone(), d.clone());
    let secret = rsa::PrivateKey::from_components(n, e, d, primes).unwrap();
    let pem = secret.to_pkcs8_pem(rsa::pkcs8::LineEnding::LF).unwrap();
    signs_alike(&accepted(Algorithm::Rs256, &pem).await).await;
}

#[tokio::test]
async fn a_key_of_openssl_with_a_large_exponent_signs_alike_with_all() {
    let pem = rsa_pem("rsa_keygen_bits:2048 rsa_keygen_pubexp:2147483647");
    signs_alike(&accepted(Algorithm::Rs256, &pem).await).await;
}

// aws-lc-rs refuses such a key when it opens it, ring in part only when it signs.
#[tokio::test]
async fn no_library_signs_with_a_key_whose_numbers_do_not_belong_together() {
    for (library, engine) in engines() {
        let pair = generate(&engine, 2048).await;
        // In n, p, q, dP, dQ and qInv in turn.
        for at in [60, 600, 700, 850, 980, 1120] {
            let mut der = pair.private.pkcs8().to_vec();
            der[at] ^= 0x40;
            let private = PrivateKey::from_pkcs8(der.into());
            if let Ok(signer) = engine.open(Algorithm::Rs256, &private) {
                let signed = signer.complete(signing_inputs(&pair.jwk, 1)).await;
                assert_eq!(signed, Err(SignError::Failed), "{library:?} at {at}");
            }
        }
    }
}

#[tokio::test]
async fn a_size_that_no_policy_has_is_not_generated() {
    for (library, engine) in engines() {
        let specification = KeySpecification {
            algorithm: Algorithm::Rs256,
            rsa_bits: 1024,
        };
        let generated = engine.generate(specification, Urgency::Immediate).await;
        assert!(generated.is_err(), "{library:?}");
    }
}
