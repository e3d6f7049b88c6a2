//! One round of a replica: it reads, swaps, writes its heartbeat and renews its lease. What the
//! other model shows to be right about it is taken as right here.

use super::rules::{Rules, Start};
use super::setting::Setting;
use super::state::{Knowledge, Replica, Round, Row, State};
use super::steps::{Mark, Outcome};

/// What is read and is nothing new needs no swap.
pub(crate) fn read(mut next: State, index: usize) -> Option<Outcome> {
    let store = next.store;
    let replica = &mut next.replicas[index];
    if matches!(replica.round, Round::Read { .. }) {
        return None;
    }
    let has_lost_history = !store.has(replica.through) || !store.has(replica.held.position);
    let is_news = has_lost_history || store.revocation.position.number > replica.through.number;
    replica.round = if is_news {
        Round::Read {
            asked: 0,
            knowledge: store.revocation,
            replaces: replica.held.position,
        }
    } else {
        Round::Swapped { asked: 0 }
    };
    Some(Outcome::of(next).marked_if(has_lost_history, Mark::HistoryLost))
}

pub(crate) fn swap(mut next: State, index: usize) -> Option<Outcome> {
    let replica = &mut next.replicas[index];
    let Round::Read {
        asked,
        knowledge,
        replaces,
    } = replica.round
    else {
        return None;
    };
    if replica.held.position != replaces {
        replica.round = Round::None;
        return Some(Outcome::of(next).marked(Mark::ReadAgain));
    }
    replica.held = knowledge;
    replica.through = knowledge.position;
    replica.round = Round::Swapped { asked };
    Some(Outcome::of(next))
}

/// The heartbeat states the replica's idea of the store's time.
pub(crate) fn beat(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let stored = next.store.revocation.position;
    let replica = &mut next.replicas[index];
    let Round::Swapped { asked } = replica.round else {
        return None;
    };
    let was_dead = replica.row.is_none_or(|row| -row.seen_at > rules.live_for);
    replica.round = Round::Beaten { asked, stamp: 0 };
    replica.row = Some(Row {
        through: replica.through,
        seen_at: 0,
        time: replica.ahead.max(0),
    });
    let is_behind = replica.through != stored;
    Some(Outcome::of(next).marked_if(was_dead && is_behind, Mark::BackFromTheDead))
}

/// The lease is renewed while the heartbeat before counts as live.
pub(crate) fn confirm(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let replica = &mut next.replicas[index];
    let Round::Beaten { asked, stamp } = replica.round else {
        return None;
    };
    replica.round = Round::None;
    // One that does not count any more is forgotten.
    let was_live = replica.acknowledged.is_some();
    replica.acknowledged = Some(stamp).filter(|stamp| -stamp <= rules.live_for);
    if was_live && asked + rules.max_staleness > replica.lease {
        replica.lease = asked + rules.max_staleness;
        replica.asked = asked;
    }
    Some(Outcome::of(next))
}

/// The process that is started instead loads what the store has.
pub(crate) fn crash(mut next: State, index: usize, setting: &Setting) -> Option<Outcome> {
    next.remaining.crashes = next.remaining.crashes.checked_sub(1)?;
    let before = next.replicas[index];
    let knowledge = match setting.rules.start {
        Start::LoadsRevocations => next.store.revocation,
        Start::KnowsNone => Knowledge::NONE,
    };
    let through = next.store.revocation.position;
    next.replicas[index] = Replica {
        row_of_killed: before.row,
        ..Replica::starting(knowledge, through, before.skew, &setting.oldest())
    };
    Some(Outcome::of(next))
}
