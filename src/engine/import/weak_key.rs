//! RSA keys that fit the rules and are refused all the same when they are imported: verifiers refuse
//! them, or anyone can compute their private half.

use keywright_verifier::PublicKey;
use num_bigint::BigUint;

/// Why a key is not imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakKey {
    /// Go's `crypto/rsa` refuses such a key, and libraries on top of it then refuse its whole set.
    #[error(
        "an RSA exponent of 2^31 or more is not imported, because verifiers written in Go refuse a \
         key set with such a key; sign with a new key instead"
    )]
    LargeExponent,
    /// The modulus is one of those of CVE-2017-15361.
    #[error(
        "the RSA modulus has the ROCA fingerprint (CVE-2017-15361): its private key can be computed \
         from it; sign with a new key instead"
    )]
    Roca,
    /// The primes are so close that a few steps of Fermat's method find them (CVE-2022-26320).
    #[error(
        "the primes of the RSA modulus are so close to each other that anyone can find them \
         (CVE-2022-26320); sign with a new key instead"
    )]
    ClosePrimes,
}

/// The bits of the largest exponent: Go's `crypto/rsa` refuses `e` above 2^31 − 1.
const EXPONENT_BITS: u64 = 31;

/// The primes of the ROCA fingerprint, as its authors published them (Nemec et al., "The Return of
/// Coppersmith's Attack", CCS 2017; `roca-detect`).
const FINGERPRINT_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// The primes of such keys are `k · M + (65537^a mod M)`, where `M` is a product of small primes.
const ROCA_GENERATOR: u32 = 65_537;

/// How many steps of Fermat's method are tried. Primes that a generator chose at random are out of
/// its reach by hundreds of digits.
const FERMAT_STEPS: usize = 100;

/// Checks a key that is to be imported. Keys that are here already stay.
///
/// # Errors
/// [`WeakKey`].
pub fn check_strength(key: &PublicKey) -> Result<(), WeakKey> {
    let PublicKey::Rsa { n, e } = key else {
        return Ok(());
    };
    if BigUint::from_bytes_be(e).bits() > EXPONENT_BITS {
        return Err(WeakKey::LargeExponent);
    }
    let modulus = BigUint::from_bytes_be(n);
    if has_roca_fingerprint(&modulus) {
        return Err(WeakKey::Roca);
    }
    if has_close_primes(&modulus) {
        return Err(WeakKey::ClosePrimes);
    }
    Ok(())
}

/// Whether the modulus is a power of 65537 modulo each of the primes. Of 2^27 other moduli, one is.
fn has_roca_fingerprint(modulus: &BigUint) -> bool {
    FINGERPRINT_PRIMES.iter().all(|prime| {
        let residue = modulus % *prime;
        let mut power = 1;
        (0..*prime).any(|_| {
            power = power * (ROCA_GENERATOR % prime) % prime;
            residue == BigUint::from(power)
        })
    })
}

/// `n = a² − b²` for an `a` just above its root.
fn has_close_primes(modulus: &BigUint) -> bool {
    let mut a = modulus.sqrt() + 1_u32;
    (0..FERMAT_STEPS).any(|_| {
        let square = &a * &a - modulus;
        let root = square.sqrt();
        a += 1_u32;
        &root * &root == square
    })
}
