//! In which parts the feed has all of an issuer's revocations.
//!
//! The newest records stand in the head itself. The others are in segments, merged as those of a
//! log-structured tree are: small ones at the young end, each larger than the next, and a large one is
//! written again only when about as much as it holds has come after it.
//!
//! Which are merged follows from the records alone, so that two processes that know the same write the
//! same. Each record has a **height**, drawn from its identifier as in a skip list: half of all have
//! height 0, a quarter height 1, and so on. A segment ends at each record that is higher than all after
//! it. What leaves, or comes late, changes the segment that it is in and no other.
//!
//! The arithmetic: a record of height *h* comes once in 2^(*h* + 1), and takes what came since the last
//! one as high into one segment, which has about as many. So with *n* records behind the recent ones,
//! there are about ½ log2(*n* / 16) segments, a record is written about log2(*n* / 16) times until it is
//! one of *n*, and a segment of *n* records is written again after *n* more, give or take a factor. With 100,000
//! records that are 6 segments, and 12 times 24 bytes for each new record.

use keywright_verifier::revocation::{MAX_RECENT_RECORDS, Record, SelectorKind};
use ring::digest;

/// The most records in the head itself. It comes once a second, so that half of those that fit cost less
/// than one segment more.
const MOST_RECENT: usize = MAX_RECENT_RECORDS / 2;

/// A record to be laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayoutRecord {
    /// What the feed has.
    pub record: Record,
    /// Of its selector.
    pub kind: SelectorKind,
    /// The [`height`] of its identifier.
    pub height: u8,
}

/// How high a record with this identifier stands: at most 63, so that no more segments end than a head
/// names. Identifiers are random, and the service alone chooses them.
pub fn height(id: &str) -> u8 {
    let hash = digest::digest(&digest::SHA256, id.as_bytes());
    let bits = hash.as_ref().iter().take(8);
    let bits = bits.fold(0, |bits, byte| bits << 8 | u64::from(*byte));
    // Between 0 and 63.
    (bits | 1 << 63).trailing_zeros() as u8
}

/// Records in the parts of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout<'r> {
    /// The newest, in the order in which they changed.
    pub recent: &'r [LayoutRecord],
    /// The others, the oldest first. None is empty.
    pub segments: Vec<&'r [LayoutRecord]>,
}

impl<'r> Layout<'r> {
    /// Lays out records that stand in the order in which they last changed.
    pub fn of(records: &'r [LayoutRecord]) -> Self {
        let (mut rest, recent) = records.split_at(cut(records));
        let mut segments = Vec::new();
        while let Some(last) = rest.last() {
            let is_higher = |earlier: &LayoutRecord| earlier.height > last.height;
            let begin = rest.iter().rposition(is_higher);
            let (before, segment) = rest.split_at(begin.map_or(0, |place| place + 1));
            segments.push(segment);
            rest = before;
        }
        segments.reverse();
        Self { recent, segments }
    }
}

/// From which place on records stand in the head: after the highest of those that leave few enough.
fn cut(records: &[LayoutRecord]) -> usize {
    let Some(first) = records.len().checked_sub(MOST_RECENT + 1) else {
        return 0;
    };
    let places = records.iter().enumerate().skip(first);
    let highest = places.max_by_key(|(_, one)| one.height);
    highest.map_or(0, |(place, _)| place + 1)
}

#[cfg(test)]
mod tests;
