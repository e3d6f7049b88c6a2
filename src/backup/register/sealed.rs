//! What only a holder of the master key may read of a register.
//!
//! AES-256-GCM under a key that is derived from the master key and a random salt: that key seals this
//! one text, with the nonce of zeros.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use crate::store::seal::MasterKey;

/// The text under which the key is derived.
const PURPOSE: &[u8] = b"keywright register sealed\0";

const SALT: usize = 32;

/// A sealed text, in base64: the salt, the ciphertext and the tag.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sealed(String);

impl Sealed {
    /// Seals a text. `salt` must be fresh random bytes; `None` when the cipher refuses.
    pub(super) fn seal(
        mut text: Vec<u8>,
        master_key: &MasterKey,
        salt: [u8; SALT],
    ) -> Option<Self> {
        let (key, nonce) = key(master_key, &salt)?;
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut text)
            .ok()?;
        Some(Self(STANDARD.encode([salt.as_slice(), &text].concat())))
    }

    /// Opens it; `None` when it is not what this key has sealed.
    pub(super) fn open(&self, master_key: &MasterKey) -> Option<Vec<u8>> {
        let sealed = STANDARD.decode(&self.0).ok()?;
        let (salt, text) = sealed.split_at_checked(SALT)?;
        let (key, nonce) = key(master_key, salt)?;
        let mut text = text.to_vec();
        let opened = key.open_in_place(nonce, Aad::empty(), &mut text).ok()?;
        Some(opened.to_vec())
    }
}

fn key(master_key: &MasterKey, salt: &[u8]) -> Option<(LessSafeKey, Nonce)> {
    let info = [PURPOSE, salt];
    let output = master_key.derivation().expand(&info, &AES_256_GCM).ok()?;
    let key = LessSafeKey::new(UnboundKey::from(output));
    Some((key, Nonce::assume_unique_for_key([0; NONCE_LEN])))
}
