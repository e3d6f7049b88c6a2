//! The keys of an issuer's status lists, and the addresses that they authenticate.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq as _;

use super::{EntryOrder, JtiCipher, StatusEntry};
use crate::lifecycle::IssuerName;

/// The length of a secret, in bytes.
pub const SECRET_BYTES: usize = 32;

/// How many secrets a store keeps: one for each restore that it has come through, and one more.
pub const MAX_EPOCHS: usize = 16;

/// The seconds for which tokens that expire in them have their `jti` made with one key: 30 days.
const PERIOD: u64 = 30 * 86_400;

/// How long a `jti` is that was made here.
const JTI_CHARACTERS: usize = 22;

/// How many bytes authenticate an address.
const TAG_BYTES: usize = 8;

/// A list of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListName {
    /// Its number, which no other list of the issuer has.
    pub list: u32,
    /// The hour in which its tokens expire, counted from 1970.
    pub hour: u64,
}

/// What the lists of one issuer are made with, since one restore and until the next. Everything is derived
/// from a secret of the store, so that all of its processes have the same.
#[derive(Clone)]
pub struct StatusKeys(hmac::Key);

impl fmt::Debug for StatusKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatusKeys(…)")
    }
}

impl StatusKeys {
    /// The keys of an issuer.
    pub fn new(secret: &[u8; SECRET_BYTES], issuer: &IssuerName) -> Self {
        let store = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let own = hmac::sign(&store, issuer.as_str().as_bytes());
        Self(hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()))
    }

    fn derive<const N: usize>(&self, purpose: &str, number: u64) -> [u8; N] {
        let text = [purpose.as_bytes(), &[0], &number.to_be_bytes()].concat();
        let tag = hmac::sign(&self.0, &text);
        let mut derived = [0; N];
        let bytes = derived.iter_mut().zip(tag.as_ref());
        bytes.for_each(|(to, from)| *to = *from);
        derived
    }

    /// In which order the entries of a list are used.
    pub fn order_of(&self, list: u32) -> EntryOrder {
        EntryOrder::new(self.derive("order", list.into()))
    }

    /// What makes the `jti` of tokens that expire at this Unix second. There is another key for each 30
    /// days, and the keys of all tokens that live can be had.
    pub fn jti_cipher(&self, expires_at: u64) -> JtiCipher {
        JtiCipher::new(self.derive("jti", expires_at / PERIOD))
    }

    /// The entry of the token with this `jti`, if it has one and expires within these Unix seconds.
    pub fn entry_of(&self, jti: &str, expires_at: RangeInclusive<u64>) -> Option<StatusEntry> {
        if jti.len() != JTI_CHARACTERS {
            return None;
        }
        let (first, last) = expires_at.into_inner();
        let mut periods = first / PERIOD..=last / PERIOD;
        periods.find_map(|period| JtiCipher::new(self.derive("jti", period)).open(jti))
    }

    /// The last part of a list's address: 22 characters of base64url.
    pub fn address_of(&self, name: ListName) -> String {
        let mut bytes = name_bytes(name);
        bytes.extend(self.tag(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The list with this address, if it is one that these keys have made.
    pub fn read_address(&self, address: &str) -> Option<ListName> {
        let bytes = URL_SAFE_NO_PAD.decode(address).ok()?;
        let (list, rest) = bytes.split_first_chunk::<4>()?;
        let (hour, tag) = rest.split_first_chunk::<4>()?;
        let name = ListName {
            list: u32::from_be_bytes(*list),
            hour: u32::from_be_bytes(*hour).into(),
        };
        let expected = self.tag(&name_bytes(name));
        bool::from(expected.ct_eq(tag)).then_some(name)
    }

    fn tag(&self, name: &[u8]) -> [u8; TAG_BYTES] {
        let text = [b"address\0", name].concat();
        let tag = hmac::sign(&self.0, &text);
        let mut cut = [0; TAG_BYTES];
        let bytes = cut.iter_mut().zip(tag.as_ref());
        bytes.for_each(|(to, from)| *to = *from);
        cut
    }
}

fn name_bytes(name: ListName) -> Vec<u8> {
    // An hour fits until the year 491,936.
    let hour = u32::try_from(name.hour).unwrap_or(u32::MAX);
    [name.list.to_be_bytes(), hour.to_be_bytes()].concat()
}

/// The secrets that are stored together, the current one last; `None` for bytes that no program has stored.
pub fn split_secrets(stored: &[u8]) -> Option<Vec<[u8; SECRET_BYTES]>> {
    let (secrets, rest) = stored.as_chunks::<SECRET_BYTES>();
    let is_whole = rest.is_empty() && (1..=MAX_EPOCHS).contains(&secrets.len());
    is_whole.then(|| secrets.to_vec())
}

/// What is stored after a restore: a new secret behind those of before, by which their lists are known as
/// lists whose tokens are all invalid.
pub fn renewed_secrets(before: Option<&[u8]>, fresh: [u8; SECRET_BYTES]) -> Vec<u8> {
    let before = before.and_then(split_secrets).unwrap_or_default();
    let kept = before.len().saturating_sub(MAX_EPOCHS - 1);
    let secrets = before.into_iter().skip(kept).chain([fresh]);
    secrets.flatten().collect()
}
