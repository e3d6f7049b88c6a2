//! Where private keys are used: made, brought in, and signed with.
//!
//! [`SigningEngine`] is the seam for other places to keep keys, such as a PKCS#11 module. The
//! one that is here, [`software::SoftwareEngine`], keeps them in this process.

pub mod software;

mod entropy;
mod import;
mod pool;
mod reserve;
mod rsa_key;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use keywright_verifier::{Algorithm, Jwk};
use zeroize::Zeroizing;

use crate::lifecycle::KeySpecification;

pub use entropy::{Entropy, RandomnessUnavailable, random_identifier, random_identifiers};
pub use import::{
    ImportError, KeyFormat, WeakKey, check_strength, import_private_key, read_certificate_key,
    read_public_key,
};

/// A private key in the form in which it is sealed and opened: PKCS#8 DER.
///
/// Wiped when dropped. It has no `Serialize`, and its `Debug` shows nothing.
pub struct PrivateKey(Zeroizing<Vec<u8>>);

impl PrivateKey {
    /// Takes PKCS#8 DER bytes over.
    pub fn from_pkcs8(der: Zeroizing<Vec<u8>>) -> Self {
        Self(der)
    }

    /// The PKCS#8 DER bytes.
    pub fn pkcs8(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// Both halves of a key.
#[derive(Debug)]
pub struct KeyPair {
    /// The public half, with its `kid`.
    pub jwk: Jwk,
    /// The private half.
    pub private: PrivateKey,
}

/// How soon a key is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A lead ahead of its use: generated at the lowest priority, so that signing does not wait. It
    /// may have been made ahead.
    Background,
    /// A caller waits for it, and it is made now.
    Immediate,
}

/// What can go wrong in an engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Key generation failed.
    #[error("generating a {0} key failed")]
    Generation(Algorithm),
    /// Private material is no key of its algorithm.
    #[error("the private key is not a usable {0} key")]
    Unusable(Algorithm),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
}

/// Why nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// More signatures wait than the engine takes; try again shortly.
    #[error("too many signatures are waiting")]
    Busy,
    /// The engine could not sign.
    #[error("the signing engine failed")]
    Failed,
}

/// A place where private keys live.
#[async_trait]
pub trait SigningEngine: Send + Sync + 'static {
    /// Makes a key, away from the threads that answer requests.
    async fn generate(
        &self,
        specification: KeySpecification,
        urgency: Urgency,
    ) -> Result<KeyPair, EngineError>;

    /// Forgets keys that it has made ahead and that no change has asked for yet: this process may have been
    /// read. What is generated from now on is made from now on.
    fn forget_reserve(&self);

    /// Makes a private key ready to sign: parsed and checked once, used often.
    ///
    /// # Errors
    /// [`EngineError::Unusable`] when it is no key of `algorithm`.
    fn open(
        &self,
        algorithm: Algorithm,
        private: &PrivateKey,
    ) -> Result<Arc<dyn Signer>, EngineError>;
}

/// A private key that is ready to sign.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Completes compact JWSs: to each signing input (`header.payload`, RFC 7515 §5.1) it appends
    /// a dot and the signature in base64url. All of them are completed or none.
    async fn complete(&self, signing_inputs: Vec<String>) -> Result<Vec<String>, SignError>;

    /// Completes one compact JWS before it returns; `None` if that takes longer than another request
    /// on the same thread should wait, and [`complete`](Self::complete) is to be called.
    fn complete_here(&self, signing_input: &mut String) -> Option<Result<(), SignError>>;
}
