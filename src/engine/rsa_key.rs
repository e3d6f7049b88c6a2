//! RSA private keys: generated, opened, and signed with, by one of two libraries.
//!
//! aws-lc-rs computes with the vector instructions of the processor where it has them. A build without
//! the feature `aws-lc` has ring, and generates with the `rsa` crate, which never performs a private-key
//! operation (RUSTSEC-2023-0071). Both write the same PKCS#8, and a key is taken into a store only if
//! ring accepts it, so that every build opens every store.

use keywright_verifier::PublicKey;
use ring::rand::SystemRandom;
use ring::signature as ring_signature;
use rsa::pkcs8::EncodePrivateKey as _;

use super::PrivateKey;

/// A library that generates RSA keys and signs with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaLibrary {
    /// aws-lc-rs.
    #[cfg(feature = "aws-lc")]
    AwsLc,
    /// ring, and the `rsa` crate for key generation.
    Ring,
}

impl RsaLibrary {
    /// The libraries of this build. The service uses the first.
    pub const ALL: &[Self] = &[
        #[cfg(feature = "aws-lc")]
        Self::AwsLc,
        Self::Ring,
    ];

    /// The library that the service uses.
    pub(super) const fn preferred() -> Self {
        #[cfg(feature = "aws-lc")]
        let library = Self::AwsLc;
        #[cfg(not(feature = "aws-lc"))]
        let library = Self::Ring;
        library
    }

    /// How many signatures with 2048 bits take about a millisecond.
    pub(super) const fn signatures_per_millisecond(self) -> usize {
        match self {
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => 4,
            Self::Ring => 2,
        }
    }

    /// A new key of so many bits, with both of its halves; `None` if the library fails.
    pub(super) fn generate(self, bits: u16) -> Option<(PrivateKey, PublicKey)> {
        match self {
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => aws_lc::generate(bits),
            Self::Ring => {
                let bits = usize::from(bits);
                let secret = rsa::PrivateKey::new(&mut rand::rngs::SysRng, bits).ok()?;
                Some((encode(&secret)?, public_half(&secret)?))
            }
        }
    }

    /// Parses and checks a private key, so that it can be used often.
    pub(super) fn open(self, private: &PrivateKey) -> Option<RsaKey> {
        match self {
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => aws_lc::open(private).map(RsaKey::AwsLc),
            Self::Ring => open_with_ring(private).map(RsaKey::Ring),
        }
    }
}

/// Whether a store may have this key: both libraries open it, so every build does.
pub(super) fn is_usable(private: &PrivateKey) -> bool {
    open_with_ring(private).is_some() && RsaLibrary::preferred().open(private).is_some()
}

pub(super) fn encode(secret: &rsa::PrivateKey) -> Option<PrivateKey> {
    let der = secret.to_pkcs8_der().ok()?;
    Some(PrivateKey::from_pkcs8(der.to_bytes()))
}

pub(super) fn public_half(secret: &rsa::PrivateKey) -> Option<PublicKey> {
    use rsa::traits::PublicKeyParts as _;
    PublicKey::rsa(secret.n_bytes().into_vec(), secret.e_bytes().into_vec()).ok()
}

/// A private key that a library has parsed and checked.
pub(super) enum RsaKey {
    #[cfg(feature = "aws-lc")]
    AwsLc(Box<aws_lc_rs::rsa::KeyPair>),
    Ring(Box<ring_signature::RsaKeyPair>),
}

impl RsaKey {
    /// An RSASSA-PKCS1-v1_5 signature with SHA-256 (RFC 7518 §3.3); `None` if the library fails.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            #[cfg(feature = "aws-lc")]
            Self::AwsLc(pair) => aws_lc::sign(pair, message),
            Self::Ring(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let random = SystemRandom::new();
                let padding = &ring_signature::RSA_PKCS1_SHA256;
                pair.sign(padding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

fn open_with_ring(private: &PrivateKey) -> Option<Box<ring_signature::RsaKeyPair>> {
    let pair = ring_signature::RsaKeyPair::from_pkcs8(private.pkcs8()).ok()?;
    Some(Box::new(pair))
}

#[cfg(feature = "aws-lc")]
mod aws_lc {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};

    use zeroize::Zeroizing;

    use super::super::import::read_rsa_public_key;
    use super::{PrivateKey, PublicKey};

    pub(super) fn generate(bits: u16) -> Option<(PrivateKey, PublicKey)> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            _ => return None,
        };
        let pair = KeyPair::generate(size).ok()?;
        let public = read_rsa_public_key(pair.public_key().as_ref())?;
        let der = pair.as_der().ok()?;
        let private = PrivateKey::from_pkcs8(Zeroizing::new(der.as_ref().to_vec()));
        Some((private, public))
    }

    pub(super) fn open(private: &PrivateKey) -> Option<Box<KeyPair>> {
        KeyPair::from_pkcs8(private.pkcs8()).ok().map(Box::new)
    }

    pub(super) fn sign(pair: &KeyPair, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
            .ok()?;
        Some(signature)
    }
}
