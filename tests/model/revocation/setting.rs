//! A search of the protocol: how many replicas there are, by which rules they go, and what may happen
//! to them.

use std::fmt::Write as _;

use super::super::search::{Model, Outcome, Seen};
use super::laws;
use super::progress;
use super::rules::Rules;
use super::state::{
    Knowledge, Oldest, Position, REPLICAS, Remaining, Replica, Row, State, Store, Verifier, Witness,
};
use super::steps::{Step, candidates, take};

/// What is searched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) rules: Rules,
    /// How far each replica's idea of the store's time is ahead at the beginning; as many as there
    /// are replicas.
    pub(crate) skews: &'static [i8],
    /// How often the store corrects an idea.
    pub(crate) corrections: u8,
    pub(crate) crashes: u8,
    /// How often a standby takes over that may lack any rows.
    pub(crate) fail_overs: u8,
    /// Whether it may lack the last commit as well.
    pub(crate) loses_commits: bool,
    /// How often a caller opens the revocation: again where the first time was lost.
    pub(crate) openings: u8,
    /// Whether a closing is committed later than it is decided.
    pub(crate) closes_slowly: bool,
    /// Whether tokens are signed step by step as well.
    pub(crate) signs: bool,
    /// Whether heads are built step by step as well.
    pub(crate) builds: bool,
    /// Whether a verifier follows.
    pub(crate) follows: bool,
    /// Whether heads may be late, and come again.
    pub(crate) delays: bool,
    /// Whether each state is asked whether an open revocation can be closed.
    pub(crate) progress: bool,
    /// The law that is looked at alone, where a rule breaks several.
    pub(crate) only: Option<u8>,
}

impl Setting {
    pub(crate) fn oldest(&self) -> Oldest {
        Oldest::of(&self.rules, self.signs)
    }
}

impl Model for Setting {
    type State = State;
    type Step = Step;

    fn beginning(&self) -> State {
        let oldest = self.oldest();
        let mut replicas =
            [Replica::starting(Knowledge::NONE, Position::FIRST, 0, &oldest); REPLICAS];
        for (replica, skew) in replicas.iter_mut().zip(self.skews) {
            replica.skew = *skew;
            replica.ahead = *skew;
            replica.lease = self.rules.max_staleness;
            replica.asked = 0;
            replica.acknowledged = Some(0);
            replica.row = Some(Row {
                through: Position::FIRST,
                seen_at: 0,
                time: (*skew).max(0),
            });
        }
        State {
            phase: 0,
            store: Store::first(&oldest),
            replicas,
            count: u8::try_from(self.skews.len()).unwrap(),
            verifier: Verifier {
                head: None,
                received_at: oldest.vouched,
                delayed: None,
            },
            witness: Witness {
                unknowing: oldest.token,
                committed_at: [None; 2],
                guaranteed: None,
                good_token: false,
                told: false,
            },
            remaining: Remaining {
                crashes: self.crashes,
                fail_overs: self.fail_overs,
                corrections: self.corrections,
                openings: self.openings,
            },
        }
    }

    fn candidates(&self, state: &State, steps: &mut Vec<Step>) {
        candidates(state, self, steps);
    }

    fn take(&self, state: &State, step: Step) -> Option<Outcome<State>> {
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
        if !self.progress {
            return None;
        }
        progress::stays_open(state, self, asked).map(|rest| (laws::G, rest))
    }

    fn shown(&self, state: &State) -> String {
        let mut text = format!("store {}", shown(state.store.revocation));
        for (index, replica) in state.replicas().iter().enumerate() {
            let through = replica.row.map(|row| row.through.number);
            let _ = write!(
                text,
                " | {index}: {} lease {} ahead {}",
                shown(replica.held),
                replica.lease,
                replica.ahead
            );
            match through {
                Some(through) => text.push_str(&format!(" row through {through}")),
                None => text.push_str(" no row"),
            }
            if let Some(iat) = replica.signature.and_then(|signature| signature.iat) {
                let _ = write!(text, " signs iat {iat}");
            }
        }
        if let Some(head) = state.verifier.head {
            let _ = write!(text, " | head {} {}", head.iat, shown(head.content));
        }
        text
    }
}

fn shown(knowledge: Knowledge) -> String {
    let Position { number, branch } = knowledge.position;
    let lost = "'".repeat(usize::from(branch));
    match number {
        0 => "-".to_owned(),
        1 => format!("open{lost}"),
        _ => format!("closed{lost} before {}", knowledge.issued_before),
    }
}
