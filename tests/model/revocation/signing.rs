//! How a token is signed that the revocation matches: in four steps, between any two of which the
//! process may be frozen. One such token is on its way at a time.

use super::super::search::Laws;
use super::super::state::Instant;
use super::laws;
use super::rules::{KnowingSigner, Rules, SecondCheck, SigningOrder};
use super::state::{CLOSED, Knowledge, NOTHING, OPENED, Signature, State};
use super::steps::{Mark, Outcome, holds};

/// What is taken next.
enum Part {
    Term,
    Iat,
    Snapshot,
}

/// Takes the next thing that a signature needs, or hands the JWT out.
pub(crate) fn sign(mut next: State, index: usize, rules: &Rules) -> Option<Outcome> {
    let is_other = |(other, replica): (usize, &super::state::Replica)| {
        other != index && replica.signature.is_some()
    };
    if next.replicas().iter().enumerate().any(is_other) {
        return None;
    }
    let iat = next.iat(index, rules);
    let replica = &mut next.replicas[index];
    let mut signature = replica.signature.unwrap_or(Signature {
        term: None,
        iat: None,
        snapshot: None,
    });
    let Some(part) = next_part(&signature, rules) else {
        return Some(hand_out(next, index, signature, rules));
    };
    let mut mark = None;
    match part {
        Part::Term if !holds(replica) => return None,
        Part::Term => {
            signature.term = Some(replica.lease);
            if rules.order == SigningOrder::TermIatSnapshot {
                // A term that is taken earlier lets nothing more happen than one that is taken now.
                signature.iat = Some(iat);
            }
        }
        Part::Iat => signature.iat = Some(iat),
        Part::Snapshot => signature.snapshot = Some(replica.held),
    }
    if let (Some(snapshot), Some(iat)) = (signature.snapshot, signature.iat)
        && !may_sign(snapshot, iat, rules)
    {
        mark = Some(if snapshot.is(OPENED) {
            Mark::HeldWhileOpen
        } else {
            Mark::WaitedForIssuedBefore
        });
    }
    replica.signature = Some(signature).filter(|_| mark.is_none());
    let outcome = Outcome::of(next);
    Some(match mark {
        Some(mark) => outcome.marked(mark),
        None => outcome,
    })
}

fn next_part(signature: &Signature, rules: &Rules) -> Option<Part> {
    let term = signature.term.is_none().then_some(Part::Term);
    let iat = signature.iat.is_none().then_some(Part::Iat);
    let snapshot = signature.snapshot.is_none().then_some(Part::Snapshot);
    match rules.order {
        SigningOrder::TermIatSnapshot => term.or(iat).or(snapshot),
        SigningOrder::IatTermSnapshot => iat.or(term).or(snapshot),
        SigningOrder::TermSnapshotIat => term.or(snapshot).or(iat),
        SigningOrder::IatSnapshotTerm => iat.or(snapshot).or(term),
    }
}

fn may_sign(snapshot: Knowledge, iat: Instant, rules: &Rules) -> bool {
    let signs_at_once = rules.knowing_signer == KnowingSigner::SignsAtOnce;
    snapshot.lets_pass(iat) || snapshot.is(CLOSED) && signs_at_once
}

fn hand_out(mut next: State, index: usize, signature: Signature, rules: &Rules) -> Outcome {
    let replica = &mut next.replicas[index];
    replica.signature = None;
    let iat = signature.iat.unwrap();
    let held = replica.held;
    let is_revoked = !may_sign(held, iat, rules);
    // One whose term has ended is not there any more.
    let knowledge = match rules.second_check {
        SecondCheck::TermAlone => signature.snapshot.unwrap(),
        _ if is_revoked => return Outcome::of(next).marked(Mark::RevokedWhileSigning),
        _ => held,
    };
    let broken = witness_token(&mut next, knowledge, iat);
    let mut outcome = Outcome::of(next);
    outcome.broken = broken;
    outcome
}

/// Every replica that may, signs a token without being frozen meanwhile.
pub(crate) fn sign_at_once(state: &mut State, rules: &Rules) -> (Laws, bool) {
    let mut broken = Laws::NONE;
    let mut has_signed_knowing = false;
    for index in 0..usize::from(state.count) {
        let replica = &state.replicas[index];
        let held = replica.held;
        let iat = state.iat(index, rules);
        if holds(replica) && may_sign(held, iat, rules) {
            has_signed_knowing |= held.is(CLOSED);
            broken = broken.and(witness_token(state, held, iat));
        }
    }
    (broken, has_signed_knowing)
}

/// A token leaves that was signed with this knowledge. Which law that breaks.
///
/// What is known of a closing that a fail-over has lost is neither knowledge nor the lack of it.
fn witness_token(state: &mut State, knowledge: Knowledge, iat: Instant) -> Laws {
    let stored = state.store.revocation;
    let mut broken = Laws::NONE;
    if knowledge.is(NOTHING) {
        if stored.is(CLOSED) {
            broken.add_if(iat >= stored.issued_before, laws::A);
            broken.add_if(iat < stored.issued_before, laws::B);
        }
        state.witness.unknowing = state.witness.unknowing.max(iat);
    } else if stored.is(CLOSED) && stored.position == knowledge.position {
        broken.add_if(iat < stored.issued_before, laws::B);
        state.witness.good_token = true;
    }
    broken
}
