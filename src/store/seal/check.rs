//! Which master key seals what is new in a store.
//!
//! One setting of the store says it, so that all processes of the store seal with the same key: a
//! short text, sealed with that very key. Its record names the key, whoever opens it has the key,
//! and the text says whether the records of another key are being sealed anew. It is written once
//! by the first process and replaced by compare-and-swap.

use keywright_verifier::Kid;
use ring::aead::NONCE_LEN;

use super::{Fingerprint, MasterKey, MasterKeys, Record, UnsealError};
use crate::lifecycle::IssuerName;
use crate::store::{Kind, RecordKey};

/// The name of the setting.
pub const SETTING: &str = "master-key-check";

/// The record of the setting.
pub fn record_key() -> RecordKey {
    RecordKey::unowned(Kind::Setting, SETTING)
}

const SETTLED: &[u8] = b"master-key-check";
const ROTATING: &[u8] = b"master-key-check rotating";

/// Whether all records are sealed with the key that seals what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// They are.
    Settled,
    /// They are being sealed anew with it.
    Rotating,
}

/// What the setting says.
#[derive(Debug)]
pub struct Sealing<'a> {
    /// The key that seals what is new.
    pub key: &'a MasterKey,
    /// Whether it has sealed everything.
    pub progress: Progress,
}

/// The key that a setting names; `None` when it was written before keys had names, or is corrupt.
pub fn named(setting: &[u8]) -> Option<Fingerprint> {
    Record::read(setting).ok()?.sealed_with
}

/// Reads the setting.
///
/// # Errors
/// [`UnsealError`] when the key that seals is none of these.
pub fn read<'a>(keys: &'a MasterKeys, setting: &[u8]) -> Result<Sealing<'a>, UnsealError> {
    let (issuer, kid) = row().ok_or(UnsealError::DoesNotOpen)?;
    let (key, text) = keys.open_with(&issuer, &kid, setting)?;
    let progress = match text.as_slice() {
        SETTLED => Progress::Settled,
        ROTATING => Progress::Rotating,
        _ => return Err(UnsealError::UnknownFormat),
    };
    Ok(Sealing { key, progress })
}

/// Writes the setting. `nonce` must be fresh random bytes; `None` when the cipher refuses.
pub fn write(key: &MasterKey, progress: Progress, nonce: [u8; NONCE_LEN]) -> Option<Vec<u8>> {
    let (issuer, kid) = row()?;
    let text = match progress {
        Progress::Settled => SETTLED,
        Progress::Rotating => ROTATING,
    };
    key.seal(&issuer, &kid, text, nonce)
}

/// The row that it is sealed for. A key of an issuer of this name would have to have this kid, too.
fn row() -> Option<(IssuerName, Kid)> {
    Some((IssuerName::parse(SETTING).ok()?, Kid::parse(SETTING).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{master, unnamed};
    use super::*;

    #[test]
    fn the_setting_names_its_key_and_says_how_far_it_is() {
        let keys = MasterKeys::new(master(1), vec![master(2)]).unwrap();
        for (byte, progress) in [(1, Progress::Settled), (2, Progress::Rotating)] {
            let setting = write(&master(byte), progress, [7; 12]).unwrap();
            let sealing = read(&keys, &setting).unwrap();
            assert_eq!(sealing.key.fingerprint(), master(byte).fingerprint());
            assert_eq!(sealing.progress, progress);
            assert_eq!(named(&setting), Some(master(byte).fingerprint()));
        }
        let setting = write(&master(3), Progress::Settled, [7; 12]).unwrap();
        let missing = UnsealError::MissingKey(master(3).fingerprint());
        assert_eq!(read(&keys, &setting).unwrap_err(), missing);
    }

    #[test]
    fn what_was_written_before_keys_had_names_still_reads() {
        let keys = MasterKeys::new(master(1), vec![master(2)]).unwrap();
        let (issuer, kid) = row().unwrap();
        let setting = unnamed(&master(2), &issuer, &kid, SETTLED);
        let sealing = read(&keys, &setting).unwrap();
        assert_eq!(sealing.key.fingerprint(), master(2).fingerprint());
        assert_eq!(sealing.progress, Progress::Settled);
        assert_eq!(named(&setting), None);
    }

    #[test]
    fn another_record_of_the_same_key_is_no_setting() {
        let keys = MasterKeys::of(master(1));
        let (issuer, kid) = row().unwrap();
        let other = master(1).seal(&issuer, &kid, b"private", [7; 12]).unwrap();
        assert_eq!(read(&keys, &other).unwrap_err(), UnsealError::UnknownFormat);
    }
}
