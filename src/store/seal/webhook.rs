//! Secrets of webhooks at rest. Each is sealed under a key of its own: HKDF-Expand of the master key for this
//! webhook. What is moved to another row does not open.

use ring::aead::{AES_256_GCM, LessSafeKey, NONCE_LEN, UnboundKey};
use zeroize::Zeroizing;

use super::{Fingerprint, MasterKey, MasterKeys, Record, UnsealError, open_under, seal_under};

const PURPOSE: &[u8] = b"keywright sealed webhook";

impl MasterKey {
    /// Seals the secrets of a webhook for its row. `nonce` must be fresh random bytes.
    ///
    /// Returns `None` when the cipher refuses, which it does only for gigabytes of input.
    pub fn seal_webhook(
        &self,
        webhook: &str,
        secrets: &[u8],
        nonce: [u8; NONCE_LEN],
    ) -> Option<Vec<u8>> {
        let head = self.head();
        seal_under(&self.webhook_key(webhook)?, &head, &head, secrets, nonce)
    }

    fn webhook_key(&self, webhook: &str) -> Option<LessSafeKey> {
        let info = [PURPOSE, b"\0", webhook.as_bytes()];
        let okm = self.derivation.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(okm)))
    }
}

impl MasterKeys {
    /// Opens the secrets of a webhook that one of the keys has sealed for the same row, and says which.
    ///
    /// # Errors
    /// [`UnsealError`]; nothing of the contents is revealed.
    pub fn open_webhook(
        &self,
        webhook: &str,
        sealed: &[u8],
    ) -> Result<(Fingerprint, Zeroizing<Vec<u8>>), UnsealError> {
        let record = Record::read(sealed)?;
        let named = record.sealed_with.ok_or(UnsealError::UnknownFormat)?;
        let master = self.find(named).ok_or(UnsealError::MissingKey(named))?;
        let key = master.webhook_key(webhook);
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
        let keys = MasterKeys::new(master(1), vec![master(2)]).unwrap();
        let sealed = master(2).seal_webhook("w1", b"secret", [7; 12]).unwrap();
        let (by, text) = keys.open_webhook("w1", &sealed).unwrap();
        assert_eq!(
            (by, text.as_slice()),
            (master(2).fingerprint(), b"secret".as_slice())
        );
        assert_eq!(
            keys.open_webhook("w2", &sealed),
            Err(UnsealError::DoesNotOpen)
        );
        let missing = MasterKeys::of(master(1)).open_webhook("w1", &sealed);
        assert_eq!(
            missing,
            Err(UnsealError::MissingKey(master(2).fingerprint()))
        );
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(keys.open_webhook("w1", &altered).is_err(), "byte {index}");
        }
    }
}
