//! The master keys of one process.

use keywright_verifier::Kid;
use zeroize::Zeroizing;

use super::{Fingerprint, MasterKey, Record, UnsealError};
use crate::lifecycle::IssuerName;

/// The master keys that a process has, at least one. Each opens what it has sealed; which of them
/// seals what is new is decided by the store, for every process alike ([`check`](super::check)).
#[derive(Debug)]
pub struct MasterKeys {
    first: MasterKey,
    further: Vec<MasterKey>,
}

impl MasterKeys {
    /// One key alone.
    pub fn of(key: MasterKey) -> Self {
        Self {
            first: key,
            further: Vec::new(),
        }
    }

    /// Several keys. `None` when one of them comes twice.
    pub fn new(first: MasterKey, further: Vec<MasterKey>) -> Option<Self> {
        let keys = Self { first, further };
        let mut fingerprints = keys.fingerprints();
        fingerprints.sort_unstable();
        let count = fingerprints.len();
        fingerprints.dedup();
        (fingerprints.len() == count).then_some(keys)
    }

    /// The key that seals a store which is new.
    pub fn first(&self) -> &MasterKey {
        &self.first
    }

    /// The key with this fingerprint.
    pub fn find(&self, fingerprint: Fingerprint) -> Option<&MasterKey> {
        self.all().find(|key| key.fingerprint() == fingerprint)
    }

    /// The fingerprint of every key, the first one first.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        self.all().map(MasterKey::fingerprint).collect()
    }

    /// Opens what one of the keys has sealed for the same row.
    ///
    /// # Errors
    /// [`UnsealError`]; nothing of the contents is revealed.
    pub fn open(
        &self,
        issuer: &IssuerName,
        kid: &Kid,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        self.open_with(issuer, kid, sealed).map(|(_, text)| text)
    }

    /// Opens what one of the keys has sealed for the same row, and says which.
    ///
    /// # Errors
    /// [`UnsealError`]; nothing of the contents is revealed.
    pub fn open_with(
        &self,
        issuer: &IssuerName,
        kid: &Kid,
        sealed: &[u8],
    ) -> Result<(&MasterKey, Zeroizing<Vec<u8>>), UnsealError> {
        let record = Record::read(sealed)?;
        if let Some(fingerprint) = record.sealed_with
            && self.find(fingerprint).is_none()
        {
            return Err(UnsealError::MissingKey(fingerprint));
        }
        let may_fit = |key: &&MasterKey| {
            let named = record.sealed_with;
            named.is_none_or(|named| named == key.fingerprint())
        };
        self.all()
            .filter(may_fit)
            .find_map(|key| Some((key, key.open(issuer, kid, &record)?)))
            .ok_or(UnsealError::DoesNotOpen)
    }

    fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.first).chain(&self.further)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{master, names, unnamed};
    use super::*;

    #[test]
    fn each_key_opens_its_own_and_records_without_a_name_are_tried_with_all() {
        let (issuer, kid) = names();
        let keys = MasterKeys::new(master(1), vec![master(2), master(3)]).unwrap();
        for byte in 1..=3 {
            let key = master(byte);
            for sealed in [
                key.seal(&issuer, &kid, b"private", [7; 12]).unwrap(),
                unnamed(&key, &issuer, &kid, b"private"),
            ] {
                let (opened_by, text) = keys.open_with(&issuer, &kid, &sealed).unwrap();
                assert_eq!(opened_by.fingerprint(), key.fingerprint());
                assert_eq!(text.as_slice(), b"private");
            }
        }
        let stranger = unnamed(&master(4), &issuer, &kid, b"private");
        assert_eq!(
            keys.open(&issuer, &kid, &stranger),
            Err(UnsealError::DoesNotOpen)
        );
    }

    #[test]
    fn no_key_comes_twice() {
        assert!(MasterKeys::new(master(1), vec![master(2), master(1)]).is_none());
        assert!(MasterKeys::new(master(1), vec![master(2), master(2)]).is_none());
        let keys = MasterKeys::new(master(1), vec![master(2)]).unwrap();
        assert_eq!(
            keys.fingerprints(),
            [master(1).fingerprint(), master(2).fingerprint()]
        );
    }
}
