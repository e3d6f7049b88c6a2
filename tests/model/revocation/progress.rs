//! Whether an open revocation can be closed by every replica that reaches the store, however many
//! others have died meanwhile.

use std::fmt::Write as _;

use super::super::search::Seen;
use super::setting::Setting;
use super::state::{OPENED, Round, State};
use super::steps::{Answer, Step, take};

/// A round of a replica.
const ROUND: [fn(usize) -> Step; 4] = [Step::Read, Step::Swap, Step::Beat, Step::Confirm];

/// How a replica waits and cannot close a revocation that is open.
///
/// `asked` keeps what has been asked.
pub(crate) fn stays_open(state: &State, setting: &Setting, asked: &mut Seen) -> Option<String> {
    if !state.store.revocation.is(OPENED) {
        return None;
    }
    let mut waited = *state;
    for _ in 0..setting.rules.closed_anyway_after {
        waited.tick(&setting.oldest(), &setting.rules);
    }
    if !asked.insert(waited.fingerprint()) {
        return None;
    }
    for index in 0..usize::from(state.count) {
        let mut last = waited;
        let mut story = String::from("  time passes\n");
        // What it was doing fails.
        last.replicas[index].round = Round::None;
        let rounds = ROUND.into_iter().chain(ROUND).map(|step| step(index));
        for step in rounds.chain([Step::Close(index, Answer::Arrives)]) {
            // A reading that found nothing new has been swapped already.
            if let Some(outcome) = take(&last, step, setting) {
                last = outcome.state;
                let _ = writeln!(story, "  {step:?}");
            }
        }
        if last.store.revocation.is(OPENED) {
            let _ = writeln!(story, "  and replica {index} cannot close the revocation");
            return Some(story);
        }
    }
    None
}
