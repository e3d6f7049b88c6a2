//! Private keys at rest: AES-256-GCM under a master key.
//!
//! A sealed record is `format (1 byte) ‖ fingerprint of the master key (8 bytes) ‖ nonce (12 bytes)
//! ‖ ciphertext ‖ tag (16 bytes)`. The format, the fingerprint, the issuer and the kid are bound to
//! it as associated data, so that a record which is moved to another row does not open. Records of
//! format 1, which was written before there could be several master keys, have no fingerprint: for
//! those every key is tried. Nonces are random: a master key may seal 2^32 records before two of
//! them are likely to meet (NIST SP 800-38D §8.3), and each key is sealed once for each master key.
//! Keys of grants are sealed under keys that are derived from it (`seal/grant.rs`).

pub mod check;
mod fingerprint;
mod master_keys;
mod row;

use std::fmt;

use keywright_verifier::Kid;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk};
use zeroize::Zeroizing;

use crate::lifecycle::IssuerName;
use crate::wiped_stack::on_wiped_stack;

use fingerprint::fingerprint_of;
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use master_keys::MasterKeys;
pub use row::SealedRow;

/// The length of a master key, in bytes.
pub const MASTER_KEY_BYTES: usize = 32;

/// A record without a fingerprint.
const UNNAMED: u8 = 1;

/// A record with the fingerprint of the master key that sealed it.
const NAMED: u8 = 2;

/// A key-encryption key that seals private keys at rest.
pub struct MasterKey {
    /// It does not move: a move leaves the key on the stack.
    key: Box<LessSafeKey>,
    derivation: Prk,
    fingerprint: Fingerprint,
}

/// A sealed record does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// A later version of keywright wrote it, or none did.
    #[error("the sealed record has an unknown format")]
    UnknownFormat,
    /// It names a master key that is not here.
    #[error("the sealed record needs the master key {0}, which is not here")]
    MissingKey(Fingerprint),
    /// Another master key sealed it, it stood in another row, or it was altered.
    #[error("the sealed record does not open with this master key")]
    DoesNotOpen,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}…)", self.fingerprint)
    }
}

impl MasterKey {
    /// Takes a key over; the bytes are wiped when they are dropped.
    pub fn new(bytes: &Zeroizing<[u8; MASTER_KEY_BYTES]>) -> Option<Self> {
        on_wiped_stack(|| {
            let key = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).ok()?;
            Some(Self {
                key: Box::new(LessSafeKey::new(key)),
                derivation: Prk::new_less_safe(HKDF_SHA256, bytes.as_slice()),
                fingerprint: fingerprint_of(bytes)?,
            })
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
        let head = self.head();
        let associated = associated_data(&head, issuer, kid);
        seal_under(&self.key, &head, &associated, private, nonce)
    }

    /// What the records begin with that this key has sealed.
    pub fn head(&self) -> Vec<u8> {
        [[NAMED].as_slice(), self.fingerprint.as_bytes()].concat()
    }

    fn open(
        &self,
        issuer: &IssuerName,
        kid: &Kid,
        record: &Record<'_>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let associated = associated_data(record.head, issuer, kid);
        open_under(&self.key, &associated, record.body)
    }
}

/// A sealed record: `head ‖ nonce ‖ ciphertext ‖ tag`. `None` when the cipher refuses.
fn seal_under(
    key: &LessSafeKey,
    head: &[u8],
    associated: &[u8],
    text: &[u8],
    nonce: [u8; NONCE_LEN],
) -> Option<Vec<u8>> {
    let mut text = Zeroizing::new(text.to_vec());
    let (unique, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(associated));
    let tag = key
        .seal_in_place_separate_tag(unique, aad, &mut text)
        .ok()?;
    Some([head, &nonce, &text, tag.as_ref()].concat())
}

/// Opens what follows the head of a sealed record.
fn open_under(key: &LessSafeKey, associated: &[u8], body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, ciphertext) = body.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let opened = key.open_in_place(nonce, Aad::from(associated), &mut buffer);
    let length = opened.ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

/// A sealed record in its parts.
struct Record<'a> {
    /// The master key that it names.
    sealed_with: Option<Fingerprint>,
    /// What stands before the nonce.
    head: &'a [u8],
    /// The nonce, and everything after it.
    body: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(sealed: &'a [u8]) -> Result<Self, UnsealError> {
        let (sealed_with, length) = match sealed.split_first() {
            Some((&UNNAMED, _)) => (None, 1),
            Some((&NAMED, rest)) => {
                let fingerprint = rest.first_chunk().ok_or(UnsealError::DoesNotOpen)?;
                (
                    Some(Fingerprint::from_bytes(*fingerprint)),
                    1 + fingerprint.len(),
                )
            }
            _ => return Err(UnsealError::UnknownFormat),
        };
        let (head, body) = sealed
            .split_at_checked(length)
            .ok_or(UnsealError::DoesNotOpen)?;
        Ok(Self {
            sealed_with,
            head,
            body,
        })
    }
}

/// The head tells its own length, and the last two parts are separated by a byte that stands in
/// neither.
fn associated_data(head: &[u8], issuer: &IssuerName, kid: &Kid) -> Vec<u8> {
    [
        b"keywright sealed key\0".as_slice(),
        head,
        issuer.as_str().as_bytes(),
        b"\0",
        kid.as_str().as_bytes(),
    ]
    .concat()
}

/// Keys and records for tests.
#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    pub(crate) fn names() -> (IssuerName, Kid) {
        (IssuerName::parse("a").unwrap(), Kid::parse("k").unwrap())
    }

    pub(crate) fn master(byte: u8) -> MasterKey {
        MasterKey::new(&Zeroizing::new([byte; 32])).unwrap()
    }

    /// What a version without fingerprints wrote.
    pub(crate) fn unnamed(
        master: &MasterKey,
        issuer: &IssuerName,
        kid: &Kid,
        private: &[u8],
    ) -> Vec<u8> {
        let nonce = [9; NONCE_LEN];
        let mut text = private.to_vec();
        let aad = Aad::from(associated_data(&[UNNAMED], issuer, kid));
        let tag = master
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
            .unwrap();
        [[UNNAMED].as_slice(), &nonce, &text, tag.as_ref()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{master, names, unnamed};
    use super::*;

    fn alone(byte: u8) -> MasterKeys {
        MasterKeys::of(master(byte))
    }

    #[test]
    fn what_was_sealed_opens_in_its_own_row_alone() {
        let (issuer, kid) = names();
        let other_issuer = IssuerName::parse("b").unwrap();
        let other_kid = Kid::parse("l").unwrap();
        for sealed in [
            master(1).seal(&issuer, &kid, b"private", [7; 12]).unwrap(),
            unnamed(&master(1), &issuer, &kid, b"private"),
        ] {
            assert_eq!(
                alone(1).open(&issuer, &kid, &sealed).unwrap().as_slice(),
                b"private"
            );
            for result in [
                alone(1).open(&other_issuer, &kid, &sealed),
                alone(1).open(&issuer, &other_kid, &sealed),
            ] {
                assert_eq!(result.unwrap_err(), UnsealError::DoesNotOpen);
            }
            assert!(alone(2).open(&issuer, &kid, &sealed).is_err());
        }
    }

    #[test]
    fn a_record_that_needs_another_key_names_it() {
        let (issuer, kid) = names();
        let sealed = master(1).seal(&issuer, &kid, b"private", [7; 12]).unwrap();
        let missing = UnsealError::MissingKey(master(1).fingerprint());
        assert_eq!(alone(2).open(&issuer, &kid, &sealed), Err(missing));
    }

    // The other key is there, too: an altered fingerprint must not lead to it.
    #[test]
    fn no_altered_byte_goes_unnoticed() {
        let (issuer, kid) = names();
        let keys = MasterKeys::new(master(1), vec![master(2)]).unwrap();
        for sealed in [
            master(1).seal(&issuer, &kid, b"private", [7; 12]).unwrap(),
            unnamed(&master(1), &issuer, &kid, b"private"),
        ] {
            assert!(keys.open(&issuer, &kid, &sealed).is_ok());
            for index in 0..sealed.len() {
                for bit in 0..8 {
                    let mut altered = sealed.clone();
                    altered[index] ^= 1 << bit;
                    let outcome = keys.open(&issuer, &kid, &altered);
                    assert!(outcome.is_err(), "byte {index}, bit {bit}");
                }
            }
            for length in 0..sealed.len() {
                let cut = keys.open(&issuer, &kid, &sealed[..length]);
                assert!(cut.is_err(), "length {length}");
            }
            let mut longer = sealed.clone();
            longer.push(0);
            assert!(keys.open(&issuer, &kid, &longer).is_err());
        }
        let mut renamed = master(1).seal(&issuer, &kid, b"private", [7; 12]).unwrap();
        renamed[1..9].copy_from_slice(master(2).fingerprint().as_bytes());
        assert_eq!(
            keys.open(&issuer, &kid, &renamed),
            Err(UnsealError::DoesNotOpen)
        );
    }

    #[test]
    fn a_key_shows_its_fingerprint_and_nothing_else() {
        let shown = format!("{:?}", master(0xab));
        assert!(shown.contains(&master(0xab).fingerprint().to_string()));
        assert!(!shown.contains("abab") && !shown.contains("171"), "{shown}");
    }
}
