//! The protocol with one rule wrong at a time: the search finds the law that falls.

use super::super::search::Model as _;
use super::laws::{self, A, B, D, E, F, G};
use super::rules::{
    CarriedTime, Closer, Closing, ClosingTime, Freshness, HeadLease, HeadOrder, HeadRounding,
    HeadTime, IatRounding, IssuedBeforeBasis, IssuedBeforeRounding, KeptHead, KnowingSigner,
    LateClosing, OpenRecord, OpeningStamp, Rules, SecondCheck, SigningOrder, Start,
};
use super::setting::Setting;
use super::sound::{
    clocks_far_apart, failing_over, following, half_seconds, late_heads, signing, two_replicas,
};

/// Searches until a law is broken, prints the story, and expects it to be this one.
fn breaks(name: &str, setting: Setting, rule: impl FnOnce(&mut Rules), expected: u8) {
    let mut setting = setting;
    rule(&mut setting.rules);
    setting.only = Some(expected);
    let found = setting.search();
    let Some((law, story)) = found.broken else {
        panic!(
            "{name}: {} holds in {} states",
            laws::text(expected),
            found.states
        );
    };
    println!(
        "model: revocation: {name} breaks {} after {} steps, {} states:\n{story}",
        laws::text(law),
        found.steps,
        found.states
    );
}

#[test]
fn iat_that_is_read_after_the_snapshot_is_too_late() {
    let name = "iat after the snapshot";
    let rule = |rules: &mut Rules| {
        rules.order = SigningOrder::TermSnapshotIat;
        // Which would tell it as well.
        rules.second_check = SecondCheck::TermAlone;
    };
    breaks(name, signing(), rule, A);
}

#[test]
fn a_term_that_is_taken_after_the_snapshot_says_nothing_about_it() {
    let rule = |rules: &mut Rules| {
        rules.order = SigningOrder::IatSnapshotTerm;
        rules.second_check = SecondCheck::TermAlone;
    };
    breaks("a term after the snapshot", signing(), rule, B);
}

#[test]
fn without_the_term_a_frozen_signer_hands_out_what_is_revoked() {
    let rule = |rules: &mut Rules| rules.second_check = SecondCheck::RevocationsAlone;
    breaks("no term after the signature", signing(), rule, B);
}

#[test]
fn a_second_check_of_the_term_alone_hands_out_what_was_acknowledged_meanwhile() {
    let rule = |rules: &mut Rules| rules.second_check = SecondCheck::TermAlone;
    breaks("a second check of the term alone", signing(), rule, B);
}

#[test]
fn a_signer_that_does_not_wait_hands_out_what_is_refused() {
    let rule = |rules: &mut Rules| rules.knowing_signer = KnowingSigner::SignsAtOnce;
    breaks("a knowing signer that signs at once", signing(), rule, B);
}

#[test]
fn a_closing_that_waits_for_nobody_is_too_early() {
    let rule = |rules: &mut Rules| rules.closing = Closing::WithoutAsking;
    breaks("a closing at once", two_replicas(), rule, A);
    breaks("a closing at once", two_replicas(), rule, B);
}

#[test]
fn a_closing_that_waits_for_one_is_too_early() {
    let rule = |rules: &mut Rules| rules.closing = Closing::AnyReplica;
    let name = "a closing after any acknowledgement";
    breaks(name, two_replicas(), rule, A);
    breaks(name, two_replicas(), rule, B);
}

#[test]
fn a_closing_by_time_that_forgets_the_tolerance_is_too_early() {
    let rule = |rules: &mut Rules| rules.closed_anyway_after = rules.max_staleness;
    breaks("a closing a lease later", clocks_far_apart(), rule, A);
}

#[test]
fn a_closing_by_the_time_of_who_closes_needs_the_tolerance() {
    let rule = |rules: &mut Rules| {
        rules.closed_anyway_after = rules.max_staleness + rules.tolerance - 1;
        rules.closing_time = ClosingTime::Closers;
    };
    let name = "a closing by who closes, a tick before a lease and a tolerance have passed";
    breaks(name, clocks_far_apart(), rule, B);
}

#[test]
fn a_closing_by_time_that_forgets_the_lease_is_too_early() {
    let rule = |rules: &mut Rules| rules.closed_anyway_after = 2 * rules.tolerance;
    let setting = two_replicas();
    breaks("a closing two tolerances later", setting, rule, B);
}

#[test]
fn a_closing_that_is_committed_too_late_meets_later_heads_with_an_open_record() {
    let rule = |rules: &mut Rules| rules.late_closing = LateClosing::Committed;
    let setting = Setting {
        closes_slowly: true,
        ..following()
    };
    breaks("a late closing", setting, rule, B);
}

#[test]
fn a_revocation_that_only_its_opener_closes_may_stay_open() {
    let rule = |rules: &mut Rules| rules.closer = Closer::WhoHasOpened;
    let setting = Setting {
        crashes: 1,
        progress: true,
        ..two_replicas()
    };
    breaks("a closing by the opener alone", setting, rule, G);
}

#[test]
fn an_opening_that_is_stamped_before_its_commit_needs_the_switch_over_as_well() {
    let rule = |rules: &mut Rules| {
        rules.opening = OpeningStamp::OpenersAtDecision;
        rules.switch_over = 2;
    };
    let name = "an opening stamped by who opens";
    breaks(name, clocks_far_apart(), rule, A);
}

#[test]
fn a_replica_that_has_just_died_may_have_signed_ahead_of_the_closing() {
    let rule = |rules: &mut Rules| rules.waited_for = rules.live_for;
    let name = "a closing without those that have just died";
    breaks(name, clocks_far_apart(), rule, A);
}

#[test]
fn rows_that_a_fail_over_lost_make_a_closing_too_early() {
    let rule = |rules: &mut Rules| rules.rows_missing_for = 0;
    let name = "acknowledgements right after a fail-over";
    breaks(name, failing_over(), rule, A);
    breaks(name, failing_over(), rule, B);
}

#[test]
fn rows_are_missing_for_as_long_as_the_dead_are_waited_for() {
    let rule = |rules: &mut Rules| rules.rows_missing_for = rules.max_staleness;
    let setting = Setting {
        fail_overs: 1,
        ..clocks_far_apart()
    };
    let name = "acknowledgements a lease after a fail-over";
    breaks(name, setting, rule, A);
}

#[test]
fn a_process_that_loads_no_revocations_signs_without_knowledge() {
    let rule = |rules: &mut Rules| rules.start = Start::KnowsNone;
    let setting = Setting {
        crashes: 1,
        ..two_replicas()
    };
    breaks("a start without revocations", setting, rule, A);
    breaks("a start without revocations", setting, rule, B);
}

#[test]
fn issued_before_without_a_second_more_is_too_early() {
    let rule = |rules: &mut Rules| {
        rules.rounding = IssuedBeforeRounding::Up;
        // Which would never close it in a whole second.
        rules.late_closing = LateClosing::Committed;
    };
    breaks("issued_before without + 1", two_replicas(), rule, A);
    breaks("issued_before without + 1", half_seconds(), rule, A);
}

#[test]
fn issued_before_that_is_rounded_down_is_too_early_for_iat_that_is_rounded_up() {
    let rule = |rules: &mut Rules| {
        rules.rounding = IssuedBeforeRounding::DownPlusOne;
        rules.iat_rounding = IatRounding::Up;
    };
    breaks("issued_before rounded down", half_seconds(), rule, A);
}

#[test]
fn issued_before_by_the_stores_time_alone_is_too_early() {
    let rule = |rules: &mut Rules| rules.basis = IssuedBeforeBasis::Store;
    let name = "issued_before by the store's time";
    breaks(name, clocks_far_apart(), rule, A);
}

#[test]
fn issued_before_by_the_time_of_who_closes_is_too_early() {
    let rule = |rules: &mut Rules| rules.basis = IssuedBeforeBasis::Closer;
    let setting = Setting {
        skews: &[0, 2],
        ..clocks_far_apart()
    };
    breaks("issued_before by who closes", setting, rule, A);
}

#[test]
fn a_time_that_goes_back_states_less_than_it_has_given_out() {
    let rule = |rules: &mut Rules| rules.carried_time = CarriedTime::GoesBack;
    let setting = Setting {
        rules: Rules::sound(1, 1, 1),
        skews: &[1, 0],
        corrections: 1,
        ..two_replicas()
    };
    breaks("a carried time that goes back", setting, rule, A);
}

#[test]
fn a_head_of_now_vouches_for_what_its_replica_has_not_seen() {
    let rule = |rules: &mut Rules| rules.head_time = HeadTime::Now;
    breaks("a head of now", following(), rule, D);
}

#[test]
fn a_head_of_the_round_under_way_vouches_for_what_is_not_served_yet() {
    let rule = |rules: &mut Rules| rules.head_time = HeadTime::RoundUnderWay;
    breaks("a head of the round under way", following(), rule, D);
}

#[test]
fn a_head_by_its_replicas_time_vouches_for_what_it_has_not_seen() {
    let rule = |rules: &mut Rules| rules.head_time = HeadTime::OwnWhenAsked;
    let setting = Setting {
        follows: true,
        ..clocks_far_apart()
    };
    breaks("a head by its replica's time", setting, rule, D);
}

#[test]
fn a_head_that_is_rounded_up_vouches_for_what_its_replica_has_not_seen() {
    let rule = |rules: &mut Rules| rules.head_rounding = HeadRounding::Up;
    let setting = Setting {
        follows: true,
        ..half_seconds()
    };
    breaks("a head rounded up", setting, rule, D);
}

#[test]
fn a_head_whose_content_is_taken_first_lacks_what_came_before_its_time() {
    let rule = |rules: &mut Rules| rules.head_order = HeadOrder::ContentThenTime;
    let setting = Setting {
        builds: true,
        ..following()
    };
    breaks("a head's content before its time", setting, rule, D);
}

#[test]
fn a_head_without_a_lease_is_older_than_one() {
    let rule = |rules: &mut Rules| rules.head_lease = HeadLease::Ignored;
    breaks("a head without a lease", following(), rule, E);
}

#[test]
fn a_verifier_that_takes_an_older_head_forgets_what_it_was_told() {
    let rule = |rules: &mut Rules| rules.kept_head = KeptHead::LastReceived;
    breaks("an older head", late_heads(), rule, F);
}

#[test]
fn a_verifier_that_counts_from_receipt_accepts_for_ever() {
    let rule = |rules: &mut Rules| rules.freshness = Freshness::Receipt;
    breaks("freshness from receipt", late_heads(), rule, A);
}

#[test]
fn an_open_record_that_refuses_all_refuses_what_was_signed_after_the_answer() {
    let rule = |rules: &mut Rules| rules.open_record = OpenRecord::RefusesAll;
    breaks("an open record that refuses all", following(), rule, B);
}
