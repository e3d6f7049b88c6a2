//! The only place that draws random bytes.

use rand::rngs::SysRng;
use rand::{Rng as _, TryRng as _};

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct RandomnessUnavailable;

/// Fresh random bytes from the operating system.
///
/// # Errors
/// [`RandomnessUnavailable`]; nothing is ever replaced by something weaker.
pub fn random<const N: usize>() -> Result<[u8; N], RandomnessUnavailable> {
    let mut bytes = [0; N];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| RandomnessUnavailable)?;
    Ok(bytes)
}

/// A fresh name of `N` random bytes in hexadecimal, for what is named in URLs and by people.
///
/// # Errors
/// [`RandomnessUnavailable`].
pub fn random_name<const N: usize>() -> Result<String, RandomnessUnavailable> {
    let bytes = random::<N>()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
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
