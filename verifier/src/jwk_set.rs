//! JSON Web Key Sets (RFC 7517 §5).

use std::collections::HashSet;

use crate::json::{self, FieldError, JsonError, Object};
use crate::{Jwk, JwkError, Kid};

/// The most bytes that [`JwkSet::parse`] reads: 512 KiB.
///
/// Ten times what keywright itself publishes, so that another issuer's set with certificate chains
/// still fits, and little enough to be read on every refresh.
pub const MAX_JWK_SET_BYTES: usize = 524_288;

/// The public keys of one issuer. Their kids are distinct.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

impl JwkSet {
    /// Makes a set that keeps the order of `keys`.
    ///
    /// # Errors
    ///
    /// [`JwkSetError::DuplicateKid`] when two keys have one `kid` (RFC 7517 §4.5).
    pub fn new(keys: Vec<Jwk>) -> Result<Self, JwkSetError> {
        let mut kids = HashSet::with_capacity(keys.len());
        if let Some(twin) = keys.iter().find(|key| !kids.insert(key.kid())) {
            return Err(JwkSetError::DuplicateKid(twin.kid().clone()));
        }
        Ok(Self { keys })
    }

    /// Reads a set from strict JSON of at most [`MAX_JWK_SET_BYTES`].
    ///
    /// Keys that this crate has no use for are passed over as RFC 7517 §5 asks: those with another
    /// `kty`, `crv`, `alg` or purpose ([`JwkError::is_unsupported`]). Members beside `keys` are passed
    /// over too. A set may be empty.
    ///
    /// # Errors
    ///
    /// [`JwkSetError`]: too large, not strict JSON, no array `keys`, two keys of one `kid`, or a key
    /// that is private or broken. One broken key refuses the whole set, because a set that holds a
    /// private or a tampered key is not to be trusted for the others.
    pub fn parse(bytes: &[u8]) -> Result<Self, JwkSetError> {
        if bytes.len() > MAX_JWK_SET_BYTES {
            return Err(JwkSetError::TooLarge);
        }
        let value = json::parse(bytes, json::DEFAULT_MAX_DEPTH)?;
        let entries = Object::new(value, "a JWK set")?.array("keys")?;
        let mut keys = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            match Jwk::from_value(entry) {
                Ok(key) => keys.push(key),
                Err(error) if error.is_unsupported() => {}
                Err(source) => return Err(JwkSetError::Key { index, source }),
            }
        }
        Self::new(keys)
    }

    /// The keys, in the order of the document.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// The key with exactly this `kid`.
    pub fn find(&self, kid: &Kid) -> Option<&Jwk> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// The set as JSON: `{"keys":[…]}`, each key as [`Jwk::write_json`] writes it, without white
    /// space. Equal sets make equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let mut output = Vec::from(&br#"{"keys":["#[..]);
        for (index, key) in self.keys.iter().enumerate() {
            if index > 0 {
                output.push(b',');
            }
            key.write_json(&mut output);
        }
        output.extend_from_slice(b"]}");
        output
    }
}

/// Why a document is not a set of public keys, or keys are not a set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwkSetError {
    /// The document is larger than [`MAX_JWK_SET_BYTES`].
    #[error("a JWK set must not be larger than {MAX_JWK_SET_BYTES} bytes")]
    TooLarge,
    /// The document is not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The document is no object, or `keys` is missing or no array.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// One of the keys is private or broken.
    #[error("key {index} of the set is refused")]
    Key {
        /// Its place in `keys`, from 0.
        index: usize,
        /// What is wrong with it.
        source: JwkError,
    },
    /// Two keys have one `kid`.
    #[error("kid \"{0}\" stands twice in the set")]
    DuplicateKid(Kid),
}
