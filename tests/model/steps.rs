//! What can happen next. A replica that is frozen, slow or cut off is one that takes no step while
//! time passes; nothing here is ever bound to happen.

use super::change::{decide, give_up_commits, land, take_over};
use super::rules::{ClockRule, HeartbeatComes, LeaseFrom, Renewal, Rules, SecondCheck};
use super::search::Setting;
use super::state::{KEYS, Life, Loop, Replica, Row, Signature, State};

/// One step. A replica is named by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A tick of time passes.
    Tick,
    /// Asks the store what has changed, and reads it.
    Read(usize),
    /// Serves what it has read.
    Swap(usize),
    /// Its heartbeat is written.
    Beat(usize),
    /// The answer arrives and renews the lease.
    Confirm(usize),
    /// Decides a change, by what it serves.
    Decide(usize, Command),
    /// The change is in the store, or refused there. Whether its answer arrives.
    Land(usize, Answer),
    /// Takes the snapshot under the lease and begins to sign.
    Sign(usize),
    /// Has signed, checks again, and hands the token out.
    HandOut(usize),
    /// Is killed and started again.
    Crash(usize),
    /// Its clock jumps.
    Jump(usize, i8),
}

/// What a replica may be asked (`lifecycle::Command`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Publish,
    Rotate,
    RotateByForce,
    Revoke(u8),
    Remove(u8),
}

/// Whether a commit's answer arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Heard,
    Lost,
}

/// Something that a search must have met to have searched anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Conflict,
    RefusedAsLate,
    RotatedBySchedule,
    RotatedByForce,
    NotWaitedForTheDead,
    WaitedForTheLive,
    RemovedAfterRetention,
    HeartbeatTooOldToRenew,
    BackFromTheDead,
    NoLeaseAfterSigning,
    RevokedWhileSigning,
    ClockTooFarOff,
    StaleWithoutLease,
    StaleUnderLease,
    InForceEverywhere,
    TokenOfARetiredKeyLives,
}

impl Mark {
    /// All of them.
    pub(crate) const ALL: [Self; 16] = [
        Self::Conflict,
        Self::RefusedAsLate,
        Self::RotatedBySchedule,
        Self::RotatedByForce,
        Self::NotWaitedForTheDead,
        Self::WaitedForTheLive,
        Self::RemovedAfterRetention,
        Self::HeartbeatTooOldToRenew,
        Self::BackFromTheDead,
        Self::NoLeaseAfterSigning,
        Self::RevokedWhileSigning,
        Self::ClockTooFarOff,
        Self::StaleWithoutLease,
        Self::StaleUnderLease,
        Self::InForceEverywhere,
        Self::TokenOfARetiredKeyLives,
    ];
}

/// What comes of a step.
pub(crate) struct Outcome {
    pub(crate) state: State,
    /// Which law the step itself breaks.
    pub(crate) broken: Option<u8>,
    pub(crate) marks: u32,
}

impl Outcome {
    pub(crate) fn of(state: State) -> Self {
        Self {
            state,
            broken: None,
            marks: 0,
        }
    }

    pub(crate) fn marked(mut self, mark: Mark) -> Self {
        self.marks |= bit(mark);
        self
    }
}

/// The bit of a mark.
pub(crate) fn bit(mark: Mark) -> u32 {
    1 << mark as u32
}

/// Every step that might be possible.
pub(crate) fn candidates(state: &State, rules: &Rules, steps: &mut Vec<Step>) {
    steps.clear();
    steps.push(Step::Tick);
    for index in 0..usize::from(state.count) {
        let replica = &state.replicas[index];
        steps.extend([
            Step::Read(index),
            Step::Swap(index),
            Step::Beat(index),
            Step::Confirm(index),
            Step::Sign(index),
            Step::HandOut(index),
        ]);
        if replica.commit.is_some() {
            steps.extend([
                Step::Land(index, Answer::Heard),
                Step::Land(index, Answer::Lost),
            ]);
        } else if holds(replica, rules) {
            let commands = [Command::Publish, Command::Rotate, Command::RotateByForce];
            steps.extend(commands.map(|command| Step::Decide(index, command)));
            for key in 0..KEYS as u8 {
                steps.push(Step::Decide(index, Command::Revoke(key)));
                steps.push(Step::Decide(index, Command::Remove(key)));
            }
        }
        if state.crashes > 0 {
            steps.push(Step::Crash(index));
        }
        if state.jumps > 0 {
            let farthest = 2 * rules.tolerance;
            steps.extend([-farthest, farthest].map(|skew| Step::Jump(index, skew)));
        }
    }
}

/// Takes a step; `None` when it is not possible.
pub(crate) fn take(state: &State, step: Step, setting: &Setting) -> Option<Outcome> {
    let rules = &setting.rules;
    let mut next = *state;
    match step {
        Step::Tick => {
            next.tick(&setting.oldest());
            Some(give_up_commits(next, rules))
        }
        Step::Read(index) => read(next, index, rules),
        Step::Swap(index) => swap(next, index, rules),
        Step::Beat(index) => beat(next, index, rules),
        Step::Confirm(index) => confirm(next, index, rules),
        Step::Decide(index, command) => decide(next, index, command, setting),
        Step::Land(index, answer) => land(next, index, answer, rules),
        Step::Sign(index) => {
            let others = state.replicas().iter();
            if !setting.signs
                || others
                    .into_iter()
                    .any(|one| one.signature != Signature::None)
            {
                return None;
            }
            let replica = &mut next.replicas[index];
            if !holds(replica, rules) {
                return None;
            }
            let key = u8::try_from(replica.held.active()?).ok()?;
            let term = replica.lease;
            replica.signature = Signature::Started { key, term };
            Some(Outcome::of(next))
        }
        Step::HandOut(index) => hand_out(next, index, rules),
        Step::Crash(index) => {
            next.crashes = next.crashes.checked_sub(1)?;
            let before = state.replicas[index];
            next.replicas[index] = Replica {
                ghost: before.row,
                ..Replica::starting(next.stored, before.skew)
            };
            Some(Outcome::of(next))
        }
        Step::Jump(index, skew) => {
            next.jumps = next.jumps.checked_sub(1)?;
            let replica = &mut next.replicas[index];
            if replica.skew == skew {
                return None;
            }
            replica.skew = skew;
            Some(Outcome::of(next))
        }
    }
}

/// Whether a replica may sign and be believed (`Lease::holds`).
pub(crate) fn holds(replica: &Replica, rules: &Rules) -> bool {
    if rules.lease == LeaseFrom::Nothing {
        return replica.row.is_some();
    }
    replica.lease > 0 && clock_is_right(replica, rules)
}

fn clock_is_right(replica: &Replica, rules: &Rules) -> bool {
    let off = match rules.clock {
        ClockRule::StoresCarriedOn => replica.skew,
        ClockRule::ItselfWhenConfirmed => replica.skew - replica.confirmed_skew,
    };
    off.abs() <= rules.tolerance
}

/// Whether a row's replica may still serve what it last said (`Roll::is_live`).
pub(crate) fn is_live(row: &Row, rules: &Rules) -> bool {
    -row.seen_at <= rules.live_for
}

/// Every row, those of killed processes among them.
pub(crate) fn roll(state: &State) -> impl Iterator<Item = &Row> {
    let replicas = state.replicas().iter();
    replicas.flat_map(|replica| replica.row.iter().chain(&replica.ghost))
}

/// What is read and is nothing new needs no swap.
fn read(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let replica = &mut next.replicas[index];
    if matches!(replica.at, Loop::Read { .. }) {
        return None;
    }
    let set = next.stored;
    replica.at = Loop::Read {
        asked: 0,
        set,
        beaten: None,
    };
    if set.version == replica.held.version && rules.heartbeat == HeartbeatComes::AfterTheSwap {
        return swap(next, index, rules);
    }
    Some(Outcome::of(next))
}

fn swap(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let replica = &mut next.replicas[index];
    let Loop::Read { asked, set, beaten } = replica.at else {
        return None;
    };
    if rules.heartbeat == HeartbeatComes::BeforeTheSwap && beaten.is_none() {
        return None;
    }
    take_over(replica, set);
    let head = set.version;
    replica.at = match beaten {
        Some(newest) => Loop::Beaten {
            asked,
            head,
            newest,
        },
        None => Loop::Swapped { asked, head },
    };
    if rules.renewal == Renewal::ByReading && replica.row.is_some() {
        replica.lease = replica.lease.max(asked + rules.max_staleness);
    }
    Some(Outcome::of(next))
}

fn beat(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let replica = &mut next.replicas[index];
    let (head, at) = match (rules.heartbeat, replica.at) {
        (HeartbeatComes::AfterTheSwap, Loop::Swapped { asked, head }) => {
            let newest = head == next.stored.version;
            let at = Loop::Beaten {
                asked,
                head,
                newest,
            };
            (head, at)
        }
        (
            HeartbeatComes::BeforeTheSwap,
            Loop::Read {
                asked,
                set,
                beaten: None,
            },
        ) => {
            let beaten = Some(set.version == next.stored.version);
            (set.version, Loop::Read { asked, set, beaten })
        }
        _ => return None,
    };
    let was_dead = replica.row.is_some_and(|row| !is_live(&row, rules));
    let is_behind = head < next.stored.version;
    replica.at = at;
    replica.row = Some(Row {
        through: head,
        seen_at: 0,
    });
    let outcome = Outcome::of(next);
    Some(if was_dead && is_behind {
        outcome.marked(Mark::BackFromTheDead)
    } else {
        outcome
    })
}

fn confirm(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let replica = &mut next.replicas[index];
    let Loop::Beaten { asked, newest, .. } = replica.at else {
        return None;
    };
    replica.at = Loop::Rests;
    let is_off = replica.skew.abs() > rules.tolerance;
    let is_old = rules.renewal == Renewal::WhenNothingIsNewer && !newest;
    if !is_off && !is_old && rules.renewal != Renewal::ByReading {
        let from = match rules.lease {
            LeaseFrom::Question => asked,
            LeaseFrom::Answer | LeaseFrom::Nothing => 0,
        };
        replica.lease = replica.lease.max(from + rules.max_staleness);
        if rules.clock == ClockRule::ItselfWhenConfirmed {
            replica.confirmed_skew = replica.skew;
        }
    }
    let mut outcome = Outcome::of(next);
    if is_off {
        outcome = outcome.marked(Mark::ClockTooFarOff);
    }
    if is_old {
        outcome = outcome.marked(Mark::HeartbeatTooOldToRenew);
    }
    Some(outcome)
}

fn hand_out(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let replica = &mut next.replicas[index];
    let Signature::Started { key, term } = replica.signature else {
        return None;
    };
    replica.signature = Signature::None;
    let within_term = term > 0 && clock_is_right(replica, rules);
    let in_office = replica.held.keys[usize::from(key)] != Life::Revoked;
    let refusal = match rules.second_check {
        SecondCheck::TermAndOffice | SecondCheck::TermAlone if !within_term => {
            Some(Mark::NoLeaseAfterSigning)
        }
        SecondCheck::LeaseAlone if !holds(replica, rules) => Some(Mark::NoLeaseAfterSigning),
        SecondCheck::TermAndOffice if !in_office => Some(Mark::RevokedWhileSigning),
        _ => None,
    };
    let wrong = wrong_now(&next, key, rules);
    let mut outcome = Outcome::of(next);
    match refusal {
        Some(mark) => outcome = outcome.marked(mark),
        None => outcome.broken = wrong,
    }
    Some(outcome)
}

/// Which law a token breaks that is signed now by a key, whoever signs it.
fn wrong_now(state: &State, key: u8, rules: &Rules) -> Option<u8> {
    let (revoked_at, _) = state.witness.revoked[usize::from(key)]?;
    if state.witness.in_force[usize::from(key)] {
        Some(5)
    } else {
        (-revoked_at >= rules.max_staleness).then_some(4)
    }
}
