//! Everything that is revoked, in a form that one hash covers.

use super::{Record, Salt, SelectorKinds};
use crate::jwk::sha256;

/// The most records that stand in a head itself.
pub const MAX_RECENT_RECORDS: usize = 64;

/// The most segments that a head names.
pub const MAX_SEGMENTS: usize = 64;

/// Everything that an issuer has revoked: the newest records, and the segments that hold the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// The key of all digests in it.
    pub salt: Salt,
    /// The kinds of selectors that have a record: no other selector of a token needs to be looked up. An
    /// issuer that does not say it is taken to have all.
    pub kinds: SelectorKinds,
    /// At most [`MAX_RECENT_RECORDS`] that stand in no segment, the newest last.
    pub recent: Vec<Record>,
    /// At most [`MAX_SEGMENTS`], none of them twice.
    pub segments: Vec<SegmentReference>,
}

/// A segment by its name. Its bytes are [`segment_bytes`](super::segment_bytes).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SegmentReference {
    /// [`segment_hash`](super::segment_hash) of its bytes.
    pub hash: [u8; 32],
    /// How many records it has, at least one.
    pub count: u32,
}

impl SegmentReference {
    /// How many bytes the segment has.
    pub const fn bytes(&self) -> u64 {
        // 24 times a number of 32 bits is far from the end of 64.
        (self.count as u64).saturating_mul(Record::BYTES as u64)
    }
}

impl Content {
    /// What names the content: two with the same root revoke the same. SHA-256 over the salt, the number
    /// of recent records, those records, and each segment's hash and number of records; numbers as 32
    /// bits, big endian. The kinds follow from the records.
    pub fn root(&self) -> [u8; 32] {
        let recent_count = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        let segments: Vec<u8> = self
            .segments
            .iter()
            .flat_map(|segment| segment.hash.into_iter().chain(segment.count.to_be_bytes()))
            .collect();
        sha256(&[
            self.salt.as_bytes(),
            &recent_count.to_be_bytes(),
            &Record::write_all(&self.recent),
            &segments,
        ])
    }

    /// How many records the content has, those in its segments included.
    pub fn record_count(&self) -> u64 {
        let in_segments = self
            .segments
            .iter()
            .map(|segment| u64::from(segment.count))
            .sum::<u64>();
        in_segments.saturating_add(u64::try_from(self.recent.len()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Digest;

    fn content() -> Content {
        let record = |byte| Record {
            digest: Digest::new([byte; 16]),
            issued_before: Some(1),
        };
        let segment = |byte| SegmentReference {
            hash: [byte; 32],
            count: 3,
        };
        Content {
            salt: Salt::new([1; 32]),
            kinds: SelectorKinds::ALL,
            recent: vec![record(1), record(2)],
            segments: vec![segment(1), segment(2)],
        }
    }

    #[test]
    fn root_is_the_hash_of_salt_records_and_segments() {
        let content = content();
        let mut bytes = vec![1; 32];
        bytes.extend([0, 0, 0, 2]);
        bytes.extend(content.recent[0].to_bytes());
        bytes.extend(content.recent[1].to_bytes());
        bytes.extend([[1; 32].as_slice(), &[0, 0, 0, 3], &[2; 32], &[0, 0, 0, 3]].concat());
        assert_eq!(content.root(), sha256(&[&bytes]));
    }

    #[test]
    fn root_of_every_other_content_is_another() {
        let original = content();
        let mut others = vec![content(); 6];
        others[0].salt = Salt::new([2; 32]);
        others[1].recent.reverse();
        others[2].recent[0].issued_before = None;
        others[3].segments.pop();
        others[4].segments[0].count = 4;
        others[5].segments.swap(0, 1);
        for other in others {
            assert_ne!(other.root(), original.root(), "{other:?}");
        }
    }

    #[test]
    fn records_of_segments_count() {
        assert_eq!(content().record_count(), 8);
        assert_eq!(content().segments[0].bytes(), 72);
    }
}
