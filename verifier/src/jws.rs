//! Signed tokens in the compact form (RFC 7515 §3.1, §7.1).

use std::fmt;
use std::ops::Range;

use serde_json::{Map, Value};

use crate::json::{self, BorrowedValue, FieldError, JsonError, Members};
use crate::{Algorithm, InvalidKid, Jwk, JwkSet, Kid, base64url};

/// Header parameters that change what a signature means. keywright understands no extension, so a
/// token that has one of them is refused (RFC 7515 §4.1.11, RFC 7797 §3, RFC 7516 §4.1.3).
const REFUSED_PARAMETERS: [&str; 3] = ["crit", "b64", "zip"];

/// A token that has the right form. Nothing in it is to be believed before [`Jws::verify`].
///
/// Its `Debug` shows the header's algorithm, `kid` and `typ` only, because the whole is a credential.
#[derive(Clone)]
pub struct Jws<'a> {
    header: JwsHeader,
    /// The octets of all three parts.
    decoded: Vec<u8>,
    payload: Range<usize>,
    signature: Range<usize>,
    token: &'a str,
    signing_input: &'a str,
}

/// What counts of a header.
#[derive(Clone)]
struct JwsHeader {
    algorithm: Algorithm,
    kid: Option<Kid>,
    typ: Option<String>,
}

impl<'a> Jws<'a> {
    /// Reads a token of at most `max_bytes` bytes.
    ///
    /// The size comes first, then the characters and the number of parts, and only then anything is
    /// decoded (RFC 8725 §3.14 in its revision). `alg` must be an [`Algorithm`]; `typ` and `kid` must be
    /// strings where they are present. The parameters `jku`, `jwk`, `x5u` and `x5c` are not looked at.
    ///
    /// # Errors
    ///
    /// [`JwsError`]; no variant repeats the token.
    pub fn parse(token: &'a str, max_bytes: usize) -> Result<Self, JwsError> {
        let [header, payload, signature] = parts(token, max_bytes)?;
        // All three are decoded into one buffer, which has room for them.
        let mut decoded = Vec::with_capacity(token.len());
        let header = decode(header, "header", &mut decoded)?;
        let header = JwsHeader::read(decoded.get(header).unwrap_or_default())?;
        let payload = base64url::decode_to_end_of(&mut decoded, payload)
            .ok_or(JwsError::NotBase64url { part: "payload" })?;
        let (signing_input, _) = token.rsplit_once('.').ok_or(JwsError::Character)?;
        Ok(Self {
            header,
            signature: decode(signature, "signature", &mut decoded)?,
            decoded,
            payload,
            token,
            signing_input,
        })
    }

    /// Takes a token apart without judging it: the header and the claims, whatever they are, also where
    /// [`Jws::parse`] refuses the token. For looking into one that is refused.
    ///
    /// # Errors
    ///
    /// [`JwsError`] when the token does not have three parts, of which two are JSON objects.
    pub fn inspect(token: &str, max_bytes: usize) -> Result<Inspected, JwsError> {
        let [header, payload, _] = parts(token, max_bytes)?;
        let mut octets = Vec::new();
        decode(header, "header", &mut octets)?;
        let payload =
            base64url::decode(payload).ok_or(JwsError::NotBase64url { part: "payload" })?;
        Ok(Inspected {
            header: members(&octets)?.into(),
            claims: claims(&payload)?.into(),
        })
    }

    /// `alg` of the header: what the token claims, which [`Jws::verify`] compares with the key.
    pub const fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// `kid` of the header: a hint where to look, nothing more.
    pub const fn kid(&self) -> Option<&Kid> {
        self.header.kid.as_ref()
    }

    /// `typ` of the header, as written.
    pub fn typ(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// Takes `typ` out, for the answer.
    pub(crate) fn take_typ(&mut self) -> Option<String> {
        self.header.typ.take()
    }

    /// What the signature covers: the first two parts of the token and the dot between them.
    pub const fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    /// The octets of the signature.
    pub fn signature(&self) -> &[u8] {
        self.decoded.get(self.signature.clone()).unwrap_or_default()
    }

    fn payload(&self) -> &[u8] {
        self.decoded.get(self.payload.clone()).unwrap_or_default()
    }

    /// Reads the payload as a JWT claims set (RFC 7519 §7.2), without verifying it.
    ///
    /// For looking into a token and for finding out which issuer's keys to ask. A decision
    /// that is based on these claims may be an attacker's.
    ///
    /// # Errors
    ///
    /// [`JwsError::PayloadJson`] or [`JwsError::Payload`] when it is not one strict JSON object.
    pub fn unverified_claims(&self) -> Result<Map<String, Value>, JwsError> {
        Ok(self.unverified_members()?.into())
    }

    pub(crate) fn unverified_members(&self) -> Result<Members<'_>, JwsError> {
        claims(self.payload())
    }

    /// Verifies the signature, and nothing else: no claim is looked at. A payload need not even be
    /// JSON. To verify a JWT, use [`Verifier`](crate::Verifier).
    ///
    /// `keys` are the issuer's alone, and `allowed` is what the caller accepts; an empty list accepts
    /// nothing. [`JwkSet::find`] says which key of the set it is.
    ///
    /// # Errors
    ///
    /// [`JwsError::AlgorithmNotAllowed`], then as for [`JwkSet::find`], then
    /// [`JwsError::BadSignature`].
    pub fn verify<'k>(
        &self,
        keys: &'k JwkSet,
        allowed: &[Algorithm],
    ) -> Result<VerifiedJws<'_, 'k>, JwsError> {
        let key = self.find_key(keys, allowed)?;
        self.verify_with(key)?;
        Ok(VerifiedJws {
            payload: self.payload(),
            key,
        })
    }

    /// The key that the signature has to verify with.
    pub(crate) fn find_key<'k>(
        &self,
        keys: &'k JwkSet,
        allowed: &[Algorithm],
    ) -> Result<&'k Jwk, JwsError> {
        let algorithm = self.algorithm();
        if !allowed.contains(&algorithm) {
            return Err(JwsError::AlgorithmNotAllowed { algorithm });
        }
        keys.find(self.kid(), algorithm)
    }

    /// Verifies the signature with a key that [`Jws::find_key`] has found.
    pub(crate) fn verify_with(&self, key: &Jwk) -> Result<(), JwsError> {
        key.verify(self.signing_input.as_bytes(), self.signature())
            .map_err(|_| JwsError::BadSignature)
    }

    /// The whole token.
    pub(crate) const fn token(&self) -> &'a str {
        self.token
    }
}

impl JwsHeader {
    fn read(octets: &[u8]) -> Result<Self, JwsError> {
        let members = members(octets)?;
        if let Some(name) = REFUSED_PARAMETERS
            .into_iter()
            .find(|name| members.contains(name))
        {
            return Err(JwsError::RefusedParameter(name));
        }
        Ok(Self {
            algorithm: parameter(&members, "alg")?
                .ok_or(JwsError::Header(FieldError::Missing { field: "alg" }))?
                .parse()
                .map_err(|_| JwsError::UnknownAlgorithm)?,
            kid: parameter(&members, "kid")?.map(Kid::parse).transpose()?,
            typ: parameter(&members, "typ")?.map(str::to_owned),
        })
    }
}

/// What [`Jws::inspect`] found in a token: unverified, so it may be an attacker's.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Inspected {
    /// The header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// What [`Jws::verify`] found to be signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifiedJws<'j, 'k> {
    payload: &'j [u8],
    key: &'k Jwk,
}

impl<'j, 'k> VerifiedJws<'j, 'k> {
    /// The octets that were signed.
    pub const fn payload(&self) -> &'j [u8] {
        self.payload
    }

    /// The key that the signature verifies with.
    pub const fn key(&self) -> &'k Jwk {
        self.key
    }
}

impl fmt::Debug for VerifiedJws<'_, '_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerifiedJws")
            .field("kid", self.key.kid())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Jws<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Jws")
            .field("algorithm", &self.algorithm())
            .field("kid", &self.kid())
            .field("typ", &self.typ())
            .finish_non_exhaustive()
    }
}

/// Why a token is refused. No variant holds the token, a part of it, or a value of its header.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwsError {
    /// The token is longer than the caller allows.
    #[error("the token is larger than {max_bytes} bytes")]
    TooLarge {
        /// The most bytes that were allowed.
        max_bytes: usize,
    },
    /// The token has a character that is neither base64url nor a dot: padding, white space, JSON.
    #[error("the token has a character that is neither base64url nor a dot")]
    Character,
    /// The token has five parts: it is a JWE (RFC 7516 §7.1), and nothing here decrypts.
    #[error("the token has five parts: encrypted tokens are not accepted")]
    Encrypted,
    /// The token does not have three parts.
    #[error("the token has {parts} parts instead of 3")]
    Parts {
        /// How many it has.
        parts: usize,
    },
    /// A part is empty: no header, a detached payload (RFC 7515 appendix F), or no signature.
    #[error("the {part} of the token is empty")]
    EmptyPart {
        /// `header`, `payload` or `signature`.
        part: &'static str,
    },
    /// A part is not canonical base64url: an impossible length, or trailing bits that are not zero.
    #[error("the {part} of the token is not canonical base64url")]
    NotBase64url {
        /// `header`, `payload` or `signature`.
        part: &'static str,
    },
    /// The header is not strict JSON.
    #[error("the token header is not strict JSON")]
    HeaderJson(#[source] JsonError),
    /// The header is no object, or a parameter is missing or of the wrong type.
    #[error("the token header is malformed")]
    Header(#[source] FieldError),
    /// The header has a parameter that changes what the signature means.
    #[error("header parameter \"{0}\" is not accepted")]
    RefusedParameter(&'static str),
    /// `kid` of the header cannot name any key.
    #[error("the token header has a kid that cannot be one")]
    Kid(#[from] InvalidKid),
    /// `alg` of the header is no [`Algorithm`]: `none`, HMAC, or any other.
    #[error("alg of the token is neither ES256 nor RS256")]
    UnknownAlgorithm,
    /// `alg` of the header is not among those that the caller allows.
    #[error("algorithm {algorithm} is not allowed here")]
    AlgorithmNotAllowed {
        /// The algorithm of the token.
        algorithm: Algorithm,
    },
    /// No key of the set fits. The caller may fetch the set anew, at a limited rate.
    #[error("no key of the set fits the token")]
    UnknownKey,
    /// Several keys of the set fit: they share the `kid` that the token names, or the token has none
    /// and they share its algorithm.
    #[error("several keys of the set fit the token; a kid names one key")]
    AmbiguousKey,
    /// The key that the token names belongs to another algorithm.
    #[error("the key belongs to another algorithm than the token names")]
    AlgorithmMismatch,
    /// The signature does not belong to this token and key.
    #[error("the signature does not verify")]
    BadSignature,
    /// The payload is not strict JSON.
    #[error("the claims are not strict JSON")]
    PayloadJson(#[source] JsonError),
    /// The payload is JSON but no object.
    #[error("the claims are malformed")]
    Payload(#[source] FieldError),
}

impl JwsError {
    /// A stable name for programs: `token-too-large`, `token-malformed`, `token-encrypted`,
    /// `algorithm-not-allowed`, `unknown-key`, `ambiguous-key`, `algorithm-mismatch` or
    /// `bad-signature`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "token-too-large",
            Self::Encrypted => "token-encrypted",
            Self::Character
            | Self::Parts { .. }
            | Self::EmptyPart { .. }
            | Self::NotBase64url { .. }
            | Self::HeaderJson(_)
            | Self::Header(_)
            | Self::RefusedParameter(_)
            | Self::Kid(_)
            | Self::PayloadJson(_)
            | Self::Payload(_) => "token-malformed",
            Self::UnknownAlgorithm | Self::AlgorithmNotAllowed { .. } => "algorithm-not-allowed",
            Self::UnknownKey => "unknown-key",
            Self::AmbiguousKey => "ambiguous-key",
            Self::AlgorithmMismatch => "algorithm-mismatch",
            Self::BadSignature => "bad-signature",
        }
    }
}

/// The three parts of a token, once its size and its characters are right.
fn parts(token: &str, max_bytes: usize) -> Result<[&str; 3], JwsError> {
    if token.len() > max_bytes {
        return Err(JwsError::TooLarge { max_bytes });
    }
    // Without an early end the compiler looks at many characters at once.
    let is_plain = token.bytes().fold(true, |is_plain, byte| {
        is_plain & matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')
    });
    if !is_plain {
        return Err(JwsError::Character);
    }
    let mut split = token.split('.');
    match (split.next(), split.next(), split.next(), split.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok([header, payload, signature]),
        _ => match token.split('.').count() {
            5 => Err(JwsError::Encrypted),
            parts => Err(JwsError::Parts { parts }),
        },
    }
}

/// Decodes the header or the signature, which may not be empty. A payload may (RFC 7515 §5.1), unless
/// it is a claims set.
fn decode(text: &str, part: &'static str, decoded: &mut Vec<u8>) -> Result<Range<usize>, JwsError> {
    if text.is_empty() {
        return Err(JwsError::EmptyPart { part });
    }
    base64url::decode_to_end_of(decoded, text).ok_or(JwsError::NotBase64url { part })
}

fn members(header: &[u8]) -> Result<Members<'_>, JwsError> {
    Members::parse(header, json::DEFAULT_MAX_DEPTH)
        .map_err(JwsError::HeaderJson)?
        .ok_or(JwsError::Header(FieldError::NotAnObject {
            what: "a token header",
        }))
}

fn claims(payload: &[u8]) -> Result<Members<'_>, JwsError> {
    if payload.is_empty() {
        return Err(JwsError::EmptyPart { part: "payload" });
    }
    Members::parse(payload, json::DEFAULT_MAX_DEPTH)
        .map_err(JwsError::PayloadJson)?
        .ok_or(JwsError::Payload(FieldError::NotAnObject {
            what: "a claims set",
        }))
}

/// A header parameter that must be a string where it is present.
fn parameter<'h>(header: &'h Members<'_>, name: &'static str) -> Result<Option<&'h str>, JwsError> {
    match header.get(name) {
        None => Ok(None),
        Some(BorrowedValue::String(text)) => Ok(Some(text)),
        Some(_) => Err(JwsError::Header(FieldError::WrongType {
            field: name,
            expected: "a string",
        })),
    }
}
