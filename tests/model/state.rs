//! Store, replicas and verifiers at one moment. Every instant is told in ticks from now, so that
//! two moments at which everything lies equally far ahead or behind are one state, and time needs no
//! end.

use std::hash::{Hash, Hasher};

use super::search::Mixer;

/// How many keys there will ever be.
pub(crate) const KEYS: usize = 3;

/// The most replicas.
pub(crate) const REPLICAS: usize = 3;

/// The most events that the audit log can have, those of the progress check among them.
const EVENTS: usize = 16;

/// An instant, in ticks from now: negative when it has passed.
pub(crate) type Instant = i8;

/// A key's state (`lifecycle::State`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum KeyState {
    Absent,
    Pending {
        ready_at: Instant,
    },
    /// It signs a share, beside the active key.
    Canary,
    Active,
    Retired {
        published_until: Instant,
    },
    Removed,
    Revoked,
}

/// Which version of the set, and which place in the audit log: with one issuer each version has one
/// event.
///
/// The number is the one that people see, and the store may give it out again after a fail-over has
/// lost a commit. The branch is how many fail-overs there had been when it was committed. Both
/// together are unique, as are a record's token and an event's hash, for which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Version {
    pub(crate) number: u8,
    pub(crate) branch: u8,
}

/// A version of the one issuer's key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeySet {
    pub(crate) version: Version,
    pub(crate) keys: [KeyState; KEYS],
}

/// A heartbeat in the store (`store::Replica`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    pub(crate) through: Version,
    pub(crate) seen_at: Instant,
}

/// How far a replica's round has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Round {
    None,
    /// It has asked and has read the store.
    Read {
        asked: Instant,
        set: KeySet,
        /// The last event when it read.
        head: Version,
        /// What it held when it read.
        replaces: Version,
        /// Whether the heartbeat is out already, and told of everything, where that comes first.
        beaten: Option<bool>,
    },
    /// It serves what it has read.
    Swapped {
        asked: Instant,
    },
    /// It has sent its heartbeat and waits for the commit.
    Beating {
        asked: Instant,
        judged: bool,
        found: Option<Instant>,
    },
    /// Its heartbeat is in the store; the answer is on its way.
    Beaten {
        asked: Instant,
        /// The heartbeat's stamp.
        stamp: Instant,
        /// What the heartbeat's own statement said about the renewal, where a rule asks that.
        judged: bool,
        /// The stamp of the row that it replaced, where a rule asks that.
        found: Option<Instant>,
    },
}

/// How far a commit has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    /// It is decided and on its way.
    Sent,
    /// It has passed its deadline check, holds the lock and has not landed.
    Hanging,
    /// The same, and the process that sent it is gone.
    Abandoned,
    /// The same, and the caller was told that it did not happen.
    Denied,
}

/// A change that is decided and on its way to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Commit {
    /// The version that it was decided on.
    pub(crate) base: Version,
    pub(crate) set: KeySet,
    /// When, by the clock of the replica that decided.
    pub(crate) stamp: Instant,
    /// The key that signs without being ready.
    pub(crate) forced: Option<u8>,
    pub(crate) phase: Phase,
}

/// A JWT on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Signature {
    None,
    /// The lease held, and after its term the snapshot was taken; now the key is at work.
    Started {
        key: u8,
        term: Instant,
    },
}

/// A replica, and what the store knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Replica {
    /// What its clock shows, in ticks ahead of the store's.
    pub(crate) skew: i8,
    /// What it showed when the store agreed with it.
    pub(crate) confirmed_skew: i8,
    /// Its snapshot.
    pub(crate) held: KeySet,
    /// Up to where its rounds have taken over everything; its own commits do not move it.
    pub(crate) through: Version,
    /// Until when its lease lasts, by the steady clock.
    pub(crate) lease: Instant,
    /// The stamp of the last heartbeat whose answer it has.
    pub(crate) acknowledged: Option<Instant>,
    pub(crate) round: Round,
    pub(crate) commit: Option<Commit>,
    pub(crate) signature: Signature,
    /// Its row.
    pub(crate) row: Option<Row>,
    /// A heartbeat that is written and not committed: others do not see it yet.
    pub(crate) heartbeat_in_flight: Option<Row>,
    /// The row of the process that it was before it was killed.
    pub(crate) row_of_killed: Option<Row>,
}

/// What verifiers may hold and what the laws remember. No rule reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Witness {
    /// Until when a verifier may hold, as fresh, a set from before the key was published.
    pub(crate) unknown_until: [Instant; KEYS],
    /// Until when a verifier may hold, as fresh, a set from after the key left it.
    pub(crate) gone_until: [Instant; KEYS],
    /// Until when a JWT by the key lives.
    pub(crate) tokens_until: [Instant; KEYS],
    /// Which keys sign by force.
    pub(crate) forced: [bool; KEYS],
    /// When each key was revoked, and by which event.
    pub(crate) revoked: [Option<(Instant, u8)>; KEYS],
    /// Of which revocations it was answered that they are in force everywhere.
    pub(crate) in_force: [bool; KEYS],
    /// Which keys did not exist any more after the last fail-over: one of that place since then is
    /// another key.
    pub(crate) replaced: [bool; KEYS],
}

/// The store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) set: KeySet,
    /// The branch of each event of the audit log.
    log: [u8; EVENTS],
    /// When it was last replaced by a standby; long ago if never.
    pub(crate) failed_over_at: Instant,
    /// The set before the last commit, and the keys that signed by force then, as a standby that
    /// has not received that commit has them.
    pub(crate) standby: Option<(KeySet, [bool; KEYS])>,
}

/// How long ago things can be and still matter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Oldest {
    /// Of a key's instants.
    pub(crate) key: Instant,
    /// Of a question to the store, of a revocation and of a fail-over.
    pub(crate) question: Instant,
    pub(crate) heartbeat: Instant,
    pub(crate) stamp: Instant,
}

/// Everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) replicas: [Replica; REPLICAS],
    pub(crate) count: u8,
    pub(crate) witness: Witness,
    pub(crate) remaining: Remaining,
}

/// How many more times something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Remaining {
    /// A process is killed.
    pub(crate) crashes: u8,
    /// A clock jumps.
    pub(crate) jumps: u8,
    /// A standby takes over.
    pub(crate) fail_overs: u8,
    /// A commit, of a change or of a heartbeat, is under way for longer than no time.
    pub(crate) hangs: u8,
}

impl Version {
    pub(crate) const FIRST: Self = Self {
        number: 1,
        branch: 0,
    };
}

impl KeySet {
    /// The first set: one key signs, and one that all verifiers know may stand by.
    pub(crate) fn first(successor: KeyState) -> Self {
        Self {
            version: Version::FIRST,
            keys: [KeyState::Active, successor, KeyState::Absent],
        }
    }

    /// The key that signs.
    pub(crate) fn active(&self) -> Option<usize> {
        self.keys.iter().position(|key| *key == KeyState::Active)
    }

    /// The key that signs a share.
    pub(crate) fn canary(&self) -> Option<usize> {
        self.keys.iter().position(|key| *key == KeyState::Canary)
    }

    /// The pending key that signs next: the one that was published first.
    pub(crate) fn successor(&self) -> Option<(usize, Instant)> {
        (self.keys.iter().enumerate()).find_map(|(key, state)| match state {
            KeyState::Pending { ready_at } => Some((key, *ready_at)),
            _ => None,
        })
    }

    /// A key that does not exist yet.
    pub(crate) fn absent(&self) -> Option<usize> {
        self.keys.iter().position(|key| *key == KeyState::Absent)
    }

    fn passes(&mut self, floor: Instant) {
        for key in &mut self.keys {
            match key {
                KeyState::Pending { ready_at: instant }
                | KeyState::Retired {
                    published_until: instant,
                } => passes(instant, floor),
                _ => {}
            }
        }
    }
}

impl Store {
    /// A store with one set and one event, that has not failed over for as long as matters.
    pub(crate) fn first(set: KeySet, long_ago: Instant) -> Self {
        Self {
            set,
            log: [0; EVENTS],
            failed_over_at: long_ago,
            standby: None,
        }
    }

    /// Whether the audit log has this event, and not another of the same number.
    pub(crate) fn has(&self, version: Version) -> bool {
        version.number <= self.set.version.number
            && self.log[usize::from(version.number)] == version.branch
    }

    pub(crate) fn write(&mut self, set: KeySet) {
        self.log[usize::from(set.version.number)] = set.version.branch;
        self.set = set;
    }

    /// Forgets the last commit.
    pub(crate) fn lose(&mut self, before: KeySet) {
        self.log[usize::from(self.set.version.number)] = 0;
        self.set = before;
    }
}

impl Replica {
    pub(crate) fn starting(set: KeySet, skew: i8) -> Self {
        Self {
            skew,
            confirmed_skew: 0,
            held: set,
            through: set.version,
            lease: 0,
            acknowledged: None,
            round: Round::None,
            commit: None,
            signature: Signature::None,
            row: None,
            heartbeat_in_flight: None,
            row_of_killed: None,
        }
    }

    /// Its rows in the store, as others see them.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.row.iter().chain(&self.row_of_killed)
    }
}

impl Commit {
    /// Whether it holds the lock on the head of the audit log.
    pub(crate) fn hangs(&self) -> bool {
        self.phase != Phase::Sent
    }
}

impl State {
    pub(crate) fn replicas(&self) -> &[Replica] {
        &self.replicas[..usize::from(self.count)]
    }

    pub(crate) fn replicas_mut(&mut self) -> &mut [Replica] {
        &mut self.replicas[..usize::from(self.count)]
    }

    /// Whether a commit holds the lock on the head of the audit log.
    pub(crate) fn is_locked(&self) -> bool {
        let hangs = |replica: &Replica| replica.commit.is_some_and(|commit| commit.hangs());
        self.replicas().iter().any(hangs)
    }

    /// One tick passes everywhere. What is so far in the past that no rule tells it from what is
    /// farther stays where it is.
    pub(crate) fn tick(&mut self, oldest: &Oldest) {
        self.store.set.passes(oldest.key);
        passes(&mut self.store.failed_over_at, oldest.question);
        if let Some((set, _)) = &mut self.store.standby {
            set.passes(oldest.key);
        }
        for replica in self.replicas_mut() {
            replica.held.passes(oldest.key);
            passes(&mut replica.lease, 0);
            if let Some(stamp) = &mut replica.acknowledged {
                passes(stamp, oldest.heartbeat);
                if *stamp == oldest.heartbeat {
                    replica.acknowledged = None;
                }
            }
            match &mut replica.round {
                Round::None => {}
                Round::Read { asked, set, .. } => {
                    passes(asked, oldest.question);
                    set.passes(oldest.key);
                }
                Round::Swapped { asked } => passes(asked, oldest.question),
                Round::Beating { asked, found, .. } => {
                    passes(asked, oldest.question);
                    if let Some(stamp) = found {
                        passes(stamp, oldest.heartbeat);
                    }
                }
                Round::Beaten {
                    asked,
                    stamp,
                    found,
                    ..
                } => {
                    passes(asked, oldest.question);
                    passes(stamp, oldest.heartbeat);
                    if let Some(stamp) = found {
                        passes(stamp, oldest.heartbeat);
                    }
                }
            }
            if let Signature::Started { term, .. } = &mut replica.signature {
                passes(term, 0);
            }
            if let Some(commit) = &mut replica.commit {
                commit.set.passes(oldest.key);
                passes(&mut commit.stamp, oldest.stamp);
            }
            let rows = [
                &mut replica.row,
                &mut replica.row_of_killed,
                &mut replica.heartbeat_in_flight,
            ];
            for row in rows.into_iter().flatten() {
                passes(&mut row.seen_at, oldest.heartbeat);
                if row.seen_at == oldest.heartbeat {
                    // What a dead row says, no rule asks.
                    row.through = Version::FIRST;
                }
            }
        }
        let witness = &mut self.witness;
        for key in 0..KEYS {
            passes(&mut witness.unknown_until[key], 0);
            passes(&mut witness.gone_until[key], 0);
            passes(&mut witness.tokens_until[key], 0);
            if let Some((revoked_at, _)) = &mut witness.revoked[key] {
                passes(revoked_at, oldest.question);
            }
        }
    }

    /// A number that only states have in common in which this replica's next round goes alike.
    pub(crate) fn fingerprint_of(&self, index: usize) -> u64 {
        let mut hasher = Mixer::default();
        self.store.hash(&mut hasher);
        hasher.write_u8(self.remaining.fail_overs);
        let replica = Replica {
            lease: 0,
            round: Round::None,
            commit: None,
            signature: Signature::None,
            ..self.replicas[index]
        };
        replica.hash(&mut hasher);
        hasher.finish()
    }

    /// A number that only states have in common that differ in nothing but the order of their
    /// replicas.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut sorted = *self;
        sorted.replicas_mut().sort_unstable();
        let mut hasher = Mixer::default();
        sorted.store.hash(&mut hasher);
        sorted.replicas().hash(&mut hasher);
        sorted.witness.hash(&mut hasher);
        sorted.remaining.hash(&mut hasher);
        hasher.finish()
    }
}

pub(crate) fn passes(instant: &mut Instant, floor: Instant) {
    *instant = (*instant - 1).max(floor);
}
