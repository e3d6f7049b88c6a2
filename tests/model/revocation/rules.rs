//! The rules by which tokens are taken back, one field for each that could be got wrong.

use super::super::state::Instant;

/// How the protocol is played: its durations in ticks, and its rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How many ticks a second has. `iat` and `issued_before` are whole seconds.
    pub(crate) second: Instant,
    /// How long a commit may take until its deadline check (`SWITCH_OVER`).
    pub(crate) switch_over: Instant,
    /// For how long what was read may be used (`store.max_staleness`).
    pub(crate) max_staleness: Instant,
    /// How far a replica's idea of the store's time may be off (`CLOCK_TOLERANCE`).
    pub(crate) tolerance: Instant,
    /// For how long a head vouches for a token.
    pub(crate) max_age: Instant,

    /// For how long a silent replica counts as live.
    pub(crate) live_for: Instant,
    /// For how long a silent replica is waited for that has not acknowledged: as its idea of the time
    /// may be ahead, its last tokens may say that they were issued after its lease had ended.
    pub(crate) waited_for: Instant,
    /// How long after a fail-over a row that is missing may belong to one that is waited for.
    pub(crate) rows_missing_for: Instant,
    /// How long after its opening a revocation is closed without acknowledgements.
    pub(crate) closed_anyway_after: Instant,
    pub(crate) opening: OpeningStamp,
    pub(crate) closing: Closing,
    pub(crate) closing_time: ClosingTime,
    pub(crate) closer: Closer,
    pub(crate) late_closing: LateClosing,
    pub(crate) basis: IssuedBeforeBasis,
    pub(crate) rounding: IssuedBeforeRounding,
    pub(crate) carried_time: CarriedTime,
    pub(crate) iat_rounding: IatRounding,
    pub(crate) order: SigningOrder,
    pub(crate) second_check: SecondCheck,
    pub(crate) knowing_signer: KnowingSigner,
    pub(crate) start: Start,
    pub(crate) head_time: HeadTime,
    pub(crate) head_rounding: HeadRounding,
    pub(crate) head_order: HeadOrder,
    pub(crate) head_lease: HeadLease,
    pub(crate) kept_head: KeptHead,
    pub(crate) freshness: Freshness,
    pub(crate) open_record: OpenRecord,
}

/// From when on the wait for a replica that does not acknowledge is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpeningStamp {
    /// From the store's time when the opening is committed.
    StoresAtCommit,
    /// From the time at which the replica that opens has decided it, by its own idea.
    OpenersAtDecision,
}

/// Whose acknowledgement a closing waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    EveryLiveReplica,
    AnyReplica,
    WithoutAsking,
}

/// By whose time the wait for a replica that does not acknowledge is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClosingTime {
    Stores,
    Closers,
}

/// Which replica closes a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closer {
    Anybody,
    WhoHasOpened,
}

/// What the store does with a closing that is committed when `issued_before` has passed: heads may
/// have an open record and a later time by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LateClosing {
    Refused,
    Committed,
}

/// Which moment `issued_before` comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IssuedBeforeBasis {
    /// The latest of the store's time and what each live replica stated in its heartbeat.
    StoreAndStated,
    /// The store's time.
    Store,
    /// The latest that a replica's idea of the store's time can be.
    StoreAndTolerance,
    /// The time of the replica that closes, by its own idea.
    Closer,
}

/// Which whole second after that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IssuedBeforeRounding {
    UpPlusOne,
    DownPlusOne,
    Up,
}

/// What a replica's idea of the store's time does when the store corrects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CarriedTime {
    /// It stands still until the store's time has caught up.
    NeverGoesBack,
    GoesBack,
}

/// How `iat` becomes a whole second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IatRounding {
    Down,
    Up,
}

/// In which order a signature takes what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SigningOrder {
    TermIatSnapshot,
    IatTermSnapshot,
    TermSnapshotIat,
    IatSnapshotTerm,
}

/// What is asked after a signature and before the JWT leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecondCheck {
    /// Whether the term is still running, and whether the newest snapshot lets the JWT pass as well.
    TermAndRevocations,
    TermAlone,
    RevocationsAlone,
}

/// What a signer does that knows a closed revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnowingSigner {
    WaitsForIssuedBefore,
    SignsAtOnce,
}

/// What a process begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    LoadsRevocations,
    KnowsNone,
}

/// The `iat` of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadTime {
    /// The store's time when the lease was asked for, as the store told it.
    StoresWhenAsked,
    /// The same moment, by the replica's idea of the store's time.
    OwnWhenAsked,
    /// When the round under way asked, whose answer the replica may not serve yet.
    RoundUnderWay,
    Now,
}

/// How the `iat` of a head becomes a whole second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadRounding {
    Down,
    Up,
}

/// In which order a head takes what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadOrder {
    TimeThenContent,
    ContentThenTime,
}

/// Whether a replica without a lease serves heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadLease {
    Asked,
    Ignored,
}

/// Which head a verifier keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeptHead {
    Greatest,
    LastReceived,
}

/// From when on a verifier counts a head's age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    HeadTime,
    Receipt,
}

/// Which matching tokens a verifier refuses by an open record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenRecord {
    /// Those that were issued up to the head's time.
    RefusesThroughHeadTime,
    RefusesAll,
}

impl SecondCheck {
    pub(crate) fn asks_term(self) -> bool {
        self != Self::RevocationsAlone
    }
}

impl Rules {
    /// What an answer says: how long after the closing no verifier accepts what was revoked.
    pub(crate) fn guaranteed_after(&self) -> Instant {
        let rounding = match self.iat_rounding {
            IatRounding::Down => 0,
            IatRounding::Up => self.second - 1,
        };
        self.max_age + self.tolerance + rounding
    }

    /// The protocol as it is, with these durations.
    pub(crate) fn sound(second: Instant, max_staleness: Instant, tolerance: Instant) -> Self {
        Self {
            second,
            switch_over: 1,
            max_staleness,
            tolerance,
            max_age: 1,
            // Time is counted in whole ticks: a lease that is over at its end was last used a tick
            // before.
            live_for: max_staleness - 1,
            waited_for: max_staleness - 1 + tolerance,
            rows_missing_for: max_staleness + tolerance,
            closed_anyway_after: max_staleness + 2 * tolerance,
            opening: OpeningStamp::StoresAtCommit,
            closing: Closing::EveryLiveReplica,
            closing_time: ClosingTime::Stores,
            closer: Closer::Anybody,
            late_closing: LateClosing::Refused,
            basis: IssuedBeforeBasis::StoreAndStated,
            rounding: IssuedBeforeRounding::UpPlusOne,
            carried_time: CarriedTime::NeverGoesBack,
            iat_rounding: IatRounding::Down,
            order: SigningOrder::TermIatSnapshot,
            second_check: SecondCheck::TermAndRevocations,
            knowing_signer: KnowingSigner::WaitsForIssuedBefore,
            start: Start::LoadsRevocations,
            head_time: HeadTime::StoresWhenAsked,
            head_rounding: HeadRounding::Down,
            head_order: HeadOrder::TimeThenContent,
            head_lease: HeadLease::Asked,
            kept_head: KeptHead::Greatest,
            freshness: Freshness::HeadTime,
            open_record: OpenRecord::RefusesThroughHeadTime,
        }
    }
}
