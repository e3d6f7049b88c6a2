//! What must hold in every state.
//!
//! Under its lease every replica serves its set at every moment and signs at every moment: doing it
//! less often only takes away from what verifiers may hold, and from what may go wrong.
//!
//! What was lost with a fail-over may be used for a staleness, by leases from before it, and what
//! comes of that is not held against the protocol, except that what the store has must hold: its
//! revocations at every moment, and its successors for all verifiers.

use super::rules::Rules;
use super::search::Laws;
use super::state::{KEYS, KeySet, KeyState, Round, State};
use super::steps::{Mark, bit, has_event, holds, is_live, rows};

/// Lets every replica serve and sign, and says which laws are broken.
pub(crate) fn witness(state: &mut State, rules: &Rules) -> (Laws, u32) {
    let mut broken = Laws::NONE;
    broken.add_if(has_two_signers(state), 1);
    broken.add_if(has_a_canary_too_many(state), 10);
    broken.add_if(takes_a_revocation_back(state), 4);
    let mut marks = answer_revocations(state, rules);
    let has_failed_over = is_after_fail_over(state, rules);
    for index in 0..usize::from(state.count) {
        let replica = state.replicas[index];
        let is_stale = replica.held.version != state.store.set.version;
        let had_row = replica.row.is_some() && matches!(replica.round, Round::None);
        if !holds(&replica, rules) {
            let signs_by_revoked = replica.held.active().is_some_and(|key| {
                let stored = state.store.set.keys[key];
                state.witness.revoked[key].is_some() && stored == KeyState::Revoked
            });
            if had_row && is_stale && signs_by_revoked {
                marks |= bit(Mark::StaleWithoutLease);
            }
            continue;
        }
        if is_stale {
            marks |= bit(Mark::StaleUnderLease);
        }
        let counts_as_live = replica.row.is_some_and(|row| is_live(&row, rules));
        broken.add_if(!has_failed_over && !counts_as_live, 6);
        if !state.store.has(replica.held.version) {
            marks |= bit(Mark::LostUnderLease);
            broken.add_if(!has_failed_over, 7);
        }
        for key in 0..KEYS {
            if let Some(law) = serve(state, index, key, rules) {
                broken = broken.and(Laws::of(law));
            }
        }
    }
    for key in 0..KEYS {
        let lives = state.witness.tokens_until[key] > 0;
        broken.add_if(lives && state.witness.unknown_until[key] > 0, 2);
        broken.add_if(lives && state.witness.gone_until[key] > 0, 3);
        if lives && matches!(state.store.set.keys[key], KeyState::Retired { .. }) {
            marks |= bit(Mark::TokenOfARetiredKeyLives);
        }
    }
    (broken, marks)
}

/// What a law says.
pub(crate) fn text(law: u8) -> &'static str {
    match law {
        1 => "1: one version has one signer",
        2 => "2: no verifier with a fresh set meets a key that it does not know",
        3 => "3: a key is published until its last token has expired",
        4 => "4: a revoked key stays revoked, and no replica uses it a staleness later",
        5 => "5: a revocation that was answered as in force everywhere is",
        6 => "6: a replica with a lease counts as live",
        7 => "7: a staleness after a fail-over no replica uses what was lost",
        8 => "8: a change that was answered as not made is not made",
        9 => "9: a replica that reaches the store renews its lease, whatever others commit",
        10 => "10: at most one canary signs, and beside the active key alone",
        _ => "a law without a name",
    }
}

/// A standby takes over. Whether it lacks the last commit, and which replicas' rows.
pub(crate) fn forget(state: &mut State, loses_commit: bool, rules: &Rules) -> Option<()> {
    state.store.failed_over_at = 0;
    let (before, forced) = match state.store.standby.take() {
        Some(standby) if loses_commit => standby,
        None if loses_commit => return None,
        _ => return Some(()),
    };
    state.store.lose(before);
    let witness = &mut state.witness;
    witness.forced = forced;
    for (key, stored) in before.keys.into_iter().enumerate() {
        if stored != KeyState::Revoked {
            witness.revoked[key] = None;
            witness.in_force[key] = false;
        }
        if !matches!(stored, KeyState::Active | KeyState::Canary) {
            witness.tokens_until[key] = 0;
        }
        if stored == KeyState::Absent {
            witness.replaced[key] = true;
            witness.unknown_until[key] = rules.freshness;
        }
        // Sets that were served after the commit that is lost may lack any key.
        witness.gone_until[key] = 0;
    }
    Some(())
}

/// Whether leases from before the last fail-over may still run.
fn is_after_fail_over(state: &State, rules: &Rules) -> bool {
    -state.store.failed_over_at < rules.max_staleness
}

fn has_two_signers(state: &State) -> bool {
    let held = state.replicas().iter().map(|replica| &replica.held);
    let differs = |set: &KeySet| {
        state
            .replicas()
            .iter()
            .map(|replica| &replica.held)
            .chain([&state.store.set])
            .any(|other| {
                other.version == set.version
                    && (other.active(), other.canary()) != (set.active(), set.canary())
            })
    };
    held.into_iter().any(differs)
}

fn has_a_canary_too_many(state: &State) -> bool {
    let held = state.replicas().iter().map(|replica| &replica.held);
    held.chain([&state.store.set]).any(|set| {
        let canaries = set.keys.iter().filter(|key| **key == KeyState::Canary);
        canaries.count() > usize::from(set.active().is_some())
    })
}

fn takes_a_revocation_back(state: &State) -> bool {
    let back = |key: usize| {
        state.witness.revoked[key].is_some() && state.store.set.keys[key] != KeyState::Revoked
    };
    (0..KEYS).any(back)
}

/// The caller who has revoked a key may have the rows looked at in any moment, and an answer.
fn answer_revocations(state: &mut State, rules: &Rules) -> u32 {
    let mut marks = 0;
    if -state.store.failed_over_at < rules.rows_missing_for {
        return marks;
    }
    for key in 0..KEYS {
        let Some((_, event)) = state.witness.revoked[key] else {
            continue;
        };
        let lacks =
            rows(state).any(|row| is_live(row, rules) && !has_event(state, row, event, rules));
        if !lacks {
            state.witness.in_force[key] = true;
            // From here on its age says nothing any more.
            state.witness.revoked[key] = Some((-rules.max_staleness, event));
            marks |= bit(Mark::InForceEverywhere);
        }
    }
    marks
}

/// A replica serves its set as fresh, as far as one key goes, and signs with it if it is active.
fn serve(state: &mut State, index: usize, key: usize, rules: &Rules) -> Option<u8> {
    let replica = &state.replicas[index];
    let now = replica.skew;
    let is_lost = !state.store.has(replica.held.version);
    let held = match replica.held.keys[key] {
        // What was made in the place of the lost key is another key, which this set lacks.
        _ if is_lost && state.witness.replaced[key] => KeyState::Absent,
        held => held,
    };
    let is_published = match held {
        KeyState::Pending { .. } | KeyState::Canary | KeyState::Active => true,
        KeyState::Retired { published_until } => now < published_until,
        KeyState::Absent | KeyState::Removed | KeyState::Revoked => false,
    };
    let stored = state.store.set.keys[key];
    let is_excused = is_lost && is_after_fail_over(state, rules);
    let witness = &mut state.witness;
    if let Some((revoked_at, _)) = witness.revoked[key] {
        return match is_published {
            true if witness.in_force[key] => Some(5),
            true if -revoked_at >= rules.max_staleness => Some(4),
            _ => None,
        };
    }
    match held {
        KeyState::Absent if witness.forced[key] => {}
        KeyState::Absent => witness.unknown_until[key] = rules.freshness,
        _ if !is_published && is_excused => {}
        _ if !is_published => witness.gone_until[key] = rules.freshness,
        KeyState::Active | KeyState::Canary
            if is_excused && !matches!(stored, KeyState::Active | KeyState::Canary) => {}
        KeyState::Active | KeyState::Canary => witness.tokens_until[key] = rules.ttl,
        _ => {}
    }
    None
}
