//! Every state that can be reached, the nearest first, so that a law that is broken is told by one
//! of the shortest stories that break it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, Hasher};

use super::laws;
use super::progress;
use super::rules::{ClockRule, Rules};
use super::state::{
    KEYS, KeySet, KeyState, Oldest, REPLICAS, Remaining, Replica, Row, State, Store, Version,
    Witness,
};
use super::steps::{Command, Mark, Step, bit, candidates, holds, take};

/// What is searched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) rules: Rules,
    /// How far each replica's clock is ahead at the beginning; as many as there are replicas.
    pub(crate) skews: &'static [i8],
    pub(crate) crashes: u8,
    pub(crate) jumps: u8,
    /// How often a standby takes over that may lack the last commit.
    pub(crate) fail_overs: u8,
    /// Whether it may lack the rows of some replicas as well.
    pub(crate) loses_rows: bool,
    /// Whether replicas load their set apart from rounds as well.
    pub(crate) loads: bool,
    /// How many commits, of changes and of heartbeats, are under way for longer than no time.
    pub(crate) hangs: u8,
    /// Whether a heartbeat cannot be committed while a change hangs, as where both wait for one
    /// standby.
    pub(crate) heartbeats_are_synchronous: bool,
    pub(crate) begins: Begins,
    /// How many changes there will be.
    pub(crate) changes: u8,
    /// Whether JWTs are looked at on their way out.
    pub(crate) signs: bool,
    /// Whether each state is asked whether every replica can renew its lease.
    pub(crate) progress: bool,
    /// The law that is looked at alone, where a rule breaks several.
    pub(crate) only: Option<u8>,
}

/// Where the story begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// A successor that all verifiers know stands by.
    WithASuccessor,
    /// The first replica has decided to publish one, and its commit is on its way.
    WhilePublishing,
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
        let Oldest { key, question, .. } = self.oldest();
        let first = KeySet::first(match self.begins {
            Begins::WithASuccessor => KeyState::Pending { ready_at: key },
            Begins::WhilePublishing => KeyState::Absent,
        });
        let mut replicas = [Replica::starting(first, 0); REPLICAS];
        for (replica, skew) in replicas.iter_mut().zip(self.skews) {
            replica.skew = *skew;
            replica.confirmed_skew = match self.rules.clock {
                ClockRule::StoresCarriedOn => 0,
                ClockRule::ItselfWhenConfirmed => *skew,
            };
            replica.lease = self.rules.max_staleness;
            replica.acknowledged = Some(0);
            replica.row = Some(Row {
                through: Version::FIRST,
                seen_at: 0,
            });
        }
        let state = State {
            store: Store::first(first, question),
            replicas,
            count: u8::try_from(self.skews.len()).unwrap(),
            witness: Witness {
                unknown_until: [0; KEYS],
                gone_until: [0; KEYS],
                tokens_until: [0; KEYS],
                forced: [false; KEYS],
                revoked: [None; KEYS],
                in_force: [false; KEYS],
                replaced: [false; KEYS],
            },
            remaining: Remaining {
                crashes: self.crashes,
                jumps: self.jumps,
                fail_overs: self.fail_overs,
                hangs: self.hangs,
            },
        };
        match self.begins {
            Begins::WithASuccessor => state,
            Begins::WhilePublishing => {
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
        let mut asked = Seen::default();
        let mut steps = Vec::new();
        while !frontier.is_empty() {
            found.steps += 1;
            let mut next = Vec::new();
            for (number, state) in frontier {
                candidates(&state, self, &mut steps);
                for step in &steps {
                    let Some(outcome) = take(&state, *step, self) else {
                        continue;
                    };
                    found.transitions += 1;
                    let mut reached = outcome.state;
                    let (broken, marks) = laws::witness(&mut reached, &self.rules);
                    found.count(outcome.marks | marks);
                    if let Some(law) = outcome.broken.and(broken).first(self.only) {
                        let story = self.story(&origins, number, *step);
                        found.broken = Some((law, story));
                        return found;
                    }
                    if seen.insert(reached.fingerprint()) {
                        found.states += 1;
                        if self.progress
                            && self.only.is_none_or(|only| only == 9)
                            && let Some(rounds) = progress::starves(&reached, self, &mut asked)
                        {
                            let story = self.story(&origins, number, *step);
                            found.broken = Some((9, format!("{story}{rounds}")));
                            return found;
                        }
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
        let mut text = format!("store {}", shown_set(&state.store.set));
        for (index, replica) in state.replicas().iter().enumerate() {
            let lease = if holds(replica, &self.rules) {
                "lease"
            } else {
                "no lease"
            };
            let row = replica.row.map(|row| {
                let through = shown_version(row.through);
                format!("row {through} seen {}", row.seen_at)
            });
            let _ = write!(
                text,
                " | {index}: {} {lease} {} {}",
                shown_version(replica.held.version),
                replica.lease,
                row.as_deref().unwrap_or("no row")
            );
        }
        text
    }
}

fn shown_set(set: &KeySet) -> String {
    format!("{} {:?}", shown_version(set.version), set.keys)
}

/// The number, and after a fail-over how many there had been.
fn shown_version(Version { number, branch }: Version) -> String {
    match branch {
        0 => format!("v{number}"),
        _ => format!("v{number}'{branch}"),
    }
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

pub(crate) type Seen = HashSet<u64, BuildHasherDefault<PassThrough>>;

/// Fingerprints are hashes already.
#[derive(Default)]
pub(crate) struct PassThrough(u64);

impl Hasher for PassThrough {
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
