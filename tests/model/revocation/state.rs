//! Store, replicas and a verifier at one moment. Every instant is told in ticks from now, by the
//! store's time, as in the other model.

use std::hash::{Hash, Hasher};

use super::super::search::Mixer;
use super::super::state::{Instant, passes};
use super::rules::{CarriedTime, HeadLease, IatRounding, Rules};

/// The most replicas.
pub(crate) const REPLICAS: usize = 3;

/// What is on the log: nothing of the revocation, its opening, and its closing.
pub(crate) const NOTHING: u8 = 0;
pub(crate) const OPENED: u8 = 1;
pub(crate) const CLOSED: u8 = 2;

/// A place in the audit log: with one revocation the number says what is known of it. The branch is
/// how many fail-overs there had been, and stands for the event's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    pub(crate) number: u8,
    pub(crate) branch: u8,
}

/// What a participant knows of the revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Knowledge {
    pub(crate) position: Position,
    /// Of a closed revocation.
    pub(crate) issued_before: Instant,
}

/// A heartbeat in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    pub(crate) through: Position,
    pub(crate) seen_at: Instant,
    /// The replica's idea of the store's time at the heartbeat; what is not ahead says nothing.
    pub(crate) time: Instant,
}

/// How far a replica's round has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Round {
    None,
    /// It has asked and has read the store.
    Read {
        asked: Instant,
        knowledge: Knowledge,
        /// What it held when it read.
        replaces: Position,
    },
    /// It goes by what it has read.
    Swapped {
        asked: Instant,
    },
    /// Its heartbeat is in the store; the answer is on its way.
    Beaten {
        asked: Instant,
        stamp: Instant,
    },
}

/// A closing that is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DecidedClosing {
    /// The opening on which it was decided.
    pub(crate) base: Position,
    pub(crate) issued_before: Instant,
}

/// A JWT on its way out that the revocation matches: what has been taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Signature {
    pub(crate) term: Option<Instant>,
    pub(crate) iat: Option<Instant>,
    pub(crate) snapshot: Option<Knowledge>,
}

/// A head that is being built: what has been taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Building {
    Nothing,
    Time(Instant),
    Content(Knowledge),
}

/// A signed head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Head {
    pub(crate) iat: Instant,
    pub(crate) content: Knowledge,
}

/// A replica, and what the store knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Replica {
    /// How far its steady clock and the store's last answer put it ahead of the store.
    pub(crate) skew: i8,
    /// How far ahead of the store its idea of the store's time is.
    pub(crate) ahead: i8,
    /// Its snapshot.
    pub(crate) held: Knowledge,
    /// Up to where its rounds have taken over everything; its own commits do not move it.
    pub(crate) through: Position,
    /// Until when its lease lasts, by the steady clock, and when it asked for it.
    pub(crate) lease: Instant,
    pub(crate) asked: Instant,
    /// The stamp of the last heartbeat whose answer it has.
    pub(crate) acknowledged: Option<Instant>,
    pub(crate) round: Round,
    /// A closing on its way to the store.
    pub(crate) closing: Option<DecidedClosing>,
    /// The stamp of an opening on its way to the store, where the opener stamps it.
    pub(crate) opening: Option<Instant>,
    pub(crate) signature: Option<Signature>,
    pub(crate) building: Building,
    /// Whether it has opened the revocation, where a rule asks that.
    pub(crate) is_opener: bool,
    /// Its row while it is waited for, and that of the process that it was before it was killed.
    pub(crate) row: Option<Row>,
    pub(crate) row_of_killed: Option<Row>,
}

/// The store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) revocation: Knowledge,
    /// The branch of each event of the audit log.
    log: [u8; 3],
    /// When the revocation was opened, as its record says.
    pub(crate) opened_at: Instant,
    pub(crate) failed_over_at: Instant,
}

/// A verifier that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Verifier {
    pub(crate) head: Option<Head>,
    /// When it has received it, where a rule asks that.
    pub(crate) received_at: Instant,
    /// A head that a network delays, and may deliver more than once.
    pub(crate) delayed: Option<Head>,
}

/// What the laws remember. No rule reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Witness {
    /// The latest `iat` of a matching token that was signed without knowledge of the revocation.
    pub(crate) unknowing: Instant,
    /// When the opening and the closing were committed.
    pub(crate) committed_at: [Option<Instant>; 2],
    /// `in_force_at_verifiers.guaranteed`.
    pub(crate) guaranteed: Option<Instant>,
    /// Whether a token with knowledge of the closing has been handed out.
    pub(crate) good_token: bool,
    /// Whether the verifier has had a head from after the closing.
    pub(crate) told: bool,
}

/// How many more times something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Remaining {
    pub(crate) crashes: u8,
    pub(crate) fail_overs: u8,
    /// The store corrects a replica's idea of its time.
    pub(crate) corrections: u8,
    /// A caller opens the revocation.
    pub(crate) openings: u8,
}

/// Everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// How many ticks have passed of the second.
    pub(crate) phase: Instant,
    pub(crate) store: Store,
    pub(crate) replicas: [Replica; REPLICAS],
    pub(crate) count: u8,
    pub(crate) verifier: Verifier,
    pub(crate) witness: Witness,
    pub(crate) remaining: Remaining,
}

/// How long ago things can be and still matter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Oldest {
    pub(crate) question: Instant,
    /// Of the question for a lease.
    pub(crate) asked: Instant,
    pub(crate) heartbeat: Instant,
    pub(crate) row: Instant,
    pub(crate) opening: Instant,
    pub(crate) fail_over: Instant,
    /// Of a head at a verifier.
    pub(crate) vouched: Instant,
    /// Of a commit that a head is compared with.
    pub(crate) commit: Instant,
    /// Of `issued_before`.
    pub(crate) issued_before: Instant,
    /// Of an `iat` that is compared with either.
    pub(crate) token: Instant,
    pub(crate) stamp: Instant,
}

impl Oldest {
    pub(crate) fn of(rules: &Rules, signs: bool) -> Self {
        let longest_signature = if signs { rules.max_staleness } else { 0 };
        let issued_before = -rules.tolerance - rules.second - longest_signature;
        let vouched = -rules.max_age - 1;
        let commit = vouched.min(-rules.max_staleness - rules.tolerance - rules.second);
        Self {
            question: -rules.max_staleness,
            asked: match rules.head_lease {
                HeadLease::Asked => -rules.max_staleness,
                HeadLease::Ignored => commit,
            },
            heartbeat: -rules.live_for - 1,
            row: -rules.waited_for - 1,
            opening: -rules.closed_anyway_after - rules.tolerance,
            fail_over: -rules.rows_missing_for,
            vouched,
            commit,
            issued_before,
            token: vouched.min(issued_before - rules.second),
            stamp: -(rules.switch_over + rules.tolerance) - 1,
        }
    }
}

impl Position {
    pub(crate) const FIRST: Self = Self {
        number: NOTHING,
        branch: 0,
    };
}

impl Knowledge {
    pub(crate) const NONE: Self = Self {
        position: Position::FIRST,
        issued_before: 0,
    };

    pub(crate) fn is(&self, number: u8) -> bool {
        self.position.number == number
    }

    /// Whether a signer that knows this may hand out a matching token of this `iat`.
    pub(crate) fn lets_pass(&self, iat: Instant) -> bool {
        self.is(NOTHING) || self.is(CLOSED) && iat >= self.issued_before
    }

    fn passes(&mut self, oldest: &Oldest) {
        if self.is(CLOSED) {
            passes(&mut self.issued_before, oldest.issued_before);
        }
    }
}

impl Store {
    pub(crate) fn first(oldest: &Oldest) -> Self {
        Self {
            revocation: Knowledge::NONE,
            log: [0; 3],
            opened_at: oldest.opening,
            failed_over_at: oldest.fail_over,
        }
    }

    /// Whether the audit log has this event, and not another of the same number.
    pub(crate) fn has(&self, position: Position) -> bool {
        position.number <= self.revocation.position.number
            && self.log[usize::from(position.number)] == position.branch
    }

    pub(crate) fn write(&mut self, revocation: Knowledge) {
        let Position { number, branch } = revocation.position;
        self.log[usize::from(number)] = branch;
        self.revocation = revocation;
    }

    /// Forgets the last commit.
    pub(crate) fn lose_last(&mut self) -> Option<()> {
        let number = self.revocation.position.number.checked_sub(1)?;
        self.log[usize::from(number) + 1] = 0;
        self.revocation = Knowledge {
            position: Position {
                number,
                branch: self.log[usize::from(number)],
            },
            issued_before: 0,
        };
        Some(())
    }
}

impl Replica {
    pub(crate) fn starting(
        knowledge: Knowledge,
        through: Position,
        skew: i8,
        oldest: &Oldest,
    ) -> Self {
        Self {
            skew,
            ahead: skew,
            held: knowledge,
            through,
            lease: 0,
            asked: oldest.asked,
            acknowledged: None,
            round: Round::None,
            closing: None,
            opening: None,
            signature: None,
            building: Building::Nothing,
            is_opener: false,
            row: None,
            row_of_killed: None,
        }
    }

    /// The rows of it that are waited for.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.row.iter().chain(&self.row_of_killed)
    }

    /// The store's answer corrects the replica's idea of its time.
    pub(crate) fn correct(&mut self, skew: i8, rules: &Rules) {
        self.skew = skew;
        self.ahead = match rules.carried_time {
            CarriedTime::NeverGoesBack => self.ahead.max(skew),
            CarriedTime::GoesBack => skew,
        };
    }

    fn tick(&mut self, oldest: &Oldest, rules: &Rules) {
        if self.ahead > self.skew {
            self.ahead -= 1;
        }
        self.held.passes(oldest);
        passes(&mut self.lease, 0);
        passes(&mut self.asked, oldest.asked);
        if let Some(closing) = &mut self.closing {
            passes(&mut closing.issued_before, oldest.issued_before);
        }
        if let Some(stamp) = &mut self.opening {
            passes(stamp, oldest.stamp);
        }
        forget_from(&mut self.acknowledged, oldest.heartbeat, |stamp| stamp);
        match &mut self.round {
            Round::None => {}
            Round::Read {
                asked, knowledge, ..
            } => {
                passes(asked, oldest.question);
                knowledge.passes(oldest);
            }
            Round::Swapped { asked } => passes(asked, oldest.question),
            Round::Beaten { asked, stamp } => {
                passes(asked, oldest.question);
                passes(stamp, oldest.heartbeat);
            }
        }
        if let Some(signature) = &mut self.signature {
            if let Some(term) = &mut signature.term {
                passes(term, 0);
            }
            if let Some(iat) = &mut signature.iat {
                passes(iat, oldest.token);
            }
            if let Some(snapshot) = &mut signature.snapshot {
                snapshot.passes(oldest);
            }
            if signature.term == Some(0) && rules.second_check.asks_term() {
                // It hands nothing out any more.
                self.signature = None;
            }
        }
        match &mut self.building {
            Building::Nothing => {}
            Building::Time(time) => passes(time, oldest.commit),
            Building::Content(content) => content.passes(oldest),
        }
        for row in [&mut self.row, &mut self.row_of_killed] {
            if let Some(row) = row {
                passes(&mut row.time, 0);
            }
            forget_from(row, oldest.row, |row| &mut row.seen_at);
        }
    }
}

/// A tick passes, and what is over is forgotten.
fn forget_from<T>(kept: &mut Option<T>, oldest: Instant, instant: impl Fn(&mut T) -> &mut Instant) {
    if let Some(value) = kept {
        let instant = instant(value);
        passes(instant, oldest);
        if *instant == oldest {
            *kept = None;
        }
    }
}

impl Head {
    fn passes(&mut self, oldest: &Oldest) {
        passes(&mut self.iat, oldest.vouched);
        self.content.passes(oldest);
    }
}

impl State {
    pub(crate) fn replicas(&self) -> &[Replica] {
        &self.replicas[..usize::from(self.count)]
    }

    pub(crate) fn replicas_mut(&mut self) -> &mut [Replica] {
        &mut self.replicas[..usize::from(self.count)]
    }

    /// The last whole second at an instant.
    pub(crate) fn second_before(&self, instant: Instant, rules: &Rules) -> Instant {
        instant - (instant + self.phase).rem_euclid(rules.second)
    }

    /// The first whole second at an instant.
    pub(crate) fn second_after(&self, instant: Instant, rules: &Rules) -> Instant {
        instant + (-instant - self.phase).rem_euclid(rules.second)
    }

    /// The `iat` that a replica would give a token now.
    pub(crate) fn iat(&self, index: usize, rules: &Rules) -> Instant {
        let time = self.replicas[index].ahead;
        match rules.iat_rounding {
            IatRounding::Down => self.second_before(time, rules),
            IatRounding::Up => self.second_after(time, rules),
        }
    }

    /// One tick passes everywhere.
    pub(crate) fn tick(&mut self, oldest: &Oldest, rules: &Rules) {
        self.phase = (self.phase + 1) % rules.second;
        self.store.revocation.passes(oldest);
        passes(&mut self.store.opened_at, oldest.opening);
        passes(&mut self.store.failed_over_at, oldest.fail_over);
        for replica in self.replicas_mut() {
            replica.tick(oldest, rules);
        }
        let verifier = &mut self.verifier;
        for head in verifier.head.iter_mut().chain(&mut verifier.delayed) {
            head.passes(oldest);
        }
        passes(&mut verifier.received_at, oldest.vouched);
        let witness = &mut self.witness;
        passes(&mut witness.unknowing, oldest.token);
        for committed_at in witness.committed_at.iter_mut().flatten() {
            passes(committed_at, oldest.commit);
        }
        if let Some(guaranteed) = &mut witness.guaranteed {
            passes(guaranteed, -1);
        }
    }

    /// A number that only states have in common that differ in nothing but the order of their
    /// replicas.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut sorted = *self;
        sorted.replicas_mut().sort_unstable();
        let mut hasher = Mixer::default();
        hasher.write_i8(sorted.phase);
        sorted.store.hash(&mut hasher);
        sorted.replicas().hash(&mut hasher);
        sorted.verifier.hash(&mut hasher);
        sorted.witness.hash(&mut hasher);
        sorted.remaining.hash(&mut hasher);
        hasher.finish()
    }
}
