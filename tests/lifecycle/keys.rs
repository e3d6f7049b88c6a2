//! Distinct public keys that cost next to nothing: their private halves do not exist.

use std::sync::{LazyLock, OnceLock};

use keywright::lifecycle::KeySpecification;
use keywright_verifier::{Algorithm, Jwk, Kid, PublicKey};
use p256::elliptic_curve::sec1::ToSec1Point as _;

/// Points are the only expensive part, and every history counts its keys from 0.
static POINTS: LazyLock<Vec<OnceLock<Jwk>>> =
    LazyLock::new(|| (0..1024).map(|_| OnceLock::new()).collect());

/// The key with this number.
pub(crate) fn key(wanted: KeySpecification, number: u64) -> Jwk {
    match wanted.algorithm {
        Algorithm::Es256 => match POINTS.get(number as usize) {
            Some(point) => point.get_or_init(|| es256(number)).clone(),
            None => es256(number),
        },
        Algorithm::Rs256 => rs256(number, wanted.rsa_bits),
    }
}

/// The same key material under another name.
pub(crate) fn named(kid: &str, jwk: &Jwk) -> Jwk {
    Jwk::new(Some(Kid::parse(kid).unwrap()), jwk.public_key().clone()).unwrap()
}

fn es256(number: u64) -> Jwk {
    let mut scalar = [0; 32];
    // The lowest scalars are those of the keys that `simulate` makes up.
    scalar[24..].copy_from_slice(&(number + (1 << 40)).to_be_bytes());
    let public = p256::SecretKey::from_slice(&scalar).unwrap().public_key();
    let point = public.to_sec1_point(false);
    let coordinates = ((*point.x().unwrap()).into(), (*point.y().unwrap()).into());
    Jwk::new(None, PublicKey::p256(coordinates.0, coordinates.1).unwrap()).unwrap()
}

fn rs256(number: u64, bits: u16) -> Jwk {
    let mut modulus = vec![0; usize::from(bits / 8)];
    let tail = modulus.len() - 9;
    modulus[tail..tail + 8].copy_from_slice(&number.to_be_bytes());
    modulus[0] = 0xc0;
    *modulus.last_mut().unwrap() = 1;
    Jwk::new(None, PublicKey::rsa(modulus, vec![1, 0, 1]).unwrap()).unwrap()
}
