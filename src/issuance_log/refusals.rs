//! Refusals: the first few of a client and a code are lines of their own, the others are counted.
//!
//! A client that is refused a hundred thousand times a second would fill the disk with lines that
//! say the same. What is counted takes memory for each client and code of an interval, which is
//! bounded; beyond the bound it is counted for the code alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::line::RefusalCount;
use crate::lifecycle::Timestamp;

/// How many refusals of a client and a code have lines of their own in an interval.
pub(super) const IN_FULL: u32 = 5;

/// For how many clients and codes together refusals are counted apart.
const MOST_COUNTERS: usize = 4096;

#[derive(Default)]
pub(super) struct Refusals {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_client: HashMap<String, Codes>,
    /// How many counters the clients have together.
    counters: usize,
    of_others: Codes,
    is_space_short: bool,
}

/// By code.
type Codes = BTreeMap<&'static str, Counter>;

#[derive(Default)]
struct Counter {
    in_full: u32,
    counted: u64,
    /// When the first one was counted.
    since: Timestamp,
}

impl Counter {
    fn count(&mut self, now: Timestamp) {
        if self.counted == 0 {
            self.since = now;
        }
        self.counted += 1;
    }
}

impl Refusals {
    /// Whether a refusal has a line of its own. Otherwise it is counted.
    pub(super) fn admit(&self, client: &str, code: &'static str, now: Timestamp) -> bool {
        let mut state = self.lock();
        let is_space_short = state.is_space_short;
        let (is_others, counter) = state.counter(client, code);
        if is_others || is_space_short || counter.in_full >= IN_FULL {
            counter.count(now);
            return false;
        }
        counter.in_full += 1;
        true
    }

    /// Counts a refusal whose line found no slot.
    pub(super) fn count(&self, client: &str, code: &'static str, now: Timestamp) {
        self.lock().counter(client, code).1.count(now);
    }

    /// While space is short no refusal has a line. Answers whether that has changed.
    pub(super) fn set_space_short(&self, is_short: bool) -> bool {
        std::mem::replace(&mut self.lock().is_space_short, is_short) != is_short
    }

    /// Ends an interval: what was counted in it, in the order of clients and codes. While space is
    /// short the interval goes on.
    pub(super) fn end_interval(&self) -> Vec<RefusalCount> {
        let mut state = self.lock();
        if state.is_space_short {
            return Vec::new();
        }
        let by_client = std::mem::take(&mut state.by_client);
        let of_others = std::mem::take(&mut state.of_others);
        state.counters = 0;
        drop(state);
        let by_client: BTreeMap<_, _> = by_client.into_iter().collect();
        let clients = by_client.into_iter().map(|(id, codes)| (Some(id), codes));
        clients
            .chain([(None, of_others)])
            .flat_map(|(client, codes)| {
                let counted = codes.into_iter().filter(|(_, counter)| counter.counted > 0);
                counted.map(move |(code, counter)| RefusalCount {
                    code,
                    client: client.clone(),
                    count: counter.counted,
                    since: counter.since,
                })
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The counter of a client and a code, and whether it is the one of all other clients.
    fn counter(&mut self, client: &str, code: &'static str) -> (bool, &mut Counter) {
        let codes = self.by_client.get(client);
        if !codes.is_some_and(|codes| codes.contains_key(code)) {
            if self.counters >= MOST_COUNTERS {
                return (true, self.of_others.entry(code).or_default());
            }
            self.counters += 1;
        }
        if codes.is_none() {
            self.by_client.insert(client.to_owned(), Codes::new());
        }
        match self.by_client.get_mut(client) {
            Some(codes) => (false, codes.entry(code).or_default()),
            None => (true, self.of_others.entry(code).or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn counts(refusals: &Refusals) -> Vec<(Option<String>, &'static str, u64)> {
        let ended = refusals.end_interval().into_iter();
        ended.map(|one| (one.client, one.code, one.count)).collect()
    }

    #[test]
    fn the_first_few_of_each_client_and_code_have_lines_and_the_others_are_counted() {
        let refusals = Refusals::default();
        let in_full = |client: &str, code| {
            let admitted = (0..100).filter(|_| refusals.admit(client, code, NOW));
            admitted.count()
        };
        let few = usize::try_from(IN_FULL).unwrap();
        assert_eq!(in_full("a", "client-limit"), few);
        assert_eq!(in_full("a", "ttl-zero"), few);
        assert_eq!(in_full("b", "client-limit"), few);
        let rest = 100 - u64::from(IN_FULL);
        assert_eq!(
            counts(&refusals),
            [
                (Some("a".to_owned()), "client-limit", rest),
                (Some("a".to_owned()), "ttl-zero", rest),
                (Some("b".to_owned()), "client-limit", rest),
            ]
        );
        // The next interval begins anew.
        assert_eq!(counts(&refusals), []);
        assert_eq!(in_full("a", "client-limit"), few);
    }

    #[test]
    fn counters_are_bounded_and_nothing_is_lost_beyond_the_bound() {
        let refusals = Refusals::default();
        let clients = u64::try_from(MOST_COUNTERS).unwrap() * 2;
        for client in 0..clients {
            for _ in 0..10 {
                refusals.admit(&client.to_string(), "client-limit", NOW);
            }
        }
        assert_eq!(refusals.lock().by_client.len(), MOST_COUNTERS);
        let counted = counts(&refusals);
        assert_eq!(counted.len(), MOST_COUNTERS + 1);
        let total: u64 = counted.iter().map(|(_, _, count)| count).sum();
        let in_full = u64::from(IN_FULL) * clients / 2;
        assert_eq!(total + in_full, clients * 10);
        assert_eq!(counted.last().unwrap().0, None);
    }

    #[test]
    fn while_space_is_short_all_are_counted_and_none_is_forgotten() {
        let refusals = Refusals::default();
        assert!(refusals.set_space_short(true));
        assert!(!refusals.set_space_short(true), "it is told once");
        for _ in 0..3 {
            assert!(!refusals.admit("a", "client-limit", NOW));
            assert_eq!(counts(&refusals), []);
        }
        assert!(refusals.set_space_short(false));
        let expected = (Some("a".to_owned()), "client-limit", 3);
        assert_eq!(counts(&refusals), [expected]);
    }
}
