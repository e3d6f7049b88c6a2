//! Refresh tokens: `kwr1.<grant>.<number>.<secret and tag in base64url>`.
//!
//! The secret of the first token of a grant is random. The secret of each later one is the HMAC of the
//! one before under the key of the grant, so that a lost successor can be computed again and is stored
//! nowhere. The tag, under the same key, tells a token that was issued once from a text that never was.
//! Only hashes of tokens are stored.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// What every refresh token begins with, so that scanners of leaked secrets find it.
const PREFIX: &str = "kwr1.";

/// The length of a grant's key, in bytes.
pub const GRANT_KEY_BYTES: usize = 32;

/// The length of a secret, in bytes.
pub const SECRET_BYTES: usize = 32;

/// The length of a tag, in bytes.
const TAG_BYTES: usize = 16;

/// The length of a grant's identifier: 16 random bytes in hexadecimal.
const ID_CHARACTERS: usize = 32;

/// The key of one grant. It has no `Serialize` and shows nothing.
pub struct GrantKey(hmac::Key);

impl GrantKey {
    /// The key of these random bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose.as_bytes());
        context.update(&[0]);
        parts.iter().for_each(|part| context.update(part));
        context.sign()
    }
}

impl fmt::Debug for GrantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrantKey(…)")
    }
}

/// The SHA-256 hash of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash, as it is stored.
    pub fn encoded(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads a stored hash.
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// A refresh token. Its secret is wiped when it is dropped, and its `Debug` shows none of it.
#[derive(Clone)]
pub struct RefreshToken {
    grant: String,
    number: u32,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    tag: [u8; TAG_BYTES],
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshToken({}, {})", self.grant, self.number)
    }
}

impl RefreshToken {
    /// The first token of a grant, with random bytes as its secret.
    pub fn first(grant: &str, key: &GrantKey, secret: [u8; SECRET_BYTES]) -> Self {
        Self::new(grant.to_owned(), 0, Zeroizing::new(secret), key)
    }

    fn new(
        grant: String,
        number: u32,
        secret: Zeroizing<[u8; SECRET_BYTES]>,
        key: &GrantKey,
    ) -> Self {
        let tag = tag(&grant, number, &secret, key);
        Self {
            grant,
            number,
            secret,
            tag,
        }
    }

    /// Reads a text. Whether it was ever issued is another question ([`is_of`](Self::is_of)).
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.split('.');
        let (grant, number, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let is_id = grant.len() == ID_CHARACTERS
            && grant
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let parsed: u32 = number.parse().ok()?;
        // One token has one spelling.
        if !is_id || parts.next().is_some() || parsed.to_string() != number {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(rest).ok()?);
        let (secret, tag) = bytes.split_first_chunk()?;
        Some(Self {
            grant: grant.to_owned(),
            number: parsed,
            secret: Zeroizing::new(*secret),
            tag: tag.try_into().ok()?,
        })
    }

    /// Whether a text has the form of a refresh token.
    pub fn has_form(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The identifier of the grant that it names.
    pub fn grant(&self) -> &str {
        &self.grant
    }

    /// Its place in the line of the grant's tokens: 0 for the first.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether it was issued under this key. Takes the same time whatever the secret is.
    pub fn is_of(&self, key: &GrantKey) -> bool {
        let expected = tag(&self.grant, self.number, &self.secret, key);
        self.tag.ct_eq(&expected).into()
    }

    /// The one token that follows it; `None` after the last number.
    pub fn successor(&self, key: &GrantKey) -> Option<Self> {
        let mac = key.mac("successor", &[&*self.secret]);
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        secret
            .iter_mut()
            .zip(mac.as_ref())
            .for_each(|(to, from)| *to = *from);
        let number = self.number.checked_add(1)?;
        Some(Self::new(self.grant.clone(), number, secret, key))
    }

    /// Its hash.
    pub fn hash(&self) -> TokenHash {
        let text = self.reveal();
        let mut hash = [0; 32];
        let digest = digest(&SHA256, text.as_bytes());
        hash.iter_mut()
            .zip(digest.as_ref())
            .for_each(|(to, from)| *to = *from);
        TokenHash(hash)
    }

    /// The text to hand to the client.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES + TAG_BYTES]);
        let parts = self.secret.iter().chain(&self.tag);
        bytes
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
        Zeroizing::new(format!(
            "{PREFIX}{}.{}.{}",
            self.grant, self.number, *encoded
        ))
    }
}

fn tag(grant: &str, number: u32, secret: &[u8; SECRET_BYTES], key: &GrantKey) -> [u8; TAG_BYTES] {
    let number = number.to_be_bytes();
    let mac = key.mac("tag", &[grant.as_bytes(), &number, secret]);
    let mut tag = [0; TAG_BYTES];
    tag.iter_mut()
        .zip(mac.as_ref())
        .for_each(|(to, from)| *to = *from);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: &str = "00112233445566778899aabbccddeeff";

    fn key(byte: u8) -> GrantKey {
        GrantKey::new(&[byte; GRANT_KEY_BYTES])
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = RefreshToken::first(GRANT, &key(1), [7; 32]);
        let text = token.reveal();
        assert!(text.starts_with("kwr1.00112233445566778899aabbccddeeff.0."));
        let read = RefreshToken::parse(&text).unwrap();
        assert_eq!((read.grant(), read.number()), (GRANT, 0));
        assert!(read.is_of(&key(1)));
        assert!(!read.is_of(&key(2)));
        assert_eq!(read.hash(), token.hash());
    }

    #[test]
    fn what_follows_a_token_is_the_same_each_time_and_needs_the_key() {
        let token = RefreshToken::first(GRANT, &key(1), [7; 32]);
        let next = token.successor(&key(1)).unwrap();
        let again = RefreshToken::parse(&token.reveal()).unwrap();
        assert_eq!(next.hash(), again.successor(&key(1)).unwrap().hash());
        assert_eq!(next.number(), 1);
        assert!(next.is_of(&key(1)));
        let other = token.successor(&key(2)).unwrap();
        assert_ne!(next.hash(), other.hash());
        assert!(!other.is_of(&key(1)));
    }

    #[test]
    fn no_altered_character_goes_unnoticed() {
        let token = RefreshToken::first(GRANT, &key(1), [7; 32]);
        let text = token.reveal();
        for index in 0..text.len() {
            for other in ["0", "1", "a", "Z", ".", "_", "é", ""] {
                let altered = format!("{}{other}{}", &text[..index], &text[index + 1..]);
                let read = RefreshToken::parse(&altered);
                let is_same = altered == *text;
                let is_of = read.is_some_and(|read| read.is_of(&key(1)));
                assert_eq!(is_of, is_same, "{altered}");
            }
        }
        let number = text.replacen(".0.", ".00.", 1);
        for text in [
            number,
            format!("{}.", *text),
            format!(" {}", *text),
            text[5..].to_owned(),
        ] {
            assert!(RefreshToken::parse(&text).is_none(), "{text}");
        }
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let token = RefreshToken::first(GRANT, &key(1), [0xab; 32]);
        assert_eq!(format!("{token:?}"), format!("RefreshToken({GRANT}, 0)"));
        assert_eq!(format!("{:?}", key(0xab)), "GrantKey(…)");
    }

    #[test]
    fn after_the_last_number_nothing_follows() {
        let secret = Zeroizing::new([7; 32]);
        let last = RefreshToken::new(GRANT.to_owned(), u32::MAX, secret, &key(1));
        assert!(last.successor(&key(1)).is_none());
    }
}
