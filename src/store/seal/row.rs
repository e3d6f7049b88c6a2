//! Secrets of records at rest, other than private keys. Each is sealed under a key of its own: HKDF-Expand
//! of the master key for this row. What is moved to another row does not open, and no key ever seals enough
//! for two random nonces to meet.

use ring::aead::{AES_256_GCM, LessSafeKey, NONCE_LEN, UnboundKey};
use zeroize::Zeroizing;

use super::{Fingerprint, MasterKey, MasterKeys, Record, UnsealError, open_under, seal_under};
use crate::lifecycle::IssuerName;

/// The row that a secret is sealed for.
#[derive(Clone, Copy, Debug)]
pub enum SealedRow<'r> {
    /// The key of a grant of an issuer.
    Grant(&'r IssuerName, &'r str),
    /// The secrets of a webhook.
    Webhook(&'r str),
    /// What a stream of security events of an issuer is pushed with.
    EventStream(&'r IssuerName, &'r str),
}

impl SealedRow<'_> {
    /// The key that seals this row alone. The parts are told apart because none has a zero byte in it.
    fn key(self, master: &MasterKey) -> Option<LessSafeKey> {
        let info: &[&[u8]] = match self {
            Self::Grant(issuer, grant) => &[
                b"keywright sealed grant\0",
                issuer.as_str().as_bytes(),
                b"\0",
                grant.as_bytes(),
            ],
            Self::Webhook(webhook) => &[b"keywright sealed webhook\0", webhook.as_bytes()],
            Self::EventStream(issuer, stream) => &[
                b"keywright sealed event stream\0",
                issuer.as_str().as_bytes(),
                b"\0",
                stream.as_bytes(),
            ],
        };
        let okm = master.derivation.expand(info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(okm)))
    }
}

impl MasterKey {
    /// Seals the secret of a row. `nonce` must be fresh random bytes.
    ///
    /// Returns `None` when the cipher refuses, which it does only for gigabytes of input.
    pub fn seal_row(
        &self,
        row: SealedRow<'_>,
        secret: &[u8],
        nonce: [u8; NONCE_LEN],
    ) -> Option<Vec<u8>> {
        let head = self.head();
        seal_under(&row.key(self)?, &head, &head, secret, nonce)
    }
}

impl MasterKeys {
    /// Opens the secret that one of the keys has sealed for the same row, and says which.
    ///
    /// # Errors
    /// [`UnsealError`]; nothing of the contents is revealed.
    pub fn open_row(
        &self,
        row: SealedRow<'_>,
        sealed: &[u8],
    ) -> Result<(Fingerprint, Zeroizing<Vec<u8>>), UnsealError> {
        let record = Record::read(sealed)?;
        let named = record.sealed_with.ok_or(UnsealError::UnknownFormat)?;
        let master = self.find(named).ok_or(UnsealError::MissingKey(named))?;
        let key = row.key(master);
        key.and_then(|key| open_under(&key, record.head, record.body))
            .map(|text| (named, text))
            .ok_or(UnsealError::DoesNotOpen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{master, names};
    use super::*;

    #[test]
    fn what_was_sealed_opens_in_its_own_row_alone() {
        let issuer = |name| IssuerName::parse(name).unwrap();
        let (a, b) = (issuer("a"), issuer("b"));
        let rows = [
            SealedRow::Grant(&a, "x"),
            SealedRow::Grant(&b, "x"),
            SealedRow::Grant(&a, "y"),
            SealedRow::Webhook("x"),
            SealedRow::Webhook("y"),
            SealedRow::EventStream(&a, "x"),
            SealedRow::EventStream(&b, "x"),
            SealedRow::EventStream(&a, "y"),
        ];
        let keys = MasterKeys::new(master(1), vec![master(2)]).unwrap();
        for (own, row) in rows.iter().enumerate() {
            let sealed = master(2).seal_row(*row, b"secret", [7; 12]).unwrap();
            assert!(sealed.starts_with(&master(2).head()));
            for (index, other) in rows.iter().enumerate() {
                let opened = keys.open_row(*other, &sealed);
                let expected = match index == own {
                    true => Ok((master(2).fingerprint(), Zeroizing::new(b"secret".to_vec()))),
                    false => Err(UnsealError::DoesNotOpen),
                };
                assert_eq!(opened, expected, "{row:?} as {other:?}");
            }
            let missing = MasterKeys::of(master(1)).open_row(*row, &sealed);
            let named = master(2).fingerprint();
            assert_eq!(missing, Err(UnsealError::MissingKey(named)));
            for index in 0..sealed.len() {
                let mut altered = sealed.clone();
                altered[index] ^= 1;
                assert!(keys.open_row(*row, &altered).is_err(), "byte {index}");
                assert!(keys.open_row(*row, &sealed[..index]).is_err());
            }
        }
    }

    #[test]
    fn a_private_key_does_not_open_as_a_grants() {
        let (issuer, kid) = names();
        let sealed = master(1).seal(&issuer, &kid, b"private", [7; 12]).unwrap();
        let row = SealedRow::Grant(&issuer, kid.as_str());
        let opened = MasterKeys::of(master(1)).open_row(row, &sealed);
        assert_eq!(opened, Err(UnsealError::DoesNotOpen));
    }
}
