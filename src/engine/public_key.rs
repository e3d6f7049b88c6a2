//! Public keys of other systems in PEM, to be compared and never kept.

use keywright_verifier::PublicKey;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

/// Reads the public key of a PEM block: `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`. `None` for
/// anything else, and for keys of other kinds than this program's.
pub fn read_public_key(pem: &str) -> Option<PublicKey> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    let info = certificate.and_then(|certificate| {
        let certificate = Certificate::from_der(&certificate).ok()?;
        let info = certificate.tbs_certificate().subject_public_key_info();
        info.to_der().ok()
    });
    p256(pem, info.as_deref()).or_else(|| rsa(pem, info.as_deref()))
}

fn p256(pem: &str, info: Option<&[u8]>) -> Option<PublicKey> {
    use p256::elliptic_curve::sec1::ToSec1Point as _;
    use p256::pkcs8::DecodePublicKey as _;
    let key = match info {
        Some(info) => p256::PublicKey::from_public_key_der(info),
        None => p256::PublicKey::from_public_key_pem(pem),
    };
    let point = key.ok()?.to_sec1_point(false);
    PublicKey::p256((*point.x()?).into(), (*point.y()?).into()).ok()
}

fn rsa(pem: &str, info: Option<&[u8]>) -> Option<PublicKey> {
    use rsa::pkcs1::DecodeRsaPublicKey as _;
    use rsa::pkcs8::DecodePublicKey as _;
    use rsa::traits::PublicKeyParts as _;
    let key = match info {
        Some(info) => rsa::RsaPublicKey::from_public_key_der(info).ok(),
        None => rsa::RsaPublicKey::from_public_key_pem(pem)
            .ok()
            .or_else(|| rsa::RsaPublicKey::from_pkcs1_pem(pem).ok()),
    };
    let key = key?;
    PublicKey::rsa(key.n().to_bytes_be(), key.e().to_bytes_be()).ok()
}
