//! The bytes of a backup.

use keywright::backup::file::{BackupError, Header, Reader, Writer};
use keywright::lifecycle::Timestamp;
use keywright::store::chain::{LogHead, StoredEvent};
use keywright::store::seal::MasterKey;
use keywright::store::transfer::Entry;
use zeroize::Zeroizing;

fn master_key(byte: u8) -> MasterKey {
    MasterKey::new(&Zeroizing::new([byte; 32])).unwrap()
}

fn event(sequence: i64, length: usize) -> Entry {
    Entry::Event(StoredEvent {
        sequence,
        at: 1_800_000_000_123,
        issuer: None,
        document: vec![b'x'; length],
        hash: Some(vec![7; 32]),
    })
}

/// Events of this length, and the end.
fn entries(count: i64, length: usize) -> Vec<Entry> {
    let events = (1..=count).map(|number| event(number, length));
    events.chain([Entry::End]).collect()
}

fn write(entries: &[Entry]) -> Vec<u8> {
    let key = master_key(1);
    let header = Header::new(
        Timestamp::from_seconds(1_800_000_000),
        LogHead::BEGINNING,
        &key,
    );
    let (mut writer, mut bytes) =
        Writer::begin(&header, &key, &keywright::engine::Entropy::system()).unwrap();
    for entry in entries {
        bytes.append(&mut writer.write(entry.clone()).unwrap());
    }
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<Entry>, BackupError> {
    let key = master_key(1);
    let mut reader = Reader::begin(bytes, |wanted| {
        (wanted == key.fingerprint()).then_some(&key)
    })?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_row()? {
        entries.push(entry);
    }
    Ok(entries)
}

/// Where each chunk begins, and the end.
fn chunks(bytes: &[u8]) -> Vec<usize> {
    let lines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let mut at = lines.map(|(index, _)| index + 1).nth(1).unwrap();
    let mut starts = vec![at];
    while at < bytes.len() {
        let length: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
        at += 4 + u32::from_be_bytes(length) as usize;
        starts.push(at);
    }
    starts
}

#[test]
fn rows_come_back_as_they_went_in_whatever_their_length() {
    for (count, length) in [(0, 0), (1, 10), (3, 65_536), (1, 400_000), (2000, 300)] {
        let entries = entries(count, length);
        assert_eq!(read(&write(&entries)).unwrap(), entries);
    }
}

#[test]
fn no_backup_is_like_another_and_nothing_of_it_can_be_read_without_the_key() {
    let entries = entries(3, 100);
    let (one, other) = (write(&entries), write(&entries));
    assert_ne!(one, other);
    assert!(!one.windows(20).any(|window| window == [b'x'; 20]));
    let stranger = Reader::begin(one.as_slice(), |_| None);
    assert!(matches!(
        stranger.err(),
        Some(BackupError::OtherMasterKey(_))
    ));
    // Another key under the same name opens nothing either.
    let other_key = master_key(2);
    let mut stranger = Reader::begin(one.as_slice(), |_| Some(&other_key)).unwrap();
    assert!(matches!(stranger.next_row(), Err(BackupError::Altered(0))));
}

#[test]
fn no_altered_byte_and_no_end_goes_unnoticed() {
    let bytes = write(&entries(2, 50));
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        assert!(read(&altered).is_err(), "byte {index}");
    }
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "length {length}");
    }
    assert!(read(&[&bytes[..], b"\0"].concat()).is_err());
}

#[test]
fn no_chunk_can_be_left_out_moved_repeated_or_taken_from_another_backup() {
    let entries = entries(900, 300);
    let (bytes, other) = (write(&entries), write(&entries));
    let (starts, others) = (chunks(&bytes), chunks(&other));
    let count = starts.len() - 1;
    assert!(count >= 4, "{count} chunks");
    let head = &bytes[..starts[0]];
    let chunk = |number: usize| &bytes[starts[number]..starts[number + 1]];
    let whole: Vec<&[u8]> = (0..count).map(chunk).collect();
    let build_snapshot = |parts: &[&[u8]]| [head, &parts.concat()].concat();
    assert_eq!(read(&build_snapshot(&whole)).unwrap(), entries);
    for number in 0..count {
        let mut without = whole.clone();
        without.remove(number);
        assert!(read(&build_snapshot(&without)).is_err(), "without {number}");
        let mut twice = whole.clone();
        twice.insert(number, whole[number]);
        assert!(read(&build_snapshot(&twice)).is_err(), "{number} twice");
        let mut foreign = whole.clone();
        foreign[number] = &other[others[number]..others[number + 1]];
        assert!(
            read(&build_snapshot(&foreign)).is_err(),
            "a foreign {number}"
        );
        if number > 0 {
            let mut moved = whole.clone();
            moved.swap(number - 1, number);
            assert!(read(&build_snapshot(&moved)).is_err(), "{number} moved");
        }
    }
    for length in 0..count {
        let cut_off = read(&build_snapshot(&whole[..length]));
        assert!(matches!(cut_off, Err(BackupError::CutOff(_))), "{length}");
    }
}
