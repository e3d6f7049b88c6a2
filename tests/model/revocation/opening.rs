//! How a revocation is opened and closed, and what a fail-over of the store takes of that.

use super::super::search::Laws;
use super::super::state::Instant;
use super::rules::{Closer, Closing, ClosingTime, IssuedBeforeBasis, IssuedBeforeRounding, Rules};
use super::setting::Setting;
use super::state::{CLOSED, Knowledge, NOTHING, OPENED, Position, Row, State};
use super::steps::{Answer, Mark, Outcome, holds};

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

/// Any replica that lives and knows it may close it. The rows are read in the commit.
pub(crate) fn close(
    mut next: State,
    index: usize,
    answer: Answer,
    setting: &Setting,
) -> Option<Outcome> {
    let rules = &setting.rules;
    let replica = &next.replicas[index];
    let is_open = next.store.revocation.is(OPENED);
    if !is_open || !holds(replica) || replica.held.position != next.store.revocation.position {
        return None;
    }
    if rules.closer == Closer::WhoHasOpened && !replica.is_opener {
        return None;
    }
    let judged_at = match rules.closing_time {
        ClosingTime::Stores => 0,
        ClosingTime::Closers => replica.ahead,
    };
    let is_due = judged_at - next.store.opened_at >= rules.closed_anyway_after;
    let believes_rows = -next.store.failed_over_at >= rules.rows_missing_for;
    let is_acknowledged = match rules.closing {
        Closing::EveryLiveReplica => rows_waited_for(&next).all(|row| has_opening(row, &next)),
        Closing::AnyReplica => rows_waited_for(&next).any(|row| has_opening(row, &next)),
        Closing::Nobody => true,
    };
    let may_close = is_due || is_acknowledged && believes_rows;
    if !may_close {
        let mark = if is_acknowledged {
            Mark::RowsNotBelieved
        } else {
            Mark::WaitedForAcknowledgement
        };
        return Some(Outcome::of(next).marked(mark));
    }
    let stated = rows_waited_for(&next).map(|row| row.time).max();
    let basis = match rules.basis {
        IssuedBeforeBasis::StoreAndStated => stated.unwrap_or(0).max(0),
        IssuedBeforeBasis::Store => 0,
        IssuedBeforeBasis::Closer => replica.ahead,
    };
    let issued_before = issued_before(&next, basis, rules);
    let closed = Knowledge {
        position: position(CLOSED, &next, setting),
        issued_before,
    };
    let mut broken = Laws::NONE;
    broken.add_if(next.witness.unknowing >= issued_before, super::laws::A);
    if setting.follows {
        next.witness.committed_at[1] = Some(0);
        next.witness.guaranteed = Some(rules.guaranteed_after());
    }
    if next.remaining.fail_overs == 0 {
        // No rule asks that any more.
        next.store.opened_at = setting.oldest().opening;
    }
    let lacks_some = rows_waited_for(&next).count() < usize::from(next.count);
    write(&mut next, index, closed, answer);
    let mut outcome = Outcome::of(next)
        .marked_if(is_due && !is_acknowledged, Mark::ClosedAnyway)
        .marked_if(!is_due, Mark::ClosedByAcknowledgement)
        .marked_if(lacks_some, Mark::ClosedWithoutSome)
        .marked_if(stated > Some(0), Mark::StatedTimeCounted);
    outcome.broken = broken;
    Some(outcome)
}

fn issued_before(state: &State, basis: Instant, rules: &Rules) -> Instant {
    match rules.rounding {
        IssuedBeforeRounding::UpPlusOne => state.second_after(basis, rules) + rules.second,
        IssuedBeforeRounding::DownPlusOne => state.second_before(basis, rules) + rules.second,
        IssuedBeforeRounding::Up => state.second_after(basis, rules),
    }
}

/// No others are kept.
fn rows_waited_for(state: &State) -> impl Iterator<Item = &Row> {
    state.replicas().iter().flat_map(|replica| replica.rows())
}

fn has_opening(row: &Row, state: &State) -> bool {
    state.store.has(row.through) && row.through.number >= OPENED
}

fn position(number: u8, state: &State, setting: &Setting) -> Position {
    Position {
        number,
        branch: setting.fail_overs - state.remaining.fail_overs,
    }
}

/// The replica whose commit was answered goes by it at once.
fn write(next: &mut State, index: usize, revocation: Knowledge, answer: Answer) {
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
