//! The protocol with one rule wrong at a time: the search finds the law that falls.

use super::laws;
use super::rules::{
    Acknowledgement, Activation, CanaryRule, ClockRule, CommitRule, FinalRecords, HeartbeatComes,
    HistoryCheck, Identity, Lateness, LeaseFrom, Reading, Renewal, Rules, SecondCheck,
    StoppedCanary, Swap, UnknownOutcome,
};
use super::search::Model as _;
use super::setting::{Begins, Setting};
use super::sound::{failing_over, loading, slow_commits, two_replicas, with_canaries};

/// Searches until a law is broken, prints the story, and expects it to be one of these.
fn breaks(name: &str, setting: Setting, expected: &[u8]) {
    let found = setting.search();
    let Some((law, story)) = found.broken else {
        panic!("{name}: every law holds in {} states", found.states);
    };
    println!(
        "model: {name} breaks {} after {} steps, {} states:\n{story}",
        laws::text(law),
        found.steps,
        found.states
    );
    assert!(expected.contains(&law), "{name} breaks {}", laws::text(law));
}

/// Two replicas that go by these rules.
fn wrong(setting: Setting, rule: impl FnOnce(&mut Rules)) -> Setting {
    let mut setting = setting;
    rule(&mut setting.rules);
    setting
}

/// With clocks at both ends of the tolerance.
fn clocks_apart() -> Setting {
    Setting {
        rules: Rules::sound(1, 1),
        skews: &[-1, 1],
        ..two_replicas(1)
    }
}

/// With a successor that is being published.
fn publishing(setting: Setting) -> Setting {
    Setting {
        begins: Begins::WhilePublishing,
        changes: 2,
        ..setting
    }
}

fn long_lease() -> Setting {
    Setting {
        rules: Rules::sound(2, 0),
        ..two_replicas(1)
    }
}

fn signing() -> Setting {
    Setting {
        signs: true,
        ..two_replicas(1)
    }
}

#[test]
fn without_the_overlap_a_successor_signs_before_it_is_known() {
    let setting = wrong(publishing(long_lease()), |rules| {
        rules.overlap_of_knowledge = rules.switch_over;
    });
    breaks(
        "a successor that does not wait for the others",
        setting,
        &[2],
    );
}

#[test]
fn an_overlap_that_is_a_tick_too_short_is_too_short() {
    let setting = wrong(publishing(clocks_apart()), |rules| {
        rules.overlap_of_knowledge -= 1
    });
    breaks("a successor that waits a tick too little", setting, &[2]);
}

#[test]
fn without_the_overlap_a_key_is_gone_before_its_last_token() {
    let setting = wrong(long_lease(), |rules| {
        rules.overlap_of_retention = rules.switch_over;
    });
    breaks("a retention that forgets the others", setting, &[3]);
}

#[test]
fn a_retention_that_is_a_tick_too_short_is_too_short() {
    let setting = wrong(clocks_apart(), |rules| rules.overlap_of_retention -= 1);
    breaks("a retention that is a tick too short", setting, &[3]);
}

#[test]
fn without_a_lease_a_revoked_key_signs_for_ever() {
    let setting = wrong(two_replicas(1), |rules| {
        rules.lease = LeaseFrom::Nothing;
        // So that a replica that is silent is not told apart first.
        rules.live_for = 9;
    });
    breaks("no lease", setting, &[4]);
}

#[test]
fn a_lease_that_begins_with_the_answer_lasts_too_long() {
    let setting = wrong(long_lease(), |rules| rules.lease = LeaseFrom::Answer);
    breaks("a lease from the answer", setting, &[6]);
}

#[test]
fn a_lease_that_begins_with_the_answer_outlasts_a_revocation() {
    // Even where the dead are waited for as long as that.
    let setting = wrong(long_lease(), |rules| {
        rules.lease = LeaseFrom::Answer;
        rules.live_for = 3;
    });
    let setting = looking_at(4, setting);
    breaks(
        "a lease from the answer, where rows count as live for as long",
        setting,
        &[4],
    );
}

#[test]
fn without_a_second_check_a_frozen_signer_signs_by_a_revoked_key() {
    let setting = wrong(signing(), |rules| rules.second_check = SecondCheck::Nothing);
    breaks("no second check", setting, &[4, 5]);
}

#[test]
fn a_second_check_that_takes_a_newer_lease_says_nothing_about_an_older_snapshot() {
    let setting = wrong(signing(), |rules| {
        rules.second_check = SecondCheck::LeaseAlone;
    });
    breaks("a second check of any lease", setting, &[4, 5]);
}

#[test]
fn a_second_check_of_the_term_alone_makes_in_force_everywhere_untrue() {
    let setting = wrong(signing(), |rules| {
        rules.second_check = SecondCheck::TermAlone;
    });
    breaks("a second check of the term alone", setting, &[5]);
}

#[test]
fn a_heartbeat_before_the_swap_promises_what_is_not_so() {
    let setting = wrong(two_replicas(1), |rules| {
        rules.heartbeat = HeartbeatComes::BeforeTheSwap;
    });
    breaks("a heartbeat before the swap", setting, &[5]);
}

#[test]
fn a_lease_that_reading_renews_outlives_the_row() {
    let setting = wrong(two_replicas(1), |rules| rules.renewal = Renewal::ByReading);
    breaks("a lease by reading", setting, &[6]);
}

#[test]
fn a_renewal_by_every_heartbeat_makes_in_force_everywhere_untrue() {
    let setting = wrong(two_replicas(1), |rules| rules.renewal = Renewal::Always);
    breaks("a renewal by every heartbeat", setting, &[5]);
}

#[test]
fn an_activation_that_waits_for_nothing_meets_verifiers_that_do_not_know_the_key() {
    let setting = wrong(publishing(two_replicas(1)), |rules| {
        rules.activation = Activation::AtOnce;
    });
    breaks("an activation at once", setting, &[2]);
}

#[test]
fn a_canary_that_does_not_wait_out_its_lead_meets_verifiers_that_do_not_know_it() {
    let setting = wrong(publishing(with_canaries(2)), |rules| {
        rules.canary = CanaryRule::AtOnce;
    });
    breaks("a canary at once", looking_at(2, setting), &[2]);
}

#[test]
fn a_canary_that_leaves_the_set_when_it_is_stopped_is_gone_before_its_last_token() {
    let setting = wrong(with_canaries(2), |rules| {
        rules.stopped_canary = StoppedCanary::Leaves;
    });
    breaks("a stopped canary that leaves", setting, &[3]);
}

#[test]
fn a_canary_beside_another_is_one_too_many() {
    let setting = wrong(with_canaries(3), |rules| {
        rules.canary = CanaryRule::BesideOthers;
    });
    breaks("two canaries", looking_at(10, setting), &[10]);
}

#[test]
fn without_a_second_check_a_frozen_canary_signs_after_it_is_revoked() {
    let setting = Setting {
        begins: Begins::WithACanary,
        signs: true,
        ..with_canaries(1)
    };
    let setting = wrong(setting, |rules| rules.second_check = SecondCheck::Nothing);
    breaks("a canary without a second check", setting, &[4, 5]);
}

#[test]
fn a_replica_that_counts_as_dead_before_its_lease_ends_breaks_the_law() {
    let setting = wrong(long_lease(), |rules| rules.live_for = 0);
    breaks("a time-out shorter than the lease", setting, &[6]);
}

#[test]
fn a_commit_that_does_not_compare_versions_takes_a_revocation_back() {
    let setting = wrong(two_replicas(2), |rules| rules.commit = CommitRule::LastWins);
    breaks("commits without compare-and-swap", setting, &[1, 4]);
}

#[test]
fn a_commit_that_may_be_late_carries_a_stamp_that_is_too_early() {
    let setting = wrong(two_replicas(1), |rules| rules.lateness = Lateness::Ignored);
    breaks("a commit after its deadline", setting, &[3]);
}

#[test]
fn a_clock_that_is_compared_with_itself_is_off_by_twice_the_tolerance() {
    let setting = Setting {
        jumps: 1,
        ..clocks_apart()
    };
    let setting = wrong(setting, |rules| {
        rules.clock = ClockRule::ItselfWhenConfirmed
    });
    breaks("a clock compared with itself", setting, &[3]);
}

/// One commit takes its time, and leases are short.
fn hanging() -> Setting {
    Setting {
        rules: Rules::sound(1, 0),
        ..slow_commits()
    }
}

/// What the rules were before there were tokens: numbers everywhere.
fn numbers(rules: &mut Rules) {
    rules.identity = Identity::Number;
    rules.acknowledgement = Acknowledgement::ByNumber;
    rules.history = HistoryCheck::Nothing;
}

fn looking_at(law: u8, setting: Setting) -> Setting {
    Setting {
        only: Some(law),
        ..setting
    }
}

#[test]
fn numbers_after_a_fail_over_keep_what_was_lost() {
    let setting = wrong(failing_over(1), numbers);
    breaks("numbers in place of tokens", setting, &[7]);
}

#[test]
fn numbers_after_a_fail_over_make_in_force_everywhere_untrue() {
    let setting = looking_at(5, wrong(failing_over(1), numbers));
    breaks("numbers in place of tokens", setting, &[5]);
}

#[test]
fn numbers_after_a_fail_over_write_a_revoked_key_back() {
    let setting = looking_at(
        4,
        wrong(failing_over(2), |rules| {
            numbers(rules);
            rules.final_records = FinalRecords::Written;
        }),
    );
    breaks("numbers, and records that are not final", setting, &[4]);
}

#[test]
fn final_records_alone_do_not_make_numbers_right() {
    let setting = looking_at(5, wrong(failing_over(1), numbers));
    breaks("numbers, and records that are final", setting, &[5]);
}

#[test]
fn a_heartbeat_that_counts_by_number_claims_an_event_of_another_history() {
    let setting = wrong(failing_over(1), |rules| {
        rules.acknowledgement = Acknowledgement::ByNumber;
    });
    breaks("acknowledgements by number", setting, &[5]);
}

#[test]
fn a_replica_that_does_not_ask_for_its_history_keeps_what_was_lost() {
    let setting = wrong(failing_over(1), |rules| {
        rules.history = HistoryCheck::Nothing
    });
    breaks("no history check", setting, &[7]);
}

#[test]
fn a_history_check_that_forgets_own_commits_keeps_them_when_they_are_lost() {
    let setting = wrong(failing_over(1), |rules| {
        rules.history = HistoryCheck::Through
    });
    breaks("a history check of what was read", setting, &[7]);
}

#[test]
fn a_history_check_of_the_newest_position_misses_an_event_of_the_same_number() {
    let setting = wrong(loading(), |rules| {
        rules.history = HistoryCheck::NewestKnown;
    });
    breaks("a history check of the newest position", setting, &[5]);
}

#[test]
fn rows_that_a_fail_over_lost_make_in_force_everywhere_untrue() {
    let setting = wrong(failing_over(1), |rules| rules.rows_missing_for = 0);
    breaks("rows that are believed after a fail-over", setting, &[5]);
}

#[test]
fn rows_that_are_believed_a_tick_too_early_make_in_force_everywhere_untrue() {
    let setting = Setting {
        fail_overs: 1,
        ..long_lease()
    };
    let setting = wrong(setting, |rules| rules.rows_missing_for -= 1);
    breaks("rows that are believed a tick too early", setting, &[5]);
}

#[test]
fn a_swap_over_an_own_commit_forgets_a_revocation() {
    let setting = wrong(two_replicas(2), |rules| rules.swap = Swap::Always);
    breaks("a swap over an own commit", setting, &[4]);
}

#[test]
fn a_renewal_when_nothing_is_newer_starves() {
    let setting = Setting {
        progress: true,
        ..long_lease()
    };
    let setting = wrong(setting, |rules| rules.renewal = Renewal::WhenNothingIsNewer);
    breaks("a renewal when nothing is newer", setting, &[9]);
}

#[test]
fn a_renewal_when_nothing_is_newer_is_too_early_for_a_slow_heartbeat() {
    let setting = wrong(slow_commits(), |rules| {
        rules.renewal = Renewal::WhenNothingIsNewer;
    });
    let name = "a renewal when nothing is newer, and a slow heartbeat";
    breaks(name, looking_at(5, setting), &[5]);
}

#[test]
fn a_renewal_by_either_rule_is_too_early_for_a_slow_heartbeat() {
    let setting = wrong(slow_commits(), |rules| {
        rules.renewal = Renewal::WhenNothingIsNewerOrRowIsLive;
    });
    let name = "a renewal when nothing is newer or the row is live, and a slow heartbeat";
    breaks(name, setting, &[5]);
}

#[test]
fn a_renewal_while_the_row_is_live_is_too_early_for_a_slow_heartbeat() {
    let setting = wrong(slow_commits(), |rules| {
        rules.renewal = Renewal::WhileRowIsLive
    });
    breaks(
        "a renewal while the row is live, and a slow heartbeat",
        setting,
        &[5, 6],
    );
}

#[test]
fn a_heartbeat_that_was_given_up_says_nothing_about_the_time_before_it_landed() {
    let setting = wrong(slow_commits(), |rules| {
        rules.renewal = Renewal::WhileFoundRowIsLive;
    });
    breaks("a renewal while the row found is live", setting, &[5, 6]);
}

#[test]
fn a_reading_at_once_keeps_a_key_that_retires_in_use() {
    let setting = Setting {
        changes: 1,
        ..hanging()
    };
    let setting = wrong(setting, |rules| rules.reading = Reading::AtOnce);
    breaks("a reading that does not wait for the lock", setting, &[3]);
}

#[test]
fn a_reading_at_once_meets_verifiers_that_do_not_know_the_key() {
    let setting = wrong(publishing(hanging()), |rules| {
        rules.reading = Reading::AtOnce;
    });
    let setting = looking_at(2, setting);
    let name = "a reading that does not wait for the lock, while a successor is published";
    breaks(name, setting, &[2]);
}

#[test]
fn heartbeats_that_hang_as_well_do_not_replace_the_lock() {
    let setting = wrong(
        Setting {
            heartbeats_are_synchronous: true,
            ..slow_commits()
        },
        |rules| rules.reading = Reading::AtOnce,
    );
    breaks(
        "a reading that does not wait for the lock, and synchronous heartbeats",
        setting,
        &[2, 3],
    );
}

#[test]
fn an_outcome_that_is_looked_up_at_once_may_change() {
    let setting = wrong(slow_commits(), |rules| {
        rules.unknown_outcome = UnknownOutcome::LookedUpAtOnce;
    });
    breaks("an outcome that is looked up at once", setting, &[8]);
}
