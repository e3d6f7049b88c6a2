//! How fast is too fast: buckets of signatures, and of failed credentials.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::access::limits::Rate;

/// The signatures that one client may still ask for.
pub struct Bucket {
    rate: Rate,
    limiter: RateLimiter<NotKeyed, State, DefaultClock, StateInformationMiddleware>,
    state: State,
    clock: DefaultClock,
}

/// What has been taken from a bucket, where the bucket can also give it back.
#[derive(Clone, Default)]
struct State(Arc<InMemoryState>);

impl StateStore for State {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, key: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, measure)
    }
}

/// What a bucket has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The most that it holds.
    pub burst: u32,
    /// What is left now.
    pub left: u32,
    /// How long it takes to fill from empty.
    pub window: Duration,
}

/// Why signatures are not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateExceeded {
    /// There are not enough now.
    RetryAfter {
        /// After this time there will be.
        wait: Duration,
        /// What there is meanwhile.
        left: u32,
    },
    /// There will never be as many at once.
    AboveBurst,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate) -> Self {
        let quota = Quota::per_second(rate.signatures_per_second).allow_burst(rate.burst);
        let (state, clock) = (State::default(), DefaultClock::default());
        Self {
            rate,
            limiter: RateLimiter::new(quota, state.clone(), clock.clone()),
            state,
            clock,
        }
    }

    /// Takes so many signatures, or none at all.
    ///
    /// # Errors
    /// [`RateExceeded`] says when there will be enough.
    pub fn take(&self, signatures: NonZeroU32) -> Result<Budget, RateExceeded> {
        match self.limiter.check_n(signatures) {
            Ok(Ok(state)) => Ok(self.budget(state.remaining_burst_capacity())),
            Ok(Err(not_yet)) => {
                let wait = not_yet.wait_time_from(self.clock.now());
                let left = signatures.get().saturating_sub(self.refilled_in(wait));
                Err(RateExceeded::RetryAfter { wait, left })
            }
            Err(_) => Err(RateExceeded::AboveBurst),
        }
    }

    /// Takes the rest of so many signatures, of which the first was taken before; `first` is what that
    /// one left. If there are not enough, the first is given back.
    ///
    /// # Errors
    /// [`RateExceeded`], for all of them.
    pub fn take_rest(&self, signatures: NonZeroU32, first: Budget) -> Result<Budget, RateExceeded> {
        let Some(rest) = NonZeroU32::new(signatures.get() - 1) else {
            return Ok(first);
        };
        let taken = if signatures > self.rate.burst {
            Err(RateExceeded::AboveBurst)
        } else {
            self.take(rest)
        };
        taken.map_err(|exceeded| {
            self.give_one_back();
            match exceeded {
                RateExceeded::RetryAfter { wait, left } => RateExceeded::RetryAfter {
                    wait,
                    left: left.saturating_add(1),
                },
                RateExceeded::AboveBurst => RateExceeded::AboveBurst,
            }
        })
    }

    /// The state is the time at which the bucket will be full; a full one stays as full as it is.
    fn give_one_back(&self) {
        let one = Quota::per_second(self.rate.signatures_per_second).replenish_interval();
        let earlier = |full_at: Option<Nanos>| {
            let full_at = full_at.unwrap_or_default();
            Ok::<_, Infallible>(((), full_at.saturating_sub(Nanos::from(one))))
        };
        let Ok(()) = self.state.measure_and_replace(&NotKeyed::NonKey, earlier);
    }

    /// The signatures that come in this time, a part of one counted as a whole.
    fn refilled_in(&self, time: Duration) -> u32 {
        let rate = u128::from(self.rate.signatures_per_second.get());
        let signatures = (time.as_nanos() * rate).div_ceil(Duration::from_secs(1).as_nanos());
        u32::try_from(signatures).unwrap_or(u32::MAX)
    }

    /// A refusal, together with the bucket as it is.
    pub(super) fn exceeded(&self, exceeded: RateExceeded) -> (RateExceeded, Budget) {
        let left = match exceeded {
            RateExceeded::RetryAfter { left, .. } => left,
            RateExceeded::AboveBurst => 0,
        };
        (exceeded, self.budget(left))
    }

    /// What the bucket is, with so much left in it.
    pub fn budget(&self, left: u32) -> Budget {
        let Rate {
            signatures_per_second,
            burst,
        } = self.rate;
        let seconds = burst.get().div_ceil(signatures_per_second.get());
        Budget {
            burst: burst.get(),
            left,
            window: Duration::from_secs(seconds.into()),
        }
    }
}

/// Bad credentials by the address that they come from. A good credential is not looked at here, so
/// that no caller can lock another one out.
pub struct FailureLimiter {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    since_swept: AtomicU32,
}

/// Bad credentials that an address may send at once, and in the long run in a second.
const FAILURES_AT_ONCE: u32 = 20;
const FAILURES_A_SECOND: u32 = 1;

/// How many failures pass between two searches for addresses that may be forgotten.
const SWEEP_EVERY: u32 = 10_000;

impl Default for FailureLimiter {
    fn default() -> Self {
        let one = NonZeroU32::MIN;
        let quota = Quota::per_second(NonZeroU32::new(FAILURES_A_SECOND).unwrap_or(one))
            .allow_burst(NonZeroU32::new(FAILURES_AT_ONCE).unwrap_or(one));
        Self {
            limiter: RateLimiter::keyed(quota),
            since_swept: AtomicU32::new(0),
        }
    }
}

impl FailureLimiter {
    /// Counts a failure, and says whether the address has had too many.
    pub fn record_failure(&self, address: IpAddr) -> bool {
        if self.since_swept.fetch_add(1, Ordering::Relaxed) >= SWEEP_EVERY {
            self.since_swept.store(0, Ordering::Relaxed);
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&network(address)).is_err()
    }
}

/// What counts as one address: a caller that has one IPv6 address has a network of them.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let host_bits = u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !host_bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    #[test]
    fn a_bucket_gives_its_burst_whole_or_not_at_all() {
        let bucket = Bucket::new(Rate {
            signatures_per_second: count(1),
            burst: count(10),
        });
        assert_eq!(bucket.take(count(11)), Err(RateExceeded::AboveBurst));
        assert_eq!(bucket.take(count(7)).unwrap().left, 3);
        let Err(RateExceeded::RetryAfter { wait, left }) = bucket.take(count(4)) else {
            panic!("four of three");
        };
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(left, 3);
        let budget = bucket.take(count(3)).unwrap();
        assert_eq!((budget.burst, budget.left), (10, 0));
        assert_eq!(budget.window, Duration::from_secs(10));
    }

    #[test]
    fn the_rest_of_several_is_given_whole_or_the_first_comes_back() {
        let bucket = Bucket::new(Rate {
            signatures_per_second: count(1),
            burst: count(10),
        });
        let first = bucket.take(count(1)).unwrap();
        assert_eq!(bucket.take_rest(count(1), first), Ok(first));
        for _ in 0..20 {
            let first = bucket.take(count(1)).unwrap();
            let above = bucket.take_rest(count(11), first);
            assert_eq!(above, Err(RateExceeded::AboveBurst));
        }
        let first = bucket.take(count(1)).unwrap();
        assert_eq!(bucket.take_rest(count(6), first).unwrap().left, 3);
        for _ in 0..20 {
            let first = bucket.take(count(1)).unwrap();
            let Err(RateExceeded::RetryAfter { wait, left }) = bucket.take_rest(count(4), first)
            else {
                panic!("four of three");
            };
            assert!(wait <= Duration::from_secs(1), "{wait:?}");
            assert_eq!(left, 3);
        }
        let first = bucket.take(count(1)).unwrap();
        assert_eq!(bucket.take_rest(count(3), first).unwrap().left, 0);
        assert!(
            bucket.take(count(1)).is_err(),
            "no more than it held came back"
        );
    }

    #[test]
    fn neighbours_in_a_network_share_their_failures_and_strangers_do_not() {
        let failures = FailureLimiter::default();
        let [one, neighbour, stranger]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        for _ in 0..FAILURES_AT_ONCE {
            assert!(!failures.record_failure(one));
        }
        assert!(failures.record_failure(neighbour));
        assert!(!failures.record_failure(stranger));
    }
}
