//! Bearer credentials: `kw_<client id>_<256 random bits in base64url>`.
//!
//! A credential is shown once. What is kept is its SHA-256 hash, which suffices for a secret of
//! full entropy. The id in it finds the client; the hash is compared in constant time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::lifecycle::Timestamp;

/// What every credential begins with, so that scanners of leaked secrets find it.
pub const PREFIX: &str = "kw_";

/// How much of a secret, in characters of its 43, makes a text a credential: what lacks a few
/// characters gives the rest away.
const LEAST_OF_SECRET: usize = 40;

/// A credential in the clear. Wiped when dropped; its `Debug` shows nothing.
pub struct Credential(Zeroizing<String>);

impl Credential {
    /// Writes the credential of a client with this secret.
    pub fn new(client: &str, secret: &[u8; 32]) -> Self {
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret));
        Self(Zeroizing::new(format!("{PREFIX}{client}_{}", *secret)))
    }

    /// The text to hand to the client, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// What is kept of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRecord {
    /// Its name among the client's credentials; it stands in no credential.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `None` when it lasts as long as its client.
    pub expires_at: Option<Timestamp>,
    pub(super) hash: [u8; 32],
}

impl CredentialRecord {
    /// What is kept of `credential`.
    pub fn of(
        credential: &Credential,
        id: String,
        created_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Self {
        let (_, secret) = split(credential.reveal()).unwrap_or_default();
        Self {
            id,
            created_at,
            expires_at,
            hash: hash(secret),
        }
    }

    /// Whether it is still good.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether this is the record of the credential with that secret. Takes the same time whatever
    /// the secret is.
    pub fn is_of(&self, secret: &str) -> bool {
        hash(secret).ct_eq(&self.hash).into()
    }
}

/// The client's id and the secret of a text that has the form of a credential.
pub fn split(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix(PREFIX)?.split_once('_')
}

/// Whether a text has a credential in it, whatever stands around it and whichever client's it is. The name of
/// a key that is a thumbprint is too short to be taken for one.
pub fn is_contained_in(text: &str) -> bool {
    text.match_indices(PREFIX).any(|(start, prefix)| {
        let rest = text.get(start + prefix.len()..).unwrap_or_default();
        rest.split_once('_').is_some_and(|(id, secret)| {
            let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let is_of_secret = |byte: &u8| is_id(*byte) || *byte == b'_';
            !id.is_empty()
                && id.bytes().all(is_id)
                && secret.bytes().take_while(is_of_secret).count() >= LEAST_OF_SECRET
        })
    })
}

fn hash(secret: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_is_the_credential() {
        let now = Timestamp::from_seconds(1);
        let credential = Credential::new("0123456789abcdef", &[7; 32]);
        let record = CredentialRecord::of(&credential, "a".to_owned(), now, None);
        let (client, secret) = split(credential.reveal()).unwrap();
        assert_eq!(client, "0123456789abcdef");
        assert!(record.is_of(secret));
        for wrong in [
            &secret[1..],
            &secret[..secret.len() - 1],
            &format!("{secret}A"),
            &secret.to_uppercase(),
            "",
        ] {
            assert!(!record.is_of(wrong));
        }
        assert!(!format!("{credential:?}").contains(secret));
    }

    #[test]
    fn a_credential_is_recognised_by_its_shape_and_not_by_its_id() {
        for id in [
            "0123456789abcdef",
            "bootstrap",
            "a",
            "my-client",
            "0123456789abcdef0",
        ] {
            let credential = Credential::new(id, &[0xfb; 32]);
            let text = credential.reveal();
            let whole = text.len();
            for text in [
                text.to_owned(),
                format!("x-{text}"),
                format!("1.{text}.2"),
                format!("kw_{text}"),
                format!("kw__{text}_"),
                format!("/v1/clients/{text}/credentials"),
                format!("{id}{text}"),
                text[..whole - 3].to_owned(),
            ] {
                assert!(is_contained_in(&text), "{id}: {text}");
            }
        }
        let thumbprint = "kw_a_YhwFGtf0m4hFzA1Y7Cq3dDmVwSxUe_kw_0-Zz9";
        assert_eq!(thumbprint.len(), 43);
        for text in [
            "",
            "kw_",
            "kw_a_b",
            "kw_1-2",
            "my-request-kw_7_9",
            thumbprint,
        ] {
            assert!(!is_contained_in(text), "{text}");
        }
    }

    #[test]
    fn a_credential_ends_when_it_expires() {
        let (start, end) = (Timestamp::from_seconds(1), Timestamp::from_seconds(9));
        let credential = Credential::new("a", &[7; 32]);
        let record = CredentialRecord::of(&credential, "a".to_owned(), start, Some(end));
        assert!(record.is_valid(Timestamp::from_millis(8_999)));
        assert!(!record.is_valid(end));
    }
}
