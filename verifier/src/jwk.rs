//! JSON Web Keys, public halves only (RFC 7517 §4, RFC 7518 §6.2 and §6.3).

use std::fmt;

use ring::digest;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::Value;

use crate::json::{self, FieldError, JsonError, Object};
use crate::{Algorithm, InvalidKid, Kid, UnknownAlgorithm, base64url};

/// The most bytes that [`Jwk::parse`] reads: 64 KiB, room for a long certificate chain.
pub const MAX_JWK_BYTES: usize = 65_536;

/// Members that carry private or symmetric key material (RFC 7518 §6.2.2, §6.3.2, §6.4.1, RFC 9964).
const PRIVATE_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// The sizes of an RSA modulus that are accepted, in bits (RFC 7518 §3.3 sets the lower bound; the
/// upper one keeps a verification cheap).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The most bits of a public exponent that the cryptography underneath computes with.
const RSA_EXPONENT_BITS: usize = 33;

/// The public half of a key pair, as plain numbers.
///
/// The constructors check the numbers. The variants can be written down unchecked, so [`Jwk::new`]
/// checks them again: a key that verifies anything has passed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PublicKey {
    /// A point on P-256.
    P256 {
        /// The x coordinate, big-endian, leading zeros kept.
        x: [u8; 32],
        /// The y coordinate, big-endian, leading zeros kept.
        y: [u8; 32],
    },
    /// An RSA key.
    Rsa {
        /// The modulus, big-endian, without leading zero octets.
        n: Vec<u8>,
        /// The public exponent, big-endian, without leading zero octets.
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// A P-256 key from its two coordinates.
    ///
    /// # Errors
    ///
    /// [`JwkError::NotOnCurve`] when they are no point of the curve (RFC 8725 §3.4).
    pub fn p256(x: [u8; 32], y: [u8; 32]) -> Result<Self, JwkError> {
        let key = Self::P256 { x, y };
        key.check()?;
        Ok(key)
    }

    /// An RSA key from its modulus and public exponent, both big-endian and without leading zero
    /// octets.
    ///
    /// # Errors
    ///
    /// A variant of [`JwkError`] whose name starts with `Rsa`, or [`JwkError::LeadingZero`], or
    /// [`JwkError::UnsupportedExponent`]. The modulus must have 2048 to 8192 bits, an even number of
    /// them, and be odd; the exponent must be odd and satisfy `2^16 < e < 2^256` (FIPS 186-5 §A.1.1).
    pub fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Self, JwkError> {
        let key = Self::Rsa { n, e };
        key.check()?;
        Ok(key)
    }

    /// The one algorithm that this kind of key verifies.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256 { .. } => Algorithm::Es256,
            Self::Rsa { .. } => Algorithm::Rs256,
        }
    }

    /// The SHA-256 digest of the required members in lexicographic order (RFC 7638 §3).
    fn digest(&self) -> [u8; 32] {
        let members = match self {
            Self::P256 { x, y } => format!(
                r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
                base64url::encode(x),
                base64url::encode(y)
            ),
            Self::Rsa { n, e } => format!(
                r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
                base64url::encode(e),
                base64url::encode(n)
            ),
        };
        sha256(&[members.as_bytes()])
    }

    fn check(&self) -> Result<(), JwkError> {
        match self {
            Self::P256 { x, y } => p256::PublicKey::from_sec1_bytes(&sec1_point(x, y))
                .map(|_| ())
                .map_err(|_| JwkError::NotOnCurve),
            Self::Rsa { n, e } => check_rsa(n, e),
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        match self {
            Self::P256 { x, y } => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, sec1_point(x, y))
                    .verify(message, signature)
            }
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
        }
        .map_err(|_| SignatureError)
    }
}

/// A public signature key with its identifier.
///
/// It has exactly one algorithm and one use, and no room for a private member: a document that has
/// one does not parse.
#[derive(Clone)]
pub struct Jwk {
    kid: Kid,
    key: PublicKey,
    digest: [u8; 32],
    #[cfg(feature = "aws-lc")]
    parsed: ParsedRsaKey,
}

/// An RSA key in the form that aws-lc-rs computes with, made by the first verification and shared by
/// clones: most keys of a large set verify nothing.
#[cfg(feature = "aws-lc")]
#[derive(Clone, Default)]
struct ParsedRsaKey(
    std::sync::Arc<std::sync::OnceLock<Option<aws_lc_rs::signature::ParsedPublicKey>>>,
);

#[cfg(feature = "aws-lc")]
impl ParsedRsaKey {
    /// `None` for another kind of key.
    fn of(&self, key: &PublicKey) -> Option<&aws_lc_rs::signature::ParsedPublicKey> {
        use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
        let PublicKey::Rsa { n, e } = key else {
            return None;
        };
        let components = RsaPublicKeyComponents { n, e };
        let parse = || components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
        self.0.get_or_init(|| parse().ok()).as_ref()
    }
}

impl Jwk {
    /// Names `key`; without a `kid` it is named by its thumbprint.
    ///
    /// # Errors
    ///
    /// As for [`PublicKey::p256`] and [`PublicKey::rsa`].
    pub fn new(kid: Option<Kid>, key: PublicKey) -> Result<Self, JwkError> {
        key.check()?;
        let digest = key.digest();
        let kid = kid.unwrap_or_else(|| Kid::from_digest(&digest));
        Ok(Self {
            #[cfg(feature = "aws-lc")]
            parsed: ParsedRsaKey::default(),
            kid,
            key,
            digest,
        })
    }

    /// Reads a JWK from strict JSON of at most [`MAX_JWK_BYTES`].
    ///
    /// # Errors
    ///
    /// [`JwkError::TooLarge`], [`JwkError::Json`], or as for [`Jwk::from_value`].
    pub fn parse(bytes: &[u8]) -> Result<Self, JwkError> {
        if bytes.len() > MAX_JWK_BYTES {
            return Err(JwkError::TooLarge);
        }
        Self::from_value(json::parse(bytes, json::DEFAULT_MAX_DEPTH)?)
    }

    /// Reads a JWK.
    ///
    /// Members that are not known are passed over (RFC 7517 §4); `x5c`, `x5t` and `x5u` are among
    /// them and neither read nor fetched. A JWK without `kid` is named by its thumbprint, one without
    /// `alg` gets the algorithm of its kind.
    ///
    /// Numbers are read as other implementations write them: with leading zero octets or without,
    /// in base64url or base64, padded or not. The same number in another spelling is the same key,
    /// so its thumbprint and its JSON are those of the canonical one (RFC 7518 §6.2.1.2, §6.3.1).
    ///
    /// # Errors
    ///
    /// [`JwkError`]: any private member, a `kty`, `crv`, `use`, `key_ops` or `alg` that does not make
    /// an ES256 or RS256 verification key, a number that is no base64, or a key that [`PublicKey`]'s
    /// constructors refuse.
    pub fn from_value(value: Value) -> Result<Self, JwkError> {
        let mut members = Object::new(value, "a JWK")?;
        if let Some(name) = PRIVATE_MEMBERS
            .into_iter()
            .find(|name| members.remaining().contains(name))
        {
            return Err(JwkError::PrivateMember(name));
        }

        let algorithm = match members.string("kty")?.as_str() {
            "EC" => Algorithm::Es256,
            "RSA" => Algorithm::Rs256,
            _ => return Err(JwkError::UnsupportedKeyType),
        };
        check_purpose(&mut members)?;
        if let Some(named) = members.optional_string("alg")?
            && named.parse::<Algorithm>()? != algorithm
        {
            return Err(JwkError::AlgorithmMismatch);
        }
        let key = match algorithm {
            Algorithm::Es256 => {
                if members.string("crv")? != "P-256" {
                    return Err(JwkError::UnsupportedCurve);
                }
                PublicKey::P256 {
                    x: coordinate(&mut members, "x")?,
                    y: coordinate(&mut members, "y")?,
                }
            }
            Algorithm::Rs256 => PublicKey::Rsa {
                n: number(&mut members, "n")?,
                e: number(&mut members, "e")?,
            },
        };
        let kid = members
            .optional_string("kid")?
            .map(|kid| Kid::parse(&kid))
            .transpose()?;
        Self::new(kid, key)
    }

    /// The identifier: what the JWK was named, or its thumbprint.
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The one algorithm that this key verifies: ES256 for P-256, RS256 for RSA.
    pub const fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// The numbers of the key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The whole SHA-256 thumbprint in base64url (RFC 7638 §3), whatever the key is named.
    pub fn thumbprint(&self) -> Kid {
        Kid::from_digest(&self.digest)
    }

    /// The octets of the thumbprint.
    pub(crate) const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Appends the JWK as JSON: `kty kid use alg`, then `crv x y` or `n e`, in this order and without
    /// white space, so that equal keys make equal bytes.
    pub fn write_json(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(self.to_json().as_bytes());
    }

    /// The text that [`Jwk::write_json`] appends.
    pub fn to_json(&self) -> String {
        // Visible ASCII needs an escape for these two characters only.
        let kid = self.kid.as_str().replace('\\', r"\\").replace('"', r#"\""#);
        let algorithm = self.algorithm();
        match &self.key {
            PublicKey::P256 { x, y } => format!(
                r#"{{"kty":"EC","kid":"{kid}","use":"sig","alg":"{algorithm}","crv":"P-256","x":"{}","y":"{}"}}"#,
                base64url::encode(x),
                base64url::encode(y)
            ),
            PublicKey::Rsa { n, e } => format!(
                r#"{{"kty":"RSA","kid":"{kid}","use":"sig","alg":"{algorithm}","n":"{}","e":"{}"}}"#,
                base64url::encode(n),
                base64url::encode(e)
            ),
        }
    }

    /// Verifies a signature over `message` with this key and its own algorithm.
    ///
    /// An ES256 signature is exactly 64 octets, r then s, each in `[1, n - 1]` (RFC 7518 §3.4), never
    /// DER; an RS256 signature is exactly as long as the modulus.
    ///
    /// # Errors
    ///
    /// [`SignatureError`], without a reason.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        #[cfg(feature = "aws-lc")]
        if let Some(parsed) = self.parsed.of(&self.key) {
            return parsed
                .verify_sig(message, signature)
                .map_err(|_| SignatureError);
        }
        self.key.verify(message, signature)
    }
}

/// The rest of a key follows from these two.
impl PartialEq for Jwk {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid && self.key == other.key
    }
}

impl Eq for Jwk {}

impl fmt::Debug for Jwk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Jwk")
            .field("kid", &self.kid)
            .field("key", &self.key)
            .finish()
    }
}

/// A signature does not belong to this key and message.
///
/// It gives no reason on purpose: a reason would help only an attacker who makes signatures up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureError;

/// Why a document is not a public signature key. Names members, never their values; the name of an
/// unknown algorithm is the one exception.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwkError {
    /// The document is larger than [`MAX_JWK_BYTES`].
    #[error("a JWK must not be larger than {MAX_JWK_BYTES} bytes")]
    TooLarge,
    /// The document is not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The document is no object, or a member is missing or of the wrong type.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The document holds private or symmetric key material.
    #[error("private member \"{0}\" in a JWK that must be public")]
    PrivateMember(&'static str),
    /// `kid` is not a [`Kid`].
    #[error(transparent)]
    Kid(#[from] InvalidKid),
    /// `kty` is neither `EC` nor `RSA`.
    #[error("kty must be EC or RSA")]
    UnsupportedKeyType,
    /// `crv` is not `P-256`.
    #[error("crv must be P-256")]
    UnsupportedCurve,
    /// `use` is not `sig`.
    #[error("use must be sig")]
    UnsupportedUse,
    /// `key_ops` lacks `verify`, or allows more than signatures.
    #[error("key_ops must hold verify, and nothing beside it but sign")]
    UnsupportedKeyOperations,
    /// `alg` names an algorithm that is not known.
    #[error(transparent)]
    UnsupportedAlgorithm(#[from] UnknownAlgorithm),
    /// The public exponent is legal, but larger than the cryptography underneath computes with.
    #[error("an RSA exponent of more than {RSA_EXPONENT_BITS} bits is not supported")]
    UnsupportedExponent,
    /// `key_ops` holds one value twice (RFC 7517 §4.3).
    #[error("key_ops holds a value twice")]
    DuplicateKeyOperation,
    /// `alg` belongs to the other kind of key.
    #[error("alg does not belong to this kty")]
    AlgorithmMismatch,
    /// A member is neither base64url nor base64.
    #[error("member \"{field}\" is neither base64url nor base64")]
    NotBase64url {
        /// The name of the member.
        field: &'static str,
    },
    /// A coordinate is a number of more than 32 octets (RFC 7518 §6.2.1.2).
    #[error("member \"{field}\" has more than 32 octets")]
    CoordinateLength {
        /// The name of the member.
        field: &'static str,
    },
    /// The coordinates are no point of P-256.
    #[error("the point is not on P-256")]
    NotOnCurve,
    /// A number is zero, or [`PublicKey::Rsa`] has it with a leading zero octet (RFC 7518 §2,
    /// Base64urlUInt).
    #[error("member \"{field}\" must be a positive number without leading zero octets")]
    LeadingZero {
        /// The name of the member.
        field: &'static str,
    },
    /// The modulus is too short or too long.
    #[error("an RSA modulus of {bits} bits is outside 2048 to 8192")]
    RsaModulusSize {
        /// Its length in bits.
        bits: usize,
    },
    /// The modulus has an odd number of bits.
    #[error("an RSA modulus of {bits} bits has an odd length")]
    RsaModulusOddLength {
        /// Its length in bits.
        bits: usize,
    },
    /// The modulus is even, so it is no product of two odd primes.
    #[error("an RSA modulus must be odd")]
    RsaModulusEven,
    /// The exponent is even or outside `2^16 < e < 2^256`.
    #[error("an RSA exponent must be odd, above 2^16 and below 2^256")]
    RsaExponent,
}

impl JwkError {
    /// Whether the document may well be a good key that this crate has no use for.
    ///
    /// Every other error says that the key is broken or private, and that its issuer made a mistake.
    pub const fn is_unsupported(&self) -> bool {
        matches!(
            self,
            Self::UnsupportedKeyType
                | Self::UnsupportedCurve
                | Self::UnsupportedUse
                | Self::UnsupportedKeyOperations
                | Self::UnsupportedAlgorithm(_)
                | Self::UnsupportedExponent
        )
    }
}

/// Checks `use` and `key_ops` (RFC 7517 §4.2, §4.3): one purpose, and it is to verify signatures.
fn check_purpose(members: &mut Object) -> Result<(), JwkError> {
    if members
        .optional_string("use")?
        .is_some_and(|purpose| purpose != "sig")
    {
        return Err(JwkError::UnsupportedUse);
    }
    let Some(operations) = members.optional_strings("key_ops")? else {
        return Ok(());
    };
    let mut distinct = operations.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() != operations.len() {
        return Err(JwkError::DuplicateKeyOperation);
    }
    let verifies = operations.iter().any(|operation| operation == "verify");
    let only_signatures = operations
        .iter()
        .all(|operation| matches!(operation.as_str(), "sign" | "verify"));
    if verifies && only_signatures {
        Ok(())
    } else {
        Err(JwkError::UnsupportedKeyOperations)
    }
}

/// Reads a number as it stands in a JWK: the big-endian octets without leading zeros, from base64url
/// or base64, padded or not. `None` when it is neither.
pub fn decode_jwk_number(text: &str) -> Option<Vec<u8>> {
    let mut octets = base64url::decode_forgiving(text)?;
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    octets.drain(..zeros);
    Some(octets)
}

fn number(members: &mut Object, field: &'static str) -> Result<Vec<u8>, JwkError> {
    decode_jwk_number(&members.string(field)?).ok_or(JwkError::NotBase64url { field })
}

/// A coordinate in 32 octets, however many it is written in.
fn coordinate(members: &mut Object, field: &'static str) -> Result<[u8; 32], JwkError> {
    let number = number(members, field)?;
    let mut coordinate = [0; 32];
    let zeros = coordinate
        .len()
        .checked_sub(number.len())
        .ok_or(JwkError::CoordinateLength { field })?;
    for (octet, digit) in coordinate.iter_mut().skip(zeros).zip(number) {
        *octet = digit;
    }
    Ok(coordinate)
}

/// The SHA-256 digest of these texts one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 32];
    for (octet, value) in digest.iter_mut().zip(context.finish().as_ref()) {
        *octet = *value;
    }
    digest
}

/// The uncompressed point: 4, x, y (SEC 1 §2.3.3).
fn sec1_point(x: &[u8; 32], y: &[u8; 32]) -> [u8; 65] {
    let mut point = [4; 65];
    let [_, coordinates @ ..] = &mut point;
    for (octet, coordinate) in coordinates.iter_mut().zip(x.iter().chain(y)) {
        *octet = *coordinate;
    }
    point
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), JwkError> {
    let bits = bit_length(n).ok_or(JwkError::LeadingZero { field: "n" })?;
    if !RSA_BITS.contains(&bits) {
        return Err(JwkError::RsaModulusSize { bits });
    }
    if bits % 2 != 0 {
        return Err(JwkError::RsaModulusOddLength { bits });
    }
    if !is_odd(n) {
        return Err(JwkError::RsaModulusEven);
    }
    let exponent_bits = bit_length(e).ok_or(JwkError::LeadingZero { field: "e" })?;
    // An odd number is above 2^16 exactly when it has 17 bits or more.
    if !(17..=256).contains(&exponent_bits) || !is_odd(e) {
        return Err(JwkError::RsaExponent);
    }
    if exponent_bits > RSA_EXPONENT_BITS {
        return Err(JwkError::UnsupportedExponent);
    }
    Ok(())
}

/// The length in bits of a big-endian number in its shortest form; `None` when it is empty or starts
/// with a zero octet.
fn bit_length(number: &[u8]) -> Option<usize> {
    let first = number.first().filter(|octet| **octet != 0)?;
    let unused = usize::try_from(first.leading_zeros()).ok()?;
    (number.len() * 8).checked_sub(unused)
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|octet| octet % 2 == 1)
}
