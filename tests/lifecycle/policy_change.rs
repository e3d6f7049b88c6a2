//! What was promised under one policy stays promised under the next.

use std::time::Duration;

use keywright::lifecycle::{
    Command, Event, Policy, Readiness, RuleViolation, SWITCH_OVER, State, Timestamp, Timing,
};
use keywright_verifier::{Algorithm, Kid};
use proptest::prelude::*;

use super::rotation::{ES256, rotate, signing, standing_by};
use super::world::{BEGINNING, DAY, HOUR, MINUTE, SECOND, World, default_policy, single_policy};

fn set_policy(world: &mut World, change: impl FnOnce(&mut Policy)) -> Result<(), RuleViolation> {
    let mut policy = world.view.policy().clone();
    change(&mut policy);
    policy.validate(&world.timing).unwrap();
    world.run(&Command::SetPolicy(policy.into())).map(drop)
}

fn published_until(world: &World, kid: &Kid) -> Timestamp {
    match world.view.key(kid).unwrap().state() {
        State::Retired(retired) => retired.published_until,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_added_algorithm_waits_out_the_lead_and_then_signs_by_itself() {
    let mut world = World::fresh(single_policy());
    world.pass(DAY);
    set_policy(&mut world, |policy| {
        policy.algorithms = Algorithm::ALL.to_vec();
    })
    .unwrap();
    let added = Algorithm::Rs256;
    world.live_until(BEGINNING.after(DAY * 2 - SECOND));
    assert!(world.view.active(added).is_none());
    let story = world.live_until(BEGINNING.after(DAY * 2));
    assert!(story.iter().any(|(_, event)| matches!(
        event,
        Event::KeyActivated {
            algorithm: Algorithm::Rs256,
            forced: false,
            ..
        }
    )));
    assert!(world.view.active(added).is_some());
    assert!(!world.view.successors(added).is_empty());
}

#[test]
fn the_default_cannot_move_to_an_algorithm_that_does_not_sign_yet() {
    let mut world = World::fresh(single_policy());
    let switched = |policy: &mut Policy| {
        policy.algorithms = Algorithm::ALL.to_vec();
        policy.default_algorithm = Algorithm::Rs256;
    };
    let refusal = Err(RuleViolation::DefaultNotActive(Algorithm::Rs256));
    assert_eq!(set_policy(&mut world, switched), refusal);
    set_policy(&mut world, |policy| {
        policy.algorithms = Algorithm::ALL.to_vec();
    })
    .unwrap();
    assert_eq!(set_policy(&mut world, switched), refusal);
    world.live_until(BEGINNING.after(DAY));
    set_policy(&mut world, switched).unwrap();
}

#[test]
fn a_dropped_algorithm_retires_without_a_successor() {
    let mut world = World::fresh(default_policy());
    let dropped = world.view.active(Algorithm::Rs256).unwrap().kid().clone();
    let never_needed = world.view.successors(Algorithm::Rs256)[0].kid().clone();
    set_policy(&mut world, |policy| policy.algorithms = vec![ES256]).unwrap();
    assert!(world.view.active(Algorithm::Rs256).is_none());
    assert!(world.view.successors(Algorithm::Rs256).is_empty());
    let retention = SWITCH_OVER + HOUR + MINUTE * 5;
    assert_eq!(
        published_until(&world, &dropped),
        BEGINNING.after(retention)
    );
    // Nothing was signed with the successor, so that no verifier needs it.
    assert_eq!(
        world.view.key(&never_needed).unwrap().state().name(),
        "removed"
    );
    world.live_until(BEGINNING.after(DAY * 90));
    let rs256 = |key: &&keywright::lifecycle::Key| key.algorithm() == Algorithm::Rs256;
    assert_eq!(world.view.published(world.clock).filter(rs256).count(), 0);
}

#[test]
fn the_url_is_fixed() {
    let mut world = World::fresh(single_policy());
    let url = "https://other.example.com".to_owned();
    let moved = set_policy(&mut world, |policy| {
        policy.url = keywright::lifecycle::IssuerUrl::parse(&url).unwrap();
    });
    assert_eq!(moved, Err(RuleViolation::UrlFixed));
}

#[test]
fn the_same_policy_again_changes_nothing() {
    let mut world = World::fresh(single_policy());
    set_policy(&mut world, |_| {}).unwrap();
    assert_eq!(world.view.version(), 1);
}

/// Lets `change` and then its reversal happen before the active key retires.
fn retention_after(change: fn(&mut Policy)) -> Duration {
    let mut world = World::fresh(single_policy());
    let before = world.view.policy().clone();
    let first = signing(&world);
    set_policy(&mut world, change).unwrap();
    world.run(&Command::SetPolicy(before.into())).unwrap();
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    published_until(&world, &first).since(BEGINNING)
}

#[test]
fn the_longest_token_lifetime_of_its_time_decides_how_long_a_key_is_retained() {
    let retention = retention_after(|policy| policy.max_token_ttl = DAY);
    assert_eq!(retention, SWITCH_OVER + DAY + MINUTE * 5);
}

#[test]
fn the_widest_clock_skew_of_its_time_decides_how_long_a_key_is_retained() {
    let retention = retention_after(|policy| policy.clock_skew = HOUR);
    assert_eq!(retention, SWITCH_OVER + HOUR + HOUR);
}

#[test]
fn a_wider_clock_skew_extends_what_is_published_and_revives_nothing() {
    let mut world = World::fresh(single_policy());
    let first = signing(&world);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let ends = BEGINNING.after(SWITCH_OVER + HOUR + MINUTE * 5);
    assert_eq!(published_until(&world, &first), ends);
    set_policy(&mut world, |policy| policy.clock_skew = HOUR).unwrap();
    let ends = BEGINNING.after(SWITCH_OVER + HOUR * 2);
    assert_eq!(published_until(&world, &first), ends);
    // No tick has removed the key when its publication ends.
    world.pass(ends.since(BEGINNING));
    set_policy(&mut world, |policy| policy.clock_skew = HOUR * 3).unwrap();
    assert!(!world.view.key(&first).unwrap().is_published(world.clock));
}

// Once found by a long run with 1 ms left: the set in which the publication had ended was served
// until the commit that would have extended it.
#[test]
fn a_publication_that_ends_before_a_wider_skew_is_in_force_everywhere_is_not_extended() {
    let millisecond = Duration::from_millis(1);
    for timing in [Timing::single(), Timing::shared(SECOND * 30)] {
        let overlap = timing.overlap();
        for (left, extended) in [
            (millisecond, false),
            (overlap, false),
            (overlap + millisecond, true),
        ] {
            let mut world = World::fresh(single_policy());
            world.timing = timing;
            let first = signing(&world);
            world.run(&rotate(ES256, Readiness::Required)).unwrap();
            let ends = published_until(&world, &first);
            world.pass(ends.before(left).since(world.clock));
            set_policy(&mut world, |policy| policy.clock_skew = HOUR).unwrap();
            let is_extended = published_until(&world, &first) > ends;
            assert_eq!(is_extended, extended, "{left:?} of {timing:?}");
        }
    }
}

#[test]
fn a_publication_that_has_ended_is_not_extended_when_the_clock_is_set_back() {
    let mut world = World::fresh(single_policy());
    let first = signing(&world);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let ends = published_until(&world, &first);
    world.pass(ends.since(world.clock));
    world.jump_back(HOUR);
    set_policy(&mut world, |policy| policy.clock_skew = HOUR).unwrap();
    assert_eq!(world.view.key(&first).unwrap().state().name(), "removed");
}

#[test]
fn a_narrower_clock_skew_shortens_no_retention() {
    let mut world = World::fresh(single_policy());
    let first = signing(&world);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    set_policy(&mut world, |policy| policy.clock_skew = Duration::ZERO).unwrap();
    let ends = BEGINNING.after(SWITCH_OVER + HOUR + MINUTE * 5);
    assert_eq!(published_until(&world, &first), ends);
}

#[test]
fn a_key_waits_for_sets_that_were_served_under_a_longer_max_age() {
    let generous = Policy {
        jwks_max_age: HOUR * 20,
        ..single_policy()
    };
    let mut world = World::fresh(generous);
    set_policy(&mut world, |policy| {
        policy.jwks_max_age = MINUTE;
        policy.stale_if_error = Duration::ZERO;
        policy.lead = MINUTE * 10;
    })
    .unwrap();
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let successor = standing_by(&world)[0].clone();
    let key = world.view.key(&successor).unwrap();
    let last_stale = SWITCH_OVER + HOUR * 20 + HOUR + MINUTE * 5;
    assert_eq!(
        key.ready_at(world.view.policy()),
        Some(BEGINNING.after(last_stale))
    );
}

#[test]
fn readiness_counts_the_switch_over_during_which_the_old_set_is_still_served() {
    let tight = Policy {
        lead: MINUTE * 10,
        jwks_max_age: MINUTE * 10,
        stale_if_error: Duration::ZERO,
        clock_skew: Duration::ZERO,
        ..single_policy()
    };
    let mut world = World::fresh(tight);
    world.run(&rotate(ES256, Readiness::Required)).unwrap();
    let successor = standing_by(&world)[0].clone();
    let key = world.view.key(&successor).unwrap();
    let ready_at = key.ready_at(world.view.policy());
    assert_eq!(ready_at, Some(BEGINNING.after(MINUTE * 10 + SWITCH_OVER)));
}

/// What happens to the feed of an issuer.
#[derive(Debug, Clone)]
enum Feed {
    /// Another `revocation_max_age`, in seconds.
    MaxAge(u64),
    /// So many milliseconds pass.
    Pass(u64),
    /// A process signs a head: by the policy in force, or by the one before as long as it may.
    Head { lags: bool },
    /// Something is taken back, and closed.
    TakeBack,
}

fn feed() -> impl Strategy<Value = Feed> {
    prop_oneof![
        (5_u64..2000).prop_map(Feed::MaxAge),
        (1_u64..200_000).prop_map(Feed::Pass),
        any::<bool>().prop_map(|lags| Feed::Head { lags }),
        Just(Feed::TakeBack),
    ]
}

proptest! {
    // Law (a) of revocations, as far as it is about policies.
    #[test]
    fn no_head_of_before_a_revocation_outlasts_what_its_answer_guarantees(
        acts in prop::collection::vec(feed(), 1..40),
        is_shared in any::<bool>(),
    ) {
        let mut world = World::fresh(single_policy());
        world.timing = match is_shared {
            true => Timing::shared(SECOND * 30),
            false => Timing::single(),
        };
        let overlap = world.timing.overlap();
        // What may be signed by still, each with the end of its use; and when each head ends.
        let mut in_use: Vec<(Duration, Timestamp)> = Vec::new();
        let mut heads: Vec<(Timestamp, Duration)> = Vec::new();
        for act in acts {
            let now = world.clock;
            match act {
                Feed::MaxAge(seconds) => {
                    in_use.push((world.view.policy().revocation_max_age, now.after(overlap)));
                    let change = |policy: &mut Policy| policy.revocation_max_age = SECOND * u32::try_from(seconds).unwrap();
                    set_policy(&mut world, change).unwrap();
                }
                Feed::Pass(millis) => world.pass(Duration::from_millis(millis)),
                Feed::Head { lags } => {
                    let late = in_use.iter().filter(|(_, until)| lags && now < *until);
                    let of_policy = world.view.policy().revocation_max_age;
                    let max_age = late.map(|(max_age, _)| *max_age).fold(of_policy, Duration::max);
                    heads.push((now, max_age));
                }
                Feed::TakeBack => {
                    let guaranteed = world.view.heads_expire_by(now);
                    for (at, max_age) in &heads {
                        prop_assert!(at.after(*max_age) <= guaranteed, "{at:?} {max_age:?}");
                    }
                    // And it promises no more than some policy was ever about.
                    let longest = in_use.iter().map(|(max_age, _)| *max_age);
                    let longest = longest.fold(world.view.policy().revocation_max_age, Duration::max);
                    prop_assert!(guaranteed <= now.after(longest));
                }
            }
        }
        // Once everything has ended, the policy alone counts.
        world.pass(DAY);
        let now = world.clock;
        prop_assert_eq!(world.view.heads_expire_by(now), now.after(world.view.policy().revocation_max_age));
    }
}
