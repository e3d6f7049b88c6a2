//! As much DER as the attacks need (X.690 §10).

use serde_json::Value;

use crate::signers::octets;

/// `SEQUENCE { rsaEncryption, NULL }`
const RSA: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// `SEQUENCE { id-ecPublicKey, prime256v1 }`
const P256: [u8; 21] = [
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
    0xce, 0x3d, 0x03, 0x01, 0x07,
];
/// `SEQUENCE { ecdsa-with-SHA256 }`
const ECDSA: [u8; 12] = [
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match u8::try_from(content.len()) {
        Ok(length @ 0..0x80) => vec![length],
        Ok(length) => vec![0x81, length],
        Err(_) => {
            let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
            vec![0x82, high, low]
        }
    };
    [&[tag][..], &length, content].concat()
}

fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    element(0x30, &elements.concat())
}

fn bits(content: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], content].concat())
}

/// A non-negative INTEGER.
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    let number = &number[zeros..];
    let sign: &[u8] = if number.first().is_none_or(|octet| *octet >= 0x80) {
        &[0]
    } else {
        &[]
    };
    element(0x02, &[sign, number].concat())
}

/// r and s as X9.62 has them.
pub(crate) fn ecdsa_signature(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    sequence(&[&integer(r), &integer(s)])
}

/// The other way round, and none too strict.
pub(crate) fn read_ecdsa_signature(der: &[u8]) -> Option<Vec<u8>> {
    let [0x30, _, 0x02, length, rest @ ..] = der else {
        return None;
    };
    let (r, rest) = rest.split_at_checked(usize::from(*length))?;
    let [0x02, _, s @ ..] = rest else {
        return None;
    };
    let fixed = |number: &[u8]| {
        let zeros = number.iter().take_while(|octet| **octet == 0).count();
        let number = &number[zeros..];
        [&vec![0; 32 - number.len()][..], number].concat()
    };
    Some([fixed(r), fixed(s)].concat())
}

/// A SubjectPublicKeyInfo (RFC 5280 §4.1).
pub(crate) fn public_key(jwk: &Value) -> Vec<u8> {
    let member = |name: &str| octets(jwk[name].as_str().unwrap());
    if jwk["kty"] == "RSA" {
        let key = sequence(&[&integer(&member("n")), &integer(&member("e"))]);
        sequence(&[&RSA, &bits(&key)])
    } else {
        let point = [&[4][..], &member("x"), &member("y")].concat();
        sequence(&[&P256, &bits(&point)])
    }
}

/// A certificate that its own key has signed, with empty names.
pub(crate) fn self_signed_certificate(jwk: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let begin = element(0x17, b"250101000000Z");
    let end = element(0x17, b"350101000000Z");
    let content = sequence(&[
        &element(0xa0, &integer(&[2])),
        &integer(&[1]),
        &ECDSA,
        &sequence(&[]),
        &sequence(&[&begin, &end]),
        &sequence(&[]),
        &public_key(jwk),
    ]);
    let signature = ecdsa_signature(&sign(&content));
    sequence(&[&content, &ECDSA, &bits(&signature)])
}

/// The P-256 point of a certificate, by looking for it.
pub(crate) fn point_in_certificate(certificate: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let at = certificate
        .windows(P256.len())
        .position(|part| part == P256)?
        + P256.len()
        + 4;
    let point = certificate.get(at..at + 64)?;
    Some((point[..32].to_vec(), point[32..].to_vec()))
}
