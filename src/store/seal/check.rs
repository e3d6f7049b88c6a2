//! Which master key seals what is new in a store.
//!
//! One setting of the store says it, so that all processes of the store seal with the same key: a
//! short text, sealed with that very key. Its record names the key, a process that opens it has the
//! key, and the text says whether the records of another key are being sealed anew. It is written
//! once by the first process and replaced by compare-and-swap.

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
const ANNOUNCED: &[u8] = b"master-key-check announced ";

/// Whether all records are sealed with the key that seals what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MasterKeyRotation {
    /// They are.
    Idle,
    /// They are, and this key is to seal from soon on: a process that starts must have it, so that
    /// none can join without it while the others are asked whether they do.
    Announced(Fingerprint),
    /// They are being sealed anew with it.
    Running,
}

/// What the setting says.
#[derive(Debug)]
pub struct SealingKey<'a> {
    /// The key that seals what is new.
    pub key: &'a MasterKey,
    /// Whether it has sealed everything.
    pub rotation: MasterKeyRotation,
}

/// The key that a setting names; `None` when it was written before keys had names, or is corrupt.
pub fn named(setting: &[u8]) -> Option<Fingerprint> {
    Record::read(setting).ok()?.sealed_with
}

/// Reads the setting.
///
/// # Errors
/// [`UnsealError`] when the key that seals is none of these.
pub fn read<'a>(keys: &'a MasterKeys, setting: &[u8]) -> Result<SealingKey<'a>, UnsealError> {
    let (issuer, kid) = row().ok_or(UnsealError::DoesNotOpen)?;
    let (key, text) = keys.open_with(&issuer, &kid, setting)?;
    let rotation = match text.as_slice() {
        SETTLED => MasterKeyRotation::Idle,
        ROTATING => MasterKeyRotation::Running,
        text => MasterKeyRotation::Announced(announced(text).ok_or(UnsealError::UnknownFormat)?),
    };
    Ok(SealingKey { key, rotation })
}

/// Writes the setting. `nonce` must be fresh random bytes; `None` when the cipher refuses.
pub fn write(
    key: &MasterKey,
    rotation: MasterKeyRotation,
    nonce: [u8; NONCE_LEN],
) -> Option<Vec<u8>> {
    let (issuer, kid) = row()?;
    let text = match rotation {
        MasterKeyRotation::Idle => SETTLED.to_vec(),
        MasterKeyRotation::Running => ROTATING.to_vec(),
        MasterKeyRotation::Announced(next) => [ANNOUNCED, next.to_string().as_bytes()].concat(),
    };
    key.seal(&issuer, &kid, &text, nonce)
}

fn announced(text: &[u8]) -> Option<Fingerprint> {
    let next = text.strip_prefix(ANNOUNCED)?;
    std::str::from_utf8(next).ok()?.parse().ok()
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
        let next = MasterKeyRotation::Announced(master(2).fingerprint());
        for (byte, rotation) in [
            (1, MasterKeyRotation::Idle),
            (1, next),
            (2, MasterKeyRotation::Running),
        ] {
            let setting = write(&master(byte), rotation, [7; 12]).unwrap();
            let sealing = read(&keys, &setting).unwrap();
            assert_eq!(sealing.key.fingerprint(), master(byte).fingerprint());
            assert_eq!(sealing.rotation, rotation);
            assert_eq!(named(&setting), Some(master(byte).fingerprint()));
        }
        let setting = write(&master(3), MasterKeyRotation::Idle, [7; 12]).unwrap();
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
        assert_eq!(sealing.rotation, MasterKeyRotation::Idle);
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
