//! A `jti` that says to the service alone which entry its token has.

use std::fmt;

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{ENTRIES, StatusEntry};

/// What stands between entry and random bytes. A `jti` that was not made with the key has it with a
/// probability of 2^-32, and an entry of a list with one of 2^-44 together.
const CHECK: [u8; 4] = [0; 4];

/// One block of AES-128 over number of the list, entry, check and four random bytes: 22 characters of
/// base64url, like a `jti` that is random. Each entry is used once, so that each `jti` is another one.
#[derive(Clone)]
pub struct JtiCipher(Aes128);

impl fmt::Debug for JtiCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JtiCipher(…)")
    }
}

impl JtiCipher {
    /// The cipher of a key.
    pub fn new(key: [u8; 16]) -> Self {
        Self(Aes128::new(&key.into()))
    }

    /// The `jti` of a token with this entry.
    pub fn seal(&self, entry: StatusEntry, random: [u8; 4]) -> String {
        let mut block = [0; 16];
        let parts = [
            entry.list.to_be_bytes(),
            entry.index.to_be_bytes(),
            CHECK,
            random,
        ];
        let bytes = parts.as_flattened();
        block
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        let mut block = block.into();
        self.0.encrypt_block(&mut block);
        let bytes: [u8; 16] = block.into();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The entry of the token with this `jti`; `None` if it was not made with this key.
    pub fn open(&self, jti: &str) -> Option<StatusEntry> {
        let bytes = URL_SAFE_NO_PAD.decode(jti).ok()?;
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        let mut block = bytes.into();
        self.0.decrypt_block(&mut block);
        let bytes: [u8; 16] = block.into();
        let (parts, _) = bytes.as_chunks::<4>();
        let [list, index, check, _] = parts else {
            return None;
        };
        let entry = StatusEntry {
            list: u32::from_be_bytes(*list),
            index: u32::from_be_bytes(*index),
        };
        (*check == CHECK && entry.index < ENTRIES).then_some(entry)
    }
}
