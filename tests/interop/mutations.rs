//! Tokens that are nearly good: what an attacker, a proxy or a careless library makes of one.

mod kinds;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use keywright_verifier::{Algorithm, Jwk, JwkSet, PublicKey};
use p256::elliptic_curve::PrimeField as _;
use p256::{FieldBytes, Scalar};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::traits::PublicKeyParts as _;

use crate::verifiers::AUDIENCE;
use kinds::{CLAIMS, HEADERS, SIGNATURES, TEXTS};

pub(crate) const ISSUER: &str = "https://id.example.com";

/// The order of the P-256 group (SP 800-186 §3.2.1.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// A signer.
pub(crate) struct Signer {
    p256: EcdsaKeyPair,
    rsa: RsaKeyPair,
    jwks: [Jwk; 2],
}

impl Signer {
    fn new() -> Self {
        let format = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(format, &SystemRandom::new()).unwrap();
        let p256 =
            EcdsaKeyPair::from_pkcs8(format, document.as_ref(), &SystemRandom::new()).unwrap();
        let point = p256.public_key().as_ref();
        let (x, y) = (
            point[1..33].try_into().unwrap(),
            point[33..].try_into().unwrap(),
        );
        let private = rsa::PrivateKey::new(&mut rand::rngs::SysRng, 2048).unwrap();
        let (n, e) = (private.n_bytes().into_vec(), private.e_bytes().into_vec());
        Self {
            p256,
            rsa: RsaKeyPair::from_pkcs8(private.to_pkcs8_der().unwrap().as_bytes()).unwrap(),
            jwks: [
                PublicKey::p256(x, y).unwrap(),
                PublicKey::rsa(n, e).unwrap(),
            ]
            .map(|key| Jwk::new(None, key).unwrap()),
        }
    }

    fn signature(&self, algorithm: Algorithm, message: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match algorithm {
            Algorithm::Es256 => self
                .p256
                .sign(&random, message.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
            Algorithm::Rs256 => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa
                    .sign(
                        &RSA_PKCS1_SHA256,
                        &random,
                        message.as_bytes(),
                        &mut signature,
                    )
                    .unwrap();
                signature
            }
        }
    }
}

/// Makes mutated tokens, the same ones from the same seed but for keys and time.
pub(crate) struct Mutator {
    random: StdRng,
    now: u64,
    issuer: Signer,
    stranger: Signer,
}

/// A token and what was done to it.
pub(crate) struct Mutant {
    pub(crate) kind: &'static str,
    pub(crate) token: String,
}

impl Mutator {
    pub(crate) fn new(seed: u64, now: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            now,
            issuer: Signer::new(),
            stranger: Signer::new(),
        }
    }

    /// What the issuer publishes.
    pub(crate) fn keys(&self) -> JwkSet {
        JwkSet::new(self.issuer.jwks.to_vec())
    }

    /// The next one. Kinds take turns, so that each comes equally often.
    pub(crate) fn mutant(&mut self, number: usize) -> Mutant {
        let algorithm = Algorithm::ALL[number % 2];
        let turn = number / 2 % (HEADERS.len() + CLAIMS.len() + TEXTS.len() + SIGNATURES.len());
        let header = HEADERS[0].1;
        let claims = format!("{{{}}}", CLAIMS[0].1);
        if let Some((kind, header)) = HEADERS.get(turn) {
            let token = self.token(algorithm, header, &claims);
            return Mutant { kind, token };
        }
        let turn = turn - HEADERS.len();
        if let Some((kind, claims)) = CLAIMS.get(turn) {
            let token = self.token(algorithm, header, &format!("{{{claims}}}"));
            return Mutant { kind, token };
        }
        let turn = turn - CLAIMS.len();
        let token = self.token(algorithm, header, &claims);
        if let Some(kind) = TEXTS.get(turn) {
            let token = self.changed_text(kind, algorithm, token);
            return Mutant { kind, token };
        }
        let kind = SIGNATURES[turn - TEXTS.len()];
        let token = self.resigned(kind, algorithm, &token);
        Mutant { kind, token }
    }

    fn fill(&self, algorithm: Algorithm, template: &str) -> String {
        let [es256, rs256] = &self.issuer.jwks;
        let (own, other) = match algorithm {
            Algorithm::Es256 => (es256, rs256),
            Algorithm::Rs256 => (rs256, es256),
        };
        let mut text = template
            .replace("ALG", algorithm.as_str())
            .replace(
                "\"alg\":\"alg\"",
                &format!("\"alg\":\"{}\"", algorithm.as_str().to_lowercase()),
            )
            .replace("OTHER", other.kid().as_str())
            .replace("KID", own.kid().as_str())
            .replace("ISS", ISSUER)
            .replace("AUD", AUDIENCE)
            .replace("NEST", &format!("{}{}", "[".repeat(200), "]".repeat(200)));
        for (sign, offset) in [("+600", 600_i64), ("-100", -100), ("+300", 300)] {
            let at = self.now.saturating_add_signed(offset).to_string();
            text = text.replace(&format!("NOW{sign}"), &at);
        }
        text
    }

    fn token(&self, algorithm: Algorithm, header: &str, claims: &str) -> String {
        let [header, claims] =
            [header, claims].map(|part| BASE64URL.encode(self.fill(algorithm, part)));
        let input = format!("{header}.{claims}");
        let signature = self.issuer.signature(algorithm, &input);
        format!("{input}.{}", BASE64URL.encode(signature))
    }

    fn changed_text(&mut self, kind: &str, algorithm: Algorithm, token: String) -> String {
        let mut bytes = token.clone().into_bytes();
        let parts: Vec<&str> = token.split('.').collect();
        // The last character is for "trailing bits" alone: some decoders pass over the rest of it.
        let at = self.random.random_range(0..bytes.len() - 1);
        let character = *b"ABCXYZabcxyz0189-_".choose(&mut self.random).unwrap();
        match kind {
            "one bit of one character" => bytes[at] ^= 1 << self.random.random_range(0..7),
            "one character" => bytes[at] = character,
            "a character less" => drop(bytes.remove(at)),
            "a character more" => bytes.insert(at, character),
            "the end cut" => bytes.truncate(at),
            "padding" => bytes.extend_from_slice(b"=="),
            "the other alphabet" => {
                return parts[..2].join(".") + "." + &parts[2].replace('-', "+").replace('_', "/");
            }
            "white space before" => bytes.insert(0, b' '),
            "white space behind" => bytes.push(b' '),
            "a line break within" => bytes.insert(at, b'\n'),
            "trailing bits" => {
                // The last character of 256 octets holds four bits too many, of 64 octets too.
                let last = bytes.last_mut().unwrap();
                let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
                let value = alphabet.iter().position(|digit| digit == last).unwrap();
                *last = alphabet[value | 1];
            }
            "a part twice" => return format!("{}.{token}", parts[0]),
            "a part less" => return parts[..2].join("."),
            "parts exchanged" => return format!("{}.{}.{}", parts[1], parts[0], parts[2]),
            "five parts" => return format!("{token}.{}.{}", parts[0], parts[1]),
            "a dot behind" => bytes.push(b'.'),
            "an empty signature" => return format!("{}.{}.", parts[0], parts[1]),
            "another token's signature" => {
                let claims = format!("{{{},\"sub\":\"root\"}}", CLAIMS[0].1);
                let other = self.token(algorithm, HEADERS[0].1, &claims);
                let (input, _) = other.rsplit_once('.').unwrap();
                return format!("{input}.{}", parts[2]);
            }
            "JSON serialisation" => {
                return format!(
                    r#"{{"protected":"{}","payload":"{}","signature":"{}"}}"#,
                    parts[0], parts[1], parts[2]
                );
            }
            other => panic!("{other}"),
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn resigned(&self, kind: &str, algorithm: Algorithm, token: &str) -> String {
        let (input, signature) = token.rsplit_once('.').unwrap();
        let mut signature = BASE64URL.decode(signature).unwrap();
        let middle = signature.len() / 2;
        match kind {
            "zeros" => signature.fill(0),
            "r zero" => signature[..middle].fill(0),
            "s zero" => signature[middle..].fill(0),
            "r the order" => signature[..32].copy_from_slice(&ORDER),
            "s the order" => signature[middle..middle + 32].copy_from_slice(&ORDER),
            "s mirrored" => {
                let s = FieldBytes::try_from(&signature[middle..middle + 32]).unwrap();
                let mirrored = -Scalar::from_repr(s).unwrap();
                signature[middle..middle + 32].copy_from_slice(&mirrored.to_repr());
            }
            "DER" => {
                let (r, s) = signature.split_at(middle);
                let integer = |number: &[u8]| [&[2, 33, 0], number].concat();
                signature = [
                    &[0x30, 70][..],
                    &integer(&r[..r.len().min(32)]),
                    &integer(&s[..s.len().min(32)]),
                ]
                .concat();
            }
            "a zero in front" => signature.insert(0, 0),
            "a zero behind" => signature.push(0),
            "half" => signature.truncate(middle),
            "all ones" => signature.fill(0xff),
            "of the other algorithm" => {
                let other = if algorithm == Algorithm::Es256 {
                    Algorithm::Rs256
                } else {
                    Algorithm::Es256
                };
                signature = self.issuer.signature(other, input);
            }
            "of another key" => signature = self.stranger.signature(algorithm, input),
            other => panic!("{other}"),
        }
        format!("{input}.{}", BASE64URL.encode(signature))
    }
}
