//! Keys of other systems: what is taken in, and what is refused.

use keywright_verifier::{Algorithm, Jwk, Kid};
use p256::pkcs8::SecretDocument;

use super::software::{Material, encode_p256, encode_rsa, public_p256, public_rsa};
use super::{EngineError, KeyPair};
use crate::wiped_stack::on_wiped_stack;

/// Why a private key is not taken in. No variant carries anything of the key.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not a PKCS#8 PEM block.
    #[error(
        "private_key must be one unencrypted PKCS#8 PEM block (\"BEGIN PRIVATE KEY\"); convert \
         other forms with `openssl pkcs8 -topk8 -nocrypt`"
    )]
    NotPkcs8Pem,
    /// A key of another kind than its algorithm needs, or one that breaks a rule: P-256 for ES256;
    /// RSA of two primes and 2048, 3072 or 4096 bits, with 2^16 < e < 2^33, for RS256.
    #[error(
        "private_key is not a usable {0} key (ES256: P-256; RS256: RSA of 2048, 3072 or 4096 bits, \
         with an exponent of at least 65537)"
    )]
    Unusable(Algorithm),
}

/// Reads a private key of another system. ring checks that its parts belong together.
///
/// # Errors
/// [`ImportError`] when it is no PKCS#8 PEM, or breaks a rule of its algorithm.
pub fn import_private_key(
    algorithm: Algorithm,
    pem: &str,
    kid: Option<Kid>,
) -> Result<KeyPair, ImportError> {
    on_wiped_stack(|| read(algorithm, pem, kid))
}

fn read(algorithm: Algorithm, pem: &str, kid: Option<Kid>) -> Result<KeyPair, ImportError> {
    let pem = pem.trim();
    // The decoder passes over text before the block, and there could be another key in it.
    if !pem.starts_with("-----BEGIN PRIVATE KEY-----") {
        return Err(ImportError::NotPkcs8Pem);
    }
    let (_, der) = SecretDocument::from_pem(pem).map_err(|_| ImportError::NotPkcs8Pem)?;
    let unusable = || ImportError::Unusable(algorithm);
    let (private, public) = match algorithm {
        Algorithm::Es256 => {
            use p256::pkcs8::DecodePrivateKey as _;
            let secret = p256::SecretKey::from_pkcs8_der(der.as_bytes()).map_err(|_| unusable())?;
            (encode_p256(&secret), public_p256(&secret))
        }
        Algorithm::Rs256 => {
            use rsa::pkcs8::DecodePrivateKey as _;
            let secret =
                rsa::RsaPrivateKey::from_pkcs8_der(der.as_bytes()).map_err(|_| unusable())?;
            (encode_rsa(&secret), public_rsa(&secret))
        }
    };
    let (Some(private), Some(public)) = (private, public) else {
        return Err(unusable());
    };
    Material::open(algorithm, &private).map_err(|_: EngineError| unusable())?;
    let jwk = Jwk::new(kid, public).map_err(|_| unusable())?;
    Ok(KeyPair { jwk, private })
}
