//! Generated keys and what they sign.

use keywright::engine::{EngineError, PrivateKey, SigningEngine, Urgency};
use keywright::lifecycle::{IssuerUrl, KeySpecification, Policy, PolicyViolation};
use keywright_verifier::{Algorithm, JwkSet, Jws, PublicKey};
use std::time::Duration;
use zeroize::Zeroizing;

use crate::keys::{
    ENGINE, generate, open, reveals, rsa_pair, signing_input, signing_inputs, signs, verify,
};

#[tokio::test]
async fn a_generated_p256_key_signs_what_two_verifiers_accept() {
    let pair = generate(Algorithm::Es256).await;
    signs(&pair).await;
    assert_eq!(pair.jwk.kid(), &pair.jwk.thumbprint());
}

#[tokio::test]
async fn a_generated_rsa_key_signs_what_two_verifiers_accept() {
    let pair = rsa_pair();
    signs(pair).await;
    assert_eq!(pair.jwk.kid(), &pair.jwk.thumbprint());
    let PublicKey::Rsa { n, e } = pair.jwk.public_key() else {
        panic!("{:?}", pair.jwk);
    };
    assert_eq!(
        (n.len(), n[0] >> 7, e.as_slice()),
        (256, 1, [1, 0, 1].as_slice())
    );
}

#[tokio::test]
async fn a_generated_rsa_key_has_the_length_that_was_asked_for() {
    let specification = KeySpecification {
        algorithm: Algorithm::Rs256,
        rsa_bits: 3072,
    };
    let pair = ENGINE
        .generate(specification, Urgency::Background)
        .await
        .unwrap();
    let PublicKey::Rsa { n, .. } = pair.jwk.public_key() else {
        panic!("{:?}", pair.jwk);
    };
    assert_eq!((n.len(), n[0] >> 7), (384, 1));
    signs(&pair).await;
}

// S2: r ‖ s, never DER; half of all r begin with a bit that DER would pad, and one r in 256 is short.
#[tokio::test]
async fn an_es256_signature_is_64_octets_whatever_its_numbers() {
    let pair = generate(Algorithm::Es256).await;
    let signer = open(&ENGINE, &pair);
    let inputs = signing_inputs(&pair.jwk, 600);
    for token in signer.complete(inputs).await.unwrap() {
        assert_eq!(Jws::parse(&token, 4096).unwrap().signature().len(), 64);
    }
}

#[tokio::test]
async fn an_rs256_signature_is_as_long_as_the_modulus() {
    let signer = open(&ENGINE, rsa_pair());
    let inputs = signing_inputs(&rsa_pair().jwk, 1);
    let tokens = signer.complete(inputs).await.unwrap();
    assert_eq!(Jws::parse(&tokens[0], 4096).unwrap().signature().len(), 256);
}

#[tokio::test]
async fn what_is_signed_is_what_was_given_and_nothing_else() {
    for pair in [&generate(Algorithm::Es256).await, rsa_pair()] {
        let signer = open(&ENGINE, pair);
        assert_eq!(
            signer.complete(Vec::new()).await.unwrap(),
            Vec::<String>::new()
        );
        let input = signing_input(&pair.jwk, 1);
        let tokens = signer.complete(vec![input.clone()]).await.unwrap();
        let signature = tokens[0].strip_prefix(&format!("{input}.")).unwrap();
        let keys = JwkSet::new(vec![pair.jwk.clone()]);
        let other = format!("{}.{signature}", signing_input(&pair.jwk, 2));
        Jws::parse(&other, 4096)
            .unwrap()
            .verify(&keys, &[pair.jwk.algorithm()])
            .unwrap_err();
    }
}

#[tokio::test]
async fn two_generated_keys_differ() {
    let (one, two) = (
        generate(Algorithm::Es256).await,
        generate(Algorithm::Es256).await,
    );
    assert_ne!(one.jwk.kid(), two.jwk.kid());
    assert_ne!(one.private.pkcs8(), two.private.pkcs8());
}

// K3: the form that is sealed opens again, and for its own algorithm alone.
#[tokio::test]
async fn private_material_opens_for_its_own_algorithm_alone() {
    let p256 = generate(Algorithm::Es256).await;
    for (pair, other) in [(&p256, Algorithm::Rs256), (rsa_pair(), Algorithm::Es256)] {
        let copy = PrivateKey::from_pkcs8(Zeroizing::new(pair.private.pkcs8().to_vec()));
        let signer = ENGINE.open(pair.jwk.algorithm(), &copy).unwrap();
        let inputs = signing_inputs(&pair.jwk, 1);
        verify(&pair.jwk, &signer.complete(inputs).await.unwrap()[0], 0);

        let refused = ENGINE.open(other, &copy).map(|_| ()).unwrap_err();
        assert!(matches!(refused, EngineError::Unusable(algorithm) if algorithm == other));
        assert!(!reveals(&format!("{refused} {refused:?}"), copy.pkcs8()));
    }
    for der in [vec![], b"garbage".to_vec(), vec![0x30; 200]] {
        let private = PrivateKey::from_pkcs8(Zeroizing::new(der));
        for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
            assert!(ENGINE.open(algorithm, &private).is_err());
        }
    }
}

// K5, attack 67.
#[tokio::test]
async fn debug_shows_nothing_of_a_private_key() {
    for pair in [&generate(Algorithm::Es256).await, rsa_pair()] {
        let shown = format!("{:?} {:#?}", pair.private, pair.private);
        assert_eq!(shown, "PrivateKey(…) PrivateKey(…)");
        let shown = format!("{pair:?}");
        assert!(shown.contains("PrivateKey(…)"), "{shown}");
        // The public numbers stand in the private key as well, so only what follows is asked about.
        let private = shown.split("private").nth(1).unwrap();
        assert!(!reveals(private, pair.private.pkcs8()));
    }
}

// Invariant 10 is computed from these sizes before any key exists.
#[tokio::test]
async fn a_published_key_takes_the_bytes_that_the_policy_counts_with() {
    let p256 = generate(Algorithm::Es256).await;
    let mut policy = Policy::for_url(IssuerUrl::parse("https://id.example.com").unwrap());
    policy.max_token_ttl = Duration::from_secs(3650 * 86_400);
    for (pair, algorithm) in [(&p256, Algorithm::Es256), (rsa_pair(), Algorithm::Rs256)] {
        policy.algorithms = vec![algorithm];
        policy.default_algorithm = algorithm;
        let Err(PolicyViolation::SetTooLarge { keys, bytes }) =
            policy.validate(&keywright::lifecycle::Timing::single())
        else {
            panic!("{policy:?}");
        };
        let comma = 1;
        assert_eq!(
            pair.jwk.to_json().len() + comma,
            usize::try_from(bytes / keys).unwrap()
        );
    }
}
