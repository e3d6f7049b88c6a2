use proptest::prelude::*;

use super::*;
use crate::revocation::{
    Content, Record, Salt, Selector, SelectorKind, SelectorKinds, TokenSelectors, feed_url,
};

const ISSUER: &str = "https://id.example";

/// When everything here happens, in seconds since 1970.
const START: u64 = 1_767_225_600;

const MAX_AGE: u64 = 60;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn key(kid: &str) -> Jwk {
    let text = format!(
        r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}}"#
    );
    Jwk::parse(text.as_bytes()).unwrap()
}

fn set(kids: &[&str]) -> JwkSet {
    JwkSet::new(kids.iter().map(|kid| key(kid)).collect())
}

fn subject(name: &str) -> Selector {
    Selector::new(SelectorKind::Subject, &[name]).unwrap()
}

/// So long after [`START`] by both clocks.
fn at(time: u64) -> ClockReading {
    ClockReading {
        monotonic: seconds(time),
        wall: UNIX_EPOCH + seconds(START + time),
    }
}

/// A head of these subjects, signed so long after [`START`].
fn head(issued_at: u64, revoked: &[(&str, u64)]) -> Head {
    let salt = Salt::new([1; 32]);
    let records = revoked.iter().map(|(name, issued_before)| Record {
        digest: subject(name).digest(&salt),
        issued_before: Some(START + issued_before),
    });
    Head {
        issuer: ISSUER.to_owned(),
        feed: feed_url(ISSUER),
        issued_at_milliseconds: (START + issued_at) * 1000,
        max_age_seconds: MAX_AGE,
        nonce: None,
        content: Content {
            recent: records.collect(),
            salt,
            kinds: SelectorKinds::ALL,
            segments: Vec::new(),
        },
    }
}

/// The heads once this one has come.
fn after(heads: &Heads, head: &Head, kid: &str, received_at: ClockReading, keys: &JwkSet) -> Heads {
    let table = RevocationTable::new(&head.content, &[]).unwrap();
    let clock = *heads.clock();
    let accepted = AcceptedHead::new(head, key(kid), table, received_at, &clock);
    heads.with(accepted, clock, keys)
}

/// Heads of which one has come as soon as it was signed.
fn with_head(issued_at: u64, revoked: &[(&str, u64)]) -> Heads {
    let none = Heads::none(at(issued_at));
    after(
        &none,
        &head(issued_at, revoked),
        "a",
        at(issued_at),
        &set(&["a"]),
    )
}

fn token(name: &str, issued_at: Option<u64>) -> TokenFacts<'_> {
    TokenFacts {
        selectors: TokenSelectors::of_subject(name),
        issued_at: issued_at.map(|issued_at| seconds(START + issued_at)),
    }
}

/// The code of what is wrong with a token, or up to when it is vouched for.
fn verdict(
    heads: &Heads,
    token: &TokenFacts<'_>,
    bound: Bound,
    moment: Moment,
) -> Result<Option<u64>, &'static str> {
    heads
        .judge(token, &set(&["a", "b"]), bound, moment)
        .map(|vouched_at| vouched_at.map(|vouched_at| vouched_at.as_secs() - START))
        .map_err(|error| error.code())
}

#[test]
fn revoked_token_is_refused_and_one_that_was_signed_later_is_not() {
    let heads = with_head(100, &[("mallory", 90)]);
    let now = Moment::Now(at(101));
    let of = |name, issued_at| verdict(&heads, &token(name, issued_at), Bound::OfHead, now);
    assert_eq!(of("mallory", Some(89)), Err("revoked"));
    assert_eq!(of("mallory", None), Err("revoked"));
    assert_eq!(of("mallory", Some(90)), Ok(Some(100)));
    assert_eq!(of("alice", Some(10)), Ok(Some(100)));
    assert_eq!(of("alice", None), Ok(Some(100)));
}

#[test]
fn old_token_passes_as_long_as_the_head_says_and_a_young_one_longer() {
    let heads = with_head(100, &[]);
    let of = |issued_at, now| {
        let token = token("alice", issued_at);
        verdict(&heads, &token, Bound::OfHead, Moment::Now(at(now)))
    };
    assert_eq!(of(Some(10), 160), Ok(Some(100)));
    assert_eq!(of(Some(10), 161), Err("revocations-stale"));
    assert_eq!(of(None, 160), Ok(Some(100)));
    assert_eq!(of(None, 161), Err("revocations-stale"));
    assert_eq!(of(Some(130), 190), Ok(Some(130)));
    assert_eq!(of(Some(130), 191), Err("revocations-stale"));
}

#[test]
fn own_bound_counts_instead_of_the_one_of_the_head() {
    let heads = with_head(100, &[]);
    let of = |bound, now| {
        let token = token("alice", Some(10));
        verdict(&heads, &token, bound, Moment::Now(at(now)))
    };
    assert_eq!(of(Bound::Own(seconds(5)), 105), Ok(Some(100)));
    assert_eq!(of(Bound::Own(seconds(5)), 106), Err("revocations-stale"));
    assert_eq!(of(Bound::Own(seconds(900)), 1000), Ok(Some(100)));
    assert_eq!(of(Bound::Without, 1_000_000), Ok(Some(100)));
}

#[test]
fn token_from_the_future_vouches_for_no_more_than_now() {
    let heads = with_head(100, &[]);
    let of = |now| {
        let token = token("alice", Some(1_000_000));
        verdict(&heads, &token, Bound::OfHead, Moment::Now(at(now)))
    };
    assert_eq!(of(500), Ok(Some(500)));
}

#[test]
fn without_a_head_only_a_bound_of_ones_own_lets_young_tokens_pass() {
    let heads = Heads::none(at(0));
    let of = |bound, issued_at| {
        let token = token("alice", issued_at);
        verdict(&heads, &token, bound, Moment::Now(at(100)))
    };
    assert_eq!(of(Bound::OfHead, Some(100)), Err("revocations-stale"));
    assert_eq!(of(Bound::Own(seconds(10)), Some(90)), Ok(Some(90)));
    assert_eq!(
        of(Bound::Own(seconds(10)), Some(89)),
        Err("revocations-stale")
    );
    assert_eq!(of(Bound::Own(seconds(10)), None), Err("revocations-stale"));
    assert_eq!(of(Bound::Without, Some(89)), Ok(Some(89)));
    assert_eq!(of(Bound::Without, None), Ok(None));
}

#[test]
fn older_head_replaces_nothing_and_freshens_nothing() {
    let keys = set(&["a"]);
    let newer = with_head(100, &[("mallory", 90)]);
    let heads = after(&newer, &head(99, &[]), "a", at(200), &keys);
    let newest = heads.newest(&keys).unwrap();
    assert_eq!(newest.issued_at(), seconds(START + 100));
    assert_eq!(
        newest.age(heads.clock(), Moment::Now(at(200))),
        seconds(100)
    );
    let mallory = token("mallory", Some(10));
    assert_eq!(
        verdict(&heads, &mallory, Bound::Without, Moment::Now(at(200))),
        Err("revoked")
    );
    // Of another key too.
    let heads = after(&newer, &head(99, &[]), "b", at(200), &set(&["a", "b"]));
    assert_eq!(
        verdict(&heads, &mallory, Bound::Without, Moment::Now(at(200))),
        Err("revoked")
    );
}

#[test]
fn head_goes_with_its_key_and_that_of_another_key_counts() {
    let both = set(&["a", "b"]);
    let none = Heads::none(at(100));
    let honest = after(&none, &head(100, &[("mallory", 90)]), "a", at(100), &both);
    // The thief of the key says that nothing is revoked, at a time that no other head has.
    let forged = after(&honest, &head(104, &[]), "b", at(100), &both);
    let judge = |keys: &JwkSet| {
        let token = token("mallory", Some(10));
        let moment = Moment::Now(at(101));
        let outcome = forged.judge(&token, keys, Bound::OfHead, moment);
        outcome.map(drop).map_err(|error| error.code())
    };
    assert_eq!(judge(&both), Ok(()));
    assert_eq!(judge(&set(&["a"])), Err("revoked"));
    assert_eq!(judge(&set(&["c"])), Err("revocations-stale"));
    assert!(forged.newest(&set(&["c"])).is_none());
}

#[test]
fn heads_of_keys_that_left_are_forgotten() {
    let heads = with_head(100, &[]);
    let heads = after(&heads, &head(101, &[]), "b", at(101), &set(&["b"]));
    assert_eq!(heads.held.len(), 1);
}

#[test]
fn head_does_not_get_younger_by_a_clock_that_is_set_back_or_a_machine_that_sleeps() {
    let heads = with_head(100, &[]);
    let of = |monotonic: u64, wall: u64| {
        let now = ClockReading {
            monotonic: seconds(monotonic),
            ..at(wall)
        };
        verdict(
            &heads,
            &token("alice", Some(10)),
            Bound::OfHead,
            Moment::Now(now),
        )
    };
    assert_eq!(of(160, 0), Ok(Some(100)));
    assert_eq!(of(161, 0), Err("revocations-stale"));
    assert_eq!(of(100, 160), Ok(Some(100)));
    assert_eq!(of(100, 161), Err("revocations-stale"));
}

// What the clock lost before the head came must not make up for what it gained since.
#[test]
fn machine_that_sleeps_after_its_clock_was_set_back_does_not_make_a_head_younger() {
    let set_back = |monotonic: u64, wall: u64| ClockReading {
        monotonic: seconds(monotonic),
        ..at(wall)
    };
    let none = Heads::none(at(1000));
    let heads = after(
        &none,
        &head(1010, &[]),
        "a",
        set_back(1010, 910),
        &set(&["a"]),
    );
    let of = |now| {
        verdict(
            &heads,
            &token("alice", Some(10)),
            Bound::OfHead,
            Moment::Now(now),
        )
    };
    assert_eq!(of(set_back(1010, 970)), Ok(Some(1010)));
    assert_eq!(of(set_back(1010, 971)), Err("revocations-stale"));
}

#[test]
fn time_that_the_caller_chose_counts_but_not_less_than_has_passed() {
    let heads = with_head(100, &[]);
    let of = |monotonic: u64, wall: u64| {
        let given = ClockReading {
            monotonic: seconds(monotonic),
            ..at(wall)
        };
        verdict(
            &heads,
            &token("alice", Some(10)),
            Bound::OfHead,
            Moment::Given(given),
        )
    };
    assert_eq!(of(100, 160), Ok(Some(100)));
    assert_eq!(of(100, 161), Err("revocations-stale"));
    assert_eq!(of(161, 50), Err("revocations-stale"));
}

// A slow clock here must not make heads count for longer.
#[test]
fn clock_that_is_behind_is_corrected_by_a_head_that_was_signed_just_now() {
    let slow = |time: u64| ClockReading {
        wall: UNIX_EPOCH + seconds(START + time - 40),
        ..at(time)
    };
    let clock = IssuerClock::measured(slow(100), seconds(START + 100));
    assert_eq!(clock.now(Moment::Now(slow(130))), seconds(START + 130));
    let given = Moment::Given(slow(130));
    assert_eq!(clock.now(given), seconds(START + 130));
    // A clock that is ahead refuses too much at worst.
    let clock = IssuerClock::measured(at(100), seconds(START + 80));
    assert_eq!(clock.now(Moment::Now(at(130))), seconds(START + 130));
}

/// What happens to a verifier.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes.
    Pass(u64),
    /// A subject's revocation is closed.
    Revoke(usize),
    /// A head comes that was signed so long ago, by one of the keys.
    Head { age: u64, kid: usize },
    /// A key leaves the issuer's set.
    KeyLeaves(usize),
    /// The wall clock is set back.
    SetBack(u64),
    /// The machine sleeps: the monotonic clock stands still.
    Sleep(u64),
}

const NAMES: [&str; 2] = ["mallory", "alice"];
const KIDS: [&str; 3] = ["a", "b", "c"];

fn events(clock_fault: BoxedStrategy<Event>) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0_u64..40).prop_map(Event::Pass),
        2 => (0_usize..2).prop_map(Event::Revoke),
        4 => (0_u64..100, 0_usize..3).prop_map(|(age, kid)| Event::Head { age, kid }),
        1 => (0_usize..3).prop_map(Event::KeyLeaves),
        1 => clock_fault,
    ];
    prop::collection::vec(event, 1..30)
}

/// A machine that sleeps while its clock is set back cannot know how long, so that it is one of both.
fn sequences() -> impl Strategy<Value = Vec<Event>> {
    prop_oneof![
        events((0_u64..100).prop_map(Event::SetBack).boxed()),
        events((0_u64..100).prop_map(Event::Sleep).boxed()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    // Laws (a), (b) and (d) of revocations, as far as a verifier is concerned: whatever heads come, in
    // whatever order, no revoked token is accepted when the bound has passed since it was revoked, none
    // is refused that was signed later, and nothing vouches for a moment that has not come.
    #[test]
    fn revoked_tokens_are_refused_within_the_bound_and_no_others(events in sequences()) {
        // Long enough for the oldest head.
        let mut now = 200_u64;
        let mut monotonic = 200_u64;
        let mut wall = 200_u64;
        let mut kids = KIDS.to_vec();
        let mut revoked: Vec<(&str, u64, u64)> = Vec::new();
        let mut heads = Heads::none(at(200));
        for event in events {
            let reading = |monotonic: u64, wall: u64| ClockReading { monotonic: seconds(monotonic), ..at(wall) };
            match event {
                Event::Pass(time) => {
                    (now, monotonic, wall) = (now + time, monotonic + time, wall + time);
                }
                Event::Sleep(time) => (now, wall) = (now + time, wall + time),
                Event::SetBack(time) => wall = wall.saturating_sub(time),
                Event::Revoke(name) => revoked.push((NAMES[name], now, now + 1)),
                Event::KeyLeaves(kid) => kids.retain(|known| *known != KIDS[kid]),
                Event::Head { age, kid } if kids.contains(&KIDS[kid]) => {
                    let issued_at = now - age;
                    let known: Vec<_> = revoked
                        .iter()
                        .filter(|(_, closed_at, _)| *closed_at <= issued_at)
                        .map(|(name, _, issued_before)| (*name, *issued_before))
                        .collect();
                    let head = head(issued_at, &known);
                    heads = after(&heads, &head, KIDS[kid], reading(monotonic, wall), &set(&kids));
                }
                Event::Head { .. } => {}
            }
            let moment = Moment::Now(reading(monotonic, wall));
            let keys = set(&kids);
            for name in NAMES {
                for issued_at in [None, Some(150), Some(200), Some(now - 30), Some(now), Some(now + 2)] {
                    let outcome = heads.judge(&token(name, issued_at), &keys, Bound::OfHead, moment);
                    let matching = revoked.iter().filter(|(revoked, _, issued_before)| {
                        *revoked == name && issued_at.is_none_or(|issued_at| issued_at < *issued_before)
                    });
                    match outcome {
                        Ok(vouched_at) => {
                            // (a)
                            for (_, closed_at, issued_before) in matching {
                                let latest = closed_at.max(issued_before) + MAX_AGE;
                                prop_assert!(now <= latest, "{name} {issued_at:?} at {now}");
                            }
                            // (d)
                            let vouched_at = vouched_at.unwrap();
                            prop_assert!(vouched_at <= seconds(START + now));
                            prop_assert!(vouched_at + seconds(MAX_AGE) >= seconds(START + now));
                        }
                        // (b)
                        Err(VerifyError::Revoked { .. }) => {
                            prop_assert!(matching.count() > 0, "{name} {issued_at:?} at {now}");
                        }
                        Err(error) => {
                            prop_assert_eq!(error, VerifyError::RevocationsStale);
                            let is_held = heads.newest(&keys).is_some_and(|head| {
                                head.issued_at() + seconds(MAX_AGE) >= seconds(START + now)
                            });
                            prop_assert!(!is_held, "{name} {issued_at:?} at {now}");
                        }
                    }
                }
            }
        }
    }

    // Law (c): which head is in force does not depend on the order in which they came.
    #[test]
    fn heads_in_any_order_leave_the_newest(
        issued_at in prop::collection::vec((0_u64..100, 0_usize..3), 1..10),
        rotated in any::<prop::sample::Index>(),
    ) {
        let keys = set(&KIDS);
        let newest = |order: &[(u64, usize)]| {
            let heads = order.iter().fold(Heads::none(at(200)), |heads, (issued_at, kid)| {
                after(&heads, &head(*issued_at, &[]), KIDS[*kid], at(200), &keys)
            });
            heads.newest(&keys).unwrap().issued_at()
        };
        let mut other = issued_at.clone();
        other.rotate_left(rotated.index(issued_at.len()));
        other.reverse();
        let greatest = issued_at.iter().map(|(issued_at, _)| *issued_at).max().unwrap();
        prop_assert_eq!(newest(&issued_at), seconds(START + greatest));
        prop_assert_eq!(newest(&other), seconds(START + greatest));
    }
}
