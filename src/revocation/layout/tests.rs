use std::collections::HashSet;

use keywright_verifier::revocation::{Digest, MAX_SEGMENTS};
use proptest::prelude::*;

use super::*;

fn record(number: u64, height: u8) -> LayoutRecord {
    let mut digest = [0; 16];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    let record = Record {
        digest: Digest::new(digest),
        issued_before: Some(number),
    };
    let kind = SelectorKind::Subject;
    LayoutRecord {
        record,
        kind,
        height,
    }
}

fn records(heights: &[u8]) -> Vec<LayoutRecord> {
    let numbered = (0..).zip(heights);
    numbered.map(|(at, height)| record(at, *height)).collect()
}

/// A record whose height is that of an identifier, as in the feed.
fn drawn(number: u64) -> LayoutRecord {
    record(number, height(&format!("revocation-{number}")))
}

#[test]
fn few_records_stand_in_the_head() {
    let few = records(&[0; MOST_RECENT]);
    let layout = Layout::of(&few);
    assert_eq!(
        (layout.recent.len(), layout.segments.len()),
        (MOST_RECENT, 0)
    );
    assert_eq!(Layout::of(&[]).recent, []);
}

#[test]
fn a_segment_ends_at_each_record_that_is_higher_than_all_after_it() {
    let mut heights = vec![1, 5, 2, 7, 7, 0, 3, 1, 3, 2];
    heights.extend([0; MOST_RECENT]);
    let all = records(&heights);
    let layout = Layout::of(&all);
    let heights = |part: &[LayoutRecord]| part.iter().map(|one| one.height).collect::<Vec<_>>();
    let segments: Vec<_> = layout.segments.iter().map(|part| heights(part)).collect();
    assert_eq!(segments, [vec![1, 5, 2, 7, 7], vec![0, 3, 1, 3], vec![2]]);
    assert_eq!(layout.recent, &all[10..]);
}

#[test]
fn heights_are_those_of_a_skip_list_and_the_same_in_every_build() {
    let count = |least: u8| {
        let ids = (0..4096).map(|number| format!("{number:024x}"));
        ids.filter(|id| height(id) >= least).count()
    };
    for (least, expected) in [(0, 4096), (1, 2048), (2, 1024), (5, 128)] {
        assert!(
            (expected * 3 / 4..=expected * 5 / 4).contains(&count(least)),
            "{least}: {}",
            count(least)
        );
    }
    let known = ["b23a540b54f0e9f5a0be3428", "", "a"];
    assert_eq!(known.map(height), [0, 2, 1]);
}

/// What a follower fetches that knew of 100,000 and asks once a second while there are ten more in each:
/// each record about twelve times, as the arithmetic has it, and 262 MB an hour with the layout of before.
#[test]
fn with_100_000_live_and_ten_more_a_second_a_follower_fetches_some_ten_megabytes_an_hour() {
    const LIVE: u64 = 100_000;
    const RATE: u64 = 10;
    const SECONDS: u64 = 900;
    let mut all: Vec<LayoutRecord> = (0..LIVE).map(drawn).collect();
    // Nothing leaves, so that a segment is the same when its place and its length are.
    let named = |all: &[LayoutRecord]| {
        let mut begin = 0;
        let segments = Layout::of(all).segments;
        let named = segments.into_iter().map(|segment| {
            begin += segment.len();
            (begin - segment.len(), segment.len())
        });
        named.collect::<HashSet<_>>()
    };
    let mut known = named(&all);
    let (mut fetched, mut most_segments) = (0, known.len());
    for second in 0..SECONDS {
        let first = LIVE + second * RATE;
        all.extend((first..first + RATE).map(drawn));
        let now = named(&all);
        fetched += now
            .difference(&known)
            .map(|(_, count)| count)
            .sum::<usize>();
        most_segments = most_segments.max(now.len());
        known = now;
    }
    let added = usize::try_from(RATE * SECONDS).unwrap();
    let megabytes = (fetched * Record::BYTES * 3600) as f64 / SECONDS as f64 / 1e6;
    println!(
        "each record {:.1} times, {megabytes:.1} MB an hour, {most_segments} segments at most",
        fetched as f64 / added as f64
    );
    assert!(fetched < 24 * added, "{fetched} of {added}");
    assert!(most_segments <= 16, "{most_segments}");
}

fn heights() -> impl Strategy<Value = Vec<u8>> {
    let drawn = any::<u64>().prop_map(|bits| (bits | 1 << 63).trailing_zeros() as u8);
    let height = prop_oneof![4 => drawn, 1 => 0_u8..64];
    prop::collection::vec(height, 0..400)
}

proptest! {
    #[test]
    fn every_record_stands_in_one_place(heights in heights()) {
        let all = records(&heights);
        let layout = Layout::of(&all);
        prop_assert!(layout.recent.len() <= MOST_RECENT);
        prop_assert!(layout.segments.len() <= MAX_SEGMENTS);
        prop_assert!(layout.segments.iter().all(|segment| !segment.is_empty()));
        let parts = [layout.segments.concat(), layout.recent.to_vec()].concat();
        prop_assert_eq!(parts, all);
    }

    #[test]
    fn what_leaves_changes_its_own_segment_and_at_most_the_next(
        heights in heights(),
        place in any::<prop::sample::Index>(),
    ) {
        let all = records(&heights);
        let before = Layout::of(&all).segments;
        let in_segments: usize = before.iter().map(|segment| segment.len()).sum();
        prop_assume!(in_segments > 0 && all.len() > 2 * MOST_RECENT);
        let mut left = all.clone();
        left.remove(place.index(in_segments.min(all.len() - MOST_RECENT - 1)));
        let after = Layout::of(&left).segments;
        let changed = before.iter().filter(|segment| !after.contains(segment)).count();
        prop_assert!(changed <= 2, "{changed}");
    }
}
