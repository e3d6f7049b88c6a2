//! The rules that replicas go by, one field for each that could be got wrong.

use super::state::{Instant, Oldest};

/// How the protocol is played: its durations in ticks, and its rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How long a commit may take (`SWITCH_OVER`).
    pub(crate) switch_over: Instant,
    /// For how long what was read may be used (`store.max_staleness`).
    pub(crate) max_staleness: Instant,
    /// How far a clock may be from the store's (`CLOCK_TOLERANCE`).
    pub(crate) tolerance: Instant,
    /// For how long a served set is fresh (`Policy::freshness`).
    pub(crate) freshness: Instant,
    /// For how long a token lives (`Policy::max_token_ttl`).
    pub(crate) ttl: Instant,

    /// What a successor waits for, beside the freshness (`Moment::overlap`).
    pub(crate) overlap_of_knowledge: Instant,
    /// How long a key is published after it retired, beside the lifetime of its tokens.
    pub(crate) overlap_of_retention: Instant,
    /// For how long a silent replica counts as live (`Roll::is_live`).
    pub(crate) live_for: Instant,
    pub(crate) lease: LeaseFrom,
    pub(crate) clock: ClockRule,
    pub(crate) renewal: Renewal,
    pub(crate) heartbeat: HeartbeatComes,
    pub(crate) second_check: SecondCheck,
    pub(crate) activation: Activation,
    pub(crate) commit: CommitRule,
    /// What a commit asks of its age.
    pub(crate) lateness: Lateness,
}

/// When a lease begins (`Lease::confirm`).
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

/// Which heartbeats renew the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// One that told of everything that the store had when it was written.
    WhenNothingIsNewer,
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

/// What is asked after a signature and before the token leaves (`LeasedView::may_hand_out`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecondCheck {
    /// Whether the term under which the snapshot was taken is still running, and no newer snapshot
    /// knows the key as revoked.
    TermAndOffice,
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
    /// Whenever somebody likes.
    AtOnce,
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
            lease: LeaseFrom::Question,
            clock: ClockRule::StoresCarriedOn,
            renewal: Renewal::WhenNothingIsNewer,
            heartbeat: HeartbeatComes::AfterTheSwap,
            second_check: SecondCheck::TermAndOffice,
            activation: Activation::ReadyAndAcknowledged,
            commit: CommitRule::CompareAndSwap,
            lateness: Lateness::Refused,
        }
    }

    /// How long ago things can be and still matter, where no clock is behind by more than `behind`.
    pub(crate) fn oldest(&self, behind: Instant) -> Oldest {
        Oldest {
            life: -behind,
            question: -self.max_staleness,
            heartbeat: -self.live_for - 1,
            stamp: -(self.switch_over + self.tolerance) - 1,
        }
    }
}
