//! How a revocation is opened, and what a fail-over of the store takes of what is committed.

use super::super::state::Instant;
use super::rules::Closer;
use super::setting::Setting;
use super::state::{Knowledge, NOTHING, OPENED, Position, State};
use super::steps::{Answer, Outcome, holds};

/// A caller's revocation is committed, with the store's time.
pub(crate) fn open(
    next: State,
    index: usize,
    answer: Answer,
    setting: &Setting,
) -> Option<Outcome> {
    if !holds(&next.replicas[index]) {
        return None;
    }
    commit_opening(next, index, 0, answer, setting)
}

/// A replica decides it, and stamps it by its own idea of the time.
pub(crate) fn decide(mut next: State, index: usize) -> Option<Outcome> {
    let replica = &mut next.replicas[index];
    if replica.opening.is_some() || !holds(replica) {
        return None;
    }
    replica.opening = Some(replica.ahead);
    Some(Outcome::of(next))
}

/// What has been decided is committed, unless its stamp is too old.
pub(crate) fn land(
    mut next: State,
    index: usize,
    answer: Answer,
    setting: &Setting,
) -> Option<Outcome> {
    let rules = &setting.rules;
    let stamp = next.replicas[index].opening.take()?;
    if -stamp > rules.switch_over + rules.tolerance {
        return None;
    }
    commit_opening(next, index, stamp, answer, setting)
}

fn commit_opening(
    mut next: State,
    index: usize,
    opened_at: Instant,
    answer: Answer,
    setting: &Setting,
) -> Option<Outcome> {
    if !next.store.revocation.is(NOTHING) {
        return None;
    }
    next.remaining.openings = next.remaining.openings.checked_sub(1)?;
    next.store.opened_at = opened_at;
    next.witness.committed_at[0] = Some(0).filter(|_| setting.follows);
    let opened = Knowledge {
        position: position(OPENED, &next, setting),
        issued_before: 0,
    };
    write(&mut next, index, opened, answer);
    next.replicas[index].is_opener = setting.rules.closer == Closer::WhoHasOpened;
    Some(Outcome::of(next))
}

/// Where an event lands that is committed now.
pub(crate) fn position(number: u8, state: &State, setting: &Setting) -> Position {
    Position {
        number,
        branch: setting.fail_overs - state.remaining.fail_overs,
    }
}

/// The replica whose commit was answered goes by it at once.
pub(crate) fn write(next: &mut State, index: usize, revocation: Knowledge, answer: Answer) {
    next.store.write(revocation);
    if answer == Answer::Arrives {
        next.replicas[index].held = revocation;
    }
}

/// What is lost with a commit is lost, and so is what was answered about it.
pub(crate) fn fail_over(mut next: State, loses_commit: bool, loses_rows: u8) -> Option<Outcome> {
    next.remaining.fail_overs = next.remaining.fail_overs.checked_sub(1)?;
    next.store.failed_over_at = 0;
    if loses_commit {
        next.store.lose_last()?;
        let number = usize::from(next.store.revocation.position.number);
        let witness = &mut next.witness;
        witness.committed_at[number] = None;
        witness.guaranteed = None;
        witness.good_token = false;
        witness.told = false;
    }
    for (index, replica) in next.replicas_mut().iter_mut().enumerate() {
        if loses_rows & (1 << index) != 0 {
            replica.row = None;
            replica.row_of_killed = None;
        }
    }
    Some(Outcome::of(next))
}
