//! What can happen next. A replica that is frozen, slow or cut off is one that takes no step while
//! time passes; no step is ever bound to happen.

use super::change::{decide, give_up_commits, hang, land, look_up_outcome, replace, roll_back};
use super::laws::{Laws, forget};
use super::rules::{
    Acknowledgement, ClockRule, HeartbeatComes, HistoryCheck, LeaseFrom, Reading, Renewal, Rules,
    SecondCheck, Swap,
};
use super::search::Setting;
use super::state::{Instant, KEYS, KeyState, Phase, Replica, Round, Row, Signature, State};

/// One step. A replica is named by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A tick of time passes.
    Tick,
    /// Asks the store what has changed, and reads it.
    Read(usize),
    /// Serves what it has read.
    Swap(usize),
    /// Loads the set apart from a round, as after a conflict, and serves it.
    Load(usize),
    /// Its heartbeat is written and committed.
    Beat(usize),
    /// Its heartbeat is written, and the commit takes its time.
    BeatSlowly(usize),
    /// The heartbeat that takes its time is committed.
    LandHeartbeat(usize),
    /// The answer arrives and renews the lease.
    Confirm(usize),
    /// Decides a change, by what it serves.
    Decide(usize, Command),
    /// The store checks the deadline of the change, and the commit takes its time.
    Hang(usize),
    /// The change is in the store, or refused there. Whether its answer arrives.
    Land(usize, Answer),
    /// A change that hangs ends without having landed.
    RollBack(usize),
    /// A caller whose change gives no answer is told what the store shows.
    LookUpOutcome(usize),
    /// Takes the snapshot under the lease and begins to sign.
    Sign(usize),
    /// Has signed, checks again, and hands the JWT out.
    HandOut(usize),
    /// Is killed and started again.
    Crash(usize),
    /// Its clock jumps.
    Jump(usize, i8),
    /// A standby takes over, which may lack the last commit and the rows of some replicas.
    FailOver { loses_commit: bool, loses_rows: u8 },
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
    Arrives,
    IsLost,
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
    HeartbeatRenewsNothing,
    RenewedWhileBehind,
    BackFromTheDead,
    NoLeaseAfterSigning,
    RevokedWhileSigning,
    ClockTooFarOff,
    StaleWithoutLease,
    StaleUnderLease,
    InForceEverywhere,
    TokenOfARetiredKeyLives,
    CommitHung,
    HeartbeatHung,
    WaitedForTheLock,
    HistoryLost,
    LostUnderLease,
    ReadAgain,
    Loaded,
    FinalRecordKept,
}

impl Mark {
    /// All of them.
    pub(crate) const ALL: [Self; 25] = [
        Self::Conflict,
        Self::RefusedAsLate,
        Self::RotatedBySchedule,
        Self::RotatedByForce,
        Self::NotWaitedForTheDead,
        Self::WaitedForTheLive,
        Self::RemovedAfterRetention,
        Self::HeartbeatRenewsNothing,
        Self::RenewedWhileBehind,
        Self::BackFromTheDead,
        Self::NoLeaseAfterSigning,
        Self::RevokedWhileSigning,
        Self::ClockTooFarOff,
        Self::StaleWithoutLease,
        Self::StaleUnderLease,
        Self::InForceEverywhere,
        Self::TokenOfARetiredKeyLives,
        Self::CommitHung,
        Self::HeartbeatHung,
        Self::WaitedForTheLock,
        Self::HistoryLost,
        Self::LostUnderLease,
        Self::ReadAgain,
        Self::Loaded,
        Self::FinalRecordKept,
    ];
}

/// What comes of a step.
pub(crate) struct Outcome {
    pub(crate) state: State,
    /// Which laws the step itself breaks.
    pub(crate) broken: Laws,
    pub(crate) marks: u32,
}

impl Outcome {
    pub(crate) fn of(state: State) -> Self {
        Self {
            state,
            broken: Laws::NONE,
            marks: 0,
        }
    }

    pub(crate) fn marked(mut self, mark: Mark) -> Self {
        self.marks |= bit(mark);
        self
    }

    fn marked_if(self, condition: bool, mark: Mark) -> Self {
        if condition { self.marked(mark) } else { self }
    }
}

/// The bit of a mark.
pub(crate) fn bit(mark: Mark) -> u32 {
    1 << mark as u32
}

/// Every step that might be possible.
pub(crate) fn candidates(state: &State, setting: &Setting, steps: &mut Vec<Step>) {
    let rules = &setting.rules;
    steps.clear();
    steps.push(Step::Tick);
    for index in 0..usize::from(state.count) {
        let replica = &state.replicas[index];
        match replica.round {
            Round::None | Round::Beating { .. } => steps.push(Step::Read(index)),
            // Before the swap only where a rule is wrong.
            Round::Read { .. } => steps.extend([Step::Swap(index), Step::Beat(index)]),
            Round::Swapped { .. } => {
                steps.extend([
                    Step::Read(index),
                    Step::Beat(index),
                    Step::BeatSlowly(index),
                ]);
            }
            Round::Beaten { .. } => steps.extend([Step::Read(index), Step::Confirm(index)]),
        }
        if setting.loads && replica.held.version != state.store.set.version {
            steps.push(Step::Load(index));
        }
        if replica.heartbeat_in_flight.is_some() {
            steps.push(Step::LandHeartbeat(index));
        }
        match replica.signature {
            Signature::None => steps.push(Step::Sign(index)),
            Signature::Started { .. } => steps.push(Step::HandOut(index)),
        }
        if let Some(commit) = replica.commit {
            steps.extend([
                Step::Land(index, Answer::Arrives),
                Step::Land(index, Answer::IsLost),
            ]);
            if commit.hangs() {
                steps.extend([Step::RollBack(index), Step::LookUpOutcome(index)]);
            } else if state.remaining.hangs > 0 {
                steps.push(Step::Hang(index));
            }
        } else if holds(replica, rules) {
            let commands = [Command::Publish, Command::Rotate, Command::RotateByForce];
            steps.extend(commands.map(|command| Step::Decide(index, command)));
            for key in 0..KEYS as u8 {
                steps.push(Step::Decide(index, Command::Revoke(key)));
                steps.push(Step::Decide(index, Command::Remove(key)));
            }
        }
        if state.remaining.crashes > 0 {
            steps.push(Step::Crash(index));
        }
        if state.remaining.jumps > 0 {
            let farthest = 2 * rules.tolerance;
            steps.extend([-farthest, farthest].map(|skew| Step::Jump(index, skew)));
        }
    }
    if state.remaining.fail_overs > 0 {
        let choices = if setting.loses_rows {
            1 << state.count
        } else {
            1
        };
        for loses_rows in 0..choices {
            let losses = [true, false].into_iter();
            let losses = losses.filter(|loses_commit| *loses_commit || loses_rows != 0);
            steps.extend(losses.map(|loses_commit| Step::FailOver {
                loses_commit,
                loses_rows,
            }));
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
        Step::Load(index) => {
            let store = next.store;
            let replica = &mut next.replicas[index];
            if replica.held.version == store.set.version {
                return None;
            }
            replace(replica, store.set, &store, rules);
            Some(Outcome::of(next).marked(Mark::Loaded))
        }
        Step::Beat(index) => beat(next, index, setting),
        Step::BeatSlowly(index) => beat_slowly(next, index, setting),
        Step::LandHeartbeat(index) => land_heartbeat(next, index, setting),
        Step::Confirm(index) => confirm(next, index, rules),
        Step::Decide(index, command) => decide(next, index, command, setting),
        Step::Hang(index) => hang(next, index),
        Step::Land(index, answer) => land(next, index, answer, setting),
        Step::RollBack(index) => roll_back(next, index),
        Step::LookUpOutcome(index) => look_up_outcome(next, index, rules),
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
            next.remaining.crashes = next.remaining.crashes.checked_sub(1)?;
            let before = state.replicas[index];
            let mut commit = before.commit.filter(|commit| commit.hangs());
            if let Some(commit) = &mut commit
                && commit.phase == Phase::Hanging
            {
                commit.phase = Phase::Abandoned;
            }
            next.replicas[index] = Replica {
                row_of_killed: before.row,
                commit,
                ..Replica::starting(next.store.set, before.skew)
            };
            Some(Outcome::of(next))
        }
        Step::Jump(index, skew) => {
            next.remaining.jumps = next.remaining.jumps.checked_sub(1)?;
            let replica = &mut next.replicas[index];
            if replica.skew == skew {
                return None;
            }
            replica.skew = skew;
            Some(Outcome::of(next))
        }
        Step::FailOver {
            loses_commit,
            loses_rows,
        } => {
            next.remaining.fail_overs = next.remaining.fail_overs.checked_sub(1)?;
            forget(&mut next, loses_commit, rules)?;
            for (index, replica) in next.replicas_mut().iter_mut().enumerate() {
                replica.commit = replica.commit.filter(|commit| !commit.hangs());
                replica.heartbeat_in_flight = None;
                if matches!(replica.round, Round::Beating { .. }) {
                    replica.round = Round::None;
                }
                if loses_rows & (1 << index) != 0 {
                    replica.row = None;
                    replica.row_of_killed = None;
                }
            }
            Some(give_up_commits(next, rules))
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

/// Whether a heartbeat says that the replica has taken over the event of this number.
pub(crate) fn has_event(state: &State, row: &Row, number: u8, rules: &Rules) -> bool {
    let is_on_the_log = match rules.acknowledgement {
        Acknowledgement::OnTheLog => state.store.has(row.through),
        Acknowledgement::ByNumber => true,
    };
    is_on_the_log && row.through.number >= number
}

/// Every row, those of killed processes among them.
pub(crate) fn rows(state: &State) -> impl Iterator<Item = &Row> {
    state.replicas().iter().flat_map(Replica::rows)
}

/// What is read and is nothing new needs no swap.
fn read(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
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

fn swap(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
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

fn beat(mut next: State, index: usize, setting: &Setting) -> Option<Outcome> {
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

fn beat_slowly(mut next: State, index: usize, setting: &Setting) -> Option<Outcome> {
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
fn land_heartbeat(mut next: State, index: usize, setting: &Setting) -> Option<Outcome> {
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

fn confirm(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
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

fn hand_out(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let replica = &mut next.replicas[index];
    let Signature::Started { key, term } = replica.signature else {
        return None;
    };
    replica.signature = Signature::None;
    let within_term = term > 0 && clock_is_right(replica, rules);
    let is_revoked = replica.held.keys[usize::from(key)] == KeyState::Revoked;
    let refusal = match rules.second_check {
        SecondCheck::TermAndRevocation | SecondCheck::TermAlone if !within_term => {
            Some(Mark::NoLeaseAfterSigning)
        }
        SecondCheck::LeaseAlone if !holds(replica, rules) => Some(Mark::NoLeaseAfterSigning),
        SecondCheck::TermAndRevocation if is_revoked => Some(Mark::RevokedWhileSigning),
        _ => None,
    };
    let wrong = wrong_now(&next, key, rules);
    let mut outcome = Outcome::of(next);
    match refusal {
        Some(mark) => outcome = outcome.marked(mark),
        None => outcome.broken = wrong.map_or(Laws::NONE, Laws::of),
    }
    Some(outcome)
}

/// Which law a JWT breaks that is signed now by a key, by any replica.
fn wrong_now(state: &State, key: u8, rules: &Rules) -> Option<u8> {
    let (revoked_at, _) = state.witness.revoked[usize::from(key)]?;
    if state.witness.in_force[usize::from(key)] {
        Some(5)
    } else {
        (-revoked_at >= rules.max_staleness).then_some(4)
    }
}
