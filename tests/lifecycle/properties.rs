//! Every invariant as a property of random histories.

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use super::history::History;
use super::invariants::{self, Law};

/// How many histories the test of all laws together lives through, unless
/// `KEYWRIGHT_PROPERTY_CASES` says otherwise. Each law alone gets a 40th of them, which are longer.
const CASES: u32 = 2000;

#[expect(
    clippy::disallowed_methods,
    reason = "the number of cases is no configuration of the service"
)]
fn cases() -> u32 {
    match std::env::var("KEYWRIGHT_PROPERTY_CASES") {
        Ok(text) => text
            .parse()
            .expect("KEYWRIGHT_PROPERTY_CASES must be a number"),
        Err(_) => CASES,
    }
}

fn hold(laws: &[Law], cases: u32, longest: usize) {
    // The usual run lives the same lives each time, so that a red build is about the change that
    // it builds; a run that asks for a number of cases goes where no run has been.
    let rng_seed = if self::cases() == CASES {
        RngSeed::Fixed(20_261_121)
    } else {
        RngSeed::Random
    };
    let config = Config {
        cases,
        rng_seed,
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&History::of_at_most(longest), |history| {
        history.live(laws).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, history)) => panic!("{reason}\n{history:?}"),
        Err(error) => panic!("{error}"),
    }
}

fn holds(law: Law) {
    hold(&[law], cases().div_ceil(40), 120);
}

#[test]
fn every_law_holds_in_every_history() {
    hold(&invariants::ALL, cases(), 40);
}

#[test]
fn invariant_1_one_signer() {
    holds(invariants::one_signer);
}

#[test]
fn invariant_2_known_before_used() {
    holds(invariants::known_before_used);
}

#[test]
fn invariant_3_published_while_needed() {
    holds(invariants::published_while_needed);
}

#[test]
fn invariant_4_revoked_is_final() {
    holds(invariants::revoked_is_final);
}

#[test]
fn invariant_5_a_successor_stands_by() {
    holds(invariants::a_successor_stands_by);
}

#[test]
fn invariant_6_private_halves_are_short_lived() {
    holds(invariants::private_halves_are_short_lived);
}

#[test]
fn invariant_7_kid_and_signature_are_one_act() {
    holds(invariants::kid_and_signature_are_one_act);
}

#[test]
fn invariant_8_time_may_jump() {
    holds(invariants::time_may_jump);
}

#[test]
fn invariant_9_store_first_then_memory() {
    holds(invariants::store_first_then_memory);
}

#[test]
fn invariant_10_the_set_stays_small() {
    holds(invariants::the_set_stays_small);
}

#[test]
fn the_past_stays_told() {
    holds(invariants::the_past_stays_told);
}

#[test]
fn deleted_is_final() {
    holds(invariants::deleted_is_final);
}

#[test]
fn a_canary_has_its_time() {
    holds(invariants::a_canary_has_its_time);
}

#[test]
fn gates_open_in_time() {
    holds(invariants::gates_open_in_time);
}

#[test]
fn per_token_law() {
    holds(invariants::per_token_law);
}
