//! In which parts the feed has all of an issuer's revocations.
//!
//! The newest records stand in the head itself. The others are in segments, each of which has those
//! of one range of seconds. The ranges are those of a log-structured merge tree, and follow from the
//! records alone: two processes that know the same write the same, and a record that is added
//! changes only segments that are young.

use keywright_verifier::revocation::{MAX_RECENT_RECORDS as MOST_RECENT, Record};

/// Records in the parts of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The newest, in the order in which they changed.
    pub recent: Vec<Record>,
    /// The others, the oldest first. None is empty.
    pub segments: Vec<Vec<Record>>,
}

impl Layout {
    /// Lays out records that stand in the order of the second in which each last changed.
    pub fn of(records: &[(u64, Record)]) -> Self {
        let cut = cut(records);
        let (old, recent) = records.split_at(records.partition_point(|(second, _)| *second < cut));
        let mut segments = Vec::new();
        let (mut rest, mut begin) = (old, 0);
        for bit in (0..u64::BITS).rev().map(|bit| 1 << bit) {
            if cut & bit == 0 {
                continue;
            }
            begin += bit;
            let (segment, after) = rest.split_at(rest.partition_point(|(at, _)| *at < begin));
            rest = after;
            if !segment.is_empty() {
                segments.push(records_of(segment));
            }
        }
        Self {
            recent: records_of(recent),
            segments,
        }
    }
}

fn records_of(records: &[(u64, Record)]) -> Vec<Record> {
    records.iter().map(|(_, record)| *record).collect()
}

/// The second from which on records stand in the head: the roundest in binary of those that leave few
/// enough, so that it moves rarely.
fn cut(records: &[(u64, Record)]) -> u64 {
    let Some((newest, _)) = records.last() else {
        return 0;
    };
    let too_many = records.len().checked_sub(MOST_RECENT + 1);
    let Some((crowded, _)) = too_many.and_then(|place| records.get(place)) else {
        return 0;
    };
    // The bits above the highest in which the two differ are those of every second between them.
    let (earliest, latest) = (crowded + 1, newest + 1);
    let highest = u64::BITS - (crowded ^ latest).leading_zeros();
    match highest.checked_sub(1) {
        Some(bit) => (latest >> bit) << bit,
        None => earliest,
    }
}

#[cfg(test)]
mod tests {
    use keywright_verifier::revocation::{Digest, Record};
    use proptest::prelude::*;

    use super::*;

    fn record(number: u64) -> Record {
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        Record {
            digest: Digest::new(digest),
            issued_before: Some(number),
        }
    }

    fn records(seconds: &[u64]) -> Vec<(u64, Record)> {
        let mut seconds = seconds.to_vec();
        seconds.sort_unstable();
        let numbered = (0..).zip(seconds);
        numbered.map(|(number, at)| (at, record(number))).collect()
    }

    #[test]
    fn few_records_stand_in_the_head() {
        let few = records(&[1_800_000_000; MOST_RECENT]);
        let layout = Layout::of(&few);
        assert_eq!(
            (layout.recent.len(), layout.segments.len()),
            (MOST_RECENT, 0)
        );
        assert_eq!(Layout::of(&[]).recent, []);
    }

    #[test]
    fn too_many_of_one_second_stand_in_a_segment() {
        let many = records(&[1_800_000_000; 1000]);
        let layout = Layout::of(&many);
        assert_eq!(layout.recent, []);
        assert_eq!(layout.segments.iter().map(Vec::len).sum::<usize>(), 1000);
    }

    /// What a follower has to fetch: each record in few segments over its life.
    #[test]
    fn a_steady_stream_is_fetched_a_few_times_and_not_with_every_change() {
        let stream: Vec<u64> = (0..20_000).map(|at| 1_800_000_000 + at / 10).collect();
        let all = records(&stream);
        let mut known: Vec<Vec<Record>> = Vec::new();
        let mut fetched = 0;
        for end in (10..=all.len()).step_by(10) {
            let layout = Layout::of(&all[..end]);
            for segment in &layout.segments {
                if !known.contains(segment) {
                    fetched += segment.len();
                }
            }
            known = layout.segments;
        }
        assert!(fetched < 12 * all.len(), "{fetched} of {}", all.len());
    }

    proptest! {
        #[test]
        fn every_record_stands_in_one_place(
            seconds in prop::collection::vec(prop_oneof![0..400_u64, 1_800_000_000..1_800_000_300_u64], 0..400),
        ) {
            let all = records(&seconds);
            let layout = Layout::of(&all);
            prop_assert!(layout.recent.len() <= MOST_RECENT);
            prop_assert!(layout.segments.len() <= 64);
            prop_assert!(layout.segments.iter().all(|segment| !segment.is_empty()));
            let parts: Vec<Record> = layout.segments.concat().into_iter().chain(layout.recent).collect();
            prop_assert_eq!(parts, records_of(&all));
        }
    }
}
