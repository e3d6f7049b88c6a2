//! How a revocation is closed: by any replica that lives and knows it, on what the store's rows say.

use super::super::search::Laws;
use super::super::state::Instant;
use super::laws;
use super::opening::{position, write};
use super::rules::{
    Closer, Closing, ClosingTime, IssuedBeforeBasis, IssuedBeforeRounding, LateClosing, Rules,
};
use super::setting::Setting;
use super::state::{CLOSED, DecidedClosing, Knowledge, OPENED, Row, State};
use super::steps::{Answer, Mark, Outcome, holds};

/// A closing is decided and committed at once.
pub(crate) fn close(
    next: State,
    index: usize,
    answer: Answer,
    setting: &Setting,
) -> Option<Outcome> {
    let decided = decide_closing(next, index, setting)?;
    if decided.state.replicas[index].closing.is_none() {
        return Some(decided);
    }
    let mut landed = land_closing(decided.state, index, answer, setting)?;
    landed.marks |= decided.marks;
    Some(landed)
}

/// Reads the rows, and decides when the tokens were issued that are refused.
pub(crate) fn decide_closing(mut next: State, index: usize, setting: &Setting) -> Option<Outcome> {
    let rules = &setting.rules;
    let replica = &next.replicas[index];
    let base = next.store.revocation.position;
    let is_open = next.store.revocation.is(OPENED);
    if !is_open || !holds(replica) || replica.held.position != base || replica.closing.is_some() {
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
        Closing::WithoutAsking => true,
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
        IssuedBeforeBasis::StoreAndTolerance => rules.tolerance,
        IssuedBeforeBasis::Closer => replica.ahead,
    };
    let issued_before = issued_before(&next, basis, rules);
    let lacks_some = rows_waited_for(&next).count() < usize::from(next.count);
    next.replicas[index].closing = Some(DecidedClosing {
        base,
        issued_before,
    });
    let outcome = Outcome::of(next)
        .marked_if(is_due && !is_acknowledged, Mark::ClosedAnyway)
        .marked_if(!is_due, Mark::ClosedByAcknowledgement)
        .marked_if(lacks_some, Mark::ClosedWithoutSome)
        .marked_if(stated > Some(0), Mark::StatedTimeCounted);
    Some(outcome)
}

/// What has been decided is committed, unless the record is another by now or it is too late.
pub(crate) fn land_closing(
    mut next: State,
    index: usize,
    answer: Answer,
    setting: &Setting,
) -> Option<Outcome> {
    let DecidedClosing {
        base,
        issued_before,
    } = next.replicas[index].closing.take()?;
    if next.store.revocation.position != base {
        return Some(Outcome::of(next));
    }
    if issued_before <= 0 && setting.rules.late_closing == LateClosing::Refused {
        return Some(Outcome::of(next).marked(Mark::LateClosingRefused));
    }
    let closed = Knowledge {
        position: position(CLOSED, &next, setting),
        issued_before,
    };
    let mut broken = Laws::NONE;
    broken.add_if(next.witness.unknowing >= issued_before, laws::A);
    if setting.follows {
        next.witness.committed_at[1] = Some(0);
        next.witness.guaranteed = Some(setting.rules.guaranteed_after());
    }
    if next.remaining.fail_overs == 0 {
        // No rule asks that any more.
        next.store.opened_at = setting.oldest().opening;
    }
    write(&mut next, index, closed, answer);
    let mut outcome = Outcome::of(next);
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
