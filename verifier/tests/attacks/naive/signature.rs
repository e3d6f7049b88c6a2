//! Verifying signatures, and codes that are taken for signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigUint;
use ring::{digest, hmac};
use serde_json::Value;

use super::keys::Key;
use super::{Defence, Naive, Parts};
use crate::der;
use crate::signers::{SHA_256_INFO, octets, padded, sha_256};
use crate::textbook::{P256, ecdsa_holds, octets_of_length, rsa_block};

impl Naive<'_> {
    pub(super) fn signature_holds(&self, parts: &Parts, algorithm: &str) -> bool {
        if !self.is_allowed(algorithm) {
            return false;
        }
        if parts.signature.is_empty() {
            return self.lacks(Defence::RefusesEmptySignature);
        }
        let message = parts.signing_input.as_bytes();
        let keys = self.keys_of(&parts.claims);
        self.candidates(&parts.header, &keys)
            .iter()
            .any(|key| match key {
                Key::Ec { x, y } => self.ecdsa_holds(x, y, message, &parts.signature),
                Key::Rsa { n, e } => self.rsa_holds(n, e, message, &parts.signature),
            })
    }

    fn ecdsa_holds(&self, x: &[u8], y: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let mut signature = signature.to_vec();
        if self.lacks(Defence::FixedFormOnly)
            && let Some(fixed) = der::read_ecdsa_signature(&signature)
        {
            signature = fixed;
        }
        if self.lacks(Defence::SignatureLength) {
            signature.truncate(64);
        }
        if signature.len() != 64 {
            return false;
        }
        let (r, s) = signature.split_at(32);
        let order = octets_of_length(&P256.order, 32);
        let is_in_range =
            |number: &[u8]| number.iter().any(|octet| *octet != 0) && number < &order[..];
        let [x, y] = [x, y].map(BigUint::from_bytes_be);
        (self.lacks(Defence::ScalarRange) || (is_in_range(r) && is_in_range(s)))
            && ecdsa_holds(&Some((x, y)), &sha_256(message), r, s)
    }

    fn rsa_holds(&self, n: &[u8], e: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let mut signature = signature.to_vec();
        if self.lacks(Defence::SignatureLength) {
            signature.truncate(n.len());
        }
        if signature.len() != n.len() {
            return false;
        }
        let block = rsa_block(n, e, &signature);
        let digest = sha_256(message);
        if self.lacks(Defence::Padding) {
            // The digest is in there somewhere, or a shorter one.
            let sha_1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, message);
            return contains(&block, &digest) || contains(&block, sha_1.as_ref());
        }
        block == padded(n.len(), &[&SHA_256_INFO[..], &digest].concat())
    }

    /// Whether an HMAC with something that is no secret is taken for a signature.
    pub(super) fn hmac_holds(&self, parts: &Parts, algorithm: &str) -> bool {
        let algorithm = match algorithm {
            "HS256" => hmac::HMAC_SHA256,
            "HS384" => hmac::HMAC_SHA384,
            "HS512" => hmac::HMAC_SHA512,
            _ => return false,
        };
        let keys = self.keys_of(&parts.claims);
        let named = keys
            .iter()
            .find(|jwk| Some(&jwk["kid"]) == parts.header.get("kid"));
        let secrets = match (self.missing, named) {
            // The library was given "the key" as text, and the header says what kind it is of.
            (Some(Defence::RefusesHmac), Some(jwk)) => spellings(jwk),
            // The set was given as JWKs, and one without `alg` follows the header.
            (Some(Defence::AlgorithmOfTheKey), Some(jwk)) if jwk.get("alg").is_none() => {
                let number = if jwk["kty"] == "RSA" { "n" } else { "x" };
                vec![octets(jwk[number].as_str().unwrap_or_default())]
            }
            // The look-up answers nothing, and nothing is a secret too.
            (Some(Defence::RefusesUnknownKey), None) => vec![Vec::new()],
            _ => Vec::new(),
        };
        secrets.iter().any(|secret| {
            let key = hmac::Key::new(algorithm, secret);
            hmac::verify(&key, parts.signing_input.as_bytes(), &parts.signature).is_ok()
        })
    }
}

/// The forms in which a public key stands in files and configurations.
pub(crate) fn spellings(jwk: &Value) -> Vec<Vec<u8>> {
    let der = der::public_key(jwk);
    let base64 = STANDARD.encode(&der);
    let lines: Vec<String> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
        lines.join("\n")
    );
    vec![
        format!("{pem}\n").into_bytes(),
        pem.replace('\n', "\r\n").into_bytes(),
        pem.replace('\n', "").into_bytes(),
        pem.replace('\n', "\\n").into_bytes(),
        pem.into_bytes(),
        base64.into_bytes(),
        lines.join("\n").into_bytes(),
        der,
        jwk.to_string().into_bytes(),
    ]
}

fn contains(block: &[u8], part: &[u8]) -> bool {
    block.windows(part.len()).any(|window| window == part)
}
