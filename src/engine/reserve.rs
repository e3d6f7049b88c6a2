//! RSA keys that were made ahead, so that scheduled work does not wait for prime numbers.
//!
//! They are in memory only. An attacker who has read this process may have read them, so they can be
//! forgotten; a key that was begun before that is not taken in any more.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::KeyPair;

/// How many keys of one size are kept.
const KEYS_OF_A_SIZE: usize = 2;

/// Keys in reserve, by their size in bits. There is a reserve of each size that was asked for.
#[derive(Default)]
pub(super) struct KeyReserve(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_size: BTreeMap<u16, Vec<KeyPair>>,
    /// How often all were forgotten.
    forgotten: u64,
    is_being_filled: bool,
}

/// A key that the reserve lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    /// Its size.
    pub(super) rsa_bits: u16,
    forgotten: u64,
}

impl KeyReserve {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a key out. From now on there are keys of this size.
    pub(super) fn take(&self, rsa_bits: u16) -> Option<KeyPair> {
        self.kept().by_size.entry(rsa_bits).or_default().pop()
    }

    /// Begins to fill it, unless another task does already.
    pub(super) fn begin_to_fill(&self) -> bool {
        !std::mem::replace(&mut self.kept().is_being_filled, true)
    }

    /// The next key that it lacks; with `None` the filling has ended.
    pub(super) fn next_missing(&self) -> Option<Missing> {
        let mut kept = self.kept();
        let forgotten = kept.forgotten;
        let mut sizes = kept.by_size.iter();
        let short = sizes.find(|(_, keys)| keys.len() < KEYS_OF_A_SIZE);
        let missing = short.map(|(&rsa_bits, _)| Missing {
            rsa_bits,
            forgotten,
        });
        kept.is_being_filled = missing.is_some();
        missing
    }

    /// Ends the filling before it is full.
    pub(super) fn give_up_filling(&self) {
        self.kept().is_being_filled = false;
    }

    /// Puts a key in, unless all were forgotten since it was begun.
    pub(super) fn put(&self, missing: Missing, pair: KeyPair) {
        let mut kept = self.kept();
        if kept.forgotten == missing.forgotten {
            kept.by_size.entry(missing.rsa_bits).or_default().push(pair);
        }
    }

    /// Forgets all keys, and those that are under way.
    pub(super) fn forget(&self) {
        let mut kept = self.kept();
        kept.forgotten += 1;
        kept.by_size.clear();
    }

    /// How many keys of a size there are.
    pub(super) fn count(&self, rsa_bits: u16) -> usize {
        self.kept().by_size.get(&rsa_bits).map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use keywright_verifier::Algorithm;

    use super::*;
    use crate::engine::software::{RsaLibrary, generate_pair};
    use crate::lifecycle::KeySpecification;

    /// Any key: what it is for does not matter here.
    fn pair() -> KeyPair {
        let specification = KeySpecification {
            algorithm: Algorithm::Es256,
            rsa_bits: 2048,
        };
        generate_pair(specification, RsaLibrary::preferred()).unwrap()
    }

    #[test]
    fn it_has_a_few_keys_of_each_size_that_was_asked_for() {
        let reserve = KeyReserve::default();
        assert!(reserve.begin_to_fill());
        assert!(!reserve.begin_to_fill(), "one at a time");
        assert_eq!(reserve.next_missing(), None, "nothing was asked for");
        assert!(reserve.begin_to_fill(), "it has ended");
        assert!(reserve.take(2048).is_none() && reserve.take(3072).is_none());
        while let Some(missing) = reserve.next_missing() {
            reserve.put(missing, pair());
        }
        assert_eq!((reserve.count(2048), reserve.count(3072)), (2, 2));
        assert!(reserve.take(3072).is_some());
        assert_eq!(reserve.next_missing().unwrap().rsa_bits, 3072);
    }

    #[test]
    fn what_was_begun_before_all_were_forgotten_does_not_come_in() {
        let reserve = KeyReserve::default();
        assert!(reserve.take(2048).is_none());
        reserve.put(reserve.next_missing().unwrap(), pair());
        let under_way = reserve.next_missing().unwrap();
        reserve.forget();
        assert_eq!(reserve.count(2048), 0);
        reserve.put(under_way, pair());
        assert_eq!(reserve.count(2048), 0);
        assert!(reserve.take(2048).is_none());
        reserve.put(reserve.next_missing().unwrap(), pair());
        assert_eq!(reserve.count(2048), 1);
    }
}
