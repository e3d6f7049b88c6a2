//! Keys that a change wants, and keys that it may use.

use keywright_verifier::{Algorithm, Jwk};

use super::key_set::KeySet;

/// What kind of key is to be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpecification {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Modulus length, for RSA alone.
    pub rsa_bits: u16,
}

/// Fresh public halves that a change may use, oldest first.
///
/// Generating a key takes long and may fail, so it happens before a change and outside every lock.
#[derive(Debug, Default)]
pub struct AvailableKeys(Vec<Jwk>);

impl AvailableKeys {
    /// Adds a fresh key.
    pub fn add(&mut self, jwk: Jwk) {
        self.0.push(jwk);
    }

    /// The first key of `algorithm` that `set` does not have yet.
    pub(super) fn next_for(&self, set: &KeySet, algorithm: Algorithm) -> Option<Jwk> {
        self.0
            .iter()
            .find(|jwk| jwk.algorithm() == algorithm && set.key(jwk.kid()).is_none())
            .cloned()
    }
}
