//! What tells one master key from another.

use std::fmt;
use std::str::FromStr;

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

use super::MASTER_KEY_BYTES;

/// The length of a fingerprint, in bytes.
const BYTES: usize = 8;

const CONTEXT: &[u8] = b"keywright master key fingerprint";

/// The name of a master key: 8 bytes that HKDF with SHA-256 (RFC 5869) derives from it, written in
/// hexadecimal. Nothing that the key seals can be opened with it, and it does not lead back to the
/// key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; BYTES]);

/// A text is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint of a master key has 16 hexadecimal digits, in lower case")]
pub struct InvalidFingerprint;

/// The length that is asked of HKDF.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        BYTES
    }
}

impl Fingerprint {
    pub(super) fn of(key: &Zeroizing<[u8; MASTER_KEY_BYTES]>) -> Option<Self> {
        let extracted = Salt::new(HKDF_SHA256, CONTEXT).extract(key.as_slice());
        let mut bytes = [0; BYTES];
        let output = extracted.expand(&[CONTEXT], Length).ok()?;
        output.fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    pub(super) fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let legal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 2 * BYTES || !text.bytes().all(legal) {
            return Err(InvalidFingerprint);
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| InvalidFingerprint)?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed with Python's `hmac` as in RFC 5869 §2, salt and info both being CONTEXT.
    #[test]
    fn a_fingerprint_is_what_hkdf_makes_of_the_key() {
        let fingerprint = Fingerprint::of(&Zeroizing::new([1; 32])).unwrap();
        assert_eq!(fingerprint.to_string(), "89d915ec685f564b");
    }

    #[test]
    fn a_fingerprint_reads_as_it_is_written() {
        let fingerprint = Fingerprint::from_bytes([0, 1, 0xab, 3, 4, 5, 6, 0xff]);
        assert_eq!(fingerprint.to_string(), "0001ab03040506ff");
        assert_eq!("0001ab03040506ff".parse(), Ok(fingerprint));
        for text in [
            "",
            "0001ab03040506f",
            "0001AB03040506FF",
            "+001ab03040506ff",
            "0001ab03040506ff0",
        ] {
            assert_eq!(
                text.parse::<Fingerprint>(),
                Err(InvalidFingerprint),
                "{text}"
            );
        }
    }
}
