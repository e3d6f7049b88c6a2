//! The only place that draws random bytes.

use std::sync::Arc;

use rand::rngs::SysRng;
use rand::{Rng as _, TryRng as _};

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct RandomnessUnavailable;

/// Fills a buffer with random bytes, or fails.
type Fill = dyn Fn(&mut [u8]) -> Result<(), RandomnessUnavailable> + Send + Sync;

/// Where random bytes come from, passed on like a clock: the operating system, or what a test gives.
#[derive(Clone)]
pub struct Entropy(Arc<Fill>);

impl Entropy {
    /// The operating system's.
    pub fn system() -> Self {
        Self::from_source(|bytes| {
            SysRng
                .try_fill_bytes(bytes)
                .map_err(|_| RandomnessUnavailable)
        })
    }

    /// What `fill` gives: for a test that lets it fail.
    pub fn from_source(
        fill: impl Fn(&mut [u8]) -> Result<(), RandomnessUnavailable> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(fill))
    }

    /// Fresh random bytes.
    ///
    /// # Errors
    /// [`RandomnessUnavailable`]; nothing is ever replaced by something weaker.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], RandomnessUnavailable> {
        let mut bytes = [0; N];
        (self.0)(&mut bytes)?;
        Ok(bytes)
    }

    /// A fresh name of `N` random bytes in hexadecimal, for what is named in URLs and by people.
    ///
    /// # Errors
    /// [`RandomnessUnavailable`].
    pub fn name<const N: usize>(&self) -> Result<String, RandomnessUnavailable> {
        let bytes = self.bytes::<N>()?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A fresh identifier: unique and not to be guessed, but no secret that anything rests on.
///
/// It comes from a generator in this thread (ChaCha, seeded and reseeded by the operating system),
/// because thousands are drawn a second and a system call for each would show.
pub fn random_identifier() -> [u8; 16] {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// So many identifiers, each as [`random_identifier`] makes one, drawn at once.
pub fn random_identifiers(count: usize) -> Vec<[u8; 16]> {
    let mut identifiers = vec![[0; 16]; count];
    rand::rng().fill_bytes(identifiers.as_flattened_mut());
    identifiers
}
