//! Private keys at rest: AES-256-GCM under the master key.
//!
//! A sealed record is `format (1 byte) ‖ nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)`. The
//! format, the issuer and the kid are bound to it as associated data, so that a record which is
//! moved to another row does not open. Nonces are random: a master key may seal 2^32 records
//! before two of them are likely to meet (NIST SP 800-38D §8.3), and each key is sealed once.

mod fingerprint;

use std::fmt;

use keywright_verifier::Kid;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk};
use zeroize::Zeroizing;

use crate::lifecycle::IssuerName;

pub use fingerprint::{Fingerprint, InvalidFingerprint};

/// The length of a master key, in bytes.
pub const MASTER_KEY_BYTES: usize = 32;

const FORMAT: u8 = 1;

/// The key-encryption key that seals private keys at rest.
pub struct MasterKey {
    key: LessSafeKey,
    derivation: Prk,
    fingerprint: Fingerprint,
}

/// A sealed record does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// A later version of keywright wrote it, or nobody did.
    #[error("the sealed record has an unknown format")]
    UnknownFormat,
    /// Another master key sealed it, it stood in another row, or it was altered.
    #[error("the sealed record does not open with this master key")]
    DoesNotOpen,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// Takes a key over; the bytes are wiped when they are dropped.
    pub fn new(bytes: &Zeroizing<[u8; MASTER_KEY_BYTES]>) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).ok()?;
        Some(Self {
            key: LessSafeKey::new(key),
            derivation: Prk::new_less_safe(HKDF_SHA256, bytes.as_slice()),
            fingerprint: Fingerprint::of(bytes)?,
        })
    }

    /// What tells it from other keys.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What keys for other purposes are derived from: HKDF-Expand (RFC 5869 §2.3), because a master
    /// key is uniformly random already. Each purpose has a text of its own.
    pub fn derivation(&self) -> &Prk {
        &self.derivation
    }

    /// Seals a private key for its row. `nonce` must be fresh random bytes.
    ///
    /// Returns `None` when the cipher refuses, which it does only for gigabytes of input.
    pub fn seal(
        &self,
        issuer: &IssuerName,
        kid: &Kid,
        private: &[u8],
        nonce: [u8; NONCE_LEN],
    ) -> Option<Vec<u8>> {
        let mut text = Zeroizing::new(private.to_vec());
        let aad = Aad::from(associated_data(issuer.as_str(), kid.as_str()));
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
            .ok()?;
        Some([[FORMAT].as_slice(), &nonce, &text, tag.as_ref()].concat())
    }

    /// Opens what [`seal`](Self::seal) closed for the same row.
    ///
    /// # Errors
    /// [`UnsealError`]; nothing of the contents is revealed.
    pub fn open(
        &self,
        issuer: &IssuerName,
        kid: &Kid,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        let Some((FORMAT, rest)) = sealed.split_first().map(|(format, rest)| (*format, rest))
        else {
            return Err(UnsealError::UnknownFormat);
        };
        let (nonce, ciphertext) = rest
            .split_at_checked(NONCE_LEN)
            .ok_or(UnsealError::DoesNotOpen)?;
        let nonce =
            Nonce::try_assume_unique_for_key(nonce).map_err(|_| UnsealError::DoesNotOpen)?;
        let aad = Aad::from(associated_data(issuer.as_str(), kid.as_str()));
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let length = self
            .key
            .open_in_place(nonce, aad, &mut buffer)
            .map_err(|_| UnsealError::DoesNotOpen)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// The parts are separated by a byte that stands in none of them.
fn associated_data(issuer: &str, kid: &str) -> Vec<u8> {
    [
        b"keywright sealed key\0".as_slice(),
        &[FORMAT],
        issuer.as_bytes(),
        b"\0",
        kid.as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (IssuerName, Kid) {
        (IssuerName::parse("a").unwrap(), Kid::parse("k").unwrap())
    }

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(&Zeroizing::new([byte; 32])).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_in_its_own_row_alone() {
        let (issuer, kid) = names();
        let sealed = master(1).seal(&issuer, &kid, b"private", [7; 12]).unwrap();
        assert_eq!(
            master(1).open(&issuer, &kid, &sealed).unwrap().as_slice(),
            b"private"
        );
        let other_issuer = IssuerName::parse("b").unwrap();
        let other_kid = Kid::parse("l").unwrap();
        for result in [
            master(1).open(&other_issuer, &kid, &sealed),
            master(1).open(&issuer, &other_kid, &sealed),
            master(2).open(&issuer, &kid, &sealed),
        ] {
            assert_eq!(result.unwrap_err(), UnsealError::DoesNotOpen);
        }
    }

    #[test]
    fn no_altered_byte_goes_unnoticed() {
        let (issuer, kid) = names();
        let sealed = master(1).seal(&issuer, &kid, b"private", [7; 12]).unwrap();
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(
                master(1).open(&issuer, &kid, &altered).is_err(),
                "byte {index}"
            );
        }
        for length in 0..sealed.len() {
            assert!(
                master(1).open(&issuer, &kid, &sealed[..length]).is_err(),
                "length {length}"
            );
        }
    }
}
