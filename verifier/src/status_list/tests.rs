//! The vectors of the draft (§4.1, §4.2, appendix C), which were not made by the code that they test.

use super::*;

/// The draft's vectors: the bits, `lst`, and the entries that are not zero.
const VECTORS: &str = include_str!("../../tests/status_lists/vectors.json");

#[derive(serde::Deserialize)]
struct Vector {
    bits: u64,
    lst: Vec<String>,
    entries: u64,
    statuses: Vec<(u64, u8)>,
}

#[test]
fn the_vectors_of_the_draft_are_read_and_written() {
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    for vector in vectors {
        let bits = StatusBits::of(vector.bits).unwrap();
        let bytes = usize::try_from(vector.entries * vector.bits / 8).unwrap();
        let list = StatusList::decode(bits, &vector.lst.concat(), bytes).unwrap();
        assert_eq!(list.byte_count(), bytes);
        let mut expected = StatusList::all_valid(bits, usize::try_from(vector.entries).unwrap());
        for (index, status) in &vector.statuses {
            assert_eq!(list.status(*index), Some(*status), "{index}");
            assert!(expected.set(*index, *status));
        }
        assert_eq!(list, expected, "{} bits", vector.bits);
        assert_eq!(
            list.status(vector.entries - 1),
            expected.status(vector.entries - 1)
        );
        assert_eq!(list.status(vector.entries), None);
        let again = StatusList::decode(bits, &expected.encode(), bytes).unwrap();
        assert_eq!(again, expected);
    }
}

#[test]
fn an_entry_that_is_written_most_significant_bit_first_is_another_one() {
    let mut list = StatusList::all_valid(StatusBits::One, 16);
    assert!(list.set(0, INVALID));
    assert_eq!(list.bytes(), [0b0000_0001, 0]);
    assert!(list.set(9, INVALID));
    assert_eq!(list.bytes(), [0b0000_0001, 0b0000_0010]);
    assert!(list.set(0, VALID));
    assert!(!list.set(16, INVALID), "past the end");
    assert!(!list.set(1, SUSPENDED), "it has one bit");
    assert_eq!(list.bytes(), [0, 0b0000_0010]);
}

#[test]
fn no_more_is_inflated_than_is_allowed() {
    // 64 MiB of zeros, in 64 KiB.
    let bomb = StatusList::all_valid(StatusBits::Eight, 64 << 20).encode();
    assert!(bomb.len() < 100_000);
    for most in [0, 1, 131_072] {
        let refused = StatusList::decode(StatusBits::One, &bomb, most);
        assert_eq!(refused, Err(InvalidStatusList::Size { max_bytes: most }));
    }
}

#[test]
fn what_is_not_one_whole_stream_of_zlib_is_no_list() {
    let whole = StatusList::all_valid(StatusBits::One, 1024).encode();
    let bytes = crate::base64url::decode(&whole).unwrap();
    let read =
        |bytes: &[u8]| StatusList::decode(StatusBits::One, &crate::base64url::encode(bytes), 4096);
    assert!(read(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert_eq!(
            read(&bytes[..length]),
            Err(InvalidStatusList::NotZlib),
            "{length}"
        );
    }
    assert_eq!(
        read(&[&bytes[..], b"x"].concat()),
        Err(InvalidStatusList::NotZlib)
    );
    let mut altered = bytes.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(read(&altered), Err(InvalidStatusList::NotZlib));
    // Without the wrapper of zlib it is raw DEFLATE, which the draft does not have.
    assert_eq!(read(&bytes[2..]), Err(InvalidStatusList::NotZlib));
    let padded = format!("{whole}=");
    assert_eq!(
        StatusList::decode(StatusBits::One, &padded, 4096),
        Err(InvalidStatusList::NotBase64url)
    );
}

/// Sizes that the documents promise: entries of 2^20 bits, revoked at random.
#[test]
fn a_list_of_a_million_entries_is_as_short_as_the_documents_say() {
    for (revoked, base64url_bytes) in [(1, 208), (100, 596), (1000, 2980), (10_486, 19_484)] {
        let mut list = StatusList::all_valid(StatusBits::One, 1 << 20);
        // A generator as in MINSTD: spread as random ones are, and the same each time.
        let mut state: u64 = 20_261_130;
        let mut left = revoked;
        while left > 0 {
            state = state * 48_271 % 0x7fff_ffff;
            let index = state % (1 << 20);
            if list.status(index) == Some(VALID) {
                list.set(index, INVALID);
                left -= 1;
            }
        }
        let length = list.encode().len();
        // zlib-rs needs a little less than zlib, whose sizes these are.
        assert!(
            length <= base64url_bytes + base64url_bytes / 10,
            "{revoked}: {length}"
        );
        assert!(
            length >= base64url_bytes - base64url_bytes / 5,
            "{revoked}: {length}"
        );
    }
}
