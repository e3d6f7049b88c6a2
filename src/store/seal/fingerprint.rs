//! What tells one master key from another.

pub use keywright_api::{Fingerprint, InvalidFingerprint};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

use super::MASTER_KEY_BYTES;

const CONTEXT: &[u8] = b"keywright master key fingerprint";

/// The length that is asked of HKDF.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        Fingerprint::BYTES
    }
}

/// The fingerprint of a master key, which HKDF with SHA-256 (RFC 5869) derives from it. Nothing that
/// the key seals can be opened with it.
pub(super) fn fingerprint_of(key: &Zeroizing<[u8; MASTER_KEY_BYTES]>) -> Option<Fingerprint> {
    let extracted = Salt::new(HKDF_SHA256, CONTEXT).extract(key.as_slice());
    let mut bytes = [0; Fingerprint::BYTES];
    let output = extracted.expand(&[CONTEXT], Length).ok()?;
    output.fill(&mut bytes).ok()?;
    Some(Fingerprint::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed with Python's `hmac` as in RFC 5869 §2, salt and info both being CONTEXT.
    #[test]
    fn a_fingerprint_is_what_hkdf_makes_of_the_key() {
        let fingerprint = fingerprint_of(&Zeroizing::new([1; 32])).unwrap();
        assert_eq!(fingerprint.to_string(), "89d915ec685f564b");
    }
}
