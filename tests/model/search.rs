//! Every state that can be reached, the nearest first, so that a law that is broken is told by one
//! of the shortest stories that break it.

use std::collections::HashSet;
use std::fmt::{Debug, Write as _};
use std::hash::{BuildHasherDefault, Hasher};

/// A protocol of which every state can be visited.
pub(crate) trait Model {
    type State: Copy;
    type Step: Copy + Debug;

    fn beginning(&self) -> Self::State;

    /// Every step that might be possible.
    fn candidates(&self, state: &Self::State, steps: &mut Vec<Self::Step>);

    /// Takes a step, and says which laws are broken by it or where it leads; `None` when it is not
    /// possible.
    fn take(&self, state: &Self::State, step: Self::Step) -> Option<Outcome<Self::State>>;

    /// A number that only states have in common of which one need not be visited.
    fn fingerprint(&self, state: &Self::State) -> u64;

    /// The law that is looked at alone, where a rule breaks several.
    fn looked_at(&self) -> Option<u8>;

    /// What a story says about a state.
    fn shown(&self, state: &Self::State) -> String;

    /// The law that is broken by what could follow a new state, and how. `asked` keeps what has
    /// been asked.
    fn examine(&self, _state: &Self::State, _asked: &mut Seen) -> Option<(u8, String)> {
        None
    }

    /// Searches until a law is broken or nothing is left.
    fn search(&self) -> Found
    where
        Self: Sized,
    {
        search(self)
    }
}

/// What comes of a step.
pub(crate) struct Outcome<State> {
    pub(crate) state: State,
    /// Which laws are broken.
    pub(crate) broken: Laws,
    /// What was met, as bits.
    pub(crate) marks: u32,
}

/// Laws, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Laws(u16);

/// What was found.
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) transitions: u64,
    pub(crate) steps: usize,
    /// How often each mark was met.
    marks: [u64; u32::BITS as usize],
    /// The law that is broken, and how.
    pub(crate) broken: Option<(u8, String)>,
}

fn search<M: Model>(model: &M) -> Found {
    let mut found = Found {
        states: 1,
        transitions: 0,
        steps: 0,
        marks: [0; u32::BITS as usize],
        broken: None,
    };
    let beginning = model.beginning();
    let mut seen = Seen::default();
    seen.insert(model.fingerprint(&beginning));
    // How each state was reached; the first one was not.
    let mut origins = vec![None];
    let mut frontier = vec![(0_u32, beginning)];
    let mut asked = Seen::default();
    let mut steps = Vec::new();
    while !frontier.is_empty() {
        found.steps += 1;
        let mut next = Vec::new();
        for (number, state) in frontier {
            model.candidates(&state, &mut steps);
            for step in &steps {
                let Some(outcome) = model.take(&state, *step) else {
                    continue;
                };
                found.transitions += 1;
                found.count(outcome.marks);
                if let Some(law) = outcome.broken.first(model.looked_at()) {
                    let story = story(model, &origins, number, *step);
                    found.broken = Some((law, story));
                    return found;
                }
                if seen.insert(model.fingerprint(&outcome.state)) {
                    found.states += 1;
                    if let Some((law, rest)) = model.examine(&outcome.state, &mut asked) {
                        let story = story(model, &origins, number, *step);
                        found.broken = Some((law, format!("{story}{rest}")));
                        return found;
                    }
                    let own = u32::try_from(origins.len()).unwrap();
                    origins.push(Some((number, *step)));
                    next.push((own, outcome.state));
                }
            }
        }
        frontier = next;
    }
    found
}

fn story<M: Model>(
    model: &M,
    origins: &[Option<(u32, M::Step)>],
    last: u32,
    step: M::Step,
) -> String {
    let mut steps = vec![step];
    let mut number = last;
    while let Some((before, step)) = origins[number as usize] {
        steps.push(step);
        number = before;
    }
    let mut state = model.beginning();
    let mut story = String::new();
    for step in steps.into_iter().rev() {
        state = model.take(&state, step).unwrap().state;
        let shown = model.shown(&state);
        let _ = writeln!(story, "  {:<26} {shown}", format!("{step:?}"));
    }
    story
}

impl<State> Outcome<State> {
    pub(crate) fn of(state: State) -> Self {
        Self {
            state,
            broken: Laws::NONE,
            marks: 0,
        }
    }

    pub(crate) fn marked(mut self, mark: impl Into<u32>) -> Self {
        self.marks |= 1 << mark.into();
        self
    }

    pub(crate) fn marked_if(self, condition: bool, mark: impl Into<u32>) -> Self {
        if condition { self.marked(mark) } else { self }
    }
}

impl Laws {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn of(law: u8) -> Self {
        Self(1 << law)
    }

    pub(crate) fn add_if(&mut self, condition: bool, law: u8) {
        if condition {
            *self = self.and(Self::of(law));
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The first of them, of those that are looked at.
    pub(crate) fn first(self, only: Option<u8>) -> Option<u8> {
        let looked_at = only.map_or(u16::MAX, |law| Self::of(law).0);
        let broken = self.0 & looked_at;
        let first = u8::try_from(broken.trailing_zeros()).ok();
        first.filter(|_| broken != 0)
    }
}

impl Found {
    fn count(&mut self, marks: u32) {
        if marks == 0 {
            return;
        }
        for (index, count) in self.marks.iter_mut().enumerate() {
            if marks & (1 << index) != 0 {
                *count += 1;
            }
        }
    }

    /// How often a mark was met.
    pub(crate) fn met(&self, mark: impl Into<u32>) -> u64 {
        self.marks[mark.into() as usize]
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

/// A fast hash of 64 bits: the models are small, and collisions among ten million states have
/// odds of one to 300,000.
#[derive(Default)]
pub(crate) struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, value: u64) {
        let mixed = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
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
