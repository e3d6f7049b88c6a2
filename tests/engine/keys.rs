//! Engines, keys and tokens to try them with.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright::engine::software::SoftwareEngine;
use keywright::engine::{KeyPair, Signer, SigningEngine, Urgency};
use keywright::lifecycle::KeySpecification;
use keywright_verifier::{Algorithm, Jwk, JwkSet, Jws};
use serde_json::{Value, json};

pub(crate) static ENGINE: LazyLock<SoftwareEngine> =
    LazyLock::new(|| SoftwareEngine::start().unwrap());

pub(crate) fn specification(algorithm: Algorithm) -> KeySpecification {
    KeySpecification {
        algorithm,
        rsa_bits: 2048,
    }
}

pub(crate) async fn generate(algorithm: Algorithm) -> KeyPair {
    ENGINE
        .generate(specification(algorithm), Urgency::Immediate)
        .await
        .unwrap()
}

/// Generated once: RSA keys take long.
pub(crate) fn rsa_pair() -> &'static KeyPair {
    static PAIR: LazyLock<KeyPair> = LazyLock::new(|| {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(generate(Algorithm::Rs256))
    });
    std::thread::spawn(|| &*PAIR).join().unwrap()
}

pub(crate) fn open(engine: &SoftwareEngine, pair: &KeyPair) -> Arc<dyn Signer> {
    engine.open(pair.jwk.algorithm(), &pair.private).unwrap()
}

pub(crate) fn claims(number: usize) -> Value {
    json!({"iss": "https://id.example.com", "sub": format!("user-{number}"), "exp": 4_000_000_000_u64})
}

pub(crate) fn signing_input(jwk: &Jwk, number: usize) -> String {
    let header = json!({"alg": jwk.algorithm(), "kid": jwk.kid(), "typ": "JWT"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(&header), part(&claims(number)))
}

pub(crate) fn signing_inputs(jwk: &Jwk, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| signing_input(jwk, number))
        .collect()
}

/// Verifies a token with our own library and with jsonwebtoken, from the published JSON.
pub(crate) fn verify(jwk: &Jwk, token: &str, number: usize) {
    let published = format!(r#"{{"keys":[{}]}}"#, jwk.to_json());

    let keys = JwkSet::parse(published.as_bytes()).unwrap();
    let jws = Jws::parse(token, 4096).unwrap();
    let verified = jws.verify(&keys, &[jwk.algorithm()]).unwrap();
    assert_eq!(verified.key(), jwk);
    let signed: Value = serde_json::from_slice(verified.payload()).unwrap();
    assert_eq!(signed, claims(number));

    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&published).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(keys.find(jwk.kid().as_str()).unwrap()).unwrap();
    let algorithm = match jwk.algorithm() {
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
    };
    let validation = jsonwebtoken::Validation::new(algorithm);
    let decoded = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
    assert_eq!(decoded.claims, claims(number));
}

/// Signs one token with `pair` and verifies it twice.
pub(crate) async fn signs(pair: &KeyPair) {
    let signer = open(&ENGINE, pair);
    let tokens = signer.complete(signing_inputs(&pair.jwk, 1)).await.unwrap();
    verify(&pair.jwk, &tokens[0], 0);
}

/// Whether `text` repeats any 12 characters of the base64 or hexadecimal forms of `secret`, or of
/// its bytes as Rust writes lists of them.
pub(crate) fn reveals(text: &str, secret: &[u8]) -> bool {
    let base64 = base64::engine::general_purpose::STANDARD.encode(secret);
    let url = URL_SAFE_NO_PAD.encode(secret);
    let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let windows = |encoded: &str| {
        (0..encoded.len().saturating_sub(12)).any(|at| text.contains(&encoded[at..at + 12]))
    };
    let lists = secret
        .windows(4)
        .any(|bytes| text.contains(format!("{bytes:?}").trim_matches(['[', ']'])));
    windows(&base64) || windows(&url) || windows(&hexadecimal) || lists
}
