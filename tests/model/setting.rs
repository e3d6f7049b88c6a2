//! A search of the protocol: how many replicas there are, by which rules they go, and what may happen
//! to them.

use std::fmt::Write as _;

use super::laws;
use super::progress;
use super::rules::{ClockRule, Rules};
use super::search::{Model, Seen};
use super::state::{
    KEYS, KeySet, KeyState, Oldest, REPLICAS, Remaining, Replica, Row, State, Store, Version,
    Witness,
};
use super::steps::{Command, Outcome, Step, candidates, holds, take};

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
    /// Whether a successor may sign a share first.
    pub(crate) canaries: bool,
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
    /// That successor signs a share.
    WithACanary,
    /// The first replica has decided to publish one, and its commit is on its way.
    WhilePublishing,
}

impl Model for Setting {
    type State = State;
    type Step = Step;

    fn beginning(&self) -> State {
        self.first_state()
    }

    fn candidates(&self, state: &State, steps: &mut Vec<Step>) {
        candidates(state, self, steps);
    }

    fn take(&self, state: &State, step: Step) -> Option<Outcome> {
        let mut outcome = take(state, step, self)?;
        let (broken, marks) = laws::witness(&mut outcome.state, &self.rules);
        outcome.broken = outcome.broken.and(broken);
        outcome.marks |= marks;
        Some(outcome)
    }

    fn fingerprint(&self, state: &State) -> u64 {
        state.fingerprint()
    }

    fn looked_at(&self) -> Option<u8> {
        self.only
    }

    fn examine(&self, state: &State, asked: &mut Seen) -> Option<(u8, String)> {
        if !self.progress || self.only.is_some_and(|only| only != 9) {
            return None;
        }
        progress::starves(state, self, asked).map(|rounds| (9, rounds))
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

impl Setting {
    fn first_state(&self) -> State {
        let Oldest { key, question, .. } = self.oldest();
        let first = KeySet::first(match self.begins {
            Begins::WithASuccessor => KeyState::Pending { ready_at: key },
            Begins::WithACanary => KeyState::Canary,
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
            Begins::WithASuccessor | Begins::WithACanary => state,
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
