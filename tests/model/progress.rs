//! Whether a replica that reaches the store renews its lease, however many others commit meanwhile.
//!
//! Asked of every state that is searched: what hangs ends, then the replica makes one round, or two
//! where the last heartbeat whose answer it has does not count as live any more. Before each of its
//! steps others may commit, and before one of them time may pass, for as long as that heartbeat or
//! the one of the first round counts.

use std::fmt::Write as _;

use super::search::Seen;
use super::setting::Setting;
use super::state::{Instant, Phase, Round, State, Version};
use super::steps::{Answer, Step, take};

/// The steps of a round.
const ROUND: [fn(usize) -> Step; 4] = [Step::Read, Step::Swap, Step::Beat, Step::Confirm];

/// The rounds of a replica that end without a lease, if there is one.
///
/// `asked` keeps what has been asked: others' memory does not matter to a replica's round.
pub(crate) fn starves(state: &State, setting: &Setting, asked: &mut Seen) -> Option<String> {
    let rules = &setting.rules;
    let state = let_end_what_hangs(*state, setting);
    for index in 0..usize::from(state.count) {
        let replica = &state.replicas[index];
        if replica.skew.abs() > rules.tolerance || !asked.insert(state.fingerprint_of(index)) {
            continue;
        }
        let age = replica.acknowledged.map(|stamp| -stamp);
        let (rounds, longest) = match age {
            Some(age) if age <= rules.live_for => (1, rules.live_for - age),
            _ => (2, rules.live_for),
        };
        for commits_before in 0..1_u8 << ROUND.len() {
            for slow_step in 1..ROUND.len() {
                let mut story = String::new();
                let mut last = state;
                last.replicas[index].lease = 0;
                let mut passed = 0;
                for round in 0..rounds {
                    let ticks = if round + 1 == rounds { longest } else { 0 };
                    passed = ticks;
                    let course = Course {
                        commits_before,
                        slow_step,
                        ticks,
                    };
                    last = make_round(last, index, course, setting, &mut story);
                }
                if last.replicas[index].lease < rules.max_staleness - passed {
                    let _ = writeln!(story, "  and replica {index} has no lease from it");
                    return Some(story);
                }
            }
        }
    }
    None
}

/// What happens during a round.
#[derive(Clone, Copy)]
struct Course {
    /// Before which steps others commit, as bits.
    commits_before: u8,
    /// Before which step time passes.
    slow_step: usize,
    ticks: Instant,
}

fn make_round(
    mut state: State,
    index: usize,
    course: Course,
    setting: &Setting,
    story: &mut String,
) -> State {
    // What it was doing fails, or ends somehow.
    state.replicas[index].round = Round::None;
    for (position, step) in ROUND.iter().enumerate() {
        if course.commits_before & (1 << position) != 0 {
            commit_elsewhere(&mut state, setting);
            let _ = writeln!(story, "  another issuer changes");
        }
        if position == course.slow_step {
            for _ in 0..course.ticks {
                state.tick(&setting.oldest());
                let _ = writeln!(story, "  Tick");
            }
        }
        let step = step(index);
        // A reading that found nothing new has been swapped already.
        if let Some(outcome) = take(&state, step, setting) {
            state = outcome.state;
            let _ = writeln!(story, "  {step:?}");
        }
    }
    state
}

/// A change that concerns no key of this issuer.
fn commit_elsewhere(state: &mut State, setting: &Setting) {
    let mut set = state.store.set;
    set.version = Version {
        number: set.version.number + 1,
        branch: setting.fail_overs - state.remaining.fail_overs,
    };
    state.store.write(set);
}

fn let_end_what_hangs(mut state: State, setting: &Setting) -> State {
    for index in 0..usize::from(state.count) {
        let commit = state.replicas[index].commit;
        if commit.is_some_and(|commit| commit.phase != Phase::Sent)
            && let Some(outcome) = take(&state, Step::Land(index, Answer::IsLost), setting)
        {
            state = outcome.state;
        }
    }
    for index in 0..usize::from(state.count) {
        if let Some(outcome) = take(&state, Step::LandHeartbeat(index), setting) {
            state = outcome.state;
        }
    }
    state
}
