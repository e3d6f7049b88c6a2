//! What one address may take of the feed, so that a stranger leaves others their part: places in which
//! to wait for a change, how long, and heads with a nonce, each of which is a signature.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::http::Limits;
use crate::lifecycle::Timestamp;

/// So many of the connections may wait for something to be revoked: one in four.
const WAITING: usize = 4;

/// So many of the places are for one address: one in two.
const OF_ONE_ADDRESS: usize = 2;

/// How many heads with a nonce one address gets in a second.
const HEADS_OF_ONE_ADDRESS: usize = 50;

const SECOND: Duration = Duration::from_secs(1);

/// Who has how much.
pub(super) struct FeedShares {
    limits: Limits,
    waiting: Mutex<Counts>,
    /// Since when heads have been counted, and how many there were.
    heads: Mutex<(Timestamp, Counts)>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place in which to wait, until it is dropped.
pub(super) struct WaitingPlace {
    shares: Arc<FeedShares>,
    address: Option<IpAddr>,
}

impl FeedShares {
    /// Shares of what a listener with these limits can serve.
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            waiting: Mutex::default(),
            heads: Mutex::new((Timestamp::default(), Counts::default())),
        })
    }

    /// The longest that anyone waits: an answer comes before the time after which a connection counts
    /// as idle, by which proxies go as well.
    pub(super) fn longest_wait(&self) -> Duration {
        self.limits.idle_timeout * 5 / 6
    }

    /// A place in which to wait, if one is left for this address.
    pub(super) fn take_place(self: &Arc<Self>, address: IpAddr) -> Option<WaitingPlace> {
        let limits = &self.limits.connections;
        let address = limits.bounded(address);
        let places = limits.total / WAITING;
        let mut waiting = lock(&self.waiting);
        let is_left = waiting.all < places && waiting.of(address) < places.div_ceil(OF_ONE_ADDRESS);
        is_left.then(|| {
            waiting.add(address);
            WaitingPlace {
                shares: Arc::clone(self),
                address,
            }
        })
    }

    /// Whether this address gets one more head with a nonce now.
    pub(super) fn take_head(&self, address: IpAddr, now: Timestamp) -> bool {
        let address = self.limits.connections.bounded(address);
        let mut heads = lock(&self.heads);
        let (since, counts) = &mut *heads;
        if now.since(*since) >= SECOND || now < *since {
            (*since, *counts) = (now, Counts::default());
        }
        let is_left = counts.of(address) < HEADS_OF_ONE_ADDRESS;
        if is_left {
            counts.add(address);
        }
        is_left
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        lock(&self.shares.waiting).remove(self.address);
    }
}

/// Those that speak for many have no address of their own, and no bound but that of all.
impl Counts {
    fn of(&self, address: Option<IpAddr>) -> usize {
        let count = address.and_then(|address| self.by_address.get(&address));
        count.copied().unwrap_or_default()
    }

    fn add(&mut self, address: Option<IpAddr>) {
        self.all += 1;
        if let Some(address) = address {
            *self.by_address.entry(address).or_default() += 1;
        }
    }

    fn remove(&mut self, address: Option<IpAddr>) {
        self.all -= 1;
        if let Some(address) = address
            && let Some(count) = self.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ConnectionLimits;

    fn shares(total: usize) -> Arc<FeedShares> {
        let connections = ConnectionLimits {
            total,
            per_address: total / 2,
            proxies: vec!["10.0.0.0/8".parse().unwrap()],
        };
        FeedShares::new(Limits {
            connections,
            idle_timeout: SECOND * 30,
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_leaves_others_half_of_the_places() {
        let shares = shares(32);
        let take = |of: &str| shares.take_place(address(of));
        let taken: Vec<_> = (0..4).map_while(|_| take("2001:db8::1")).collect();
        assert_eq!(taken.len(), 4);
        // The same network, and so the same stranger.
        assert!(take("2001:db8::2").is_none());
        let others: Vec<_> = (0..4).map_while(|_| take("203.0.113.7")).collect();
        assert_eq!(others.len(), 4);
        assert!(take("198.51.100.1").is_none(), "all places are taken");
        drop(taken);
        assert!(take("2001:db8::2").is_some());
    }

    #[test]
    fn of_ten_thousand_polls_as_many_wait_as_there_are_places() {
        let shares = shares(1024);
        let polls = (0..10_000_u32).map(|number| IpAddr::from(number.to_be_bytes()));
        let waiting: Vec<_> = polls.filter_map(|of| shares.take_place(of)).collect();
        assert_eq!(waiting.len(), 256);
        drop(waiting);
        let alone = (0..10_000).map_while(|_| shares.take_place(address("203.0.113.7")));
        assert_eq!(alone.collect::<Vec<_>>().len(), 128);
        assert_eq!(shares.longest_wait(), SECOND * 25);
    }

    #[test]
    fn those_that_speak_for_many_share_all_places() {
        let shares = shares(32);
        for of in ["127.0.0.1", "10.1.2.3"] {
            let taken: Vec<_> = (0..9)
                .map_while(|_| shares.take_place(address(of)))
                .collect();
            assert_eq!(taken.len(), 8, "{of}");
        }
    }

    #[test]
    fn heads_of_one_address_are_counted_by_the_second() {
        let shares = shares(32);
        let at = Timestamp::from_seconds(1_800_000_000);
        let take = |of: &str, at| shares.take_head(address(of), at);
        let count = (0..100).filter(|_| take("203.0.113.7", at)).count();
        assert_eq!(count, HEADS_OF_ONE_ADDRESS);
        assert!(take("203.0.113.8", at));
        assert!(!take("203.0.113.7", at.after(SECOND / 2)));
        assert!(take("203.0.113.7", at.after(SECOND)));
        // A clock that is set back locks no address out.
        assert!(take("203.0.113.7", at.before(SECOND * 60)));
    }
}
