//! The bounds of a policy, each from both sides.

use std::time::Duration;

use keywright::lifecycle::{Policy, PolicyViolation as Violation, Schedule, Timing};
use keywright_verifier::Algorithm;

use super::world::{DAY, HOUR, MINUTE, SECOND, default_policy, single_policy};

/// A policy that changes as fast as it may: nothing of it is cached for long.
fn brisk() -> Policy {
    Policy {
        rotation: Schedule::Every(SECOND * 2),
        lead: SECOND,
        jwks_max_age: SECOND,
        stale_if_error: Duration::ZERO,
        clock_skew: Duration::ZERO,
        default_token_ttl: SECOND,
        ..single_policy()
    }
}

/// What the policy with this change breaks.
fn broken(base: Policy, change: impl FnOnce(&mut Policy)) -> Option<Violation> {
    let mut policy = base;
    change(&mut policy);
    policy.validate(&Timing::single()).err()
}

#[test]
fn the_lead_outlasts_every_cache_and_half_an_interval_outlasts_the_lead() {
    let lead = |lead| broken(default_policy(), |policy| policy.lead = lead);
    let shortest = MINUTE * 5 + HOUR + MINUTE * 5;
    assert_eq!(lead(shortest), None);
    let violation = lead(shortest - SECOND);
    assert!(matches!(violation, Some(Violation::LeadTooShort { .. })));
    assert_eq!(lead(DAY * 15), None);
    let violation = lead(DAY * 15 + SECOND);
    assert!(matches!(
        violation,
        Some(Violation::RotationTooFrequent { .. })
    ));
}

type Change = fn(&mut Policy, Duration);

#[test]
fn no_duration_is_zero_that_must_not_be() {
    let changes: [(&str, Change); 5] = [
        ("lead", |policy, time| policy.lead = time),
        ("jwks_max_age", |policy, time| policy.jwks_max_age = time),
        ("default_token_ttl", |policy, time| {
            policy.default_token_ttl = time;
        }),
        ("max_token_ttl", |policy, time| policy.max_token_ttl = time),
        ("rotation.every", |policy, time| {
            policy.rotation = Schedule::Every(time);
        }),
    ];
    for (field, change) in changes {
        let violation = broken(default_policy(), |policy| change(policy, Duration::ZERO));
        assert_eq!(violation, Some(Violation::Zero { field }));
    }
}

#[test]
fn the_default_lifetime_is_at_most_the_longest() {
    let longest = |longest| broken(default_policy(), |policy| policy.max_token_ttl = longest);
    assert_eq!(longest(MINUTE * 15), None);
    let violation = longest(MINUTE * 15 - SECOND);
    assert!(matches!(
        violation,
        Some(Violation::DefaultTtlOverMaximum { .. })
    ));
}

#[test]
fn algorithms_are_named_once_and_the_default_is_among_them() {
    let algorithms = |algorithms: &[Algorithm]| {
        broken(default_policy(), |policy| {
            policy.algorithms = algorithms.to_vec();
        })
    };
    let (es256, rs256) = (Algorithm::Es256, Algorithm::Rs256);
    assert_eq!(algorithms(&[rs256, es256]), None);
    for wrong in [&[][..], &[es256, es256], &[es256, rs256, es256]] {
        assert_eq!(algorithms(wrong), Some(Violation::Algorithms));
    }
    let violation = algorithms(&[rs256]);
    assert_eq!(violation, Some(Violation::DefaultNotListed(es256)));
}

#[test]
fn sizes_lie_between_their_bounds() {
    let token = |bytes| broken(default_policy(), |policy| policy.max_token_bytes = bytes);
    let modulus = |bits| broken(default_policy(), |policy| policy.rsa_bits = bits);
    for bytes in [512, 65_536] {
        assert_eq!(token(bytes), None);
    }
    for bytes in [0, 511, 65_537] {
        let violation = Violation::MaxTokenBytes(bytes.into());
        assert_eq!(token(bytes), Some(violation));
    }
    for bits in [2048, 3072, 4096] {
        assert_eq!(modulus(bits), None);
    }
    for bits in [0, 1024, 2047, 8192] {
        assert_eq!(modulus(bits), Some(Violation::RsaBits(bits.into())));
    }
}

// One active key, two successors, and a retired one for each rotation within 2 s and a lifetime.
#[test]
fn the_set_is_bounded_by_its_keys_and_by_its_bytes() {
    let keys = |lifetime| broken(brisk(), |policy| policy.max_token_ttl = lifetime);
    assert_eq!(keys(SECOND * 192), None);
    let violation = keys(SECOND * 193);
    assert!(matches!(
        violation,
        Some(Violation::SetTooLarge { keys: 101, .. })
    ));
    // A key of 4096 bits takes 793 bytes, of which 51,200 hold 64.
    let bytes = |lifetime| {
        broken(brisk(), |policy| {
            policy.algorithms = vec![Algorithm::Rs256];
            policy.default_algorithm = Algorithm::Rs256;
            policy.rsa_bits = 4096;
            policy.max_token_ttl = lifetime;
        })
    };
    assert_eq!(bytes(SECOND * 120), None);
    let (keys, size) = (65, 65 * 793);
    let violation = Violation::SetTooLarge { keys, bytes: size };
    assert_eq!(bytes(SECOND * 121), Some(violation));
    let both = broken(brisk(), |policy| {
        policy.algorithms = vec![Algorithm::Es256, Algorithm::Rs256];
        policy.max_token_ttl = SECOND * 95;
    });
    assert!(matches!(
        both,
        Some(Violation::SetTooLarge { keys: 104, .. })
    ));
}

// Issue 10, case 16: a shared store overlaps for longer than two seconds.
#[test]
fn the_set_of_a_shared_store_is_bounded_with_its_overlap() {
    let shared = Timing::shared(SECOND * 30);
    let keys = |lifetime| {
        let policy = Policy {
            max_token_ttl: lifetime,
            ..brisk()
        };
        policy.validate(&shared).err()
    };
    let more = shared.overlap() - Timing::single().overlap();
    assert_eq!(keys(SECOND * 192 - more), None);
    let violation = keys(SECOND * 193 - more);
    assert!(matches!(
        violation,
        Some(Violation::SetTooLarge { keys: 101, .. })
    ));
}

#[test]
fn the_gap_that_daylight_saving_shortens_decides() {
    let rotation = Schedule::cron("30 * * * *", "Europe/Berlin").unwrap();
    let lead = |lead| {
        broken(brisk(), |policy| {
            policy.rotation = rotation.clone();
            policy.lead = lead;
        })
    };
    assert_eq!(lead(MINUTE * 15), None);
    let violation = lead(MINUTE * 30);
    assert!(matches!(
        violation,
        Some(Violation::RotationTooFrequent { interval, .. }) if interval == MINUTE * 30
    ));
}

#[test]
fn a_year_and_a_day_of_signing_deserve_a_warning() {
    let warnings = |days| {
        let rotation = Schedule::Every(DAY * days);
        let policy = Policy {
            rotation,
            ..default_policy()
        };
        policy.warnings().len()
    };
    assert_eq!((warnings(366), warnings(367)), (0, 1));
}
