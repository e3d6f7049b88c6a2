//! What can happen next. A replica that is frozen, slow or cut off is one that takes no step while
//! time passes; no step is ever bound to happen.

use super::closing::{close, decide_closing, land_closing};
use super::feed::{build_head, deliver, serve_head};
use super::opening::{decide, fail_over, land, open};
use super::round::{beat, confirm, crash, read, swap};
use super::rules::OpeningStamp;
use super::setting::Setting;
use super::signing::sign;
use super::state::{NOTHING, OPENED, Replica, Round, State};

/// One step. A replica is named by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A tick of time passes.
    Tick,
    /// Asks the store what has changed, and reads it.
    Read(usize),
    /// Goes by what it has read.
    Swap(usize),
    /// Its heartbeat is written and committed.
    Beat(usize),
    /// The answer arrives and renews the lease.
    Confirm(usize),
    /// The revocation is opened by a replica.
    Open(usize, Answer),
    /// A replica decides to open it, and stamps that.
    Decide(usize),
    /// The opening that it has decided is committed.
    Land(usize, Answer),
    /// The revocation is closed by a replica.
    Close(usize, Answer),
    /// A replica decides to close it.
    DecideClosing(usize),
    /// The closing that it has decided is committed.
    LandClosing(usize, Answer),
    /// Takes the next thing that a signature needs, or hands the JWT out.
    Sign(usize),
    /// Takes the first thing that a head needs.
    BuildHead(usize),
    /// Takes the rest, and the head goes to the verifier.
    ServeHead(usize, Way),
    /// A head that was delayed arrives, maybe again.
    Deliver,
    /// Is killed and started again.
    Crash(usize),
    /// The store corrects the replica's idea of its time.
    Correct(usize, i8),
    /// A standby takes over, which may lack the last commit and the rows of some replicas.
    FailOver { loses_commit: bool, loses_rows: u8 },
}

/// Whether a commit's answer arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Arrives,
    IsLost,
}

/// How a head comes to the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    AtOnce,
    Delayed,
}

/// Something that a search must have met to have searched anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    ClosedByAcknowledgement,
    ClosedAnyway,
    ClosedWithoutSome,
    WaitedForAcknowledgement,
    LateClosingRefused,
    RowsNotBelieved,
    StatedTimeCounted,
    HeldWhileOpen,
    WaitedForIssuedBefore,
    SignedKnowing,
    NoTermAfterSigning,
    RevokedWhileSigning,
    HistoryLost,
    ReadAgain,
    BackFromTheDead,
    HeadWithOpenRecord,
    HeadWithClosedRecord,
    OlderHeadIgnored,
    Guaranteed,
    GoodTokenPastOpenRecord,
}

impl Mark {
    /// All of them.
    pub(crate) const ALL: [Self; 20] = [
        Self::ClosedByAcknowledgement,
        Self::ClosedAnyway,
        Self::ClosedWithoutSome,
        Self::WaitedForAcknowledgement,
        Self::LateClosingRefused,
        Self::RowsNotBelieved,
        Self::StatedTimeCounted,
        Self::HeldWhileOpen,
        Self::WaitedForIssuedBefore,
        Self::SignedKnowing,
        Self::NoTermAfterSigning,
        Self::RevokedWhileSigning,
        Self::HistoryLost,
        Self::ReadAgain,
        Self::BackFromTheDead,
        Self::HeadWithOpenRecord,
        Self::HeadWithClosedRecord,
        Self::OlderHeadIgnored,
        Self::Guaranteed,
        Self::GoodTokenPastOpenRecord,
    ];
}

/// What comes of a step.
pub(crate) type Outcome = super::super::search::Outcome<State>;

impl From<Mark> for u32 {
    fn from(mark: Mark) -> Self {
        mark as Self
    }
}

/// Every step that might be possible.
pub(crate) fn candidates(state: &State, setting: &Setting, steps: &mut Vec<Step>) {
    let rules = &setting.rules;
    let answers = [Answer::Arrives, Answer::IsLost];
    steps.clear();
    steps.push(Step::Tick);
    for (index, replica) in state.replicas().iter().enumerate() {
        steps.push(Step::Read(index));
        match replica.round {
            Round::None => {}
            Round::Read { .. } => steps.push(Step::Swap(index)),
            Round::Swapped { .. } => steps.push(Step::Beat(index)),
            Round::Beaten { .. } => steps.push(Step::Confirm(index)),
        }
        match state.store.revocation.position.number {
            NOTHING if rules.opening == OpeningStamp::OpenersAtDecision => {
                steps.push(Step::Decide(index));
                steps.extend(answers.map(|answer| Step::Land(index, answer)));
            }
            NOTHING => steps.extend(answers.map(|answer| Step::Open(index, answer))),
            _ if setting.closes_slowly => {
                steps.push(Step::DecideClosing(index));
                steps.extend(answers.map(|answer| Step::LandClosing(index, answer)));
            }
            OPENED => steps.extend(answers.map(|answer| Step::Close(index, answer))),
            _ => {}
        }
        if setting.signs {
            steps.push(Step::Sign(index));
        }
        if setting.builds {
            steps.push(Step::BuildHead(index));
        }
        if setting.follows {
            steps.push(Step::ServeHead(index, Way::AtOnce));
        }
        if setting.delays {
            steps.push(Step::ServeHead(index, Way::Delayed));
        }
        if state.remaining.crashes > 0 {
            steps.push(Step::Crash(index));
        }
        if state.remaining.corrections > 0 {
            let farthest = rules.tolerance;
            steps.extend([-farthest, 0, farthest].map(|skew| Step::Correct(index, skew)));
        }
    }
    if state.verifier.delayed.is_some() {
        steps.push(Step::Deliver);
    }
    if state.remaining.fail_overs > 0 {
        for loses_rows in 0..1 << state.count {
            let losses = [true, false].into_iter();
            let losses = losses.filter(|loses_commit| setting.loses_commits || !loses_commit);
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
            next.tick(&setting.oldest(), rules);
            let signs = |state: &State| state.replicas().iter().any(|one| one.signature.is_some());
            let gives_up = signs(state) && !signs(&next);
            Some(Outcome::of(next).marked_if(gives_up, Mark::NoTermAfterSigning))
        }
        Step::Read(index) => read(next, index),
        Step::Swap(index) => swap(next, index),
        Step::Beat(index) => beat(next, index, rules),
        Step::Confirm(index) => confirm(next, index, rules),
        Step::Open(index, answer) => open(next, index, answer, setting),
        Step::Decide(index) => decide(next, index),
        Step::Land(index, answer) => land(next, index, answer, setting),
        Step::Close(index, answer) => close(next, index, answer, setting),
        Step::DecideClosing(index) => decide_closing(next, index, setting),
        Step::LandClosing(index, answer) => land_closing(next, index, answer, setting),
        Step::Sign(index) => sign(next, index, rules),
        Step::BuildHead(index) => build_head(next, index, rules),
        Step::ServeHead(index, way) => serve_head(next, index, way, setting),
        Step::Deliver => deliver(next, rules),
        Step::Crash(index) => crash(next, index, setting),
        Step::Correct(index, skew) => {
            next.remaining.corrections = next.remaining.corrections.checked_sub(1)?;
            let replica = &mut next.replicas[index];
            if replica.skew == skew {
                return None;
            }
            replica.correct(skew, rules);
            Some(Outcome::of(next))
        }
        Step::FailOver {
            loses_commit,
            loses_rows,
        } => fail_over(next, loses_commit, loses_rows),
    }
}

/// Whether a replica may sign and commit.
pub(crate) fn holds(replica: &Replica) -> bool {
    replica.lease > 0
}
