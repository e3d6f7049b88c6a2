//! Keys of other systems: what is taken in, and what is refused.
//!
//! A private key comes as PEM (PKCS#8, PKCS#1 or SEC 1) or as a JWK, in the spellings that tools make
//! of them. [`key_format`] finds the key in its file, or recognises what is none; [`elliptic_curve`]
//! reads EC keys with the parameters that tools write. Whatever the form was, the libraries that
//! sign must open the result.

mod elliptic_curve;
mod key_format;
mod weak_key;

use keywright_verifier::json::{self, FieldError, Object};
use keywright_verifier::{Algorithm, Jwk, JwkError, Kid, PublicKey, decode_jwk_number};
use rsa::BoxedUint;
use rsa::pkcs1::ALGORITHM_OID as RSA_ENCRYPTION;
use serde_json::Value;
use zeroize::Zeroizing;

use self::key_format::Encoded;
use super::software::{check_usable, encode_p256, public_p256};
use super::{KeyPair, rsa_key};
use crate::wiped_stack::on_wiped_stack;

pub use key_format::KeyFormat;
pub use weak_key::{WeakKey, check_strength};

/// Why a private key is not taken in. No variant carries anything of the key.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No private key in a form that is read.
    #[error("private_key {0}")]
    Format(#[from] KeyFormat),
    /// A JWK whose public members break a rule.
    #[error("private_key is a JWK that cannot be used: {0}")]
    Jwk(#[from] JwkError),
    /// A key of another kind than its algorithm needs, or one that breaks a rule: P-256 for ES256;
    /// RSA of two primes and 2048, 3072 or 4096 bits for RS256.
    #[error(
        "private_key is not a usable {0} key (ES256: P-256; RS256: RSA of two primes and 2048, 3072 \
         or 4096 bits, with an exponent of at least 65537)"
    )]
    Unusable(Algorithm),
    /// A key that others refuse, or can compute.
    #[error("private_key is refused: {0}")]
    Weak(#[from] WeakKey),
}

impl From<FieldError> for ImportError {
    fn from(error: FieldError) -> Self {
        Self::Jwk(error.into())
    }
}

/// Reads a private key of another system, and checks that its parts belong together. Without `kid`
/// the key has the kid of the JWK that it came as, or its thumbprint.
///
/// # Errors
/// [`ImportError`] when `text` has no private key that can be read, or one that breaks a rule.
pub fn import_private_key(
    algorithm: Algorithm,
    text: &str,
    kid: Option<Kid>,
) -> Result<KeyPair, ImportError> {
    on_wiped_stack(|| import(algorithm, text, kid))
}

fn import(algorithm: Algorithm, text: &str, kid: Option<Kid>) -> Result<KeyPair, ImportError> {
    let unusable = || ImportError::Unusable(algorithm);
    let (secret, kid) = match key_format::private_key(text)? {
        Encoded::Jwk(value) => {
            let (secret, named) = read_jwk(value)?.ok_or_else(unusable)?;
            (secret, kid.or(named))
        }
        Encoded::Der(label, der) => (read_der(label, &der).ok_or_else(unusable)?, kid),
    };
    let (private, public) = match &secret {
        Secret::P256(secret) => (encode_p256(secret), public_p256(&secret.public_key())),
        Secret::Rsa(secret) => (rsa_key::encode(secret), rsa_key::public_half(secret)),
    };
    let (Some(private), Some(public)) = (private, public) else {
        return Err(unusable());
    };
    if public.algorithm() != algorithm {
        return Err(unusable());
    }
    check_strength(&public)?;
    check_usable(algorithm, &private).map_err(|_| unusable())?;
    let jwk = Jwk::new(kid, public).map_err(|_| unusable())?;
    Ok(KeyPair { jwk, private })
}

/// A private key as numbers.
enum Secret {
    P256(p256::SecretKey),
    Rsa(Box<rsa::PrivateKey>),
}

fn read_der(label: key_format::Label, der: &[u8]) -> Option<Secret> {
    use rsa::pkcs1::DecodeRsaPrivateKey as _;
    let rsa = |key| Secret::Rsa(Box::new(key));
    match label {
        key_format::Label::Pkcs8 => match elliptic_curve::read_pkcs8(der) {
            Some(key) => Some(Secret::P256(key)),
            None => read_rsa_pkcs8(der).map(rsa),
        },
        key_format::Label::Pkcs1 => rsa::PrivateKey::from_pkcs1_der(der).ok().map(rsa),
        key_format::Label::Sec1 => elliptic_curve::read_sec1(der, None).map(Secret::P256),
    }
}

/// Reads a PrivateKeyInfo (RFC 5958 §2) of an RSA key that is not for RSASSA-PSS or RSAES-OAEP alone.
fn read_rsa_pkcs8(der: &[u8]) -> Option<rsa::PrivateKey> {
    let information = rsa::pkcs8::PrivateKeyInfoRef::try_from(der).ok()?;
    (information.algorithm.oid == RSA_ENCRYPTION)
        .then(|| rsa::PrivateKey::try_from(information).ok())?
}

/// Reads a private JWK (RFC 7518 §6.2.2, §6.3.2) and its kid; `None` when its private members are no
/// key, or not that of its public ones.
fn read_jwk(value: Value) -> Result<Option<(Secret, Option<Kid>)>, ImportError> {
    let mut members = Object::new(value, "a JWK")?;
    let mut private = |name| {
        let text = members.optional_string(name)?.map(Zeroizing::new);
        let number = text.map(|text| {
            decode_jwk_number(&text)
                .map(Zeroizing::new)
                .ok_or(JwkError::NotBase64url { field: name })
        });
        number.transpose().map_err(ImportError::from)
    };
    let (d, p, q) = (private("d")?, private("p")?, private("q")?);
    for other in ["dp", "dq", "qi"] {
        private(other)?;
    }
    // A key that may sign is one whose public half may verify (RFC 7517 §4.3).
    let mut public = members.into_map();
    public.retain(|name, _| !["oth", "k", "priv"].contains(&&**name));
    if let Some(Value::Array(operations)) = public.get_mut("key_ops") {
        operations.retain(|operation| operation != "verify");
        operations
            .iter_mut()
            .filter(|operation| **operation == "sign")
            .for_each(|operation| {
                *operation = "verify".into();
            });
    }
    let is_named = public.contains_key("kid");
    let jwk = Jwk::from_value(public.into())?;
    let Some(d) = d else {
        return Err(KeyFormat::PublicJwk.into());
    };
    let secret = match jwk.public_key() {
        PublicKey::P256 { .. } => elliptic_curve::from_scalar(&d)
            .filter(|secret| public_p256(&secret.public_key()).as_ref() == Some(jwk.public_key()))
            .map(Secret::P256),
        PublicKey::Rsa { n, e } => {
            let number = |octets: &[u8]| BoxedUint::from_be_slice_vartime(octets);
            let primes = p.iter().chain(&q).map(|prime| number(prime)).collect();
            rsa::PrivateKey::from_components(number(n), number(e), number(&d), primes)
                .ok()
                .map(|key| Secret::Rsa(Box::new(key)))
        }
    };
    Ok(secret.map(|secret| (secret, is_named.then(|| jwk.kid().clone()))))
}

/// Reads a public key in PEM: a SubjectPublicKeyInfo (RFC 5280 §4.1), or PKCS#1.
///
/// # Errors
/// [`KeyFormat`] when `text` is another kind of file, or a key that is neither P-256 nor RSA.
pub fn read_public_key(text: &str) -> Result<Jwk, KeyFormat> {
    let der = key_format::public_key(text)?;
    read_key_information(&der)
        .and_then(|key| Jwk::new(None, key).ok())
        .ok_or(KeyFormat::OtherPublicKey)
}

/// The public key of a certificate in PEM; `None` when it is neither P-256 nor RSA.
pub fn read_certificate_key(pem: &str) -> Option<PublicKey> {
    use rustls::pki_types::pem::PemObject as _;
    use x509_cert::der::{Decode as _, Encode as _};
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let certificate = x509_cert::Certificate::from_der(&certificate).ok()?;
    let information = certificate.tbs_certificate().subject_public_key_info();
    read_key_information(&information.to_der().ok()?)
}

fn read_key_information(der: &[u8]) -> Option<PublicKey> {
    elliptic_curve::read_public_key(der).or_else(|| read_rsa_public_key(der))
}

/// Reads an RSA key from a SubjectPublicKeyInfo or from PKCS#1.
pub(super) fn read_rsa_public_key(der: &[u8]) -> Option<PublicKey> {
    use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
    let information = SubjectPublicKeyInfoRef::try_from(der).ok();
    let pkcs1 = match &information {
        Some(information) if information.algorithm.oid == RSA_ENCRYPTION => {
            information.subject_public_key.as_bytes()?
        }
        Some(_) => return None,
        None => der,
    };
    let key = rsa::pkcs1::RsaPublicKeyRef::try_from(pkcs1).ok()?;
    let (n, e) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    PublicKey::rsa(n.to_vec(), e.to_vec()).ok()
}

/// Parses JSON of a key file.
fn parse_json(text: &str) -> Option<Value> {
    json::parse(text.as_bytes(), json::DEFAULT_MAX_DEPTH).ok()
}
