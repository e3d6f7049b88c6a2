//! What can happen next. A replica that is frozen, slow or cut off is one that takes no step while
//! time passes; no step is ever bound to happen.

use super::change::{decide, give_up_commits, hang, land, look_up_outcome, roll_back};
use super::laws::forget;
use super::round::{beat, beat_slowly, confirm, land_heartbeat, load, read, swap};
use super::rules::{Acknowledgement, ClockRule, LeaseFrom, Rules, SecondCheck};
use super::search::Laws;
use super::setting::Setting;
use super::state::{KEYS, KeyState, Phase, Replica, Round, Row, Signature, State};

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
    /// The same, with the canary.
    SignAsCanary(usize),
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
    StartCanary,
    StopCanary,
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
    CanaryStarted,
    CanaryStopped,
    CanaryPromoted,
}

impl Mark {
    /// All of them.
    pub(crate) const ALL: [Self; 28] = [
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
        Self::CanaryStarted,
        Self::CanaryStopped,
        Self::CanaryPromoted,
    ];
}

/// What comes of a step.
pub(crate) type Outcome = super::search::Outcome<State>;

impl From<Mark> for u32 {
    fn from(mark: Mark) -> Self {
        mark as Self
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
            Signature::None => {
                steps.push(Step::Sign(index));
                if setting.canaries {
                    steps.push(Step::SignAsCanary(index));
                }
            }
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
            if setting.canaries {
                let commands = [Command::StartCanary, Command::StopCanary];
                steps.extend(commands.map(|command| Step::Decide(index, command)));
            }
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
        Step::Load(index) => load(next, index, rules),
        Step::Beat(index) => beat(next, index, setting),
        Step::BeatSlowly(index) => beat_slowly(next, index, setting),
        Step::LandHeartbeat(index) => land_heartbeat(next, index, setting),
        Step::Confirm(index) => confirm(next, index, rules),
        Step::Decide(index, command) => decide(next, index, command, setting),
        Step::Hang(index) => hang(next, index),
        Step::Land(index, answer) => land(next, index, answer, setting),
        Step::RollBack(index) => roll_back(next, index),
        Step::LookUpOutcome(index) => look_up_outcome(next, index, rules),
        Step::Sign(index) | Step::SignAsCanary(index) => {
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
            let key = match step {
                Step::SignAsCanary(_) => replica.held.canary()?,
                _ => replica.held.active()?,
            };
            let key = u8::try_from(key).ok()?;
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
