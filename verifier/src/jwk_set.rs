//! JSON Web Key Sets (RFC 7517 §5).

use std::fmt;

use crate::json::{self, FieldError, JsonError, Object};
use crate::{Algorithm, Jwk, JwkError, JwsError, Kid};

/// The most bytes that [`JwkSet::parse`] reads: 512 KiB.
///
/// Ten times what keywright itself publishes, so that another issuer's set with certificate chains
/// still fits, and little enough to be read on every refresh.
pub const MAX_JWK_SET_BYTES: usize = 524_288;

/// The most entries of a set that [`JwkSet::parse`] reads: 500, five times what AWS and Nimbus take. A
/// point of each has to be found on its curve, and a token may make this look at all of them.
pub const MAX_JWK_SET_KEYS: usize = 500;

/// The public keys of one issuer.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct JwkSet {
    keys: Vec<Jwk>,
    passed_over: Vec<PassedOver>,
}

impl JwkSet {
    /// Makes a set that keeps the order of `keys`. A key that stands in it twice is kept once.
    pub fn new(keys: Vec<Jwk>) -> Self {
        let mut distinct: Vec<Jwk> = Vec::with_capacity(keys.len());
        for key in keys {
            if !distinct.contains(&key) {
                distinct.push(key);
            }
        }
        Self {
            keys: distinct,
            passed_over: Vec::new(),
        }
    }

    /// Reads a set from strict JSON of at most [`MAX_JWK_SET_BYTES`], with at most [`MAX_JWK_SET_KEYS`]
    /// entries.
    ///
    /// An entry that is no public ES256 or RS256 key is passed over, as RFC 7517 §5 asks, so that one
    /// key which this crate cannot use takes no other with it: [`JwkSet::passed_over`] says which and
    /// why. Members beside `keys` are passed over too. A set may be empty.
    ///
    /// # Errors
    ///
    /// [`JwkSetError`]: too large, too many entries, not strict JSON, or no array `keys`.
    pub fn parse(bytes: &[u8]) -> Result<Self, JwkSetError> {
        if bytes.len() > MAX_JWK_SET_BYTES {
            return Err(JwkSetError::TooLarge);
        }
        let value = json::parse(bytes, json::DEFAULT_MAX_DEPTH)?;
        let entries = Object::new(value, "a JWK set")?.array("keys")?;
        if entries.len() > MAX_JWK_SET_KEYS {
            return Err(JwkSetError::TooManyKeys {
                count: entries.len(),
            });
        }
        let mut keys = Vec::with_capacity(entries.len());
        let mut passed_over = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            match Jwk::from_value(entry) {
                Ok(key) => keys.push(key),
                Err(reason) => passed_over.push(PassedOver { index, reason }),
            }
        }
        Ok(Self {
            passed_over,
            ..Self::new(keys)
        })
    }

    /// Reads a set as [`JwkSet::parse`] does, for a caller who cannot do without a key.
    ///
    /// # Errors
    ///
    /// Also [`JwkSetError::NoUsableKey`], with the reason of each entry.
    pub fn parse_usable(bytes: &[u8]) -> Result<Self, JwkSetError> {
        let set = Self::parse(bytes)?;
        if set.keys.is_empty() {
            return Err(NoUsableKey(set.passed_over).into());
        }
        Ok(set)
    }

    /// The keys, in the order of the document.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// The entries of the document that no token is verified with.
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// The one key for a token: `kid` and `algorithm` are those of its header.
    ///
    /// With a `kid` it is the key of exactly that name; without one the set must have exactly one key
    /// of the algorithm. The name and the algorithm come from the token, so both only look up; the key
    /// is used with its own algorithm.
    ///
    /// # Errors
    ///
    /// [`JwsError::UnknownKey`] when nothing fits, [`JwsError::AlgorithmMismatch`] when only the name
    /// does, [`JwsError::AmbiguousKey`] when several keys fit (RFC 7517 §4.5 forbids it of one issuer,
    /// and guessing would be worse).
    pub fn find(&self, kid: Option<&Kid>, algorithm: Algorithm) -> Result<&Jwk, JwsError> {
        let mut named = self
            .keys
            .iter()
            .filter(|key| kid.is_none_or(|kid| key.kid() == kid))
            .peekable();
        if named.peek().is_none() {
            return Err(JwsError::UnknownKey);
        }
        let mut fitting = named.filter(|key| key.algorithm() == algorithm);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(JwsError::AmbiguousKey),
            (None, _) if kid.is_some() => Err(JwsError::AlgorithmMismatch),
            (None, _) => Err(JwsError::UnknownKey),
        }
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

/// An entry of a document that is no key of a [`JwkSet`].
///
/// Either this crate has no use for it ([`JwkError::is_unsupported`]: another curve, another purpose),
/// or it is private or broken, which its issuer would want to know.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("key {index} of the set is passed over")]
pub struct PassedOver {
    /// Its place in `keys`, from 0.
    pub index: usize,
    /// Why no token is verified with it.
    #[source]
    pub reason: JwkError,
}

/// A set has no key that a token could be verified with; these are its entries. The error names the
/// first three of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoUsableKey(pub Vec<PassedOver>);

/// How many entries of a set without a usable key an error explains.
const MAX_REASONS: usize = 3;

impl fmt::Display for NoUsableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the set has no ES256 or RS256 key")?;
        if self.0.is_empty() {
            return f.write_str(": it is empty");
        }
        for (position, PassedOver { index, reason }) in self.0.iter().take(MAX_REASONS).enumerate()
        {
            let separator = if position == 0 { ':' } else { ';' };
            write!(f, "{separator} key {index}: {reason}")?;
        }
        match self.0.len().saturating_sub(MAX_REASONS) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for NoUsableKey {}

/// Why a document is not a set of keys.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwkSetError {
    /// The document is larger than [`MAX_JWK_SET_BYTES`].
    #[error("a JWK set must not be larger than {MAX_JWK_SET_BYTES} bytes")]
    TooLarge,
    /// The document has more than [`MAX_JWK_SET_KEYS`] entries.
    #[error("a JWK set of {count} keys has more than {MAX_JWK_SET_KEYS}")]
    TooManyKeys {
        /// How many it has.
        count: usize,
    },
    /// The document is not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The document is no object, or `keys` is missing or no array.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// No entry is a key that a token could be verified with ([`JwkSet::parse_usable`]).
    #[error(transparent)]
    NoUsableKey(#[from] NoUsableKey),
}
