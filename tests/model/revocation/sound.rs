//! The protocol as it is: every law holds in every state that can be reached.

use std::io::Write as _;

use super::super::search::Model as _;
use super::super::state::Instant;
use super::laws;
use super::rules::{CarriedTime, HeadLease, IatRounding, IssuedBeforeBasis, Rules, SigningOrder};
use super::setting::Setting;
use super::steps::Mark;

/// Two replicas with an exact idea of the time, a second of one tick, and a revocation.
pub(crate) fn two_replicas() -> Setting {
    Setting {
        rules: Rules::sound(1, 2, 0),
        skews: &[0, 0],
        corrections: 0,
        crashes: 0,
        fail_overs: 0,
        loses_commits: true,
        openings: 1,
        closes_slowly: false,
        signs: false,
        builds: false,
        follows: false,
        delays: false,
        progress: false,
        only: None,
    }
}

/// With tokens that are signed step by step.
pub(crate) fn signing() -> Setting {
    Setting {
        signs: true,
        ..two_replicas()
    }
}

/// With a verifier that follows.
pub(crate) fn following() -> Setting {
    Setting {
        follows: true,
        ..two_replicas()
    }
}

/// With heads that are late.
pub(crate) fn late_heads() -> Setting {
    Setting {
        delays: true,
        ..following()
    }
}

/// Two replicas whose ideas of the time are at both ends of a tolerance of two seconds.
pub(crate) fn clocks_far_apart() -> Setting {
    Setting {
        rules: Rules::sound(1, 2, 2),
        skews: &[-2, 2],
        ..two_replicas()
    }
}

/// The same with half seconds, and a tolerance of one of them.
pub(crate) fn half_seconds() -> Setting {
    Setting {
        rules: Rules::sound(2, 1, 1),
        skews: &[-1, 1],
        ..two_replicas()
    }
}

/// Two replicas on a store that fails over once, after which the revocation may be opened again.
pub(crate) fn failing_over() -> Setting {
    Setting {
        fail_overs: 1,
        openings: 2,
        ..two_replicas()
    }
}

/// Whether the searches are made that take minutes, even in a release build, as well:
/// `KEYWRIGHT_MODEL_CHANGES=1`, as for the other model.
#[expect(
    clippy::disallowed_methods,
    reason = "the size of a search is no configuration of the service"
)]
fn is_thorough() -> bool {
    std::env::var("KEYWRIGHT_MODEL_CHANGES").is_ok()
}

/// Searches everything, and expects to have met what the setting is there for.
fn holds(name: &str, setting: Setting, wanted: &[Mark]) {
    let found = setting.search();
    // Past the capture of the test runner, which hides what passing tests say.
    let _ = writeln!(
        std::io::stderr(),
        "model: revocation: {name}: {} states, {} transitions, up to {} steps",
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
}

/// The same with leases of this many ticks.
fn leases_of(max_staleness: Instant, setting: Setting) -> Setting {
    let Rules {
        second, tolerance, ..
    } = setting.rules;
    Setting {
        rules: Rules::sound(second, max_staleness, tolerance),
        ..setting
    }
}

#[test]
fn a_signer_that_is_frozen_half_way_keeps_the_laws() {
    let wanted = [
        Mark::ClosedByAcknowledgement,
        Mark::ClosedAnyway,
        Mark::WaitedForAcknowledgement,
        Mark::HeldWhileOpen,
        Mark::WaitedForIssuedBefore,
        Mark::SignedKnowing,
        Mark::NoTermAfterSigning,
        Mark::RevokedWhileSigning,
        Mark::BackFromTheDead,
    ];
    holds("a frozen signer", signing(), &wanted);
}

#[test]
fn three_replicas_keep_the_laws() {
    let three = Setting {
        skews: &[0, 0, 0],
        ..leases_of(1, signing())
    };
    let wanted = [
        Mark::ClosedByAcknowledgement,
        Mark::ClosedWithoutSome,
        Mark::RevokedWhileSigning,
    ];
    holds("three replicas", three, &wanted);
    let with_verifier = Setting {
        skews: &[0, 0, 0],
        ..leases_of(1, following())
    };
    let wanted = [Mark::HeadWithOpenRecord, Mark::Guaranteed];
    holds("three replicas, and a verifier", with_verifier, &wanted);
    if is_thorough() {
        let longer = Setting {
            skews: &[0, 0, 0],
            ..two_replicas()
        };
        holds("three replicas, longer leases", longer, &[]);
        let apart = Setting {
            rules: Rules::sound(1, 1, 1),
            skews: &[-1, 0, 1],
            ..two_replicas()
        };
        holds("three replicas, clocks apart", apart, &[]);
    }
}

#[test]
fn a_verifier_that_follows_keeps_the_laws() {
    let wanted = [
        Mark::HeadWithOpenRecord,
        Mark::HeadWithClosedRecord,
        Mark::OlderHeadIgnored,
        Mark::Guaranteed,
        Mark::GoodTokenPastOpenRecord,
    ];
    holds("a verifier", following(), &wanted);
    holds("late heads", leases_of(1, late_heads()), &wanted);
    if is_thorough() {
        holds("late heads, longer leases", late_heads(), &wanted);
    }
}

#[test]
fn a_replica_that_is_frozen_while_it_builds_a_head_keeps_the_laws() {
    let setting = Setting {
        builds: true,
        ..following()
    };
    let wanted = [Mark::NoTermAfterSigning, Mark::HeadWithClosedRecord];
    holds("slow heads", leases_of(1, setting), &wanted);
    if is_thorough() {
        holds("slow heads, longer leases", setting, &wanted);
    }
}

#[test]
fn clocks_at_both_ends_of_the_tolerance_keep_the_laws() {
    let wanted = [
        Mark::ClosedByAcknowledgement,
        Mark::ClosedAnyway,
        Mark::StatedTimeCounted,
    ];
    holds("clocks apart", clocks_far_apart(), &wanted);
    if is_thorough() {
        let signs = Setting {
            signs: true,
            ..leases_of(1, clocks_far_apart())
        };
        holds("clocks apart, and a frozen signer", signs, &wanted);
        let follows = Setting {
            follows: true,
            ..leases_of(1, clocks_far_apart())
        };
        holds("clocks apart, and a verifier", follows, &wanted);
    }
}

#[test]
fn seconds_of_several_ticks_keep_the_laws() {
    let signs = Setting {
        signs: true,
        ..half_seconds()
    };
    holds("half seconds", signs, &[Mark::RevokedWhileSigning]);
    let rounded_up = Setting {
        rules: Rules {
            iat_rounding: IatRounding::Up,
            ..signs.rules
        },
        ..signs
    };
    holds("half seconds, iat rounded up", rounded_up, &[]);
    let follows = Setting {
        rules: Rules::sound(2, 1, 0),
        skews: &[0, 0],
        follows: true,
        ..half_seconds()
    };
    holds("half seconds, and a verifier", follows, &[Mark::Guaranteed]);
    if is_thorough() {
        let apart = Setting {
            follows: true,
            ..half_seconds()
        };
        holds("half seconds, clocks apart, and a verifier", apart, &[]);
    }
}

#[test]
fn an_idea_of_the_time_that_is_corrected_keeps_the_laws() {
    let setting = Setting {
        rules: Rules::sound(1, 1, 1),
        skews: &[1, 0],
        corrections: 1,
        ..two_replicas()
    };
    holds("a correction", setting, &[Mark::StatedTimeCounted]);
    if is_thorough() {
        let follows = Setting {
            follows: true,
            ..setting
        };
        holds("a correction, and a verifier", follows, &[]);
    }
}

#[test]
fn a_closing_that_is_committed_later_than_it_is_decided_keeps_the_laws() {
    let setting = Setting {
        closes_slowly: true,
        ..two_replicas()
    };
    holds("a slow closing", setting, &[Mark::LateClosingRefused]);
    let follows = Setting {
        follows: true,
        ..leases_of(1, setting)
    };
    let wanted = [Mark::LateClosingRefused, Mark::GoodTokenPastOpenRecord];
    holds("a slow closing, and a verifier", follows, &wanted);
    if is_thorough() {
        let fails_over = Setting {
            closes_slowly: true,
            ..leases_of(1, failing_over())
        };
        holds("a slow closing, and a fail-over", fails_over, &[]);
        let signs = Setting {
            signs: true,
            ..setting
        };
        holds("a slow closing, and a frozen signer", signs, &[]);
    }
}

#[test]
fn a_killed_process_that_comes_back_keeps_the_laws() {
    let setting = Setting {
        crashes: 1,
        progress: true,
        ..leases_of(1, signing())
    };
    let wanted = [Mark::ClosedAnyway, Mark::BackFromTheDead];
    holds("a killed process", setting, &wanted);
    let follows = Setting {
        crashes: 1,
        ..leases_of(1, following())
    };
    holds("a killed process, and a verifier", follows, &wanted);
}

#[test]
fn a_fail_over_that_loses_a_commit_keeps_the_laws() {
    let wanted = [
        Mark::RowsNotBelieved,
        Mark::HistoryLost,
        Mark::ReadAgain,
        Mark::SignedKnowing,
    ];
    let setting = leases_of(1, failing_over());
    let signs = Setting {
        signs: true,
        progress: true,
        ..setting
    };
    holds("a fail-over", signs, &wanted);
    let follows = Setting {
        follows: true,
        ..setting
    };
    holds("a fail-over, and a verifier", follows, &wanted);
    if is_thorough() {
        holds("a fail-over, longer leases", failing_over(), &wanted);
    }
}

#[test]
fn a_fail_over_that_loses_the_row_of_a_clock_ahead_keeps_the_laws() {
    let setting = Setting {
        rules: Rules::sound(1, 1, 2),
        skews: &[2, 2],
        fail_overs: 1,
        loses_commits: false,
        ..two_replicas()
    };
    let wanted = [Mark::RowsNotBelieved, Mark::StatedTimeCounted];
    holds("a fail-over, clocks ahead", setting, &wanted);
    if is_thorough() {
        let apart = Setting {
            skews: &[-2, 2],
            loses_commits: true,
            ..setting
        };
        holds("a fail-over, clocks apart", apart, &wanted);
    }
}

/// Other rules than the protocol's, and as safe: what they say of each other is worth knowing.
#[test]
fn some_rules_make_up_for_others() {
    // What a head vouches for is in its time; a lease keeps it from being old.
    let mut heads = leases_of(1, following());
    heads.rules.max_age = 2;
    heads.rules.head_lease = HeadLease::Ignored;
    for law in [laws::D, laws::A] {
        heads.only = Some(law);
        holds("heads without a lease", heads, &[Mark::Guaranteed]);
    }
    if !is_thorough() {
        return;
    }
    let mut early = leases_of(1, signing());
    early.rules.order = SigningOrder::IatTermSnapshot;
    let wanted = [Mark::RevokedWhileSigning];
    holds("iat before the term", early, &wanted);
    // The second check of the newest snapshot makes up for iat that is read too late.
    let mut late = signing();
    late.rules.order = SigningOrder::TermSnapshotIat;
    holds("iat after the snapshot", late, &wanted);
    // A tolerance more makes up for stated times, for time that does not go back, and for longer waits.
    let mut more = leases_of(1, clocks_far_apart());
    more.rules.basis = IssuedBeforeBasis::StoreAndTolerance;
    more.rules.carried_time = CarriedTime::GoesBack;
    more.rules.waited_for = more.rules.live_for;
    more.rules.rows_missing_for = more.rules.max_staleness;
    more.rules.closed_anyway_after = more.rules.max_staleness;
    let corrected = Setting {
        corrections: 1,
        ..more
    };
    let wanted = [Mark::ClosedAnyway, Mark::ClosedByAcknowledgement];
    holds("a tolerance more", corrected, &wanted);
    let fails_over = Setting {
        fail_overs: 1,
        ..more
    };
    holds("a tolerance more, and a fail-over", fails_over, &wanted);
}
