//! The world at one moment. Every instant is told in ticks from now, so that two moments at which
//! everything lies equally far ahead or behind are one state, and time needs no end.

use std::hash::{Hash, Hasher};

/// How many keys there will ever be.
pub(crate) const KEYS: usize = 3;

/// The most replicas.
pub(crate) const REPLICAS: usize = 3;

/// An instant, in ticks from now: negative when it has passed.
pub(crate) type Instant = i8;

/// A key's place in life (`lifecycle::State`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Life {
    Absent,
    Pending { ready_at: Instant },
    Active,
    Retired { published_until: Instant },
    Removed,
    Revoked,
}

/// A version of the one issuer's key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeySet {
    pub(crate) version: u8,
    pub(crate) keys: [Life; KEYS],
}

/// A heartbeat in the store (`store::Replica`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    pub(crate) through: u8,
    pub(crate) seen_at: Instant,
}

/// How far a replica's loop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Loop {
    Rests,
    /// It has asked and has read the store. Whether the heartbeat is out already, and told of
    /// everything, where that comes first.
    Read {
        asked: Instant,
        set: KeySet,
        beaten: Option<bool>,
    },
    /// It serves what it has read.
    Swapped {
        asked: Instant,
        head: u8,
    },
    /// Its heartbeat is in the store; the answer is on its way.
    Beaten {
        asked: Instant,
        head: u8,
        newest: bool,
    },
}

/// A change that is decided and on its way to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Commit {
    /// The version that it was decided on.
    pub(crate) base: u8,
    pub(crate) set: KeySet,
    /// When, by the clock of whoever decided.
    pub(crate) stamp: Instant,
    /// The key that signs without being ready.
    pub(crate) forced: Option<u8>,
}

/// A token on its way out.
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
    /// Until when its lease lasts, by the steady clock.
    pub(crate) lease: Instant,
    pub(crate) at: Loop,
    pub(crate) commit: Option<Commit>,
    pub(crate) signature: Signature,
    /// Its row.
    pub(crate) row: Option<Row>,
    /// The row of the process that it was before it was killed.
    pub(crate) ghost: Option<Row>,
}

/// What verifiers may hold and what the laws remember. Nobody decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Witness {
    /// Until when anybody may hold, as fresh, a set from before the key was published.
    pub(crate) unknown_until: [Instant; KEYS],
    /// Until when anybody may hold, as fresh, a set from after the key left it.
    pub(crate) gone_until: [Instant; KEYS],
    /// Until when a token by the key lives.
    pub(crate) tokens_until: [Instant; KEYS],
    /// Which keys sign by force.
    pub(crate) forced: [bool; KEYS],
    /// When each key was revoked, and in which version.
    pub(crate) revoked: [Option<(Instant, u8)>; KEYS],
    /// Of which revocations it was answered that they are in force everywhere.
    pub(crate) in_force: [bool; KEYS],
}

/// How long ago things can be and still matter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Oldest {
    /// Of a key's instants.
    pub(crate) life: Instant,
    /// Of a question to the store, and of a revocation.
    pub(crate) question: Instant,
    pub(crate) heartbeat: Instant,
    pub(crate) stamp: Instant,
}

/// Everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// What the store has.
    pub(crate) stored: KeySet,
    pub(crate) replicas: [Replica; REPLICAS],
    pub(crate) count: u8,
    pub(crate) witness: Witness,
    /// How many more times a process may be killed.
    pub(crate) crashes: u8,
    /// How many more times a clock may jump.
    pub(crate) jumps: u8,
}

impl KeySet {
    /// The first set: one key signs, and one that everybody knows may stand by.
    pub(crate) fn first(successor: Life) -> Self {
        Self {
            version: 1,
            keys: [Life::Active, successor, Life::Absent],
        }
    }

    /// The key that signs.
    pub(crate) fn active(&self) -> Option<usize> {
        self.keys.iter().position(|life| *life == Life::Active)
    }

    /// The pending key that signs next: the one that was published first.
    pub(crate) fn successor(&self) -> Option<(usize, Instant)> {
        (self.keys.iter().enumerate()).find_map(|(key, life)| match life {
            Life::Pending { ready_at } => Some((key, *ready_at)),
            _ => None,
        })
    }

    /// A key that does not exist yet.
    pub(crate) fn fresh(&self) -> Option<usize> {
        self.keys.iter().position(|life| *life == Life::Absent)
    }

    fn passes(&mut self, floor: Instant) {
        for life in &mut self.keys {
            match life {
                Life::Pending { ready_at: instant }
                | Life::Retired {
                    published_until: instant,
                } => passes(instant, floor),
                _ => {}
            }
        }
    }
}

impl Replica {
    pub(crate) fn starting(set: KeySet, skew: i8) -> Self {
        Self {
            skew,
            confirmed_skew: 0,
            held: set,
            lease: 0,
            at: Loop::Rests,
            commit: None,
            signature: Signature::None,
            row: None,
            ghost: None,
        }
    }
}

impl State {
    pub(crate) fn replicas(&self) -> &[Replica] {
        &self.replicas[..usize::from(self.count)]
    }

    /// One tick passes for everyone. What is so far in the past that no rule tells it from what is
    /// farther stays where it is.
    pub(crate) fn tick(&mut self, oldest: &Oldest) {
        self.stored.passes(oldest.life);
        for replica in &mut self.replicas[..usize::from(self.count)] {
            replica.held.passes(oldest.life);
            passes(&mut replica.lease, 0);
            match &mut replica.at {
                Loop::Rests => {}
                Loop::Read { asked, set, .. } => {
                    passes(asked, oldest.question);
                    set.passes(oldest.life);
                }
                Loop::Swapped { asked, .. } | Loop::Beaten { asked, .. } => {
                    passes(asked, oldest.question);
                }
            }
            if let Signature::Started { term, .. } = &mut replica.signature {
                passes(term, 0);
            }
            if let Some(commit) = &mut replica.commit {
                commit.set.passes(oldest.life);
                passes(&mut commit.stamp, oldest.stamp);
            }
            for row in [&mut replica.row, &mut replica.ghost].into_iter().flatten() {
                passes(&mut row.seen_at, oldest.heartbeat);
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

    /// A number that only states have in common that differ in nothing but the order of their
    /// replicas.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut sorted = *self;
        sorted.replicas[..usize::from(self.count)].sort_unstable();
        let mut hasher = Mixer(0);
        sorted.stored.hash(&mut hasher);
        sorted.replicas().hash(&mut hasher);
        sorted.witness.hash(&mut hasher);
        hasher.write_u8(sorted.crashes);
        hasher.write_u8(sorted.jumps);
        hasher.finish()
    }
}

fn passes(instant: &mut Instant, floor: Instant) {
    *instant = (*instant - 1).max(floor);
}

/// A fast hash of 64 bits: the models are small, and collisions among ten million states have
/// odds of one to 300,000.
struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, value: u64) {
        let mixed = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.mix(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_i8(&mut self, value: i8) {
        self.mix(u64::from(value.cast_unsigned()));
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value.cast_unsigned() as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
