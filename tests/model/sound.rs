//! The protocol as it is: every law holds in every state that can be reached.

use std::io::Write as _;

use super::laws;
use super::rules::Rules;
use super::search::{Found, Model as _};
use super::setting::{Begins, Setting};
use super::steps::Mark;

/// Two replicas with clocks that are right, a staleness of one tick, and as many changes.
pub(crate) fn two_replicas(changes: u8) -> Setting {
    Setting {
        rules: Rules::sound(1, 0),
        skews: &[0, 0],
        crashes: 0,
        jumps: 0,
        fail_overs: 0,
        loses_rows: true,
        loads: false,
        hangs: 0,
        heartbeats_are_synchronous: false,
        begins: Begins::WithASuccessor,
        changes,
        canaries: false,
        signs: false,
        progress: false,
        only: None,
    }
}

/// Two replicas on a store that fails over once.
pub(crate) fn failing_over(changes: u8) -> Setting {
    Setting {
        fail_overs: 1,
        progress: true,
        ..two_replicas(changes)
    }
}

/// Two replicas on a store that fails over once, which load their set apart from rounds as well.
pub(crate) fn loading() -> Setting {
    Setting {
        loses_rows: false,
        loads: true,
        ..failing_over(1)
    }
}

/// Two replicas on a store in which one commit takes its time.
pub(crate) fn slow_commits() -> Setting {
    Setting {
        rules: Rules::sound(2, 0),
        hangs: 1,
        progress: true,
        ..two_replicas(1)
    }
}

/// Two replicas whose successors sign a share first.
pub(crate) fn with_canaries(changes: u8) -> Setting {
    Setting {
        canaries: true,
        ..two_replicas(changes)
    }
}

/// How many more changes there are than usual: `KEYWRIGHT_MODEL_CHANGES=1` takes minutes in a
/// release build.
#[expect(
    clippy::disallowed_methods,
    reason = "the size of a search is no configuration of the service"
)]
fn more_changes() -> u8 {
    match std::env::var("KEYWRIGHT_MODEL_CHANGES") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 0,
    }
}

/// Searches everything, and expects to have met what the setting is there for.
fn holds(name: &str, mut setting: Setting, wanted: &[Mark]) -> Found {
    setting.changes += more_changes();
    let found = setting.search();
    // Past the capture of the test runner, which hides what passing tests say.
    let _ = writeln!(
        std::io::stderr(),
        "model: {name}: {} states, {} transitions, up to {} steps",
        found.states,
        found.transitions,
        found.steps
    );
    for mark in Mark::ALL {
        println!("{name}: {mark:?} {}", found.met(mark));
    }
    if let Some((law, story)) = &found.broken {
        panic!("{name}: {} is broken:\n{story}", laws::text(*law));
    }
    for mark in wanted {
        assert!(found.met(*mark) > 0, "{name}: {mark:?} was never met");
    }
    found
}

#[test]
fn two_replicas_keep_the_laws_through_two_changes() {
    let wanted = [
        Mark::Conflict,
        Mark::RefusedAsLate,
        Mark::RotatedBySchedule,
        Mark::RotatedByForce,
        Mark::NotWaitedForTheDead,
        Mark::WaitedForTheLive,
        Mark::RemovedAfterRetention,
        Mark::HeartbeatRenewsNothing,
        Mark::RenewedWhileBehind,
        Mark::BackFromTheDead,
        Mark::StaleWithoutLease,
        Mark::StaleUnderLease,
        Mark::InForceEverywhere,
        Mark::TokenOfARetiredKeyLives,
    ];
    holds("two replicas", two_replicas(2), &wanted);
}

#[test]
fn canaries_keep_the_laws_through_two_changes() {
    let wanted = [
        Mark::Conflict,
        Mark::CanaryStarted,
        Mark::CanaryStopped,
        Mark::CanaryPromoted,
        Mark::WaitedForTheLive,
        Mark::StaleUnderLease,
        Mark::InForceEverywhere,
        Mark::TokenOfARetiredKeyLives,
    ];
    holds("canaries", with_canaries(2), &wanted);
}

#[test]
fn a_canary_that_is_frozen_half_way_keeps_the_laws() {
    let setting = Setting {
        signs: true,
        begins: Begins::WithACanary,
        ..with_canaries(1)
    };
    let wanted = [
        Mark::CanaryStopped,
        Mark::NoLeaseAfterSigning,
        Mark::RevokedWhileSigning,
    ];
    holds("a frozen canary", setting, &wanted);
}

#[test]
fn three_replicas_keep_the_laws() {
    let setting = Setting {
        skews: &[0, 0, 0],
        ..two_replicas(1)
    };
    let wanted = [
        Mark::Conflict,
        Mark::RotatedBySchedule,
        Mark::BackFromTheDead,
        Mark::StaleWithoutLease,
        Mark::InForceEverywhere,
    ];
    holds("three replicas", setting, &wanted);
}

#[test]
fn a_lease_of_several_ticks_keeps_the_laws() {
    let setting = Setting {
        rules: Rules::sound(2, 0),
        progress: true,
        ..two_replicas(1)
    };
    let wanted = [
        Mark::Conflict,
        Mark::BackFromTheDead,
        Mark::StaleWithoutLease,
        Mark::StaleUnderLease,
    ];
    holds("a longer lease", setting, &wanted);
}

#[test]
fn a_killed_process_that_comes_back_keeps_the_laws() {
    let setting = Setting {
        crashes: 1,
        progress: true,
        ..two_replicas(1)
    };
    let wanted = [Mark::BackFromTheDead, Mark::StaleWithoutLease];
    holds("a killed process", setting, &wanted);
}

#[test]
fn a_signer_that_is_frozen_half_way_keeps_the_laws() {
    let setting = Setting {
        signs: true,
        ..two_replicas(1)
    };
    let wanted = [Mark::NoLeaseAfterSigning, Mark::RevokedWhileSigning];
    holds("a frozen signer", setting, &wanted);
}

#[test]
fn clocks_at_both_ends_of_the_tolerance_keep_the_laws() {
    let wanted = [Mark::RefusedAsLate, Mark::RotatedBySchedule];
    for skews in [&[-1, 1], &[1, -1]] {
        let setting = Setting {
            rules: Rules::sound(1, 1),
            skews,
            begins: Begins::WhilePublishing,
            ..two_replicas(2)
        };
        holds("clocks apart", setting, &wanted);
    }
}

#[test]
fn a_clock_that_jumps_keeps_the_laws() {
    let setting = Setting {
        rules: Rules::sound(1, 1),
        skews: &[-1, 1],
        jumps: 1,
        ..two_replicas(1)
    };
    holds("a jumping clock", setting, &[Mark::ClockTooFarOff]);
}

#[test]
fn a_fail_over_that_loses_a_commit_keeps_the_laws() {
    let wanted = [
        Mark::HistoryLost,
        Mark::LostUnderLease,
        Mark::Conflict,
        Mark::InForceEverywhere,
    ];
    let found = holds("a fail-over", failing_over(1), &wanted);
    // Tokens refuse it first: that revoked keys' records are final is a second line of defence.
    assert_eq!(found.met(Mark::FinalRecordKept), 0);
}

#[test]
fn a_set_that_is_loaded_apart_from_rounds_keeps_the_laws() {
    let wanted = [Mark::Loaded, Mark::ReadAgain, Mark::HistoryLost];
    holds("a fail-over, and loads", loading(), &wanted);
}

#[test]
fn a_commit_or_a_heartbeat_that_hangs_keeps_the_laws() {
    let wanted = [
        Mark::CommitHung,
        Mark::HeartbeatHung,
        Mark::WaitedForTheLock,
    ];
    holds("slow commits", slow_commits(), &wanted);
    let setting = Setting {
        rules: Rules::sound(1, 0),
        heartbeats_are_synchronous: true,
        ..slow_commits()
    };
    holds("slow commits and heartbeats", setting, &wanted);
}
