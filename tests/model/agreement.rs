//! How replicas agree on the staleness: of two that are configured differently never both have a
//! lease, in whatever order they join (`authority::replication`). Every heartbeat renews here, which
//! grants more leases than there are.

use std::collections::{BTreeMap, VecDeque};

/// The staleness that each is configured with, in ticks.
const CONFIGURED: [i8; 2] = [1, 3];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Outside,
    /// It has written its row; no other was live and the agreement was another.
    Alone {
        agreed: i8,
    },
    /// It has changed the agreement, and waits for the end of what was granted under the old one.
    Waiting {
        until: i8,
    },
    /// It makes rounds; when it asked last, and until when its lease lasts.
    Joined {
        asked: i8,
        lease: i8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    agreed: i8,
    progress: [Progress; 2],
    seen_at: [Option<i8>; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Tick,
    /// Writes its row and reads the agreement, while it joins or at the end of a round.
    Beat(usize),
    /// Changes the agreement, if it still is what it has read.
    Agree(usize),
    /// Begins a round.
    Ask(usize),
}

/// Whether a replica that has changed the agreement waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    UntilOldLeasesHaveEnded,
    None,
}

fn take(mut state: State, step: Step, wait: Wait) -> Option<State> {
    match step {
        Step::Tick => {
            for progress in &mut state.progress {
                match progress {
                    Progress::Waiting { until } => *until = (*until - 1).max(0),
                    Progress::Joined { asked, lease } => {
                        *asked = (*asked - 1).max(-4);
                        *lease = (*lease - 1).max(0);
                    }
                    Progress::Outside | Progress::Alone { .. } => {}
                }
            }
            for seen_at in state.seen_at.iter_mut().flatten() {
                *seen_at = (*seen_at - 1).max(-4);
            }
        }
        Step::Beat(index) => {
            let own = CONFIGURED[index];
            let is_live = |seen: i8| -seen <= state.agreed;
            let others = state.seen_at[1 - index].is_some_and(is_live);
            state.seen_at[index] = Some(0);
            let agrees = state.agreed == own;
            state.progress[index] = match state.progress[index] {
                Progress::Joined { asked, lease } if agrees => Progress::Joined {
                    asked,
                    lease: lease.max(asked + own),
                },
                Progress::Joined { .. } => return None,
                Progress::Waiting { until: 1.. } => return None,
                _ if agrees => Progress::Joined {
                    asked: -own,
                    lease: 0,
                },
                _ if others => {
                    state.seen_at[index] = None;
                    Progress::Outside
                }
                _ => Progress::Alone {
                    agreed: state.agreed,
                },
            };
        }
        Step::Agree(index) => {
            let Progress::Alone { agreed } = state.progress[index] else {
                return None;
            };
            state.progress[index] = Progress::Waiting { until: 0 };
            if agreed == state.agreed {
                state.agreed = CONFIGURED[index];
                if wait == Wait::UntilOldLeasesHaveEnded {
                    state.progress[index] = Progress::Waiting { until: agreed };
                }
            }
        }
        Step::Ask(index) => {
            let Progress::Joined { asked, .. } = &mut state.progress[index] else {
                return None;
            };
            *asked = 0;
        }
    }
    Some(state)
}

/// How each state was reached.
type Origins = BTreeMap<State, Option<(State, Step)>>;

/// Every state there is, with how it was reached; stops at one in which both have a lease.
fn search(wait: Wait) -> (Origins, Option<State>) {
    let mut seen = BTreeMap::new();
    let mut waiting = VecDeque::new();
    for agreed in CONFIGURED {
        let beginning = State {
            agreed,
            progress: [Progress::Outside; 2],
            seen_at: [None; 2],
        };
        seen.insert(beginning, None);
        waiting.push_back(beginning);
    }
    while let Some(state) = waiting.pop_front() {
        let both = |progress: Progress| matches!(progress, Progress::Joined { lease: 1.., .. });
        if state.progress.into_iter().all(both) {
            return (seen, Some(state));
        }
        let of = |index| [Step::Beat(index), Step::Agree(index), Step::Ask(index)];
        for step in [Step::Tick].into_iter().chain(of(0)).chain(of(1)) {
            if let Some(next) = take(state, step, wait)
                && !seen.contains_key(&next)
            {
                seen.insert(next, Some((state, step)));
                waiting.push_back(next);
            }
        }
    }
    (seen, None)
}

#[test]
fn of_two_that_are_configured_differently_never_both_have_a_lease() {
    let (seen, both) = search(Wait::UntilOldLeasesHaveEnded);
    println!("model: the agreement: {} states", seen.len());
    assert_eq!(both, None);
    for (index, own) in CONFIGURED.into_iter().enumerate() {
        let changed = seen.keys().any(|state| {
            let begun = matches!(state.progress[index], Progress::Joined { lease: 1.., .. });
            begun && state.agreed == own && state.seen_at[1 - index].is_some()
        });
        assert!(changed, "no replica ever came to run with {own}");
    }
}

#[test]
fn a_change_of_the_agreement_without_a_wait_meets_a_lease_under_the_old_one() {
    let (seen, both) = search(Wait::None);
    let mut story = Vec::new();
    let mut state = both.expect("both have a lease");
    while let Some((before, step)) = seen[&state] {
        story.push(format!("  {step:?} {state:?}"));
        state = before;
    }
    story.reverse();
    println!(
        "model: an agreement that is changed without a wait:\n{}",
        story.join("\n")
    );
}
