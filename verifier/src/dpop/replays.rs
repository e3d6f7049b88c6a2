//! Proofs that were used, in a memory that is bounded for each key and in all.
//!
//! Two generations, each as long as a proof can be accepted: when the newer one is that old, it becomes the
//! older one, which is dropped. So nothing is searched for what has expired. What is dropped has expired by
//! the clock, and because a clock can be set back, a proof that is not younger than everything dropped
//! is refused.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{DpopError, DpopProof};

/// How many used proofs of one key are remembered, unless [`Dpop::remember`](super::Dpop::remember) says
/// otherwise: some 230 requests a second.
pub const DEFAULT_DPOP_PROOFS_PER_KEY: usize = 16_384;

/// How many used proofs are remembered in all, unless [`Dpop::remember`](super::Dpop::remember) says
/// otherwise: some 3,700 requests a second, in about 20 MB.
pub const DEFAULT_DPOP_PROOFS: usize = 262_144;

/// A digest that is cut to 128 bits: enough that no two are equal by chance, and to find two that are equal
/// on purpose gains nothing but a refusal.
type Digest = [u8; 16];

/// The proofs that were used.
pub(super) struct Replays {
    of_a_key: usize,
    of_all: usize,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    newer: Generation,
    older: Generation,
    /// The latest `iat` of everything that was dropped.
    dropped_until: Option<Duration>,
}

#[derive(Default)]
struct Generation {
    /// When its first proof was entered, since 1970.
    began: Option<Duration>,
    proofs: HashSet<Digest>,
    of_key: HashMap<Digest, usize>,
    latest: Option<Duration>,
}

impl Replays {
    pub(super) fn new(of_a_key: usize, of_all: usize) -> Self {
        Self {
            of_a_key,
            of_all,
            memory: Mutex::default(),
        }
    }

    /// Remembers a proof for so long, unless it is there.
    pub(super) fn enter(
        &self,
        proof: &DpopProof,
        now: Duration,
        remembered_for: Duration,
    ) -> Result<(), DpopError> {
        let identity = shortened(&proof.identity);
        let key = shortened(proof.key.octets());
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.drop_expired(now, remembered_for);
        if memory
            .dropped_until
            .is_some_and(|until| proof.issued_at <= until)
        {
            return Err(DpopError::TooOld);
        }
        let generations = [&memory.newer, &memory.older];
        if generations.iter().any(|one| one.proofs.contains(&identity)) {
            return Err(DpopError::Replayed);
        }
        let of_key = generations.map(|one| one.of_key.get(&key).copied().unwrap_or_default());
        let of_all = generations.map(|one| one.proofs.len());
        if of_key.iter().sum::<usize>() >= self.of_a_key
            || of_all.iter().sum::<usize>() >= self.of_all
        {
            return Err(DpopError::MemoryFull);
        }
        let newer = &mut memory.newer;
        newer.began.get_or_insert(now);
        newer.proofs.insert(identity);
        *newer.of_key.entry(key).or_default() += 1;
        newer.latest = newer.latest.max(Some(proof.issued_at));
        Ok(())
    }
}

impl Memory {
    fn drop_expired(&mut self, now: Duration, remembered_for: Duration) {
        // At most twice: after the second time both generations are empty.
        while self.newer.is_over(now, remembered_for) || self.older.is_past(now, remembered_for) {
            let newer = match self.newer.is_over(now, remembered_for) {
                true => mem::take(&mut self.newer),
                false => Generation::default(),
            };
            let dropped = mem::replace(&mut self.older, newer);
            self.dropped_until = self.dropped_until.max(dropped.latest);
        }
    }
}

impl Generation {
    /// Whether no more proofs are entered into it.
    fn is_over(&self, now: Duration, remembered_for: Duration) -> bool {
        self.began
            .is_some_and(|began| now.saturating_sub(began) >= remembered_for)
    }

    /// Whether all of its proofs have expired.
    fn is_past(&self, now: Duration, remembered_for: Duration) -> bool {
        self.is_over(now, remembered_for * 2)
    }
}

fn shortened(digest: &[u8; 32]) -> Digest {
    let mut short = Digest::default();
    for (octet, value) in short.iter_mut().zip(digest) {
        *octet = *value;
    }
    short
}

/// Without the digests.
impl fmt::Debug for Replays {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Replays")
            .field("of_a_key", &self.of_a_key)
            .field("of_all", &self.of_all)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Thumbprint;

    const REMEMBERED: Duration = Duration::from_secs(70);
    const MAX_AGE: u64 = 60;

    fn proof(key: u8, number: u32, issued_at: u64) -> DpopProof {
        let mut identity = [key; 32];
        identity[..4].copy_from_slice(&number.to_be_bytes());
        DpopProof {
            key: Thumbprint::from_octets([key; 32]),
            identity,
            issued_at: Duration::from_secs(issued_at),
        }
    }

    fn enter(replays: &Replays, proof: &DpopProof, now: u64) -> Result<(), DpopError> {
        replays.enter(proof, Duration::from_secs(now), REMEMBERED)
    }

    #[test]
    fn one_key_takes_its_share_alone_and_all_keys_take_the_whole() {
        let replays = Replays::new(10, 25);
        for number in 0..10 {
            assert_eq!(enter(&replays, &proof(1, number, 1000), 1000), Ok(()));
        }
        let more = enter(&replays, &proof(1, 10, 1000), 1000);
        assert_eq!(more, Err(DpopError::MemoryFull));
        // A repetition is still told from a new proof.
        let again = enter(&replays, &proof(1, 3, 1000), 1000);
        assert_eq!(again, Err(DpopError::Replayed));
        for number in 0..15 {
            let key = 2 + u8::try_from(number % 3).unwrap();
            assert_eq!(enter(&replays, &proof(key, number, 1000), 1000), Ok(()));
        }
        let other = enter(&replays, &proof(9, 0, 1000), 1000);
        assert_eq!(other, Err(DpopError::MemoryFull));
        // What has expired makes room.
        let later = 1000 + 2 * REMEMBERED.as_secs();
        assert_eq!(enter(&replays, &proof(9, 0, later), later), Ok(()));
        let memory = replays.memory.lock().unwrap();
        assert_eq!(memory.newer.proofs.len() + memory.older.proofs.len(), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_brings_no_used_proof_back() {
        let replays = Replays::new(10, 10);
        assert_eq!(enter(&replays, &proof(1, 0, 1000), 1000), Ok(()));
        // The clock jumps ahead: everything is forgotten. Then it is set right.
        assert_eq!(enter(&replays, &proof(1, 1, 9000), 9000), Ok(()));
        let again = enter(&replays, &proof(1, 0, 1000), 1001);
        assert_eq!(again, Err(DpopError::TooOld));
        assert_eq!(enter(&replays, &proof(1, 2, 1002), 1002), Ok(()));
    }

    proptest! {
        /// Whatever the pace: a proof that is still young enough is accepted the first time and never again.
        #[test]
        fn a_proof_is_accepted_once(
            steps in prop::collection::vec((0u64..50, 0u64..MAX_AGE, any::<bool>()), 1..60)
        ) {
            let replays = Replays::new(1000, 1000);
            let (mut now, mut used) = (100_000, Vec::new());
            for (number, (pause, age, repeats)) in (0u32..).zip(steps) {
                now += pause;
                let fresh = proof(1, number, now - age);
                prop_assert_eq!(enter(&replays, &fresh, now), Ok(()));
                used.push(fresh);
                if repeats {
                    for proof in &used {
                        // Its age is judged before it comes here.
                        if proof.issued_at.as_secs() + MAX_AGE >= now {
                            prop_assert_eq!(enter(&replays, proof, now), Err(DpopError::Replayed));
                        }
                    }
                }
            }
        }
    }
}
