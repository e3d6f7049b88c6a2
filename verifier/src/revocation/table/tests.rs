use proptest::prelude::*;

use super::*;
use crate::revocation::{Selector, segment_bytes};

const SALT: [u8; 32] = [3; 32];

fn subject(name: &str) -> Selector {
    Selector::new(SelectorKind::Subject, &[name]).unwrap()
}

fn record(name: &str, issued_before: Option<u64>) -> Record {
    Record {
        digest: subject(name).digest(&Salt::new(SALT)),
        issued_before,
    }
}

/// A content of these segments, and their bytes.
fn content(recent: Vec<Record>, segments: &[Vec<Record>]) -> (Content, Vec<Vec<u8>>) {
    let bytes: Vec<_> = segments.iter().cloned().map(segment_bytes).collect();
    let references = bytes.iter().map(|bytes| SegmentReference {
        hash: segment_hash(bytes),
        count: u32::try_from(bytes.len() / 24).unwrap(),
    });
    let content = Content {
        salt: Salt::new(SALT),
        kinds: SelectorKinds::from_iter([SelectorKind::Subject]),
        recent,
        segments: references.collect(),
    };
    (content, bytes)
}

fn slices(segments: &[Vec<u8>]) -> Vec<&[u8]> {
    segments.iter().map(Vec::as_slice).collect()
}

fn table(recent: Vec<Record>, segments: &[Vec<Record>]) -> RevocationTable {
    let (content, bytes) = content(recent, segments);
    RevocationTable::new(&content, &slices(&bytes)).unwrap()
}

#[test]
fn closed_revocation_refuses_what_was_issued_before_it() {
    let table = table(vec![record("a", Some(100))], &[]);
    let is_refused = |issued_at| table.find([subject("a").as_ref()], issued_at, 0).is_some();
    assert!(is_refused(Some(99)));
    assert!(!is_refused(Some(100)));
    assert!(!is_refused(Some(u64::MAX)));
    assert!(is_refused(None));
    assert_eq!(table.find([subject("b").as_ref()], None, 0), None);
}

#[test]
fn open_revocation_refuses_what_was_issued_until_its_head_was() {
    let table = table(vec![], &[vec![record("a", None)]]);
    let found = |issued_at| {
        table.find(
            [Selector::Issuer.as_ref(), subject("a").as_ref()],
            issued_at,
            100,
        )
    };
    for issued_at in [None, Some(0), Some(100)] {
        assert_eq!(
            found(issued_at),
            Some(SelectorKind::Subject),
            "{issued_at:?}"
        );
    }
    // The replica that signed it knew, and has waited.
    assert_eq!(found(Some(101)), None);
}

#[test]
fn open_revocation_takes_nothing_from_a_closed_one() {
    let table = table(vec![record("a", Some(200)), record("a", None)], &[]);
    let found = |issued_at| table.find([subject("a").as_ref()], Some(issued_at), 100);
    assert!(found(199).is_some());
    assert!(found(200).is_none());
}

#[test]
fn kinds_without_a_record_are_not_looked_up() {
    let revoked = record("a", Some(100));
    let (content, _) = content(vec![revoked], &[]);
    let found = |kinds: SelectorKinds| {
        let content = Content {
            kinds,
            ..content.clone()
        };
        let table = RevocationTable::new(&content, &[]).unwrap();
        table.find([subject("a").as_ref()], Some(99), 0).is_some()
    };
    assert!(found(content.kinds));
    assert!(found(SelectorKinds::ALL));
    let others = SelectorKind::ALL
        .into_iter()
        .filter(|kind| *kind != SelectorKind::Subject);
    assert!(!found(others.collect()));
}

#[test]
fn other_segments_than_the_named_are_refused() {
    let (content, bytes) = content(
        vec![],
        &[vec![record("a", None)], vec![record("b", Some(1))]],
    );
    let is_refused =
        |segments: &[Vec<u8>]| RevocationTable::new(&content, &slices(segments)).is_err();
    assert!(!is_refused(&bytes));
    assert!(is_refused(&bytes[..1]));
    assert!(is_refused(&[bytes[1].clone(), bytes[0].clone()]));
    assert!(is_refused(&[bytes[0].clone(), bytes[1][..23].to_vec()]));
    assert!(is_refused(&[
        bytes[0].clone(),
        [&bytes[1][..], &[0]].concat()
    ]));
    assert!(is_refused(&[bytes[0].clone(), vec![0; 24]]));
}

#[test]
fn table_is_carried_on_while_the_segments_are_the_same() {
    let segment = vec![record("old", Some(9))];
    let before = table(vec![], std::slice::from_ref(&segment));
    let (next, _) = content(vec![record("new", Some(9))], &[segment]);
    let after = before.with_content(&next).unwrap();
    assert!(after.find([subject("old").as_ref()], Some(8), 0).is_some());
    assert!(after.find([subject("new").as_ref()], Some(8), 0).is_some());
    assert!(before.find([subject("new").as_ref()], Some(8), 0).is_none());
    let (other, _) = content(vec![], &[vec![record("new", Some(9))]]);
    assert!(before.with_content(&other).is_none());
}

/// When the head was issued that has the records.
const HEAD_ISSUED_AT: u64 = 4;

fn records() -> impl Strategy<Value = Vec<Record>> {
    let name = prop::sample::select(&["a", "b", "c"][..]);
    let issued_before = prop::option::of(0_u64..6);
    let record = (name, issued_before).prop_map(|(name, before)| record(name, before));
    prop::collection::vec(record, 0..12)
}

proptest! {
    // Law (c) of revocations: any order of the same ones gives the same set.
    #[test]
    fn any_order_and_any_place_of_the_same_records_refuses_the_same(
        records in records(),
        shuffled in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let inline = table(records.clone(), &[]);
        let mut rotated = records.clone();
        if !rotated.is_empty() {
            rotated.rotate_left(shuffled.index(records.len()));
            rotated.reverse();
        }
        let at = cut.index(records.len() + 1);
        let (recent, older) = rotated.split_at(at);
        let (one, other) = older.split_at(older.len() / 2);
        let elsewhere = table(recent.to_vec(), &[one.to_vec(), other.to_vec()].into_iter().filter(|segment| !segment.is_empty()).collect::<Vec<_>>());
        for name in ["a", "b", "c", "d"] {
            for issued_at in [None, Some(0), Some(3), Some(5), Some(6)] {
                let expected = records.iter().any(|known| {
                    known.digest == record(name, None).digest
                        && issued_at.is_none_or(|issued_at| {
                            issued_at < known.issued_before.unwrap_or(HEAD_ISSUED_AT + 1)
                        })
                });
                let found = |table: &RevocationTable| table.find([subject(name).as_ref()], issued_at, HEAD_ISSUED_AT).is_some();
                prop_assert_eq!(found(&inline), expected);
                prop_assert_eq!(found(&elsewhere), expected);
            }
        }
    }
}
