//! Every state that can be reached, the nearest first, so that a law that is broken is told by one
//! of the shortest stories that break it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, Hasher};

use super::laws;
use super::rules::{ClockRule, Rules};
use super::state::{KEYS, KeySet, Life, Oldest, REPLICAS, Replica, Row, State, Witness};
use super::steps::{Command, Mark, Step, bit, candidates, holds, take};

/// What is searched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) rules: Rules,
    /// How far each replica's clock is ahead at the beginning; as many as there are replicas.
    pub(crate) skews: &'static [i8],
    pub(crate) crashes: u8,
    pub(crate) jumps: u8,
    pub(crate) begins: Begins,
    /// How many changes there will be.
    pub(crate) changes: u8,
    /// Whether tokens are looked at on their way out.
    pub(crate) signs: bool,
}

/// Where the story begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// A successor that everybody knows stands by.
    WithASuccessor,
    /// The first replica has decided to publish one, and its commit is on its way.
    WithOneOnItsWay,
}

/// What was found.
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) transitions: u64,
    pub(crate) steps: usize,
    /// How often each mark was met.
    pub(crate) marks: [u64; Mark::ALL.len()],
    /// The law that is broken, and how.
    pub(crate) broken: Option<(u8, String)>,
}

impl Setting {
    fn beginning(&self) -> State {
        let life = self.oldest().life;
        let first = KeySet::first(match self.begins {
            Begins::WithASuccessor => Life::Pending { ready_at: life },
            Begins::WithOneOnItsWay => Life::Absent,
        });
        let mut replicas = [Replica::starting(first, 0); REPLICAS];
        for (replica, skew) in replicas.iter_mut().zip(self.skews) {
            replica.skew = *skew;
            replica.confirmed_skew = match self.rules.clock {
                ClockRule::StoresCarriedOn => 0,
                ClockRule::ItselfWhenConfirmed => *skew,
            };
            replica.lease = self.rules.max_staleness;
            replica.row = Some(Row {
                through: first.version,
                seen_at: 0,
            });
        }
        let state = State {
            stored: first,
            replicas,
            count: u8::try_from(self.skews.len()).unwrap(),
            witness: Witness {
                unknown_until: [0; KEYS],
                gone_until: [0; KEYS],
                tokens_until: [0; KEYS],
                forced: [false; KEYS],
                revoked: [None; KEYS],
                in_force: [false; KEYS],
            },
            crashes: self.crashes,
            jumps: self.jumps,
        };
        match self.begins {
            Begins::WithASuccessor => state,
            Begins::WithOneOnItsWay => {
                take(&state, Step::Decide(0, Command::Publish), self)
                    .unwrap()
                    .state
            }
        }
    }

    /// How long ago things can be and still matter.
    pub(crate) fn oldest(&self) -> Oldest {
        let behind = self.skews.iter().map(|skew| -skew).max();
        let behind = behind.unwrap_or_default();
        let jump = match self.jumps {
            0 => 0,
            _ => 2 * self.rules.tolerance,
        };
        self.rules.oldest(behind.max(jump))
    }

    /// Searches until a law is broken or nothing is left.
    pub(crate) fn search(&self) -> Found {
        let mut found = Found {
            states: 1,
            transitions: 0,
            steps: 0,
            marks: [0; Mark::ALL.len()],
            broken: None,
        };
        let beginning = self.beginning();
        let mut seen = Seen::default();
        seen.insert(beginning.fingerprint());
        let mut origins: Vec<(u32, Step)> = vec![(0, Step::Tick)];
        let mut frontier = vec![(0_u32, beginning)];
        let mut steps = Vec::new();
        while !frontier.is_empty() {
            found.steps += 1;
            let mut next = Vec::new();
            for (number, state) in frontier {
                candidates(&state, &self.rules, &mut steps);
                for step in &steps {
                    let Some(outcome) = take(&state, *step, self) else {
                        continue;
                    };
                    found.transitions += 1;
                    let mut reached = outcome.state;
                    let (broken, marks) = laws::witness(&mut reached, &self.rules);
                    found.count(outcome.marks | marks);
                    if let Some(law) = outcome.broken.or(broken) {
                        let story = self.story(&origins, number, *step);
                        found.broken = Some((law, story));
                        return found;
                    }
                    if seen.insert(reached.fingerprint()) {
                        found.states += 1;
                        let own = u32::try_from(origins.len()).unwrap();
                        origins.push((number, *step));
                        next.push((own, reached));
                    }
                }
            }
            frontier = next;
        }
        found
    }

    fn story(&self, origins: &[(u32, Step)], last: u32, step: Step) -> String {
        let mut steps = vec![step];
        let mut number = last;
        while number != 0 {
            let (before, step) = origins[number as usize];
            steps.push(step);
            number = before;
        }
        let mut state = self.beginning();
        let mut story = String::new();
        for step in steps.iter().rev() {
            let mut outcome = take(&state, *step, self).unwrap();
            laws::witness(&mut outcome.state, &self.rules);
            state = outcome.state;
            let _ = writeln!(
                story,
                "  {:<26} {}",
                format!("{step:?}"),
                self.shown(&state)
            );
        }
        story
    }

    fn shown(&self, state: &State) -> String {
        let mut text = format!("store {}", set(&state.stored));
        for (index, replica) in state.replicas().iter().enumerate() {
            let lease = if holds(replica, &self.rules) {
                "lease"
            } else {
                "no lease"
            };
            let row = replica.row.map(|row| (row.through, row.seen_at));
            let _ = write!(
                text,
                " | {index}: v{} {lease} {} row {row:?}",
                replica.held.version, replica.lease
            );
        }
        text
    }
}

fn set(set: &KeySet) -> String {
    format!("v{} {:?}", set.version, set.keys)
}

impl Found {
    fn count(&mut self, marks: u32) {
        if marks == 0 {
            return;
        }
        for (index, mark) in Mark::ALL.iter().enumerate() {
            if marks & bit(*mark) != 0 {
                self.marks[index] += 1;
            }
        }
    }

    /// How often a mark was met.
    pub(crate) fn met(&self, mark: Mark) -> u64 {
        self.marks[mark as usize]
    }
}

type Seen = HashSet<u64, BuildHasherDefault<Itself>>;

/// Fingerprints are hashes already.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are looked up");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
