use std::time::UNIX_EPOCH;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{collection, prop_assert, prop_assert_eq};

use super::*;

const LIMITS: Limits = Limits {
    fresh: Duration::from_secs(10)..=Duration::from_secs(3600),
    stale: Duration::from_secs(3600),
    cool_down: Duration::from_secs(30),
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const NANOSECOND: Duration = Duration::from_nanos(1);

/// By two clocks that may disagree.
fn by_clocks(monotonic: Duration, wall: Duration) -> ClockReading {
    ClockReading {
        monotonic,
        wall: UNIX_EPOCH + seconds(1_000_000) + wall,
    }
}

/// By two clocks that agree.
fn at(time: Duration) -> ClockReading {
    by_clocks(time, time)
}

fn set(fresh_for: Option<u64>) -> FetchResult {
    FetchResult::Set {
        keys: JwkSet::default(),
        tag: None,
        fresh_for: fresh_for.map(Duration::from_secs),
    }
}

const fn unchanged(fresh_for: Option<u64>) -> FetchResult {
    FetchResult::Unchanged {
        fresh_for: match fresh_for {
            Some(fresh_for) => Some(seconds(fresh_for)),
            None => None,
        },
    }
}

/// A cache that was filled at zero.
fn filled(fresh_for: Option<u64>) -> Cache {
    Cache::new(LIMITS).after_fetch(set(fresh_for), at(seconds(0)), at(seconds(0)), 0.5)
}

/// When a set that was asked for at zero stops being fresh.
fn freshness(cache: &Cache) -> Duration {
    let fresh_for = cache.cached.as_ref().unwrap().fresh_for;
    let is_fresh = |time| cache.usable(at(time)).unwrap().is_fresh;
    assert!(is_fresh(fresh_for - NANOSECOND));
    assert!(!is_fresh(fresh_for));
    fresh_for
}

#[test]
fn empty_cache_fetches_at_once_and_lets_tokens_ask() {
    let cache = Cache::new(LIMITS);
    assert!(cache.usable(at(seconds(0))).is_none());
    assert!(cache.was_never_filled());
    assert_eq!(cache.age(at(seconds(5))), None);
    assert_eq!(cache.next_fetch_in(at(seconds(0))), Duration::ZERO);
    assert!(cache.may_fetch(at(seconds(0))));
    assert!(cache.last_error().is_none());
}

#[test]
fn freshness_stays_within_its_bounds() {
    for (said, fresh_for) in [
        (None, 300),
        (Some(0), 10),
        (Some(9), 10),
        (Some(10), 10),
        (Some(60), 60),
        (Some(3600), 3600),
        (Some(3601), 3600),
        (Some(u64::MAX), 3600),
    ] {
        assert_eq!(freshness(&filled(said)), seconds(fresh_for), "{said:?}");
    }
}

#[test]
fn default_freshness_stays_within_the_bounds_too() {
    let limits = Limits {
        fresh: seconds(1)..=seconds(60),
        ..LIMITS
    };
    let now = at(seconds(0));
    let cache = Cache::new(limits).after_fetch(set(None), now, now, 0.5);
    assert_eq!(freshness(&cache), seconds(60));
}

#[test]
fn refresh_comes_ahead_of_the_end_of_freshness() {
    for (jitter, percent) in [(0.0, 70), (0.5, 80), (1.0, 90)] {
        let now = at(seconds(0));
        let cache = Cache::new(LIMITS).after_fetch(set(Some(1000)), now, now, jitter);
        assert_eq!(cache.next_fetch_in(now).as_secs(), percent * 10);
    }
}

#[test]
fn refresh_of_an_answer_that_took_long_is_not_later() {
    let cache =
        Cache::new(LIMITS).after_fetch(set(Some(1000)), at(seconds(0)), at(seconds(100)), 0.5);
    assert_eq!(cache.next_fetch_in(at(seconds(100))).as_secs(), 700);
    assert_eq!(cache.age(at(seconds(100))), Some(seconds(100)));
}

#[test]
fn answer_that_is_old_on_arrival_causes_no_fetch_at_once() {
    let end = at(seconds(60));
    let cache = Cache::new(LIMITS).after_fetch(set(Some(10)), at(seconds(0)), end, 0.5);
    assert!(!cache.usable(end).unwrap().is_fresh);
    assert_eq!(cache.next_fetch_in(end), SHORTEST_PAUSE);
    assert!(!cache.may_fetch(end));
    assert!(cache.may_fetch(at(seconds(60) + SHORTEST_PAUSE)));
}

#[test]
fn stale_set_is_used_up_to_its_limit_and_not_at_it() {
    let cache = filled(Some(100));
    let usable = cache.usable(at(seconds(3700) - NANOSECOND)).unwrap();
    assert!(!usable.is_fresh);
    assert!(cache.usable(at(seconds(3700))).is_none());
    assert!(cache.usable(at(seconds(1_000_000))).is_none());
    assert!(!cache.was_never_filled());
}

#[test]
fn without_a_stale_limit_a_set_ends_with_its_freshness() {
    let limits = Limits {
        stale: Duration::ZERO,
        ..LIMITS
    };
    let now = at(seconds(0));
    let cache = Cache::new(limits).after_fetch(set(Some(100)), now, now, 0.5);
    assert!(cache.usable(at(seconds(100) - NANOSECOND)).is_some());
    assert!(cache.usable(at(seconds(100))).is_none());
}

#[test]
fn endless_stale_limit_does_not_overflow() {
    let limits = Limits {
        stale: Duration::MAX,
        ..LIMITS
    };
    let now = at(seconds(0));
    let cache = Cache::new(limits).after_fetch(set(Some(100)), now, now, 0.5);
    assert!(cache.usable(at(seconds(1_000_000_000))).is_some());
}

// Attack 73.
#[test]
fn cool_down_starts_at_the_end_of_a_fetch_and_lasts_exactly() {
    let cache =
        Cache::new(LIMITS).after_fetch(set(Some(1000)), at(seconds(0)), at(seconds(4)), 0.5);
    assert!(!cache.may_fetch(at(seconds(4))));
    assert!(!cache.may_fetch(at(seconds(34) - NANOSECOND)));
    assert!(cache.may_fetch(at(seconds(34))));
}

#[test]
fn tokens_may_ask_when_the_refresh_is_overdue_whatever_the_cool_down() {
    let limits = Limits {
        cool_down: seconds(1_000_000),
        ..LIMITS
    };
    let now = at(seconds(0));
    let cache = Cache::new(limits).after_fetch(set(Some(1000)), now, now, 0.5);
    assert!(!cache.may_fetch(at(seconds(799))));
    assert!(cache.may_fetch(at(seconds(801))));
}

#[test]
fn failures_wait_twice_as_long_each_time_up_to_a_minute() {
    for (jitter, share) in [(0.0, 0.5), (1.0, 1.0)] {
        let mut cache = filled(Some(100));
        for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let end = at(seconds(50));
            cache = cache.after_failure(FetchError::Timeout, end, jitter);
            let wait = seconds(wait).mul_f64(share);
            assert_eq!(cache.next_fetch_in(end), wait);
            assert!(!cache.may_fetch(at(seconds(50) + wait - NANOSECOND)));
            assert!(cache.may_fetch(at(seconds(50) + wait)));
        }
        for _ in 0..100 {
            cache = cache.after_failure(FetchError::Timeout, at(seconds(50)), jitter);
        }
        let wait = seconds(60).mul_f64(share);
        assert_eq!(cache.next_fetch_in(at(seconds(50))), wait);
    }
}

#[test]
fn success_forgets_the_failures() {
    let end = at(seconds(50));
    let cache = filled(Some(100))
        .after_failure(FetchError::Timeout, end, 1.0)
        .after_failure(FetchError::Timeout, end, 1.0);
    assert!(cache.last_error().is_some());
    let cache = cache.after_fetch(set(Some(100)), end, end, 0.5);
    assert!(cache.last_error().is_none());
    let cache = cache.after_failure(FetchError::Timeout, end, 1.0);
    assert_eq!(cache.next_fetch_in(end), FIRST_BACKOFF);
}

#[test]
fn failure_takes_nothing_away_and_renews_nothing() {
    let before = filled(Some(100));
    let mut after = before.clone();
    for time in 60..80 {
        after = after.after_failure(FetchError::Status(500), at(seconds(time)), 0.5);
    }
    let now = at(seconds(90));
    let (before, after) = (before.usable(now).unwrap(), after.usable(now).unwrap());
    assert!(Arc::ptr_eq(before.keys, after.keys));
    assert_eq!(before.is_fresh, after.is_fresh);
}

#[test]
fn failures_do_not_prolong_the_limit() {
    let mut cache = filled(Some(100));
    for time in (100..3700).step_by(60) {
        cache = cache.after_failure(FetchError::Timeout, at(seconds(time)), 0.5);
        assert!(cache.usable(at(seconds(time))).is_some());
    }
    assert!(cache.usable(at(seconds(3700))).is_none());
}

#[test]
fn failure_of_an_empty_cache_fills_nothing() {
    let cache = Cache::new(LIMITS).after_failure(FetchError::Timeout, at(seconds(0)), 0.5);
    assert!(cache.usable(at(seconds(0))).is_none());
    assert!(cache.was_never_filled());
    assert!(!cache.may_fetch(at(seconds(0))));
}

#[test]
fn unchanged_set_is_as_good_as_new() {
    let before = filled(Some(100));
    let now = at(seconds(3000));
    let after = before.after_fetch(unchanged(Some(50)), now, now, 0.5);
    assert!(after.usable(at(seconds(3049))).unwrap().is_fresh);
    assert!(!after.usable(at(seconds(3050))).unwrap().is_fresh);
    assert!(after.usable(at(seconds(3050 + 3599))).is_some());
    let keys = |cache: &Cache| Arc::clone(&cache.cached.as_ref().unwrap().keys);
    assert!(Arc::ptr_eq(&keys(&before), &keys(&after)));
}

// RFC 9111 §4.3.4.
#[test]
fn unchanged_set_keeps_the_freshness_that_the_answer_does_not_repeat() {
    let now = at(seconds(0));
    let cache = filled(Some(20)).after_fetch(unchanged(None), now, now, 0.5);
    assert_eq!(freshness(&cache), seconds(20));
}

#[test]
fn unchanged_revives_a_set_that_had_become_too_old() {
    let cache = filled(Some(100));
    let now = at(seconds(5000));
    assert!(cache.usable(now).is_none());
    let cache = cache.after_fetch(unchanged(Some(100)), now, now, 0.5);
    assert!(cache.usable(now).unwrap().is_fresh);
}

// A suspended machine: the monotonic clock stands still.
#[test]
fn set_ages_while_the_machine_sleeps() {
    let cache = filled(Some(100));
    let awake = |wall| by_clocks(seconds(1), seconds(wall));
    assert!(cache.usable(awake(99)).unwrap().is_fresh);
    assert!(!cache.usable(awake(100)).unwrap().is_fresh);
    assert!(cache.usable(awake(3700)).is_none());
    assert!(cache.is_due(awake(100)));
    assert!(cache.may_fetch(awake(100)));
}

#[test]
fn backoff_passes_while_the_machine_sleeps() {
    let cache = filled(Some(100)).after_failure(FetchError::Timeout, at(seconds(80)), 1.0);
    assert!(!cache.may_fetch(by_clocks(seconds(80), seconds(80))));
    assert!(cache.may_fetch(by_clocks(seconds(80), seconds(8000))));
}

#[test]
fn clock_that_is_set_back_makes_no_set_younger() {
    let cache = filled(Some(100));
    let set_back = |monotonic| ClockReading {
        monotonic: seconds(monotonic),
        wall: UNIX_EPOCH,
    };
    assert!(cache.usable(set_back(99)).unwrap().is_fresh);
    assert!(!cache.usable(set_back(100)).unwrap().is_fresh);
    assert!(cache.usable(set_back(3700)).is_none());
    assert!(cache.may_fetch(set_back(30)));
    assert!(!cache.may_fetch(set_back(29)));
    assert_eq!(cache.age(set_back(7)), Some(seconds(7)));
}

#[test]
fn clock_that_is_set_forward_ends_a_set_and_lets_tokens_ask() {
    let cache = filled(Some(100));
    let set_forward = by_clocks(seconds(1), seconds(1_000_000));
    assert!(cache.usable(set_forward).is_none());
    assert!(cache.may_fetch(set_forward));
    // And the fetch that follows puts it right.
    let cache = cache.after_fetch(set(Some(100)), set_forward, set_forward, 0.5);
    assert!(cache.usable(set_forward).unwrap().is_fresh);
    assert!(!cache.is_due(set_forward));
}

#[test]
fn clock_that_jumps_during_a_fetch_causes_no_hot_loop() {
    let mut cache = filled(Some(100));
    let mut wall = 0;
    for _ in 0..10 {
        let asked_at = by_clocks(seconds(1), seconds(wall));
        wall += 1_000_000;
        let ended_at = by_clocks(seconds(1), seconds(wall));
        cache = cache.after_fetch(set(Some(100)), asked_at, ended_at, 0.5);
        assert_eq!(cache.next_fetch_in(ended_at), SHORTEST_PAUSE);
        assert!(!cache.may_fetch(ended_at));
    }
}

#[derive(Clone, Debug)]
enum Outcome {
    Set(Option<u64>),
    Unchanged(Option<u64>),
    Failure,
}

/// What happens between two looks at the cache.
#[derive(Clone, Debug)]
struct Step {
    monotonic: u64,
    /// What happens to the wall clock beside the passing of time; negative when it is set back.
    wall_jump: i64,
    /// How long a fetch takes, should there be one.
    took: u64,
    has_unknown_token: bool,
    outcome: Outcome,
    jitter: f64,
}

fn step() -> impl Strategy<Value = Step> {
    let said = prop_oneof![
        Just(None),
        (0_u64..100_000).prop_map(Some),
        any::<u64>().prop_map(Some)
    ];
    let outcome = prop_oneof![
        said.clone().prop_map(Outcome::Set),
        said.prop_map(Outcome::Unchanged),
        Just(Outcome::Failure)
    ];
    let wall_jump = prop_oneof![8 => Just(0_i64), 1 => -20_000_000_i64..20_000_000];
    (
        prop_oneof![0_u64..2_000, 0_u64..60_000, 0_u64..5_000_000],
        wall_jump,
        0_u64..20_000,
        any::<bool>(),
        outcome,
        0.0..=1.0_f64,
    )
        .prop_map(
            |(monotonic, wall_jump, took, has_unknown_token, outcome, jitter)| Step {
                monotonic,
                wall_jump,
                took,
                has_unknown_token,
                outcome,
                jitter,
            },
        )
}

proptest! {
    // Times are in milliseconds; the wall clock starts a million seconds after the epoch.
    #[test]
    fn no_sequence_of_answers_and_times_breaks_a_limit(steps in collection::vec(step(), 1..80)) {
        let mut cache = Cache::new(LIMITS);
        let mut monotonic = 0_u64;
        let mut wall = 1_000_000_000_i64;
        let moment = |monotonic, wall: i64| ClockReading {
            monotonic: Duration::from_millis(monotonic),
            wall: UNIX_EPOCH + Duration::from_millis(u64::try_from(wall).unwrap_or(0)),
        };
        // By the clock that says more, whatever the cache makes of the two.
        let elapsed = |earlier: ClockReading, later: ClockReading| {
            let wall = later.wall.duration_since(earlier.wall).unwrap_or_default();
            wall.max(later.monotonic - earlier.monotonic)
        };
        // What an onlooker remembers: when the set was asked for, how long it is good for, and when
        // the last fetch ended and with what.
        let mut good: Option<(ClockReading, Duration)> = None;
        let mut last: Option<(ClockReading, u32)> = None;
        for step in steps {
            monotonic += step.monotonic;
            wall += i64::try_from(step.monotonic).unwrap() + step.wall_jump;
            let now = moment(monotonic, wall);
            let is_good = good.is_some_and(|(asked_at, fresh)| elapsed(asked_at, now) < fresh + LIMITS.stale);
            prop_assert_eq!(cache.usable(now).is_some(), is_good);

            let is_due = cache.is_due(now);
            let is_asked = step.has_unknown_token && cache.may_fetch(now);
            if is_asked && !is_due {
                let (ended_at, failures) = last.unwrap();
                prop_assert_eq!(failures, 0, "a token caused a fetch in backoff");
                prop_assert!(elapsed(ended_at, now) >= LIMITS.cool_down);
            }
            if !is_due && !is_asked {
                continue;
            }
            if let Some((ended_at, failures)) = last {
                let least = match failures {
                    0 => SHORTEST_PAUSE,
                    _ => seconds(1 << (failures - 1).min(6)).min(LONGEST_BACKOFF) / 2,
                };
                prop_assert!(elapsed(ended_at, now) >= least, "too soon after {} failures", failures);
            }
            monotonic += step.took;
            wall += i64::try_from(step.took).unwrap();
            let ended_at = moment(monotonic, wall);
            let cached = cache.cached.as_ref().map(|cached| Arc::clone(&cached.keys));
            let answer = match step.outcome {
                Outcome::Set(said) => Some(set(said)),
                // Only a set that is cached can be unchanged: without a tag, 304 is a failure.
                Outcome::Unchanged(said) if cached.is_some() => Some(unchanged(said)),
                Outcome::Unchanged(_) | Outcome::Failure => None,
            };
            if let Some(answer) = answer {
                let fresh = match (answer.fresh_for(), &answer, good) {
                    (None, FetchResult::Unchanged { .. }, Some((_, fresh))) => fresh,
                    (said, ..) => said.unwrap_or(FRESH_BY_DEFAULT).clamp(seconds(10), seconds(3600)),
                };
                cache = cache.after_fetch(answer, now, ended_at, step.jitter);
                good = Some((now, fresh));
                last = Some((ended_at, 0));
                prop_assert!(cache.last_error().is_none());
            } else {
                cache = cache.after_failure(FetchError::Timeout, ended_at, step.jitter);
                last = Some((ended_at, last.map_or(0, |(_, failures)| failures) + 1));
                let kept = cache.cached.as_ref().map(|cached| Arc::clone(&cached.keys));
                prop_assert_eq!(kept.is_some(), cached.is_some());
                prop_assert!(kept.zip(cached).is_none_or(|(kept, cached)| Arc::ptr_eq(&kept, &cached)));
                prop_assert!(cache.last_error().is_some());
            }
            prop_assert!(!cache.is_due(ended_at), "a hot loop");
            prop_assert!(!cache.may_fetch(ended_at));
            prop_assert!(cache.next_fetch_in(ended_at) >= SHORTEST_PAUSE);
            prop_assert!(cache.next_fetch_in(ended_at) <= *LIMITS.fresh.end());
        }
    }
}
