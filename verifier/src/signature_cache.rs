//! Signatures that have been verified, so that a token that is presented again costs one hash.
//!
//! An entry says only that *this key* signed *this text*, which stays true for ever. So nothing has to be
//! invalidated: whether the key is in the set, whether the token has expired, and what the rules and the
//! revocations say, is asked anew each time. Only proven signatures are entered, so that forged tokens
//! take no memory and displace nothing. Entries are SHA-256 digests: no token, and nothing of a claim, is
//! kept. Their lookup takes as long for each key, and tells only that the same token has been here before.

use std::collections::HashSet;
use std::fmt;
use std::mem;
use std::sync::{Mutex, PoisonError};

use crate::jwk::sha256;
use crate::{Jwk, Jws, JwsError};

/// How many proven signatures a [`Verifier`](crate::Verifier) remembers unless
/// [`signature_cache`](crate::Verifier::signature_cache) says otherwise. They take 540 kB at
/// most.
pub const DEFAULT_SIGNATURE_CACHE: usize = 14_336;

/// Threads that verify at the same time seldom wait for one another.
const SHARDS: usize = 16;

type Digest = [u8; 32];

/// A bounded set of digests, in shards.
pub(crate) struct SignatureCache {
    shards: [Mutex<Generations>; SHARDS],
    /// How many digests one generation of a shard has.
    generation: usize,
}

/// The older half is dropped when the newer one is full, so that what is in use stays.
#[derive(Default)]
struct Generations {
    newer: HashSet<Digest>,
    older: HashSet<Digest>,
}

impl SignatureCache {
    /// A cache of at most `signatures`, or of a few more where that is no multiple of the shards.
    pub(crate) fn new(signatures: usize) -> Self {
        Self {
            shards: Default::default(),
            generation: signatures.div_ceil(2 * SHARDS),
        }
    }

    /// Verifies the signature of a token, unless the same has been proven before.
    pub(crate) fn verify(&self, jws: &Jws<'_>, key: &Jwk) -> Result<(), JwsError> {
        // A digest of a fixed length and then a token, which has one spelling: two different questions
        // never hash the same bytes.
        let digest = sha256(&[key.digest(), jws.token().as_bytes()]);
        let [first, ..] = digest;
        let Some(shard) = self.shards.get(usize::from(first) % SHARDS) else {
            return jws.verify_with(key);
        };
        let lock = || shard.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().knows(&digest, self.generation) {
            return Ok(());
        }
        jws.verify_with(key)?;
        lock().enter(digest, self.generation);
        Ok(())
    }
}

impl Generations {
    fn knows(&mut self, digest: &Digest, most: usize) -> bool {
        if self.newer.contains(digest) {
            return true;
        }
        let is_old = self.older.contains(digest);
        if is_old {
            self.enter(*digest, most);
        }
        is_old
    }

    fn enter(&mut self, digest: Digest, most: usize) {
        if self.newer.len() >= most {
            self.older = mem::take(&mut self.newer);
        }
        self.newer.insert(digest);
    }
}

/// Without the digests.
impl fmt::Debug for SignatureCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SignatureCache")
            .field("signatures", &(self.generation * 2 * SHARDS))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(number: usize) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        digest
    }

    #[test]
    fn a_generation_is_dropped_when_the_next_one_is_full() {
        let mut generations = Generations::default();
        for number in 0..10_000 {
            generations.enter(digest_of(number), 100);
            assert!(generations.newer.len() <= 100 && generations.older.len() <= 100);
        }
        assert!(generations.knows(&digest_of(9_999), 100));
        assert!(!generations.knows(&digest_of(9_799), 100));
    }

    #[test]
    fn what_is_presented_again_and_again_stays() {
        let mut generations = Generations::default();
        generations.enter(digest_of(0), 100);
        for number in 1..10_000 {
            generations.enter(digest_of(number), 100);
            assert!(generations.knows(&digest_of(0), 100), "{number}");
        }
    }

    /// What the table of one generation takes: a power of two of buckets, seven eighths of which are
    /// used, each a digest and an octet of its own.
    #[test]
    fn the_default_size_takes_at_most_540_kilobytes() {
        let generation = SignatureCache::new(DEFAULT_SIGNATURE_CACHE).generation;
        let buckets = (generation * 8).div_ceil(7).next_power_of_two();
        assert!(2 * SHARDS * buckets * (size_of::<Digest>() + 1) <= 541_000);
        let mut table = HashSet::with_capacity(generation);
        let capacity = table.capacity();
        table.extend((0..generation).map(digest_of));
        assert_eq!(table.capacity(), capacity);
    }
}
