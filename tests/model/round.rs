//! One round of a replica: it reads, swaps, writes its heartbeat and renews its lease
//! (`authority::replication`).

use super::change::replace;
use super::rules::{
    ClockRule, HeartbeatComes, HistoryCheck, LeaseFrom, Reading, Renewal, Rules, Swap,
};
use super::search::Laws;
use super::setting::Setting;
use super::state::{Instant, Replica, Round, Row, State};
use super::steps::{Mark, Outcome, is_live};

/// What is read and is nothing new needs no swap.
pub(crate) fn read(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let is_locked = next.is_locked();
    let store = next.store;
    let replica = &mut next.replicas[index];
    if matches!(replica.round, Round::Read { .. }) {
        return None;
    }
    if is_locked && rules.reading == Reading::BehindTheLock {
        replica.round = Round::None;
        return Some(Outcome::of(next).marked(Mark::WaitedForTheLock));
    }
    let has_lost_history = match rules.history {
        HistoryCheck::EverythingHeld => {
            !store.has(replica.through) || !store.has(replica.held.version)
        }
        HistoryCheck::NewestKnown => !store.has(replica.held.version),
        HistoryCheck::Through => !store.has(replica.through),
        HistoryCheck::Nothing => false,
    };
    let head = store.set.version;
    let set = if has_lost_history || head.number > replica.through.number {
        store.set
    } else {
        replica.held
    };
    replica.round = Round::Read {
        asked: 0,
        set,
        head,
        replaces: replica.held.version,
        beaten: None,
    };
    let is_nothing_new = !has_lost_history && head.number <= replica.through.number;
    let outcome = if is_nothing_new && rules.heartbeat == HeartbeatComes::AfterTheSwap {
        swap(next, index, rules)?
    } else {
        Outcome::of(next)
    };
    Some(outcome.marked_if(has_lost_history, Mark::HistoryLost))
}

pub(crate) fn swap(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let store = next.store;
    let replica = &mut next.replicas[index];
    let Round::Read {
        asked,
        set,
        head,
        replaces,
        beaten,
    } = replica.round
    else {
        return None;
    };
    if rules.heartbeat == HeartbeatComes::BeforeTheSwap && beaten.is_none() {
        return None;
    }
    if rules.swap == Swap::UnlessChangedSince && replica.held.version != replaces {
        replica.round = Round::None;
        return Some(Outcome::of(next).marked(Mark::ReadAgain));
    }
    let forgets = replace(replica, set, &store, rules);
    replica.through = head;
    replica.round = match beaten {
        Some(judged) => Round::Beaten {
            asked,
            stamp: asked,
            judged,
            found: None,
        },
        None => Round::Swapped { asked },
    };
    if rules.renewal == Renewal::ByReading && replica.row.is_some() {
        replica.lease = replica.lease.max(asked + rules.max_staleness);
    }
    let mut outcome = Outcome::of(next);
    if forgets {
        outcome.broken = Laws::of(4);
    }
    Some(outcome)
}

/// What the heartbeat's own statement can say about the renewal.
fn judge(state: &State, index: usize, rules: &Rules) -> bool {
    let replica = &state.replicas[index];
    let newest = match replica.round {
        Round::Read { head, .. } => head,
        _ => replica.through,
    };
    let nothing_is_newer = newest.number >= state.store.set.version.number;
    let row_is_live = replica.row.is_some_and(|row| is_live(&row, rules));
    match rules.renewal {
        Renewal::WhenNothingIsNewer => nothing_is_newer,
        Renewal::WhileRowIsLive => row_is_live,
        Renewal::WhenNothingIsNewerOrRowIsLive => nothing_is_newer || row_is_live,
        Renewal::WhileAcknowledgedIsLive
        | Renewal::WhileFoundRowIsLive
        | Renewal::Always
        | Renewal::ByReading => false,
    }
}

/// The stamp of the row that a heartbeat replaces, for the rule that asks it.
fn found_row(replica: &Replica, rules: &Rules) -> Option<Instant> {
    let asks = rules.renewal == Renewal::WhileFoundRowIsLive;
    replica.row.filter(|_| asks).map(|row| row.seen_at)
}

pub(crate) fn beat(mut next: State, index: usize, setting: &Setting) -> Option<Outcome> {
    let rules = &setting.rules;
    if setting.heartbeats_are_synchronous && next.is_locked() {
        return None;
    }
    let judged = judge(&next, index, rules);
    let stored = next.store.set.version;
    let replica = &mut next.replicas[index];
    if replica.heartbeat_in_flight.is_some() {
        return None;
    }
    let (through, round) = match (rules.heartbeat, replica.round) {
        (HeartbeatComes::AfterTheSwap, Round::Swapped { asked }) => {
            let stamp = 0;
            let round = Round::Beaten {
                asked,
                stamp,
                judged,
                found: found_row(replica, rules),
            };
            (replica.through, round)
        }
        (
            HeartbeatComes::BeforeTheSwap,
            Round::Read {
                asked,
                set,
                head,
                replaces,
                beaten: None,
            },
        ) => {
            let round = Round::Read {
                asked,
                set,
                head,
                replaces,
                beaten: Some(judged),
            };
            (head, round)
        }
        _ => return None,
    };
    let was_dead = replica.row.is_some_and(|row| !is_live(&row, rules));
    let is_behind = through != stored;
    replica.round = round;
    replica.row = Some(Row {
        through,
        seen_at: 0,
    });
    Some(Outcome::of(next).marked_if(was_dead && is_behind, Mark::BackFromTheDead))
}

pub(crate) fn beat_slowly(mut next: State, index: usize, setting: &Setting) -> Option<Outcome> {
    let judged = judge(&next, index, &setting.rules);
    let waits_behind_commit = setting.heartbeats_are_synchronous && next.is_locked();
    let Round::Swapped { asked } = next.replicas[index].round else {
        return None;
    };
    if next.replicas[index].heartbeat_in_flight.is_some() {
        return None;
    }
    if !waits_behind_commit {
        next.remaining.hangs = next.remaining.hangs.checked_sub(1)?;
    }
    let replica = &mut next.replicas[index];
    replica.round = Round::Beating {
        asked,
        judged,
        found: found_row(replica, &setting.rules),
    };
    replica.heartbeat_in_flight = Some(Row {
        through: replica.through,
        seen_at: 0,
    });
    Some(Outcome::of(next).marked(Mark::HeartbeatHung))
}

/// The replica may have given it up, and have begun another round.
pub(crate) fn land_heartbeat(mut next: State, index: usize, setting: &Setting) -> Option<Outcome> {
    if setting.heartbeats_are_synchronous && next.is_locked() {
        return None;
    }
    let replica = &mut next.replicas[index];
    let row = replica.heartbeat_in_flight.take()?;
    replica.row = Some(row);
    if let Round::Beating {
        asked,
        judged,
        found,
    } = replica.round
    {
        replica.round = Round::Beaten {
            asked,
            stamp: row.seen_at,
            judged,
            found,
        };
    }
    Some(Outcome::of(next))
}

pub(crate) fn confirm(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let head = next.store.set.version;
    let replica = &mut next.replicas[index];
    let Round::Beaten {
        asked,
        stamp,
        judged,
        found,
    } = replica.round
    else {
        return None;
    };
    replica.round = Round::None;
    let is_live = |stamp: &i8| -stamp <= rules.live_for;
    let was_live = replica.acknowledged.as_ref().is_some_and(is_live);
    replica.acknowledged = Some(stamp).filter(is_live);
    let is_off = replica.skew.abs() > rules.tolerance;
    let may_renew = match rules.renewal {
        Renewal::WhileAcknowledgedIsLive => was_live,
        Renewal::WhileFoundRowIsLive => found.as_ref().is_some_and(is_live),
        Renewal::WhenNothingIsNewer
        | Renewal::WhileRowIsLive
        | Renewal::WhenNothingIsNewerOrRowIsLive => judged,
        Renewal::Always => true,
        Renewal::ByReading => false,
    };
    if !is_off && may_renew {
        let from = match rules.lease {
            LeaseFrom::Question => asked,
            LeaseFrom::Answer | LeaseFrom::Nothing => 0,
        };
        replica.lease = replica.lease.max(from + rules.max_staleness);
        if rules.clock == ClockRule::ItselfWhenConfirmed {
            replica.confirmed_skew = replica.skew;
        }
    }
    let is_behind = replica.through != head;
    let outcome = Outcome::of(next)
        .marked_if(is_off, Mark::ClockTooFarOff)
        .marked_if(!may_renew, Mark::HeartbeatRenewsNothing)
        .marked_if(may_renew && is_behind, Mark::RenewedWhileBehind);
    Some(outcome)
}

/// What a replica loads apart from a round, as after a conflict.
pub(crate) fn load(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let store = next.store;
    let replica = &mut next.replicas[index];
    if replica.held.version == store.set.version {
        return None;
    }
    replace(replica, store.set, &store, rules);
    Some(Outcome::of(next).marked(Mark::Loaded))
}
