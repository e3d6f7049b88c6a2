//! What must hold in every state.
//!
//! Under its lease every replica serves its set at every moment and signs at every moment: doing it
//! less often only takes away from what verifiers may hold, and from what may go wrong.

use super::rules::Rules;
use super::state::{KEYS, Life, Loop, State};
use super::steps::{Mark, bit, holds, is_live, roll};

/// Lets every replica serve and sign, and says which law is broken.
pub(crate) fn witness(state: &mut State, rules: &Rules) -> (Option<u8>, u32) {
    let mut broken = one_signer(state).or(revoked_is_final(state));
    let mut marks = answer_revocations(state, rules);
    for index in 0..usize::from(state.count) {
        let replica = state.replicas[index];
        let is_stale = replica.held.version < state.stored.version;
        let had_row = replica.row.is_some() && matches!(replica.at, Loop::Rests);
        if !holds(&replica, rules) {
            let signs_by_revoked = replica.held.active().is_some_and(|key| {
                state.witness.revoked[key].is_some() && state.stored.keys[key] == Life::Revoked
            });
            if had_row && is_stale && signs_by_revoked {
                marks |= bit(Mark::StaleWithoutLease);
            }
            continue;
        }
        if is_stale {
            marks |= bit(Mark::StaleUnderLease);
        }
        if !replica.row.is_some_and(|row| is_live(&row, rules)) {
            broken = broken.or(Some(6));
        }
        for key in 0..KEYS {
            broken = broken.or(serve(state, index, key, rules));
        }
    }
    for key in 0..KEYS {
        let lives = state.witness.tokens_until[key] > 0;
        if lives && state.witness.unknown_until[key] > 0 {
            broken = broken.or(Some(2));
        }
        if lives && state.witness.gone_until[key] > 0 {
            broken = broken.or(Some(3));
        }
        if lives && matches!(state.stored.keys[key], Life::Retired { .. }) {
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
        4 => "4: a revoked key stays revoked, and nobody uses it a staleness later",
        5 => "5: a revocation that was answered as in force everywhere is",
        6 => "6: whoever has a lease counts as live",
        _ => "a law without a name",
    }
}

fn one_signer(state: &State) -> Option<u8> {
    let held = state.replicas().iter().map(|replica| &replica.held);
    let differs = |set: &super::state::KeySet| {
        state
            .replicas()
            .iter()
            .map(|replica| &replica.held)
            .chain([&state.stored])
            .any(|other| other.version == set.version && other.active() != set.active())
    };
    held.into_iter().any(differs).then_some(1)
}

fn revoked_is_final(state: &State) -> Option<u8> {
    let back = |key: usize| {
        state.witness.revoked[key].is_some() && state.stored.keys[key] != Life::Revoked
    };
    (0..KEYS).any(back).then_some(4)
}

/// Whoever has revoked a key may look at the roll at any moment, and answer.
fn answer_revocations(state: &mut State, rules: &Rules) -> u32 {
    let mut marks = 0;
    for key in 0..KEYS {
        let Some((_, version)) = state.witness.revoked[key] else {
            continue;
        };
        let lags = roll(state).any(|row| is_live(row, rules) && row.through < version);
        if !lags {
            state.witness.in_force[key] = true;
            // From here on its age says nothing any more.
            state.witness.revoked[key] = Some((-rules.max_staleness, version));
            marks |= bit(Mark::InForceEverywhere);
        }
    }
    marks
}

/// A replica serves its set as fresh, as far as one key goes, and signs with it if it is active.
fn serve(state: &mut State, index: usize, key: usize, rules: &Rules) -> Option<u8> {
    let replica = &state.replicas[index];
    let now = replica.skew;
    let life = replica.held.keys[key];
    let is_published = match life {
        Life::Pending { .. } | Life::Active => true,
        Life::Retired { published_until } => now < published_until,
        Life::Absent | Life::Removed | Life::Revoked => false,
    };
    let witness = &mut state.witness;
    if let Some((revoked_at, _)) = witness.revoked[key] {
        return match is_published {
            true if witness.in_force[key] => Some(5),
            true if -revoked_at >= rules.max_staleness => Some(4),
            _ => None,
        };
    }
    match life {
        Life::Absent if witness.forced[key] => {}
        Life::Absent => witness.unknown_until[key] = rules.freshness,
        _ if !is_published => witness.gone_until[key] = rules.freshness,
        Life::Active => witness.tokens_until[key] = rules.ttl,
        _ => {}
    }
    None
}
