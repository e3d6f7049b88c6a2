//! Keys of grants at rest. There may be millions of them, so that each is sealed under a key of its own:
//! HKDF-Expand of the master key for this issuer and grant. What is moved to another row does not open,
//! and no key ever seals enough for two random nonces to meet.

use ring::aead::{AES_256_GCM, LessSafeKey, NONCE_LEN, UnboundKey};
use zeroize::Zeroizing;

use super::{Fingerprint, MasterKey, MasterKeys, Record, UnsealError, open_under, seal_under};
use crate::lifecycle::IssuerName;

const PURPOSE: &[u8] = b"keywright sealed grant";

impl MasterKey {
    /// Seals the key of a grant for its row. `nonce` must be fresh random bytes.
    ///
    /// Returns `None` when the cipher refuses, which it does only for gigabytes of input.
    pub fn seal_grant(
        &self,
        issuer: &IssuerName,
        grant: &str,
        key: &[u8],
        nonce: [u8; NONCE_LEN],
    ) -> Option<Vec<u8>> {
        let head = self.head();
        seal_under(&self.grant_key(issuer, grant)?, &head, &head, key, nonce)
    }

    fn grant_key(&self, issuer: &IssuerName, grant: &str) -> Option<LessSafeKey> {
        let issuer = issuer.as_str().as_bytes();
        let info = [PURPOSE, b"\0", issuer, b"\0", grant.as_bytes()];
        let okm = self.derivation.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(okm)))
    }
}

impl MasterKeys {
    /// Opens the key of a grant that one of the keys has sealed for the same row, and says which.
    ///
    /// # Errors
    /// [`UnsealError`]; nothing of the contents is revealed.
    pub fn open_grant(
        &self,
        issuer: &IssuerName,
        grant: &str,
        sealed: &[u8],
    ) -> Result<(Fingerprint, Zeroizing<Vec<u8>>), UnsealError> {
        let record = Record::read(sealed)?;
        let named = record.sealed_with.ok_or(UnsealError::UnknownFormat)?;
        let master = self.find(named).ok_or(UnsealError::MissingKey(named))?;
        let key = master.grant_key(issuer, grant);
        key.and_then(|key| open_under(&key, record.head, record.body))
            .map(|text| (named, text))
            .ok_or(UnsealError::DoesNotOpen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::master;
    use super::*;

    #[test]
    fn what_was_sealed_opens_in_its_own_row_alone() {
        let issuer = |name| IssuerName::parse(name).unwrap();
        let keys = MasterKeys::new(master(1), vec![master(2)]).unwrap();
        let sealed = master(2).seal_grant(&issuer("a"), "g1", b"grant key", [7; 12]);
        let sealed = sealed.unwrap();
        assert!(sealed.starts_with(&master(2).head()));
        let (by, text) = keys.open_grant(&issuer("a"), "g1", &sealed).unwrap();
        assert_eq!(
            (by, text.as_slice()),
            (master(2).fingerprint(), b"grant key".as_slice())
        );
        for (name, grant) in [("b", "g1"), ("a", "g2"), ("a", "")] {
            let moved = keys.open_grant(&issuer(name), grant, &sealed);
            assert_eq!(moved, Err(UnsealError::DoesNotOpen), "{name} {grant}");
        }
        let missing = MasterKeys::of(master(1)).open_grant(&issuer("a"), "g1", &sealed);
        assert_eq!(
            missing,
            Err(UnsealError::MissingKey(master(2).fingerprint()))
        );
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(
                keys.open_grant(&issuer("a"), "g1", &altered).is_err(),
                "byte {index}"
            );
            assert!(
                keys.open_grant(&issuer("a"), "g1", &sealed[..index])
                    .is_err()
            );
        }
    }

    #[test]
    fn a_private_key_does_not_open_as_a_grants() {
        let (issuer, kid) = super::super::samples::names();
        let sealed = master(1).seal(&issuer, &kid, b"private", [7; 12]).unwrap();
        let opened = MasterKeys::of(master(1)).open_grant(&issuer, kid.as_str(), &sealed);
        assert_eq!(opened, Err(UnsealError::DoesNotOpen));
    }
}
