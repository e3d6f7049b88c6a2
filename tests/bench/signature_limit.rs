//! The limit that the benchmark compares with: how often a library alone signs, in a second of
//! processor time, with RSA keys of 2048 bits.
//!
//!     signature_limit [SECONDS]          {"ES256": {"ring": …}, "RS256": {"ring": …, "aws-lc-rs": …}}
//!     signature_limit ES256 COUNT        signs so often with ring, to have its instructions counted

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark may panic, prints its result and reads the clock"
)]

mod rate;

use std::hint::black_box;
use std::time::Duration;

use rate::rate;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rsa::pkcs8::EncodePrivateKey as _;
use serde_json::json;

/// As long as the signing input of the benchmark's tokens.
const MESSAGE: [u8; 360] = [b'a'; 360];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [algorithm, count] = arguments.as_slice()
        && algorithm == "ES256"
    {
        let mut sign = es256();
        for _ in 0..count.parse().unwrap() {
            sign();
        }
        return;
    }
    let seconds = arguments.first().map_or(2.0, |text| text.parse().unwrap());
    let duration = Duration::from_secs_f64(seconds);
    let der = rsa_key();
    let limits = json!({
        "ES256": {"ring": rate(duration, es256())},
        "RS256": {
            "ring": rate(duration, rs256_by_ring(&der)),
            "aws-lc-rs": rate(duration, rs256_by_aws_lc(&der)),
        },
    });
    println!("{limits}");
}

fn es256() -> impl FnMut() {
    let random = SystemRandom::new();
    let format = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(format, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(format, document.as_ref(), &random).unwrap();
    move || {
        black_box(pair.sign(&random, &MESSAGE).unwrap());
    }
}

fn rsa_key() -> Vec<u8> {
    let private = rsa::PrivateKey::new(&mut rand::rngs::SysRng, 2048).unwrap();
    private.to_pkcs8_der().unwrap().as_bytes().to_vec()
}

fn rs256_by_ring(der: &[u8]) -> impl FnMut() {
    let pair = RsaKeyPair::from_pkcs8(der).unwrap();
    let random = SystemRandom::new();
    let mut signature = vec![0; pair.public().modulus_len()];
    move || {
        pair.sign(&RSA_PKCS1_SHA256, &random, &MESSAGE, &mut signature)
            .unwrap();
        black_box(&signature);
    }
}

fn rs256_by_aws_lc(der: &[u8]) -> impl FnMut() {
    use aws_lc_rs::{rand, rsa, signature};
    let pair = rsa::KeyPair::from_pkcs8(der).unwrap();
    let random = rand::SystemRandom::new();
    let mut signature = vec![0; pair.public_modulus_len()];
    move || {
        pair.sign(
            &signature::RSA_PKCS1_SHA256,
            &random,
            &MESSAGE,
            &mut signature,
        )
        .unwrap();
        black_box(&signature);
    }
}
