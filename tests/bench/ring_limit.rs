//! The limit that the benchmark compares with: how often ring alone signs, on the core that this
//! process is pinned to. Prints `{"ES256": signatures a second, "RS256": signatures a second}`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark may panic, prints its result and reads the clock"
)]

mod rate;

use std::time::Duration;

use rate::rate;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rsa::pkcs8::EncodePrivateKey as _;

/// As long as the signing input of the benchmark's tokens.
const MESSAGE: [u8; 360] = [b'a'; 360];

fn main() {
    let seconds: f64 = std::env::args()
        .nth(1)
        .map_or(2.0, |text| text.parse().unwrap());
    let duration = Duration::from_secs_f64(seconds);
    let random = SystemRandom::new();

    let format = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(format, &random).unwrap();
    let p256 = EcdsaKeyPair::from_pkcs8(format, document.as_ref(), &random).unwrap();
    let es256 = rate(duration, || {
        std::hint::black_box(p256.sign(&random, &MESSAGE).unwrap());
    });

    let private = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let rsa = RsaKeyPair::from_pkcs8(private.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    let mut signature = vec![0; rsa.public().modulus_len()];
    let rs256 = rate(duration, || {
        rsa.sign(&RSA_PKCS1_SHA256, &random, &MESSAGE, &mut signature)
            .unwrap();
        std::hint::black_box(&signature);
    });
    println!("{{\"ES256\": {es256:.1}, \"RS256\": {rs256:.1}}}");
}
