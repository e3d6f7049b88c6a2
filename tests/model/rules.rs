//! The rules that replicas go by, one field for each that could be got wrong.

use super::state::{Instant, Oldest};

/// How the protocol is played: its durations in ticks, and its rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How long a commit may take until its deadline check (`SWITCH_OVER`).
    pub(crate) switch_over: Instant,
    /// For how long what was read may be used (`store.max_staleness`).
    pub(crate) max_staleness: Instant,
    /// How far a clock may be from the store's (`CLOCK_TOLERANCE`).
    pub(crate) tolerance: Instant,
    /// For how long a served set is fresh (`Policy::freshness`).
    pub(crate) freshness: Instant,
    /// For how long a JWT lives (`Policy::max_token_ttl`).
    pub(crate) ttl: Instant,

    /// What a successor waits for, beside the freshness (`Moment::overlap`).
    pub(crate) overlap_of_knowledge: Instant,
    /// How long a key is published after it retired, beside the lifetime of its JWTs.
    pub(crate) overlap_of_retention: Instant,
    /// For how long a silent replica counts as live (`Roll::is_live`).
    pub(crate) live_for: Instant,
    /// How long after a fail-over a row that is missing may belong to a replica with a lease.
    pub(crate) rows_missing_for: Instant,
    pub(crate) lease: LeaseFrom,
    pub(crate) clock: ClockRule,
    pub(crate) reading: Reading,
    pub(crate) renewal: Renewal,
    pub(crate) heartbeat: HeartbeatComes,
    pub(crate) second_check: SecondCheck,
    pub(crate) activation: Activation,
    pub(crate) canary: CanaryRule,
    pub(crate) stopped_canary: StoppedCanary,
    pub(crate) commit: CommitRule,
    /// What a commit asks of its age.
    pub(crate) lateness: Lateness,
    pub(crate) identity: Identity,
    pub(crate) acknowledgement: Acknowledgement,
    pub(crate) history: HistoryCheck,
    pub(crate) swap: Swap,
    pub(crate) final_records: FinalRecords,
    pub(crate) unknown_outcome: UnknownOutcome,
}

/// When a lease begins (`Lease::renew`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseFrom {
    /// When the store was asked.
    Question,
    /// When the answer was there.
    Answer,
    /// There is none.
    Nothing,
}

/// What a clock is compared with (`Lease::holds`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockRule {
    /// The store's, carried on by the steady clock.
    StoresCarriedOn,
    /// Itself, at the time of the last confirmation.
    ItselfWhenConfirmed,
}

/// What a round's reading waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// For a commit that is between its deadline check and its landing.
    BehindTheLock,
    AtOnce,
}

/// Which heartbeats renew the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// One whose answer arrives while the heartbeat still counts as live whose answer the replica
    /// had before it asked.
    WhileAcknowledgedIsLive,
    /// One whose answer arrives while the row that it replaced still counts as live.
    WhileFoundRowIsLive,
    /// One that told of everything that the store had when it was written.
    WhenNothingIsNewer,
    /// One that was written while the replica's row counted as live.
    WhileRowIsLive,
    /// One of which either is true.
    WhenNothingIsNewerOrRowIsLive,
    /// Every one.
    Always,
    /// Reading renews it, without a heartbeat.
    ByReading,
}

/// When a replica says that it has taken a change over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeartbeatComes {
    AfterTheSwap,
    BeforeTheSwap,
}

/// What is asked after a signature and before the JWT leaves (`LeasedView::may_hand_out`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecondCheck {
    /// Whether the term under which the snapshot was taken is still running, and no newer snapshot
    /// knows the key as revoked.
    TermAndRevocation,
    TermAlone,
    /// Whether a lease holds, which may be a later one.
    LeaseAlone,
    Nothing,
}

/// When a successor takes over by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// When it is ready and all live replicas have taken over the set that published it.
    ReadyAndAcknowledged,
    /// At any moment.
    AtOnce,
}

/// When a successor begins to sign a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CanaryRule {
    /// Like one that takes over, and beside no other canary.
    LikeAnActivation,
    /// The same, beside others.
    BesideOthers,
    /// At any moment.
    AtOnce,
}

/// What becomes of a canary that is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoppedCanary {
    /// It is published until its last token has expired.
    Retires,
    /// It leaves the set, as one that has signed nothing.
    Leaves,
}

/// What a commit asks of the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitRule {
    CompareAndSwap,
    LastWins,
}

/// What the store asks of a commit's stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lateness {
    /// It is at most a switch-over and a tolerance before the store's time.
    Refused,
    Ignored,
}

/// By what two versions of a set are told apart: in a commit's comparison, and when a replica
/// takes over what it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// By the token, for equality.
    Token,
    /// By the number, the greater one being the newer.
    Number,
}

/// Which heartbeats count as having an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledgement {
    /// Those whose number and hash are on the store's log, at that event or after it.
    OnTheLog,
    /// Those whose number is not below.
    ByNumber,
}

/// Of what a replica asks, when it reads, whether it is on the store's log. If it is not, the
/// replica reads everything, and otherwise what came after `through`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistoryCheck {
    /// Of everything that it holds: of what its rounds have taken over, and of what it has
    /// committed or loaded since.
    EverythingHeld,
    /// Of the last event that it knows.
    NewestKnown,
    /// Of what its rounds have taken over.
    Through,
    /// Of nothing: it reads what has a greater number.
    Nothing,
}

/// What a replica puts in the place of its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swap {
    /// What it has read, unless its own commit came in between: then it reads again.
    UnlessChangedSince,
    /// What it has read.
    Always,
}

/// What the store does with a write to a revoked key's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FinalRecords {
    Refused,
    Written,
}

/// What a caller is told whose commit gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownOutcome {
    /// What the store shows once the lock is free.
    LookedUpBehindTheLock,
    /// What the store shows.
    LookedUpAtOnce,
}

impl Rules {
    /// The protocol as it is, with these durations.
    pub(crate) fn sound(max_staleness: Instant, tolerance: Instant) -> Self {
        let switch_over = 1;
        // Time is counted in whole ticks: a lease that is over at its end was last used a tick before.
        let last_use = max_staleness - 1;
        let overlap = switch_over + last_use + 2 * tolerance;
        Self {
            switch_over,
            max_staleness,
            tolerance,
            freshness: 1,
            ttl: 1,
            overlap_of_knowledge: overlap,
            overlap_of_retention: overlap,
            live_for: last_use,
            rows_missing_for: max_staleness,
            lease: LeaseFrom::Question,
            clock: ClockRule::StoresCarriedOn,
            reading: Reading::BehindTheLock,
            renewal: Renewal::WhileAcknowledgedIsLive,
            heartbeat: HeartbeatComes::AfterTheSwap,
            second_check: SecondCheck::TermAndRevocation,
            activation: Activation::ReadyAndAcknowledged,
            canary: CanaryRule::LikeAnActivation,
            stopped_canary: StoppedCanary::Retires,
            commit: CommitRule::CompareAndSwap,
            lateness: Lateness::Refused,
            identity: Identity::Token,
            acknowledgement: Acknowledgement::OnTheLog,
            history: HistoryCheck::EverythingHeld,
            swap: Swap::UnlessChangedSince,
            final_records: FinalRecords::Refused,
            unknown_outcome: UnknownOutcome::LookedUpBehindTheLock,
        }
    }

    /// How long ago things can be and still matter, where no clock is behind by more than `behind`.
    pub(crate) fn oldest(&self, behind: Instant) -> Oldest {
        Oldest {
            key: -behind,
            question: -self.max_staleness,
            heartbeat: -self.live_for - 1,
            stamp: -(self.switch_over + self.tolerance) - 1,
        }
    }
}
