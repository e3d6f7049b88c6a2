//! EC private keys in DER, with the parameters that tools write: a curve's name, all its numbers, or
//! none.

use keywright_verifier::PublicKey;
use p256::pkcs8::der::asn1::AnyRef;
use p256::pkcs8::der::{Decode as _, Reader as _, SliceReader, Tag, Tagged as _};
use p256::pkcs8::{DecodePublicKey as _, ObjectIdentifier, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use crate::engine::software::public_p256;

/// RFC 5480 §2.1.1.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// RFC 3279 §2.3.5: the integers modulo a prime.
const PRIME_FIELD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.1.1");

/// The numbers of P-256 (SEC 2 §2.4.2): prime, a, b, generator and order.
const PRIME: &str = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
const A: &str = "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc";
const B: &str = "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b";
const GENERATOR: [&str; 2] = [
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
];
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// A key from its scalar, big-endian, with leading zero octets or without.
pub(super) fn from_scalar(scalar: &[u8]) -> Option<p256::SecretKey> {
    let zeros = scalar.iter().take_while(|octet| **octet == 0).count();
    let scalar = scalar.get(zeros..)?;
    let mut padded = Zeroizing::new([0; 32]);
    let padding = padded.len().checked_sub(scalar.len())?;
    padded.get_mut(padding..)?.copy_from_slice(scalar);
    p256::SecretKey::from_slice(&*padded).ok()
}

/// Reads a PrivateKeyInfo (RFC 5958 §2).
pub(super) fn read_pkcs8(der: &[u8]) -> Option<p256::SecretKey> {
    let information = PrivateKeyInfoRef::try_from(der).ok()?;
    if information.algorithm.oid != EC_PUBLIC_KEY {
        return None;
    }
    read_sec1(
        information.private_key.as_bytes(),
        information.algorithm.parameters,
    )
}

/// Reads an ECPrivateKey (RFC 5915 §3) whose curve `parameters` say, unless it says so itself. One
/// that names no curve must have its public point, which then is on P-256 and that of the scalar.
pub(super) fn read_sec1(der: &[u8], parameters: Option<AnyRef<'_>>) -> Option<p256::SecretKey> {
    let [version, scalar, optional @ ..] = &*sequence(AnyRef::from_der(der).ok()?)? else {
        return None;
    };
    if version.tag() != Tag::Integer || version.value() != [1] || scalar.tag() != Tag::OctetString {
        return None;
    }
    let secret = from_scalar(scalar.value())?;
    let mut is_known = false;
    if let Some(parameters) = parameters {
        is_known = is_p256(parameters).then_some(true)?;
    }
    for part in optional {
        let inner = AnyRef::from_der(part.value()).ok()?;
        match part.tag() {
            Tag::ContextSpecific { number, .. } if number.value() == 0 => {
                is_known = is_p256(inner).then_some(true)?;
            }
            Tag::ContextSpecific { number, .. } if number.value() == 1 => {
                let [0, point @ ..] = inner.value() else {
                    return None;
                };
                let public = p256::PublicKey::from_sec1_bytes(point).ok()?;
                is_known = (public == secret.public_key()).then_some(true)?;
            }
            _ => return None,
        }
    }
    is_known.then_some(secret)
}

/// Reads a SubjectPublicKeyInfo of a named curve.
pub(super) fn read_public_key(der: &[u8]) -> Option<PublicKey> {
    public_p256(&p256::PublicKey::from_public_key_der(der).ok()?)
}

/// Whether ECParameters (RFC 3279 §2.3.5) are P-256: by name, or in every number. A generator of
/// another kind would make another key of the same scalar (CVE-2020-0601).
fn is_p256(parameters: AnyRef<'_>) -> bool {
    if let Ok(curve) = parameters.decode_as::<ObjectIdentifier>() {
        return curve == P_256;
    }
    is_explicit_p256(parameters).unwrap_or(false)
}

fn is_explicit_p256(parameters: AnyRef<'_>) -> Option<bool> {
    let parameters = sequence(parameters)?;
    let [version, field, curve, generator, order, cofactor @ ..] = &*parameters else {
        return None;
    };
    let field = sequence(*field)?;
    let [kind, prime] = &*field else {
        return None;
    };
    let curve = sequence(*curve)?;
    // What may follow is the seed, by which the curve was chosen.
    let [a, b, ..] = &*curve else {
        return None;
    };
    let [x, y] = GENERATOR;
    let generators = [format!("04{x}{y}"), format!("03{x}")];
    let numbers = [(prime, PRIME), (order, ORDER)];
    let elements = [(a, A), (b, B)];
    Some(
        (1..=3).contains(version.value().first()?)
            && kind.decode_as::<ObjectIdentifier>().ok()? == PRIME_FIELD
            && numbers.iter().all(|(number, expected)| {
                number.tag() == Tag::Integer && digits(number.value()) == *expected
            })
            && elements.iter().all(|(element, expected)| {
                element.tag() == Tag::OctetString && digits(element.value()) == *expected
            })
            && generators.contains(&hexadecimal(generator.value()))
            && cofactor.iter().all(|cofactor| cofactor.value() == [1]),
    )
}

/// The parts of a SEQUENCE.
fn sequence(any: AnyRef<'_>) -> Option<Vec<AnyRef<'_>>> {
    if any.tag() != Tag::Sequence {
        return None;
    }
    let mut reader = SliceReader::new(any.value()).ok()?;
    let mut parts = Vec::new();
    while !reader.is_finished() {
        parts.push(reader.decode().ok()?);
    }
    Some(parts)
}

/// A number in hexadecimal, without leading zero octets.
fn digits(octets: &[u8]) -> String {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    hexadecimal(octets.get(zeros..).unwrap_or_default())
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
