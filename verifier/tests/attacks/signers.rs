//! Who can sign: the issuer, and attackers with a key of their own.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use num_bigint::BigUint;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::textbook::octets_of_length;

/// RFC 7515 appendix A.2: the two primes of a 2048-bit key that is no secret.
const P: &str = "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc";
const Q: &str = "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc";

/// The DER of SHA-256's digest info, without the digest (RFC 8017 §9.2 note 1).
pub(crate) const SHA_256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn octets(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

pub(crate) fn sha_256(message: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, message).as_ref().to_vec()
}

/// The first two parts of a token.
pub(crate) fn signing_input(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    format!("{}.{}", base64url(header), base64url(claims))
}

/// A token of these parts, whatever the signature is worth.
pub(crate) fn assemble(input: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{input}.{}", base64url(signature))
}

/// Splits a token into its signing input and the octets of its signature.
pub(crate) fn disassemble(token: &str) -> (&str, Vec<u8>) {
    let (input, signature) = token.rsplit_once('.').unwrap();
    (input, octets(signature))
}

/// Holds a P-256 key that is made anew for each test.
pub(crate) struct EcSigner {
    pair: EcdsaKeyPair,
    kid: &'static str,
}

impl EcSigner {
    pub(crate) fn new(kid: &'static str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self { pair, kid }
    }

    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        ec_jwk(self.kid, x, y)
    }

    pub(crate) fn signature(&self, input: impl AsRef<[u8]>) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), input.as_ref());
        signature.unwrap().as_ref().to_vec()
    }

    /// Signs any header and any claims.
    pub(crate) fn sign(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let input = signing_input(header, claims);
        assemble(&input, self.signature(&input))
    }

    /// Signs as an issuer does, with its own name for the key in the header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(self.header(), claims.to_string())
    }

    pub(crate) fn header(&self) -> String {
        format!(r#"{{"alg":"ES256","kid":"{}"}}"#, self.kid)
    }
}

pub(crate) fn ec_jwk(kid: &str, x: &[u8], y: &[u8]) -> Value {
    json!({"kty": "EC", "kid": kid, "crv": "P-256", "x": base64url(x), "y": base64url(y)})
}

/// Holds an RSA key as numbers, so that it can be a bad one and pad as it likes.
pub(crate) struct RsaSigner {
    modulus: BigUint,
    public_exponent: u32,
    private_exponent: BigUint,
}

/// The factors of the sample key.
pub(crate) static PRIMES: LazyLock<[BigUint; 2]> =
    LazyLock::new(|| [P, Q].map(|prime| BigUint::from_bytes_be(&octets(prime))));

impl RsaSigner {
    /// The key of RFC 7515 appendix A.2, with any exponent.
    pub(crate) fn with_exponent(public_exponent: u32) -> Self {
        let [p, q] = &*PRIMES;
        Self::from_totient(p * q, public_exponent, &((p - 1_u32) * (q - 1_u32)))
    }

    /// A key of which the number of units modulo `modulus` is known.
    pub(crate) fn from_totient(modulus: BigUint, public_exponent: u32, totient: &BigUint) -> Self {
        let private_exponent = BigUint::from(public_exponent).modinv(totient).unwrap();
        Self {
            modulus,
            public_exponent,
            private_exponent,
        }
    }

    /// Without `alg`, as RFC 7517 §4.4 allows.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let exponent = BigUint::from(self.public_exponent).to_bytes_be();
        let modulus = self.modulus.to_bytes_be();
        json!({"kty": "RSA", "kid": kid, "n": base64url(modulus), "e": base64url(exponent)})
    }

    /// How many octets the modulus has.
    pub(crate) fn length(&self) -> usize {
        self.modulus.to_bytes_be().len()
    }

    /// Raises a padded digest to the private exponent, whatever it looks like.
    pub(crate) fn sign_block(&self, block: &[u8]) -> Vec<u8> {
        assert_eq!(block.len(), self.length());
        let block = BigUint::from_bytes_be(block);
        octets_of_length(
            &block.modpow(&self.private_exponent, &self.modulus),
            self.length(),
        )
    }

    /// A token with the one right padding (RFC 8017 §9.2).
    pub(crate) fn token(&self, kid: &str, claims: &Value) -> String {
        let input = signing_input(
            format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#),
            claims.to_string(),
        );
        let block = padded(
            self.length(),
            &[&SHA_256_INFO[..], &sha_256(input.as_bytes())].concat(),
        );
        assemble(&input, self.sign_block(&block))
    }
}

/// `00 01 ff … ff 00` and the content, as long as the modulus.
pub(crate) fn padded(length: usize, content: &[u8]) -> Vec<u8> {
    let filling = vec![0xff; length - content.len() - 3];
    [&[0, 1][..], &filling, &[0], content].concat()
}

#[test]
fn the_sample_key_signs_as_rfc_7515_says() {
    let signer = RsaSigner::with_exponent(65_537);
    let input = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let content = [&SHA_256_INFO[..], &sha_256(input.as_bytes())].concat();
    let signature = base64url(signer.sign_block(&padded(256, &content)));
    assert!(
        signature.starts_with("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7")
    );
    assert!(signature.ends_with("Y9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"));
}
