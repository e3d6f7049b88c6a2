//! One revocation as it is published, and many of them as a segment.

use std::cmp::Ordering;
use std::fmt;

use ring::hmac;

use crate::jwk::sha256;

/// `issued_before` of a record while its revocation is open.
const OPEN: u64 = u64::MAX;

/// The key of the digests of one issuer. It is published: it keeps tables of digests that were
/// made before from fitting, and is no secret.
#[derive(Clone)]
pub struct Salt {
    bytes: [u8; Self::BYTES],
    key: hmac::Key,
}

impl Salt {
    /// How many bytes a salt has.
    pub const BYTES: usize = 32;

    /// Makes a salt of random bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
            bytes,
        }
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.bytes
    }

    /// The same, prepared for use.
    pub(super) const fn key(&self) -> &hmac::Key {
        &self.key
    }
}

impl PartialEq for Salt {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Salt {}

impl fmt::Debug for Salt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Salt").finish_non_exhaustive()
    }
}

/// What stands for a [`Selector`](super::Selector) in a [`Record`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Digest([u8; Self::BYTES]);

impl Digest {
    /// How many bytes a digest has.
    pub const BYTES: usize = 16;

    /// Makes a digest of its bytes.
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The first bytes of an HMAC.
    pub(super) fn of(tag: &hmac::Tag) -> Self {
        let mut bytes = [0; Self::BYTES];
        for (byte, of_tag) in bytes.iter_mut().zip(tag.as_ref()) {
            *byte = *of_tag;
        }
        Self(bytes)
    }
}

/// One revocation as it is published. Ordered as its bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// Which tokens: those that have a selector of this digest.
    pub digest: Digest,
    /// Tokens with `iat` before this are refused, in seconds since 1970; `None` while the revocation is
    /// open, and every token is. A token without `iat` always is.
    pub issued_before: Option<u64>,
}

impl Record {
    /// How many bytes a record has.
    pub const BYTES: usize = 24;

    /// The digest, and `issued_before` as 64 bits, big endian, all of them ones while it is open.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let issued_before = self.issued_before.unwrap_or(OPEN).to_be_bytes();
        let parts = self.digest.as_bytes().iter().chain(&issued_before);
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = *part;
        }
        bytes
    }

    /// Reads what [`Record::to_bytes`] writes. Every bytes are a record.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut digest = [0; Digest::BYTES];
        let mut issued_before = [0; 8];
        let parts = digest.iter_mut().chain(&mut issued_before);
        for (part, byte) in parts.zip(bytes) {
            *part = *byte;
        }
        let issued_before = u64::from_be_bytes(issued_before);
        Self {
            digest: Digest(digest),
            issued_before: (issued_before != OPEN).then_some(issued_before),
        }
    }

    /// Reads records that stand one after another; `None` when the last one is cut.
    pub(super) fn read_all(bytes: &[u8]) -> Option<impl ExactSizeIterator<Item = Self>> {
        let (records, rest) = bytes.as_chunks::<{ Self::BYTES }>();
        rest.is_empty()
            .then(|| records.iter().map(Self::from_bytes))
    }

    /// Writes records one after another.
    pub(super) fn write_all(records: &[Self]) -> Vec<u8> {
        records.iter().flat_map(Self::to_bytes).collect()
    }
}

impl PartialOrd for Record {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Record {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_bytes().cmp(&other.to_bytes())
    }
}

/// The bytes of a segment of these records, which it sorts: the same records make the same segment.
pub fn segment_bytes(mut records: Vec<Record>) -> Vec<u8> {
    records.sort_unstable();
    Record::write_all(&records)
}

/// The name of a segment: SHA-256 of its bytes.
pub fn segment_hash(bytes: &[u8]) -> [u8; 32] {
    sha256(&[bytes])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn record_is_its_digest_and_its_time_in_big_endian() {
        let record = |issued_before| Record {
            digest: Digest::new([7; 16]),
            issued_before,
        };
        let bytes = record(Some(258)).to_bytes();
        assert_eq!(bytes[..16], [7; 16]);
        assert_eq!(bytes[16..], [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(record(None).to_bytes()[16..], [255; 8]);
    }

    #[test]
    fn cut_record_is_none() {
        assert!(Record::read_all(&[0; 23]).is_none());
        assert!(Record::read_all(&[0; 49]).is_none());
        assert_eq!(Record::read_all(&[0; 48]).unwrap().len(), 2);
        assert_eq!(Record::read_all(&[]).unwrap().len(), 0);
    }

    #[test]
    fn hash_of_a_segment_is_sha_256() {
        let hash = segment_hash(b"abc");
        assert_eq!(hash[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(hash[31], 0xad);
    }

    fn record() -> impl Strategy<Value = Record> {
        let digest = prop::array::uniform16(0_u8..3);
        (digest, prop::option::of(0_u64..u64::MAX)).prop_map(|(digest, issued_before)| Record {
            digest: Digest::new(digest),
            issued_before,
        })
    }

    proptest! {
        #[test]
        fn record_is_read_as_it_was_written(record in record()) {
            prop_assert_eq!(Record::from_bytes(&record.to_bytes()), record);
        }

        #[test]
        fn same_records_make_the_same_segment(records in prop::collection::vec(record(), 0..20)) {
            let mut reversed = records.clone();
            reversed.reverse();
            let bytes = segment_bytes(records);
            prop_assert_eq!(&segment_bytes(reversed), &bytes);
            let chunks: Vec<_> = bytes.chunks(24).collect();
            prop_assert!(chunks.is_sorted());
        }
    }
}
